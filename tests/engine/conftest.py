"""What the tests of the engine share: studios over the tiny reference checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.studio import Studio
from webui.contract.parts import Parts


@pytest.fixture(scope="module")
def studios(reference_checkpoints: Path, models: Path, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def opened(*names: str) -> Studio:
        folders = [reference_checkpoints / name for name in names]
        if missing := [folder.name for folder in folders if not folder.is_dir()]:
            pytest.skip(f"the case {missing[0]} is not here")
        return Studio(folders, models, tmp_path_factory.mktemp("kept"), parts)

    return opened
