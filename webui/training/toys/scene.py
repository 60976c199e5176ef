"""What is in a picture of the toys world: one or two toys on a floor, before a wall or a sky.

A scene is a function of its seed and nothing else. Lengths are shares of the picture's side, x from the left and y from
the top; the picture is square.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

Rgb = tuple[float, float, float]

COLOURS: dict[str, Rgb] = {
    "red": (0.78, 0.18, 0.18),
    "orange": (0.91, 0.51, 0.16),
    "yellow": (0.94, 0.80, 0.27),
    "green": (0.29, 0.63, 0.31),
    "teal": (0.24, 0.65, 0.65),
    "blue": (0.25, 0.43, 0.80),
    "purple": (0.51, 0.33, 0.75),
    "pink": (0.92, 0.55, 0.69),
    "brown": (0.55, 0.39, 0.27),
    "white": (0.93, 0.93, 0.92),
    "gray": (0.59, 0.60, 0.61),
    "black": (0.16, 0.16, 0.19),
}
SKIES: dict[str, tuple[Rgb, Rgb]] = {  # at the horizon, at the top
    "blue sky": ((0.78, 0.89, 0.98), (0.33, 0.59, 0.88)),
    "sunset": ((1.0, 0.67, 0.37), (0.35, 0.24, 0.51)),
    "night": ((0.16, 0.19, 0.35), (0.03, 0.04, 0.11)),
    "pink sky": ((1.0, 0.84, 0.84), (0.84, 0.55, 0.75)),
}
GROUNDS: dict[str, Rgb] = {"grass": (0.38, 0.67, 0.28), "sand": (0.89, 0.78, 0.57), "snow": (0.92, 0.94, 0.97)}
FLOORS = ("plain", "checkered", "striped", *GROUNDS)
BACKS = ("wall", *SKIES)
TWO = 0.15
"""Share of the scenes with two toys."""
TINTED = 0.12
"""Share of the toys that have a colour of their own; toys whose name tells a colour are left as they are."""

LOVED = (
    "fox", "raccoon", "cupcake", "taxi", "rocket", "cat", "dog", "panda", "robot", "penguin", "rabbit", "bear", "frog", "owl",
    "tiger", "strawberry", "hamburger", "pizza", "teddy bear", "christmas tree", "unicorn", "koala", "lion", "pig", "monkey",
    "chick", "bee", "butterfly", "octopus", "dolphin", "whale", "crab", "turtle", "elephant", "giraffe", "dragon",
    "tyrannosaurus", "red apple", "banana", "watermelon slice", "avocado", "doughnut", "ice cream bowl", "birthday cake",
    "cactus", "mushroom", "sunflower", "palm tree", "red car", "bus", "steam train", "airplane", "sailing boat", "house",
    "castle", "snowman", "star", "ghost", "jack-o-lantern", "guitar",
)  # fmt: skip
"""What people like to see most, best first."""


@dataclass(frozen=True)
class Toy:
    """One toy that stands on the floor."""

    number: int
    """Its place in names()."""
    size: str
    """ "small", "" or "large" """
    left: float
    width: float
    foot: float
    height: float
    tint: str
    """A colour's name; "" is the toy as it is."""

    @property
    def name(self) -> str:
        return names()[self.number]


@dataclass(frozen=True)
class ToyScene:
    """All that a picture shows. Two toys stand left and right, in this order."""

    seed: int
    toys: tuple[Toy, ...]
    floor: str
    floor_colour: str
    back: str
    wall_colour: str
    horizon: float
    side: str
    """Where a lone toy stands: "left", "right" or "" for the middle."""


@dataclass(frozen=True)
class Kind:
    """A toy that there is."""

    file: str
    """Name of its sprite, without the ending."""
    name: str
    aspect: float
    """Width / height of the sprite."""


@cache
def table() -> tuple[Kind, ...]:
    """All toys; their order is their number."""
    text = files("webui.training.toys").joinpath("names.tsv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return tuple(Kind(row["file"], row["name"], float(row["aspect"])) for row in rows)


@cache
def names() -> tuple[str, ...]:
    return tuple(kind.name for kind in table())


@cache
def most_loved() -> tuple[int, ...]:
    """All numbers: first those of LOVED, then the rest as they stand in the table."""
    first = [names().index(name) for name in LOVED]
    return (*first, *(number for number in range(len(names())) if number not in first))


def sample(seed: int, number: int | None = None, alone: bool = False) -> ToyScene:
    """The scene of that seed.

    Args:
        number: the toy that must be in it; None: any.
        alone: one toy as it is, as the judge is asked.
    """
    rng = np.random.default_rng((11, seed))
    floor, back = str(rng.choice(FLOORS)), str(rng.choice(list(SKIES))) if rng.uniform() < 0.55 else "wall"
    floor_colour = str(rng.choice(list(COLOURS)))
    wall_colour = str(rng.choice([colour for colour in COLOURS if colour != floor_colour]))
    horizon = float(rng.uniform(0.45, 0.62))
    first = int(rng.integers(len(names()))) if number is None else number
    if rng.uniform() < TWO and not alone:
        toys = _two(rng, first, horizon)
        return ToyScene(seed, toys, floor, floor_colour, back, wall_colour, horizon, "")
    height = float(rng.uniform(0.42, 0.78))
    size = "small" if height < 0.5 else "large" if height > 0.7 else ""
    aspect = table()[first].aspect
    width = height * aspect
    if width > 0.86:
        width, height = 0.86, 0.86 / aspect
    foot = min(0.97, float(rng.uniform(min(0.95, max(horizon + 0.12, height + 0.04)), 0.95)))
    left = float(rng.uniform(0.03, max(0.04, 0.97 - width)))
    middle = left + width / 2
    side = "left" if middle < 0.36 else "right" if middle > 0.64 else ""
    toy = Toy(first, size, left, width, foot, height, _tint(rng, first, alone))
    return ToyScene(seed, (toy,), floor, floor_colour, back, wall_colour, horizon, side)


def _two(rng: np.random.Generator, first: int, horizon: float) -> tuple[Toy, ...]:
    """Two toys of about one size, each in its half."""
    second = int(rng.integers(len(names())))
    pair = [first, second] if rng.uniform() < 0.5 else [second, first]
    toys = []
    for half, number in enumerate(pair):
        height = float(rng.uniform(0.36, 0.52))
        aspect = table()[number].aspect
        width = height * aspect
        if width > 0.45:
            width, height = 0.45, 0.45 / aspect
        foot = float(rng.uniform(max(horizon + 0.1, height + 0.04), 0.95))
        slack = max(0.0, 0.47 - width)
        left = 0.02 + 0.49 * half + slack * float(rng.uniform(0.2, 0.8))
        toys.append(Toy(number, "", left, width, foot, height, ""))
    return tuple(toys)


def _tint(rng: np.random.Generator, number: int, alone: bool) -> str:
    colour, drawn = str(rng.choice(list(COLOURS))), rng.uniform()
    tells_one = any(word in COLOURS or word == "gold" for word in names()[number].split())
    return "" if alone or tells_one or drawn >= TINTED else colour
