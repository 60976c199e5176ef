"""What `webui bench extensions` measures is what it says: fifty extensions that really come in."""

from pathlib import Path

import pytest

from webui.bench import extensions
from webui.bench.command import BENCHES
from webui.contract.errors import WebUIError
from webui.main import find_parts
from webui.workspace.paths import Paths


def test_the_written_extensions_all_come_in_with_a_sampler_each(tmp_path: Path) -> None:
    extensions.write(tmp_path)
    parts, found = find_parts(Paths(tmp_path, project=tmp_path))
    assert len(found) == 50 and not any(one.error for one in found)
    assert all(f"Sampler {number}" in parts.samplers for number in range(50))


def test_loading_is_measured_only_where_all_of_them_load(tmp_path: Path) -> None:
    extensions.write(tmp_path, 3)
    told = extensions.loading(tmp_path)
    assert told["loaded"] == 3 and told["cpu"] > 0 and told["seconds"] > 0
    (tmp_path / "extensions" / "sampler-1" / "extension.py").write_text("1 / 0")
    with pytest.raises(WebUIError, match="ZeroDivisionError"):
        extensions.loading(tmp_path)


def test_it_is_one_of_the_benches() -> None:
    assert "extensions" in BENCHES
