"""The request's pictures as tensors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.tables import family
from webui.contract.errors import FieldError
from webui.contract.parts import Family, Inputs
from webui.contract.request import GenerationRequest
from webui.engine.canvas import canvas_of, no_pictures
from webui.engine.inputs import read

EVERYTHING = replace(family(), inputs=("image", "strength", "second_image", "mask", "depth", "map"))


def seen(field: str, image: Image.Image, width: int = 64, height: int = 64) -> Inputs:
    request = GenerationRequest(**{"image": "it", field: "it"}, width=width, height=height)  # type: ignore[arg-type]
    return drawn_from(request, image)


def drawn_from(request: GenerationRequest, image: Image.Image, row: Family = EVERYTHING) -> Inputs:
    pictures = {"it": image}.__getitem__
    return read(request, row, pictures, canvas_of(request, row, pictures))


def test_a_picture_comes_in_the_size_that_is_drawn() -> None:
    image = seen("image", Image.new("RGB", (100, 30), (255, 0, 128)), 128, 64).image
    assert image is not None and image.shape == (1, 3, 64, 128) and image.dtype == torch.float32
    assert image[0, :, 0, 0].tolist() == pytest.approx([1, -1, 128 / 127.5 - 1], abs=1e-6)


def test_what_is_enlarged_keeps_its_own_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    inputs = drawn_from(
        GenerationRequest(image="it", width=96, height=64), Image.fromarray(pixels), replace(EVERYTHING, enlarges=4)
    )
    assert inputs.size == (64, 96) and inputs.image is not None
    assert torch.equal(inputs.image[0], torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1)


def test_what_is_transparent_is_white_in_a_picture_and_black_in_a_mask() -> None:
    half = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    half.paste((255, 255, 255, 255), (0, 0, 32, 64))
    inputs = seen("mask", half)
    assert inputs.image is not None and inputs.mask is not None
    assert float(inputs.image.min()) == 1
    assert (float(inputs.mask[..., 0].min()), float(inputs.mask[..., -1].max())) == (1, 0)


def test_a_network_is_told_a_mask_of_0_and_1_whatever_its_greys_are() -> None:
    greys = Image.fromarray(np.array([[0, 127], [128, 255]], dtype=np.uint8)).resize((64, 64), Image.Resampling.NEAREST)
    request = GenerationRequest(image="it", mask="it", mask_blur=0, width=64, height=64)
    mask = drawn_from(request, greys).mask
    assert mask is not None and mask.shape == (1, 1, 64, 64)
    assert mask[0, 0, ::32, ::32].tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "I", "F"])
def test_a_depth_map_keeps_its_depth_of_colour(mode: str) -> None:
    values = np.arange(64 * 64).reshape(64, 64) * 10 if mode in ("I;16", "I", "F") else np.arange(64 * 64).reshape(64, 64) // 16
    image = Image.fromarray(values.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}.get(mode, np.uint8)))
    request = GenerationRequest(depth="it", width=64, height=64)
    depth = drawn_from(request, image.convert("RGB") if mode == "RGB" else image).depth
    assert depth is not None and depth[0, 0].tolist() == values.tolist()


@pytest.mark.parametrize("mode", ["L", "P"])
def test_the_labels_of_a_map_are_the_numbers_of_its_pixels(mode: str) -> None:
    image = Image.new(mode, (64, 64), 7)
    if mode == "P":
        image.putpalette([255 - i for i in range(256) for _ in range(3)])
    image.putpixel((1, 0), 181)
    labels = drawn_from(GenerationRequest(map="it", width=64, height=64), image).map
    assert labels is not None and labels.shape == (1, 64, 64) and labels.dtype == torch.int64
    assert labels[0, 0, :3].tolist() == [7, 181, 7]


def test_a_map_with_colours_is_refused() -> None:
    with pytest.raises(FieldError, match="colours"):
        drawn_from(GenerationRequest(map="it", width=64, height=64), Image.new("RGB", (64, 64)))


def test_what_a_family_does_not_read_is_not_opened() -> None:
    request = GenerationRequest(image="it", mask="it", width=64, height=64)
    row = replace(EVERYTHING, inputs=("prompt",))
    assert read(request, row, no_pictures, canvas_of(request, row, no_pictures)) == Inputs(size=(64, 64))


def test_where_no_pictures_are_kept_one_cannot_be_used() -> None:
    with pytest.raises(FieldError, match="not kept"):
        canvas_of(GenerationRequest(image="it", width=64, height=64), EVERYTHING, no_pictures)


@pytest.mark.parametrize("size", [(90, 316), (65, 64), (64, 127), (579, 100)])
def test_an_odd_size_is_padded_for_the_network_with_its_edges_drawn_out(size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    request = GenerationRequest(image="it", mask="it", depth="it", width=size[0], height=size[1])
    inputs = drawn_from(request, image)
    height, width = inputs.size
    assert (height % 8, width % 8) == (0, 0) and 0 <= height - size[1] < 8 and 0 <= width - size[0] < 8
    for tensor in (inputs.image, inputs.mask, inputs.depth):
        assert tensor is not None and tensor.shape[-2:] == (height, width)
        assert torch.equal(tensor[..., -1, :], tensor[..., size[1] - 1, :])
        assert torch.equal(tensor[..., :, -1], tensor[..., :, size[0] - 1])


def test_a_depth_map_goes_the_way_of_its_picture() -> None:
    near = Image.new("L", (200, 100))
    near.paste(255, (100, 0, 200, 100))
    request = GenerationRequest(image="photo", depth="near", width=64, height=64, resize="crop")
    pictures = {"photo": Image.new("RGB", (400, 200)), "near": near}.__getitem__
    depth = read(request, EVERYTHING, pictures, canvas_of(request, EVERYTHING, pictures)).depth
    assert depth is not None and (float(depth[..., :30].max()), float(depth[..., 34:].min())) == (0, 255)
