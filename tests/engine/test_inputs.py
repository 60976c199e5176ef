"""The request's pictures as tensors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.tables import family
from webui.contract.errors import FieldError
from webui.contract.parts import Inputs
from webui.contract.request import GenerationRequest
from webui.engine.inputs import no_pictures, read

EVERYTHING = replace(family(), inputs=("image", "second_image", "mask", "depth", "map"))


def seen(field: str, image: Image.Image, width: int = 64, height: int = 64) -> Inputs:
    request = GenerationRequest(**{field: "it"}, width=width, height=height)  # type: ignore[arg-type]
    return read(request, EVERYTHING, {"it": image}.__getitem__)


def test_a_picture_comes_in_the_size_that_is_drawn() -> None:
    image = seen("image", Image.new("RGB", (100, 30), (255, 0, 128)), 128, 64).image
    assert image is not None and image.shape == (1, 3, 64, 128) and image.dtype == torch.float32
    assert image[0, :, 0, 0].tolist() == pytest.approx([1, -1, 128 / 127.5 - 1], abs=1e-6)


def test_what_is_enlarged_keeps_its_own_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    row = replace(EVERYTHING, enlarges=4)
    inputs = read(GenerationRequest(image="it", width=96, height=64), row, lambda _: Image.fromarray(pixels))
    assert inputs.size == (64, 96) and inputs.image is not None
    assert torch.equal(inputs.image[0], torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1)


def test_what_is_transparent_is_white_in_a_picture_and_black_in_a_mask() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    image, mask = seen("image", clear).image, seen("mask", clear).mask
    assert image is not None and mask is not None
    assert float(image.min()) == 1 and float(mask.max()) == 0


def test_a_mask_is_0_and_1_whatever_its_greys_are() -> None:
    greys = Image.fromarray(np.array([[0, 127], [128, 255]], dtype=np.uint8)).resize((64, 64), Image.Resampling.NEAREST)
    mask = seen("mask", greys).mask
    assert mask is not None and mask.shape == (1, 1, 64, 64)
    assert mask[0, 0, ::32, ::32].tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "I", "F"])
def test_a_depth_map_keeps_its_size_and_its_depth_of_colour(mode: str) -> None:
    values = np.arange(12).reshape(3, 4) * (1000 if mode in ("I;16", "I", "F") else 20)
    image = Image.fromarray(values.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}.get(mode, np.uint8)))
    depth = seen("depth", image.convert("RGB") if mode == "RGB" else image).depth
    assert depth is not None and depth[0, 0].tolist() == values.tolist()


@pytest.mark.parametrize("mode", ["L", "P"])
def test_the_labels_of_a_map_are_the_numbers_of_its_pixels(mode: str) -> None:
    image = Image.new(mode, (64, 64), 7)
    if mode == "P":
        image.putpalette([255 - i for i in range(256) for _ in range(3)])
    image.putpixel((1, 0), 181)
    labels = seen("map", image).map
    assert labels is not None and labels.shape == (1, 64, 64) and labels.dtype == torch.int64
    assert labels[0, 0, :3].tolist() == [7, 181, 7]


def test_a_map_with_colours_is_refused() -> None:
    with pytest.raises(FieldError, match="colours"):
        seen("map", Image.new("RGB", (64, 64)))


def test_what_a_family_does_not_read_is_not_opened() -> None:
    request = GenerationRequest(image="it", mask="it", width=64, height=64)
    assert read(request, replace(EVERYTHING, inputs=("prompt",)), no_pictures) == Inputs(size=(64, 64))


def test_where_no_pictures_are_kept_one_cannot_be_used() -> None:
    with pytest.raises(FieldError, match="not kept"):
        read(GenerationRequest(image="it", width=64, height=64), EVERYTHING, no_pictures)
