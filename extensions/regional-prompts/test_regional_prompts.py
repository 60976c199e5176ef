"""Regions as text, their masks, and what they draw with the program's own checkpoint."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from webui.contract import infotext
from webui.contract.errors import PluginError
from webui.contract.request import Chosen, GenerationRequest, request_from
from webui.testing import program
from webui.workspace.app import App

FOLDER = Path(__file__).parent
ASKED = GenerationRequest(
    prompt="a gray floor in front of a white wall", checkpoint="pocket", sampler="Euler", steps=8, seed=1, width=192, height=128
)
TWO = "0 0 0.5 1: a red sphere on a gray floor\n0.5 0 0.5 1: a blue cube on a gray floor"


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with program(FOLDER) as opened:
        yield opened


def own(name: str) -> Any:
    """A module of the extension."""
    return importlib.import_module(f"webui_extension_regional_prompts.{name}")


def halves(image: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean (red, green, blue) of the middle of the left and of the right half."""
    pixels = np.asarray(image, float)
    height, width = pixels.shape[:2]
    middle = pixels[height // 3 : -height // 5]
    return middle[:, width // 8 : 3 * width // 8].mean((0, 1)), middle[:, 5 * width // 8 : 7 * width // 8].mean((0, 1))


def drawn(app: App, **fields: Any) -> Any:
    return next(app.generate(replace(ASKED, **fields)))


def test_each_half_shows_what_its_box_says(app: App) -> None:
    made = drawn(app, guiders=(Chosen("Regional prompts", {"regions": TWO, "base": 0.0}),))
    left, right = halves(made.image)
    assert left[0] > left[2] + 25, f"red on the left, not {left}"
    assert right[2] > right[0] + 25, f"blue on the right, not {right}"
    swapped = drawn(app, guiders=(Chosen("Regional prompts", {"regions": TWO.replace("0 0 0.5", "0.5 0 0.5", 1), "base": 0.0}),))
    assert swapped.image.tobytes() != made.image.tobytes()


def test_no_region_is_the_picture_without_the_guider(app: App) -> None:
    plain = drawn(app, steps=2).image.tobytes()
    assert drawn(app, steps=2, guiders=(Chosen("Regional prompts"),)).image.tobytes() == plain
    same = f"0 0 1 1: {ASKED.prompt}"
    alike = drawn(app, steps=2, guiders=(Chosen("Regional prompts", {"regions": same}),)).image
    pixels = np.frombuffer(plain, np.uint8).astype(float) - np.asarray(alike, float).ravel()
    assert np.abs(pixels).mean() < 1, "the picture's own prompt in a box changes nothing but the rounding"


def test_boxes_of_the_panel_are_enough_and_the_picture_says_how_it_is_made_again(app: App) -> None:
    extras = {"regional-prompts": {"regions": TWO, "base": 0.0, "feather": 0.2}}
    with program(FOLDER, takes_jobs=True) as queue:
        job = queue.queue.wait(queue.queue.submit(replace(ASKED, steps=3, extras=extras)).id, 300)
        assert job.state == "finished", job.error
        (image,) = job.images
        text = image.infotext
    said = infotext.read(text)
    values, notes = infotext.to_request(said, app.parts.samplers.names(), app.parts.schedules.names())
    again = request_from({**values, "checkpoint": "pocket"})
    assert notes == [] and again.extras == extras
    assert again.guiders == (Chosen("Regional prompts", {"regions": "", "feather": 0.2, "base": 0.0}),)
    named = drawn(app, steps=3, guiders=(Chosen("Regional prompts", {"regions": TWO, "feather": 0.2, "base": 0.0}),))
    assert drawn(app, steps=3, extras=extras, guiders=again.guiders).image.tobytes() == named.image.tobytes()


@pytest.mark.parametrize(
    "line, words",
    [
        ("0 0 0.5: a", "line 1 of the regions is '0 0 0.5: a', but it must be x y width height: prompt"),
        ("0 0 0 1: a", "has a box without a size"),
        ("1 0 0.5 1: a", "outside of the picture"),
        ("0 0 nan 1: a", "line 1"),
        ("\n".join(["0 0 1 1: a"] * 13), "13 regions are too many, there can be 12"),
    ],
)
def test_a_line_that_is_no_region_is_said(app: App, line: str, words: str) -> None:
    with pytest.raises(PluginError) as told:
        drawn(app, guiders=(Chosen("Regional prompts", {"regions": line}),))
    assert words in str(told.value) and "regional-prompts" in str(told.value)


def test_regions_are_read_with_blanks_or_commas_and_without_what_is_empty(app: App) -> None:
    read, region = own("regions").read, own("regions").Region
    assert read("0, .25,0.5 ,1 : a: b\n\n 0 0 1 1:  \n-.1 0 1 1:c") == [
        region(0, 0.25, 0.5, 1, "a: b"),
        region(-0.1, 0, 1, 1, "c"),
    ]


def test_masks_are_whole_inside_half_on_an_edge_and_shared_where_boxes_meet(app: App) -> None:
    weights, region = own("mixing").weights, own("regions").Region
    (left,) = weights([region(0, 0, 0.5, 1, "a")], 8, 16, 0.25)
    assert left.shape == (1, 1, 8, 16)
    assert left[0, 0, 0, :6].eq(1).all() and left[0, 0, 0, 10:].eq(0).all(), "the border of the picture is no edge"
    assert left[0, 0, 3, 7] + left[0, 0, 3, 8] == 1
    both = weights([region(0, 0, 0.75, 1, "a"), region(0.25, 0, 0.75, 1, "b")], 8, 16, 0.25)
    assert torch.allclose(both.sum(0), torch.ones(1, 1, 8, 16))
    assert torch.equal(both[0, 0, 0, :, 8], torch.full((8,), 0.5))


def test_a_tile_of_a_large_picture_has_its_part_of_the_masks(app: App) -> None:
    weights, boxes = own("mixing").weights, [own("regions").Region(0.1, 0.2, 0.5, 0.5, "a")]
    whole = weights(boxes, 32, 64, 0.1)
    assert torch.allclose(weights(boxes, 16, 24, 0.1, (0.25, 0.5, 24 / 64, 0.5)), whole[..., 16:, 16:40], atol=1e-5)


def test_prompts_of_other_lengths_are_asked_one_by_one(app: App) -> None:
    long = "a red sphere, " * 40
    drawn(app, steps=1, guiders=(Chosen("Regional prompts", {"regions": f"0 0 0.5 1: {long}\n0.5 0 0.5 1: a cube"}),))


def test_its_modules_are_its_own() -> None:
    assert "mixing" not in sys.modules and "regions" not in sys.modules
