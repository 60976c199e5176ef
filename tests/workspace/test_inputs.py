"""Pictures of requests: kept by content, refused in one sentence, forgotten only when nobody needs them."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from webui.contract.errors import FieldError
from webui.contract.request import GenerationRequest
from webui.engine.pictures import Limits
from webui.workspace import inputs
from webui.workspace.inputs import Inputs, names_in


def file_of(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


@pytest.fixture
def kept(tmp_path: Path) -> Inputs:
    return Inputs(tmp_path / "inputs")


def test_the_same_picture_is_kept_once_under_the_hash_of_its_file(kept: Inputs, tmp_path: Path) -> None:
    data = file_of(Image.new("RGB", (8, 4), "red"))
    name = kept.put(data)
    assert kept.put(data) == name
    assert [path.read_bytes() for path in (tmp_path / "inputs").iterdir()] == [data]
    assert len(name) == 64
    assert kept.open(name).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16", "1"])
def test_a_picture_comes_back_in_the_mode_it_came_in(kept: Inputs, mode: str) -> None:
    image = Image.new(mode, (5, 3))
    back = kept.open(kept.put(file_of(image)))
    assert (back.mode, back.size) == (mode, (5, 3))


def test_pixels_are_kept_too_with_their_transparency(kept: Inputs) -> None:
    image = Image.new("RGBA", (3, 3), (10, 20, 30, 40))
    assert kept.open(kept.put(image)).getpixel((1, 1)) == (10, 20, 30, 40)
    assert kept.put(image) == kept.put(image.copy())


def test_a_photo_is_turned_as_its_exif_says(kept: Inputs) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    name = kept.put(file_of(Image.new("RGB", (40, 20), "blue"), "JPEG", exif=exif))
    assert kept.open(name).size == (20, 40)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_other_kinds_of_files_are_taken(kept: Inputs, kind: str) -> None:
    assert kept.open(kept.put(file_of(Image.new("RGB", (16, 16)), kind))).size == (16, 16)


WRONG = {
    "text": (b"hello", "is not a picture that can be read here"),
    "nothing": (b"", "is empty"),
    "a drawing": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a picture"),
    "another format": (file_of(Image.new("RGB", (4, 4)), "PPM"), "is not a picture"),
    "half a file": (file_of(Image.effect_noise((64, 64), 50))[:1500], "is damaged"),
    "half a photo": (file_of(Image.effect_noise((64, 64), 50), "JPEG")[:1500], "is damaged"),
    "only a head": (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "is not a picture"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_picture_is_refused_in_one_sentence_and_not_kept(kept: Inputs, tmp_path: Path, case: str) -> None:
    data, words = WRONG[case]
    with pytest.raises(FieldError, match=words) as told:
        kept.put(data, "second_image")
    assert str(told.value).startswith("Second image ")
    assert told.value.field == "second_image"
    assert not list(tmp_path.glob("inputs/*"))


def test_more_pixels_or_bytes_than_allowed_are_refused(kept: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "LIMITS", Limits(pixels=1000))
    with pytest.raises(FieldError, match=r"Mask has 100 x 50 pixels\. It can have 1,000 in all"):
        kept.put(file_of(Image.new("L", (100, 50))), "mask")
    monkeypatch.setattr(inputs, "LIMITS", Limits(bytes=2**20))
    with pytest.raises(FieldError, match="Image has 2 MB"):
        kept.put(b"x" * 2**21)


def test_a_small_file_of_endless_pixels_is_refused_before_it_is_decoded(kept: Inputs) -> None:
    with pytest.raises(FieldError, match=r"pixels|too large"):
        kept.put(file_of(Image.new("1", (30_000, 30_000))))


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "0" * 64, "0" * 63 + "/"])
def test_a_name_that_is_not_kept_is_told(kept: Inputs, name: str) -> None:
    with pytest.raises(FieldError, match="is not kept here"):
        kept.open(name)
    if name:
        with pytest.raises(FieldError, match=r"Depth .* is not kept here") as told:
            kept.check(GenerationRequest(depth=name))
        assert told.value.field == "depth"


def test_only_old_pictures_that_no_job_names_are_forgotten(kept: Inputs, tmp_path: Path) -> None:
    old, named, new = (kept.put(Image.new("L", (4, 4), shade)) for shade in (1, 2, 3))
    week = time.time() - 8 * 86_400
    for name in (old, named):
        os.utime(kept.path(name), (week, week))
    assert kept.forget(names_in([GenerationRequest(mask=named), GenerationRequest()])) == 1
    assert [kept.has(name) for name in (old, named, new)] == [False, True, True]
    kept.open(named)  # used again: young again
    assert kept.forget([]) == 0
