"""`webui evaluate depth`: does the picture follow the map, and show what was asked?

Maps come from scenes that no training saw: half toys, of which the same toy is asked; half shapes, of which the same
shape is asked in another colour. How near things are in the picture is told by the small estimator, whose own errors on
renders are a row too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from webui.checkpoints.depth import SmallDepthEstimator, small_estimator
from webui.contract.request import GenerationRequest
from webui.training import judging
from webui.training.artist import Artist, pixels
from webui.training.estimator import correlations
from webui.training.evaluations.sheets import save_pictures
from webui.training.options import EvaluateOptions
from webui.training.scenes import to_tensor
from webui.training.table import Row
from webui.training.toys import judge as toy_judging
from webui.training.toys.held_out import held_out_toys
from webui.training.toys.scene import names
from webui.training.toys.words import with_article
from webui.training.world import COLOURS, SHAPES
from webui.training.worlds import HELD_OUT, SIZE

PICTURES = 96
FIRST_SHAPE = 6000
"""Of the held-out scenes of shapes, the first that is used here."""


@dataclass(frozen=True)
class Asked:
    """A map, the picture it was rendered with, and a prompt."""

    picture: NDArray[np.uint8]
    near: NDArray[np.float16]
    prompt: str
    wanted: int
    """Number of the toy, or of the colour."""


def measure(options: EvaluateOptions, say: Callable[[str], None]) -> list[Row]:
    """All rows; saves the contact sheet: the map, and below it what was drawn."""
    count = options.pictures or PICTURES
    half = count // 2
    asked = [*toy_maps(half), *shape_maps(count - half)]
    artist, estimator = Artist(options.checkpoint), small_estimator()
    drawn = []
    for i, one in enumerate(asked):
        request = GenerationRequest(prompt=one.prompt, depth="map", seed=2000 + i, width=SIZE, height=SIZE)
        drawn.append(pixels(artist.draw(request, {"map": as_image(one.near)})[0]))
        if i % 20 == 19:
            say(f"drawn {i + 1} of {len(asked)}")
    after, maps = np.stack(drawn), np.stack([one.near for one in asked])
    shown = [*range(min(16, half)), *range(half, min(half + 16, count))]
    rows = []
    for i in range(0, len(shown), 8):
        rows += [pixels(as_image(maps[j]).resize((SIZE, SIZE))) for j in shown[i : i + 8]] + [after[j] for j in shown[i : i + 8]]
    save_pictures(rows, options.sheet)
    say(f"contact sheet: {options.sheet}")

    wanted = np.asarray([one.wanted for one in asked])
    toys = toy_judging.named(toy_judging.load_toy_judge(), to_tensor(after[:half]))[:, 0].numpy()
    colours = judging.named(judging.load_judge(), to_tensor(after[half:]))[:, 0].numpy()
    alike = estimated_alike(estimator, after, maps)
    own = estimated_alike(estimator, np.stack([one.picture for one in asked]), maps)
    say(f"correlation with the map: toys {alike[:half].mean():.3f}, shapes {alike[half:].mean():.3f}, least {alike.min():.3f}")
    return [
        Row("estimator on renders, correlation", float(own.mean()), "", 0.95, 0.98),
        Row("depth of the picture with the map", float(alike.mean()), "", 0.9, 0.95),
        Row(f"toy as asked, {half}", 100 * float((toys == wanted[:half]).mean()), " %", 85, 95),
        Row(f"colour as asked, {count - half}", 100 * float((colours == wanted[half:]).mean()), " %", 85, 97),
    ]


def toy_maps(count: int) -> list[Asked]:
    """Maps of toys, and their names."""
    scenes = held_out_toys(SIZE)
    at = [i % len(scenes.numbers) for i in range(count)]
    prompts = [with_article(names()[scenes.numbers[i]]) for i in at]
    return [Asked(scenes.pictures[i], scenes.depth[i], text, int(scenes.numbers[i])) for i, text in zip(at, prompts, strict=True)]


def shape_maps(count: int) -> list[Asked]:
    """Maps of lone shapes, asked for in another colour."""
    rng, out = np.random.default_rng(29), []
    for thing in judging.lone_things(HELD_OUT + FIRST_SHAPE, count):
        colour = int((thing.colour + rng.integers(1, len(COLOURS))) % len(COLOURS))
        prompt = with_article(f"{list(COLOURS)[colour]} {list(SHAPES)[thing.shape]}")
        out.append(Asked(thing.picture, thing.depth, prompt, colour))
    return out


def as_image(near: NDArray[np.float16]) -> Image.Image:
    """A map as people keep one: white is near."""
    return Image.fromarray((near.astype(np.float32) * 255).round().astype(np.uint8))


@torch.no_grad()
def estimated_alike(estimator: SmallDepthEstimator, pictures: NDArray[np.uint8], maps: NDArray) -> NDArray[np.float64]:
    """(B,) correlation of the pictures' estimated depth with the maps."""
    return np.concatenate(
        [correlations(estimator.read(to_tensor(pictures[i : i + 32])), maps[i : i + 32]) for i in range(0, len(pictures), 32)]
    )
