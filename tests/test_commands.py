"""Pictures without the page: repainting and enlarging single files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from webui.commands import generate, upscale
from webui.contract.errors import StartError
from webui.contract.request import EnlargeRequest
from webui.flags import COMMANDS, parse
from webui.workspace.app import App


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one file that only claims to be one, and something else."""
    place = tmp_path / "in"
    place.mkdir()
    Image.new("RGB", (70, 65), "green").save(place / "a.png")
    Image.new("RGB", (64, 66), "blue").save(place / "b.jpg")
    (place / "broken.png").write_text("hello")
    (place / "notes.txt").write_text("hello")
    return place


def test_a_picture_is_enlarged(app: App, tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out.png"
    flags = parse(["upscale", str(folder / "a.png"), "--scale", "1.5", "--upscaler", "Nearest", "-o", str(out)])
    assert upscale(flags, lambda: app) == 0
    with Image.open(out) as made:
        assert made.size == (105, 98)
        assert "Postprocess upscaler: Nearest" in made.text["parameters"]  # type: ignore[attr-defined]


def test_a_folder_is_enlarged_under_the_same_names_and_a_bad_file_is_told(
    app: App, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = parse(["upscale", str(folder), "-W", "100", "-H", "100", "-o", str(tmp_path / "out")])
    assert upscale(flags, lambda: app) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    with Image.open(tmp_path / "out" / "b.png") as made:
        assert made.size == (100, 100)
    assert "broken.png: Image is not a picture" in capsys.readouterr().err


def test_a_folder_is_repainted(app: App, tmp_path: Path, folder: Path) -> None:
    (folder / "broken.png").unlink()
    words = ["generate", "a cube", "--image", str(folder), "--strength", "0.5", "--steps", "2", "--seed", "1"]
    assert generate(parse([*words, "-o", str(tmp_path / "out")]), lambda: app) == 0
    sizes = {path.name: Image.open(path).size for path in (tmp_path / "out").iterdir()}
    assert sizes == {"a.png": (70, 65), "b.png": (64, 66)}


def test_a_mask_keeps_what_it_does_not_cover_and_notes_are_said_on_stderr(
    app: App, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = Image.new("L", (70, 65))
    mask.paste(255, (0, 0, 20, 65))
    mask.save(tmp_path / "mask.png")
    words = ["generate", "a cube", "--image", str(folder / "a.png"), "--mask", str(tmp_path / "mask.png"), "--steps", "2"]
    out = tmp_path / "out.png"
    assert (
        generate(parse([*words, "--mask-blur", "2", "--only-masked", "-W", "100", "-H", "100", "-o", str(out)]), lambda: app) == 0
    )
    with Image.open(out) as made:
        assert made.size == (70, 65) and made.crop((26, 0, 70, 65)).getcolors() == [(44 * 65, (0, 128, 0))]
    assert "cropped to 100 x 100" in capsys.readouterr().err


def test_several_pictures_of_one_request_are_numbered(app: App, tmp_path: Path) -> None:
    flags = parse(["generate", "x", "--steps", "1", "-W", "64", "-H", "64", "--batch-count", "2", "-o", str(tmp_path / "o.png")])
    assert generate(flags, lambda: app) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o-1.png", "o-2.png"]


def test_nothing_there_is_one_sentence(app: App, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="There is no file or folder"):
        upscale(parse(["upscale", str(tmp_path / "gone.png")]), lambda: app)
    with pytest.raises(StartError, match="There is no picture in"):
        upscale(parse(["upscale", str(tmp_path)]), lambda: app)


def test_every_option_of_upscale_is_a_field_of_the_request() -> None:
    known = {*EnlargeRequest.__dataclass_fields__, "no_crop"}
    assert {flag.target for flag in COMMANDS["upscale"].request} <= known
