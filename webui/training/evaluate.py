"""`webui evaluate pocket`: does a pocket checkpoint draw what it is asked, and as cleanly as the world is?

Prompts are wordings that no training ever saw. A small judge, trained on renders only, names the colour and the
shape of what was drawn; its own errors on renders are a row too, for they bound what can be measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from webui.contract.errors import FieldError, SaveError, UnknownNameError
from webui.training.autoencoder import reconstruction
from webui.training.drawing import Drawer, draw_all
from webui.training.judging import accuracy, features, load_judge, named
from webui.training.scenes import HELD_OUT, held_out_pictures, to_tensor
from webui.training.world import COLOURS, SHAPES, held_out, sample, says, wording

PROMPT_SEED = 20_000_000
PAIR_SHARE = 0.18
"""Of the pictures, as of the world's scenes, that show two things."""
SINGLES_SCORED = 200
SHEET_COLUMNS, SHEET_SINGLES, SHEET_PAIRS = 8, 40, 8


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What `webui evaluate` was asked."""

    checkpoint: Path
    sheet: Path
    """Where the contact sheet is saved, a PNG."""
    pictures: int = 300
    """Drawn, and taken from each of the two sets of renders."""
    judged: int = 1000
    """Renders by which the judge itself is scored, together with the second set, which begins behind them."""


@dataclass(frozen=True)
class Row:
    """One measured value and its bounds."""

    name: str
    value: float
    unit: str
    ship: float
    aim: float
    is_ceiling: bool = False
    """The value may be at most the bound; otherwise at least."""

    def meets(self, bound: float) -> bool:
        if math.isnan(self.value):
            return False
        return self.value <= bound if self.is_ceiling else self.value >= bound

    def __str__(self) -> str:
        sign = "<=" if self.is_ceiling else ">="
        ship, aim = (
            f"{sign} {bound:g}{self.unit} {'holds' if self.meets(bound) else 'MISSED'}" for bound in (self.ship, self.aim)
        )
        return f"{self.name:<38}{self.value:8.2f}{self.unit:<4} ship {ship:<18} aim {aim}"


@dataclass(frozen=True)
class Asked:
    """A held-out prompt and what it asks for."""

    text: str
    colour: str
    shape: str


def run_evaluate(name: str, options: EvaluateOptions, say: Callable[[str], None] = print) -> int:
    """Measure, print row by row with a summary last. 0 where every ship bound holds, else 1; aims do not count."""
    if name != "pocket":
        raise UnknownNameError("evaluation", name, ["pocket"])
    if options.pictures < 10:
        raise FieldError("pictures", f"{options.pictures} pictures are too few to measure anything: take 10 or more.")
    rows = measure(options, say)
    for row in rows:
        say(str(row))
    say(summary(rows))
    return verdict(rows)


def measure(options: EvaluateOptions, say: Callable[[str], None]) -> list[Row]:
    """All rows; saves the contact sheet."""
    drawer, judge = Drawer.open(options.checkpoint), load_judge()
    count = options.pictures
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
    return [
        Row("judge names the colour of renders", 100 * judge_colour, " %", 99, 99),
        Row("judge names the shape of renders", 100 * judge_shape, " %", 98, 98),
        Row(f"colour as asked, {len(scored)} prompts", 100 * colour, " %", 97, 99),
        Row(f"shape as asked, {len(scored)} prompts", 100 * shape, " %", 95, 99),
        Row("autoencoder, held-out scenes", reconstruction(drawer.autoencoder, renders[: count // 3]), " dB", 28, 31),
        Row("Frechet distance, times renders' own", frechet(ours, second) / frechet(first, second), "", 1.5, 1.25, True),
    ]


def verdict(rows: Sequence[Row]) -> int:
    """The exit code: 0 where every ship bound holds."""
    return 0 if all(row.meets(row.ship) for row in rows) else 1


def summary(rows: Sequence[Row]) -> str:
    shipped, aimed = sum(row.meets(row.ship) for row in rows), sum(row.meets(row.aim) for row in rows)
    word = "pocket: good to ship" if verdict(rows) == 0 else "pocket: NOT good to ship"
    return f"{word}, {shipped} of {len(rows)} ship bounds hold, {aimed} of {len(rows)} aims"


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


def frechet(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Frechet distance of two sets of features (N, D), each taken as a Gaussian.

    |mean difference|^2 + trace(A + B - 2 (A B)^(1/2)), where the last trace is taken from the eigenvalues of the
    symmetric A^(1/2) B A^(1/2), which are those of A B and cannot come out complex.

    Source: Heusel et al. 2017, arXiv:1706.08500, eq. 6.
    """
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    both = root @ second @ root
    shared = np.sqrt(np.linalg.eigvalsh((both + both.T) / 2).clip(0)).sum()
    between = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return max(0.0, float(between + np.trace(first) + np.trace(second) - 2 * shared))


def save_sheet(drawn: Tensor, singles: int, path: Path) -> None:
    """The first pictures with one thing, then some with two, eight in a row."""
    chosen = [*range(min(SHEET_SINGLES, singles)), *range(singles, min(singles + SHEET_PAIRS, len(drawn)))]
    tiles = ((drawn[chosen] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    height, width = tiles.shape[1:3]
    sheet = Image.new("RGB", (SHEET_COLUMNS * width, math.ceil(len(tiles) / SHEET_COLUMNS) * height), "white")
    for i, tile in enumerate(tiles):
        sheet.paste(Image.fromarray(tile), (i % SHEET_COLUMNS * width, i // SHEET_COLUMNS * height))
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(beside, "PNG")
        beside.replace(path)
    except OSError as error:
        raise SaveError(f"The contact sheet {path} could not be saved: {error.strerror or error}.") from error
