"""The rows of the toys in `webui evaluate pocket`: is the asked toy there, on the asked floor, before what was asked?

Each toy is asked for in wordings that no training saw, which tell the floor and what is behind. The judge of the toys was
trained on renders only; its own errors on the held-out scenes are a row too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from webui.training.drawing import Drawer, draw_all
from webui.training.evaluations.sheets import save_pictures
from webui.training.scenes import to_tensor
from webui.training.table import Row
from webui.training.toys.held_out import held_out_toys
from webui.training.toys.judge import HELD_OUT, SIDE, ToyJudge, asked_of, named
from webui.training.toys.scene import ToyScene, most_loved, names
from webui.training.toys.words import floor_words, held_out_wording

FIRST_PROMPT = HELD_OUT + 10_000_000
SHEET = 48
FLOOR_COLOUR = 2
"""Its place in what the judge names."""
AROUND = ("floor", "its colour", "wall or sky", "the wall's colour")
"""What the judge names beside the toy."""


@dataclass(frozen=True)
class Asked:
    """A prompt and the numbers that the judge should answer; -1 where nothing is asked."""

    text: str
    wanted: tuple[int, ...]


@dataclass(frozen=True)
class Measured:
    """The rows, and the toys that are drawn well."""

    rows: list[Row]
    well: tuple[int, ...]
    """Numbers of the toys, most loved first, that were right in two of three pictures; nothing where only some were drawn."""


def measure(drawer: Drawer, judge: ToyJudge, pictures: int, sheet: Path, say: Callable[[str], None]) -> Measured:
    """Draws, scores and saves the sheet.

    Args:
        pictures: the most loved toys, one picture of each; 0: all, two or three of each.
    """
    numbers = most_loved()[: pictures or None]

    def draw(chosen: Sequence[int], time: int) -> tuple[Tensor, NDArray[np.bool_]]:
        asked = [ask(number, time) for number in chosen]
        say(f"drawing {len(asked)} toys")
        drawn = draw_all(drawer, [one.text for one in asked], say, seed=1000 * (time + 1))
        return drawn, as_asked(named(judge, drawn), asked)

    drawn, found = draw(numbers, 0)
    save_pictures([*((drawn[:SHEET] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()], sheet)
    say(f"contact sheet: {sheet}")
    missed = [names()[number] for number, is_right in zip(numbers, found[:, 0], strict=True) if not is_right]
    say(f"not the asked toy: {', '.join(missed) or 'none'}")
    toy, around = found[:, 0].mean(), found[:, 1:]
    shares = (f"{name} {share:.1%}" for name, share in zip(AROUND, around.mean(0), strict=True))
    say(f"as asked, one by one: {', '.join(shares)}")
    rows = [
        Row("judge names the toy of renders", 100 * accuracy(judge), " %", 97, 99),
        Row(f"toy as asked, {len(numbers)} prompts", 100 * float(toy), " %", 90, 99),
        Row("floor, and wall or sky, as asked", 100 * float(around.all(1).mean()), " %", 90, 97),
    ]
    if pictures:
        return Measured(rows, ())
    right = {number: int(is_right) for number, is_right in zip(numbers, found[:, 0], strict=True)}
    for time in (1, 2):
        undecided = numbers if time == 1 else [number for number in numbers if right[number] == 1]
        if undecided:
            for number, is_right in zip(undecided, draw(undecided, time)[1][:, 0], strict=True):
                right[number] += int(is_right)
    return Measured(rows, tuple(number for number in numbers if right[number] >= 2))


def ask(number: int, time: int) -> Asked:
    """A wording of that toy, its floor and what is behind that no training saw; another each time."""
    scene, text = held_out_wording(number, FIRST_PROMPT + 1000 * (number + len(names()) * time))
    return Asked(text, told(scene, text))


def told(scene: ToyScene, text: str) -> tuple[int, ...]:
    """What the judge should name; a floor may be told without its colour."""
    wanted = list(asked_of(scene))
    if floor_words(scene) not in text.replace("grey", "gray").replace("checkerboard", "checkered"):
        wanted[FLOOR_COLOUR] = -1
    return tuple(wanted)


def as_asked(answers: Tensor, asked: Sequence[Asked]) -> NDArray[np.bool_]:
    """Which of the judge's answers (N, 5) are as asked; what was not asked is."""
    wanted = np.asarray([one.wanted for one in asked])
    return (answers.numpy() == wanted) | (wanted < 0)


def accuracy(judge: ToyJudge) -> float:
    """Share of the held-out scenes whose toy the judge names."""
    kept = held_out_toys(SIDE)
    return float((named(judge, to_tensor(kept.pictures))[:, 0].numpy() == kept.numbers).mean())
