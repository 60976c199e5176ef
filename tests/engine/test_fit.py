"""Whether a request and a family fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from tests.engine.tables import family
from webui.contract.errors import FieldError
from webui.contract.request import Box, GenerationRequest
from webui.engine import fit

WORDS = replace(family(), label="Words", inputs=("prompt", "negative_prompt", "image", "strength"))
LARGER = replace(WORDS, label="Larger", inputs=("image", "noise_level"), needs=("image",), enlarges=4, noise_levels=350)
DEEP = replace(WORDS, label="Deep", inputs=("prompt", "image", "depth"), needs=("depth|image",))


def asked(**fields: Any) -> GenerationRequest:
    return GenerationRequest(**fields)


@pytest.mark.parametrize(
    "row, wish, field, words",
    [
        (LARGER, asked(), "image", "Larger enlarges a picture: give it a picture (image)."),
        (DEEP, asked(), "image", "give it a depth map (depth) or a picture (image)."),
        (replace(WORDS, inputs=("prompt",)), asked(mask="it"), "mask", "Words reads no mask"),
        (WORDS, asked(mask="it"), "image", "There is a mask, but no picture that it belongs to"),
        (WORDS, asked(extend_left=8), "image", "There is no picture to extend"),
        (WORDS, asked(depth_near=0.0), "depth_near", "the same depth"),
        (WORDS, asked(class_label="3"), "class_label", "Words reads no class label"),
        (WORDS, asked(boxes=(Box("1", 0.0, 0.0, 1.0, 1.0),)), "boxes", "Words reads no boxes"),
        (WORDS, asked(noise_level=0), "noise_level", "Words reads no noise level"),
        (LARGER, asked(image="it", noise_level=350), "noise_level", "It can be 0 to 349 for Larger."),
        (replace(WORDS, inputs=("image", "second_image")), asked(second_image="it"), "image", "no first one"),
        (replace(WORDS, network="none"), asked(), "checkpoint", "draws nothing"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(row: Any, wish: GenerationRequest, field: str, words: str) -> None:
    with pytest.raises(FieldError) as caught:
        fit.check(wish, row)
    assert caught.value.field == field and words in str(caught.value)


@pytest.mark.parametrize(
    "row, wish",
    [
        (WORDS, asked(prompt="a", image="it", strength=0.5)),
        (LARGER, asked(image="it", noise_level=349)),
        (DEEP, asked(depth="it")),
        (DEEP, asked(image="it")),
    ],
)
def test_what_fits_is_taken(row: Any, wish: GenerationRequest) -> None:
    fit.check(wish, row)


def test_a_refiner_needs_the_same_latents() -> None:
    fit.check_refiner(asked(), WORDS, replace(WORDS, label="Second"))
    for other in (replace(WORDS, latent_scale=0.13), replace(WORDS, latent_channels=3), replace(WORDS, network="none")):
        with pytest.raises(FieldError, match="latents differ"):
            fit.check_refiner(asked(), WORDS, other)


@pytest.mark.parametrize(
    "row, wish, picture, size",
    [
        (WORDS, asked(), (0, 0), (512, 512)),
        (WORDS, asked(width=64, height=128, image="it"), (300, 200), (64, 128)),
        (WORDS, asked(image="it"), (301, 203), (301, 203)),
        (WORDS, asked(image="it"), (20, 9), (142, 64)),
        (WORDS, asked(image="it", width=128), (301, 203), (128, 203)),
        (WORDS, asked(image="it", mask="it", only_masked=True), (301, 203), (512, 512)),
        (DEEP, asked(depth="it"), (96, 80), (96, 80)),
        (LARGER, asked(image="it"), (100, 33), (400, 132)),
        (LARGER, asked(image="it", width=64, height=64), (100, 33), (400, 132)),
        (LARGER, asked(image="it"), (1, 1), (64, 64)),
        (replace(WORDS, size_step=32), asked(image="it"), (100, 200), (100, 200)),
    ],
)
def test_the_size_is_what_was_asked_or_that_of_the_picture(
    row: Any, wish: GenerationRequest, picture: tuple[int, int], size: tuple[int, int]
) -> None:
    assert fit.size(wish, row, lambda _: Image.new("RGB", picture)) == size


def test_what_is_added_at_the_sides_comes_on_top_of_the_size_unless_only_a_part_is_drawn() -> None:
    wish = asked(image="it", width=100, height=80, extend_left=10, extend_bottom=3)
    assert fit.drawn(wish) == (110, 83)
    assert fit.drawn(replace(wish, only_masked=True)) == (100, 80)


def test_hires_fix_needs_a_checkpoint_that_repaints_and_no_mask() -> None:
    fit.check_hires(asked(hires_scale=2.0), WORDS)
    with pytest.raises(FieldError, match="cannot be used with a mask"):
        fit.check_hires(asked(hires_scale=2.0, mask="it"), WORDS)
    with pytest.raises(FieldError, match="Larger repaints no picture"):
        fit.check_hires(asked(hires_scale=2.0), LARGER)


@pytest.mark.parametrize("picture", [(3000, 2), (9000, 64)])
def test_a_picture_of_an_impossible_size_asks_for_another_one(picture: tuple[int, int]) -> None:
    with pytest.raises(FieldError, match=f"A picture of {picture[0]} x {picture[1]} pixels cannot be painted as it is"):
        fit.size(asked(image="it"), WORDS, lambda _: Image.new("RGB", picture))
    assert fit.size(asked(image="it", width=64, height=64), WORDS, lambda _: Image.new("RGB", picture)) == (64, 64)


def test_what_would_be_larger_than_anything_can_be_is_refused() -> None:
    with pytest.raises(FieldError, match="16384 x 4096"):
        fit.size(asked(image="it"), LARGER, lambda _: Image.new("RGB", (4096, 1024)))
