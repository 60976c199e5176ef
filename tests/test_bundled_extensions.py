"""The extensions that come with the project: all start beside each other, nothing is wrong with one, each shows what it does."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.shared import ROOT
from webui.main import find_parts, main
from webui.workspace.paths import Paths

BUNDLED = sorted(re.findall(r"^!/extensions/([\w-]+)/$", (ROOT / ".gitignore").read_text(), re.M))
"""What .gitignore lets in: the folder may also have a user's own."""


def test_all_start_beside_each_other(tmp_path: Path) -> None:
    extensions = {one.name: one.error for one in find_parts(Paths(tmp_path))[1]}
    assert {name: extensions[name] for name in BUNDLED} == dict.fromkeys(BUNDLED, "")


@pytest.mark.parametrize("name", BUNDLED)
def test_nothing_is_wrong_with_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["extensions", "check", str(ROOT / "extensions" / name), "--data-dir", str(tmp_path)])
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", BUNDLED)
def test_its_page_shows_a_picture_of_it(name: str) -> None:
    folder = ROOT / "extensions" / name
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (folder / "README.md").read_text("utf-8"))
    assert shown
    for picture in shown:
        assert (folder / picture).stat().st_size < 150_000
        with Image.open(folder / picture) as opened:
            assert min(opened.size) > 100


def test_each_has_tests_of_its_own_names() -> None:
    """Two files of tests of one name would hide each other."""
    files = {name: [file.name for file in (ROOT / "extensions" / name).glob("test_*.py")] for name in BUNDLED}
    assert all(files.values())
    counted = Counter(name for names in files.values() for name in names)
    assert max(counted.values()) == 1
    ours = {file.name for file in (ROOT / "tests").rglob("test_*.py") if not (file.parent / "__init__.py").is_file()}
    assert not ours & set(counted)
