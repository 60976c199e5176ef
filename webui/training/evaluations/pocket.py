"""`webui evaluate pocket`: does a pocket checkpoint draw what it is asked, and as cleanly as the world is?

Prompts are wordings that no training ever saw. A small judge, trained on renders only, names the colour and the
shape of what was drawn; its own errors on renders are a row too, for they bound what can be measured. Another does so for
the toys. A whole measurement also writes down which toys the checkpoint draws well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from webui.training.autoencoder import reconstruction
from webui.training.drawing import Drawer, draw_all
from webui.training.evaluations import knows, toys
from webui.training.evaluations.sheets import save_pictures
from webui.training.frechet import frechet
from webui.training.judging import accuracy, features, load_judge, named
from webui.training.options import EvaluateOptions
from webui.training.scenes import held_out_pictures, to_tensor
from webui.training.table import Row
from webui.training.toys.judge import load_toy_judge
from webui.training.world import COLOURS, SHAPES, held_out, sample, says, wording
from webui.training.worlds import HELD_OUT

PROMPT_SEED = 20_000_000
PAIR_SHARE = 0.18
"""Of the pictures, as of the world's scenes, that show two things."""
SINGLES_SCORED = 200
PICTURES = 300
"""Drawn, and taken from each of the two sets of renders."""
SHEET_SINGLES, SHEET_PAIRS = 40, 8


@dataclass(frozen=True)
class Asked:
    """A held-out prompt and what it asks for."""

    text: str
    colour: str
    shape: str


def measure(options: EvaluateOptions, say: Callable[[str], None]) -> list[Row]:
    """All rows; saves the contact sheet of the shapes, that of the toys beside it, and, of a whole measurement, knows.json."""
    drawer, judge = Drawer.open(options.checkpoint), load_judge()
    count = options.pictures or PICTURES
    singles, pairs = held_out_prompts(count - round(count * PAIR_SHARE), round(count * PAIR_SHARE))

    say(f"rendering {options.judged + count} held-out scenes")
    renders = held_out_pictures(options.judged + count)
    judge_colour, judge_shape = accuracy(judge, renders, HELD_OUT)
    say(f"drawing {count} held-out prompts")
    drawn = draw_all(drawer, [asked.text for asked in singles + pairs], say)
    save_sheet(drawn, len(singles), options.sheet)
    say(f"contact sheet: {options.sheet}")

    scored = singles[:SINGLES_SCORED]
    colour, shape = as_asked(named(judge, drawn[: len(scored)]), scored)
    ours, first, second = (features(judge, x) for x in (drawn, to_tensor(renders[:count]), to_tensor(renders[options.judged :])))
    say(f"Frechet distance to renders {frechet(ours, second):.2f}, of renders to other renders {frechet(first, second):.2f}")
    toy_judge = load_toy_judge()
    of_toys = options.sheet.with_name(f"{options.sheet.stem}-toys.png")
    measured = toys.measure(drawer, toy_judge, options.pictures, of_toys, say)
    if not options.pictures:
        examples = knows.examples_of(options.checkpoint, drawer, toy_judge, judge)
        path = knows.write_knows(options.sheet.parent, knows.knows(measured.well, examples))
        say(f"{len(measured.well)} toys are drawn well: {path}")
    return [
        *measured.rows,
        Row("judge names the colour of renders", 100 * judge_colour, " %", 99, 99),
        Row("judge names the shape of renders", 100 * judge_shape, " %", 98, 98),
        Row(f"colour as asked, {len(scored)} prompts", 100 * colour, " %", 97, 99),
        Row(f"shape as asked, {len(scored)} prompts", 100 * shape, " %", 95, 99),
        Row("autoencoder, held-out scenes", reconstruction(drawer.autoencoder, renders[: count // 3]), " dB", 28, 31),
        Row("Frechet distance, times renders' own", frechet(ours, second) / frechet(first, second), "", 1.5, 1.25, True),
    ]


def held_out_prompts(singles: int, pairs: int) -> tuple[list[Asked], list[Asked]]:
    """Wordings that no training saw: of lone things, all naming colour and shape, and of two things."""
    rng = np.random.default_rng(11)
    one: list[Asked] = []
    two: list[Asked] = []
    seed = PROMPT_SEED
    while len(one) < singles or len(two) < pairs:
        scene, seed = sample(seed), seed + 1
        thing = scene.things[0]
        for _ in range(6):
            text = wording(scene, rng)
            if not held_out(text):
                continue
            if len(scene.things) == 1 and len(one) < singles and says(text, thing.colour) and says(text, thing.shape):
                one.append(Asked(text, thing.colour, thing.shape))
                break
            if len(scene.things) == 2 and len(two) < pairs:
                two.append(Asked(text, "", ""))
                break
    return one, two


def as_asked(names: Tensor, asked: Sequence[Asked]) -> tuple[float, float]:
    """Share of the pictures whose colour, and whose shape, is the asked one. names (N, 2) from `named`."""
    colours, shapes = list(COLOURS), list(SHAPES)
    wanted = np.asarray([(colours.index(one.colour), shapes.index(one.shape)) for one in asked])
    right = (names.numpy() == wanted).mean(0)
    return float(right[0]), float(right[1])


def save_sheet(drawn: Tensor, singles: int, path: Path) -> None:
    """The first pictures with one thing, then some with two, eight in a row."""
    chosen = [*range(min(SHEET_SINGLES, singles)), *range(singles, min(singles + SHEET_PAIRS, len(drawn)))]
    save_pictures([*((drawn[chosen] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()], path)
