"""What a checkpoint can draw, as knows.json beside its weights tells it (webui/checkpoints/knows.py reads it).

`webui evaluate pocket` measures it and writes it beside the contact sheet; from there it is copied to the weights by hand,
after a look at the sheet and at what the examples draw.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from webui.checkpoints.knows import FILE, read_knows
from webui.contract.errors import SaveError
from webui.training import world
from webui.training.drawing import Drawer
from webui.training.networks import Judge
from webui.training.toys import words as toy_words
from webui.training.toys.judge import ToyJudge
from webui.training.toys.scene import names, sample
from webui.training.words import SYNONYMS
from webui.training.world import COLOURS, SHAPES

EXAMPLES = (
    ("a fox on snow under a blue sky", "fox"),
    ("a panda on grass under a blue sky", "panda"),
    ("a taxi on a gray floor in front of a teal wall", "taxi"),
    ("a frog on a yellow floor in front of a purple wall", "frog"),
    ("a rocket on a purple floor at night", "rocket"),
    ("a red sphere on a checkered floor under a blue sky", "red sphere"),
)
"""Prompts, and what they should show."""
SEEDS = range(1, 7)
ABOUT = "Toys and coloured shapes on floors, before walls and skies."
NO_NAMES = ("can",)
"""Other words for shapes that mean something else in most prompts."""
SCENES = 3000
"""Of each world, read for their words."""


def knows(well: Sequence[int], examples: list[dict[str, Any]]) -> dict[str, Any]:
    """What the file says.

    Args:
        well: numbers of the toys that are drawn well, best first.
    """
    things = [names()[number] for number in well]
    shapes = {other: shape for shape in SHAPES for other in SYNONYMS.get(shape, ()) if other not in (shape, *NO_NAMES)}
    toys = {other: thing for thing in things for other in toy_words.OTHER_NAMES.get(thing, ())}
    return {
        "about": ABOUT,
        "things": things,
        "also": shapes | toys,
        "shapes": list(SHAPES),
        "words": all_words(),
        "examples": examples,
    }


def write_knows(folder: Path, values: dict[str, Any]) -> Path:
    """Written beside and renamed. Answers where.

    Raises:
        SaveError: it cannot be written.
    """
    path = folder / FILE
    beside = path.with_name(path.name + ".new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")
        beside.replace(path)
    except OSError as error:
        raise SaveError(f"{path} could not be saved: {error.strerror or error}.") from error
    return path


def all_words() -> list[str]:
    """Every word of both worlds' captions, in lower case and sorted."""
    rng = np.random.default_rng(19)
    texts = [*names(), *(other for others in toy_words.OTHER_NAMES.values() for other in others)]
    texts += [toy_words.wording(sample(seed), rng) for seed in range(SCENES)]
    texts += [world.wording(world.sample(seed), rng) for seed in range(SCENES)]
    return sorted({word for text in texts for word in text.lower().replace(",", " ").split()})


def examples_of(checkpoint: Path, drawer: Drawer, toys: ToyJudge, shapes: Judge) -> list[dict[str, Any]]:
    """Those that the checkpoint has: somebody looked at them. Without any, each prompt with the seed that the judges are surest
    of: a start, to be looked at."""
    if (known := read_knows(checkpoint)) is not None and known.examples:
        return [{"prompt": each.prompt, "seed": each.seed} for each in known.examples]
    return [{"prompt": text, "seed": surest(drawer, text, shows, toys, shapes)} for text, shows in EXAMPLES]


@torch.no_grad()
def surest(drawer: Drawer, prompt: str, shows: str, toys: ToyJudge, shapes: Judge) -> int:
    """The seed whose picture a judge is surest of.

    Args:
        shows: a toy, or colour and shape.
    """
    drawn = drawer.draw([prompt] * len(SEEDS), SEEDS)
    if shows in names():
        sure = functional.softmax(toys(drawn)[0], 1)[:, names().index(shows)]
    else:
        colour, shape = shows.split()
        places = (list(COLOURS).index(colour), SHAPES.index(shape))
        one, other = (functional.softmax(scores, 1)[:, at] for scores, at in zip(shapes(drawn), places, strict=True))
        sure = one * other
    return SEEDS[int(sure.argmax())]
