"""The reference numbers, which lie beside the project and are never needed at run time."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared(path: str) -> Path:
    """A file of the reference numbers; the test is skipped where they are missing."""
    found = Path(os.environ.get("WEBUI_SHARED", ROOT.parent / "shared")) / path
    if not found.exists():
        pytest.skip(f"the reference numbers are not here: shared/{path}")
    return found


def shared_names(folder: str, pattern: str) -> list[str]:
    """Names of what lies in a folder of the reference numbers, to make tests of; none where they are missing."""
    return sorted(found.name for found in Path(os.environ.get("WEBUI_SHARED", ROOT.parent / "shared"), folder).glob(pattern))
