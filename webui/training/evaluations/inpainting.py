"""`webui evaluate inpainting`: is the asked thing painted into the hole, and does nothing else change?

Half of the pictures are toys and half shapes, none of them seen in training. What stands there is masked, and something
else is asked for; the judges name what stands there afterwards. All else is as a user has it who changes nothing: the mask
is blurred a little, and outside is where nothing of it is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from webui.contract.request import GenerationRequest
from webui.engine.masks import blurred
from webui.training import judging
from webui.training.artist import Artist, pixels
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

PICTURES = 120
GAP = 0.1
"""Around the box of what is painted over, in shares of the picture."""
FIRST_SHAPE = 5000
"""Of the held-out scenes of shapes, the first that is used here."""


@dataclass(frozen=True)
class Hole:
    """A picture, what of it is painted over, and what with."""

    picture: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    prompt: str
    wanted: tuple[int, ...]
    """The toy's number; or those of colour and shape."""


def measure(options: EvaluateOptions, say: Callable[[str], None]) -> list[Row]:
    """All rows; saves the contact sheet: pictures with their holes, below them what was painted."""
    count = options.pictures or PICTURES
    holes = [*toy_holes(count // 2), *shape_holes(count - count // 2)]
    artist = Artist(options.checkpoint)
    drawn = []
    for i, hole in enumerate(holes):
        named = {"picture": Image.fromarray(hole.picture), "mask": Image.fromarray(hole.mask)}
        request = GenerationRequest(prompt=hole.prompt, image="picture", mask="mask", seed=1000 + i)
        drawn.append(pixels(artist.draw(request, named)[0]))
        if i % 20 == 19:
            say(f"painted {i + 1} of {len(holes)}")
    before, after = np.stack([hole.picture for hole in holes]), np.stack(drawn)
    masks = np.stack([hole.mask for hole in holes]) > 0
    _save_sheet(before, masks, after, options)
    say(f"contact sheet: {options.sheet}")

    half = count // 2
    toys = toy_judging.named(toy_judging.load_toy_judge(), to_tensor(after[:half]))[:, 0].numpy()
    things = judging.named(judging.load_judge(), to_tensor(after[half:])).numpy()
    toy_right = np.mean([name == hole.wanted[0] for name, hole in zip(toys, holes[:half], strict=True)])
    right = np.mean([tuple(name) == hole.wanted for name, hole in zip(things, holes[half:], strict=True)])
    blur = GenerationRequest().mask_blur
    painted = np.stack([np.asarray(blurred(Image.fromarray(hole.mask), blur)) for hole in holes]) > 0
    changed = np.abs(after.astype(int) - before.astype(int)).max(3)[~painted].max(initial=0)
    return [
        Row(f"toy in the hole as asked, {half}", 100 * float(toy_right), " %", 80, 95),
        Row(f"colour and shape as asked, {count - half}", 100 * float(right), " %", 80, 95),
        Row("largest change outside the mask", float(changed), "", 0, 0, True),
        Row("seam, times the picture's own slope", seam(after, masks) / seam(before, masks), "", 1.15, 1.05, True),
    ]


def toy_holes(count: int) -> list[Hole]:
    """Toys that become other toys."""
    scenes = held_out_toys(SIZE)
    loved = list(dict.fromkeys(scenes.numbers.tolist()))
    holes = []
    for i in range(count):
        at, wanted = i % len(scenes.numbers), loved[(7 * i + 5 + i // len(loved)) % len(loved)]
        if wanted == scenes.numbers[at]:
            wanted = loved[(loved.index(wanted) + 1) % len(loved)]
        mask = mask_around(scenes.boxes[at])
        holes.append(Hole(scenes.pictures[at], mask, with_article(names()[wanted]), (int(wanted),)))
    return holes


def shape_holes(count: int) -> list[Hole]:
    """Lone shapes that become others, of another colour."""
    rng, holes = np.random.default_rng(23), []
    for thing in judging.lone_things(HELD_OUT + FIRST_SHAPE, count):
        colour, shape = int(rng.integers(len(COLOURS))), int(rng.integers(len(SHAPES)))
        prompt = with_article(f"{list(COLOURS)[colour]} {list(SHAPES)[shape]}")
        holes.append(Hole(thing.picture, mask_around(thing.box), prompt, (colour, shape)))
    return holes


def mask_around(box: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(128, 128): 255 in the box (left, top, right, bottom in 0 to 1) and a little around it."""
    line = (np.arange(SIZE) + 0.5) / SIZE
    across = (line > box[0] - GAP) & (line < box[2] + GAP)
    down = (line > box[1] - GAP) & (line < box[3] + GAP)
    return (255 * (down[:, None] & across[None, :])).astype(np.uint8)


def seam(pictures: NDArray[np.uint8], masks: NDArray[np.bool_]) -> float:
    """Mean difference of neighbouring pixels of which one is masked and the other not."""
    values = pictures.astype(np.float64)
    slopes = []
    for axis in (1, 2):
        border = np.diff(masks, axis=axis)
        slopes.append(np.abs(np.diff(values, axis=axis)).mean(3)[border])
    return float(np.concatenate(slopes).mean())


def _save_sheet(before: NDArray, masks: NDArray, after: NDArray, options: EvaluateOptions) -> None:
    half = len(before) // 2
    shown = [*range(min(24, half)), *range(half, min(half + 16, len(before)))]
    holes = np.where(masks[..., None], 255 - (255 - before) // 3, before)
    rows = []
    for i in range(0, len(shown), 8):
        rows += [*(holes[j] for j in shown[i : i + 8]), *(after[j] for j in shown[i : i + 8])]
    save_pictures(rows, options.sheet)
