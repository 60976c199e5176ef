"""What is in a picture of the pocket world: one or two coloured solids on a floor, before a wall or a sky.

A scene is a function of its seed and nothing else, so whatever was not stored can be made again.

Coordinates: x right, y up, z away from the camera, which stands at (0, height, 0), looks along +z and has a shifted
lens (verticals stay vertical). The unit of length is the world's own: a solid is about one across.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[float, float, float]

COLOURS: dict[str, Rgb] = {
    "red": (0.86, 0.09, 0.08),
    "orange": (0.98, 0.48, 0.04),
    "yellow": (0.97, 0.86, 0.10),
    "green": (0.10, 0.60, 0.16),
    "cyan": (0.10, 0.80, 0.82),
    "blue": (0.10, 0.22, 0.86),
    "purple": (0.50, 0.13, 0.70),
    "pink": (0.98, 0.50, 0.70),
    "brown": (0.38, 0.21, 0.10),
    "white": (0.95, 0.95, 0.95),
    "gray": (0.50, 0.50, 0.50),
    "black": (0.06, 0.06, 0.06),
}
SHAPES = ("sphere", "cube", "cylinder", "cone", "ring")
FLOORS = ("plain", "checkered", "wooden", "tiled")
BACKS = ("wall", "sky", "sunset", "night")
SIZES = {"small": (0.42, 0.52), "medium": (0.56, 0.76), "large": (0.84, 1.02)}

PLAIN: dict[str, Rgb] = {
    "white": (0.88, 0.88, 0.88),
    "gray": (0.55, 0.55, 0.55),
    "brown": (0.48, 0.34, 0.22),
    "green": (0.38, 0.58, 0.30),
    "blue": (0.36, 0.48, 0.70),
    "pink": (0.85, 0.66, 0.70),
    "yellow": (0.86, 0.80, 0.52),
}
"""Colours of walls and plain floors."""

CHECKS: tuple[tuple[Rgb, Rgb], ...] = (
    ((0.90, 0.90, 0.90), (0.12, 0.12, 0.12)),
    ((0.90, 0.90, 0.90), (0.12, 0.12, 0.12)),
    ((0.88, 0.86, 0.80), (0.55, 0.14, 0.12)),
    ((0.86, 0.88, 0.92), (0.16, 0.24, 0.50)),
    ((0.85, 0.82, 0.74), (0.42, 0.30, 0.20)),
)
WOODS: tuple[Rgb, ...] = ((0.62, 0.42, 0.24), (0.50, 0.32, 0.17), (0.72, 0.54, 0.34))
TILES: tuple[Rgb, ...] = ((0.80, 0.82, 0.84), (0.70, 0.76, 0.78), (0.80, 0.72, 0.62))


@dataclass(frozen=True)
class Thing:
    """One solid. It stands on the floor at (x, z), turned by yaw (radians); r is about half its width."""

    shape: str
    colour: str
    size: str
    r: float
    x: float
    z: float
    yaw: float
    rgb: Rgb
    gloss: float


@dataclass(frozen=True)
class Scene:
    """All that a picture shows. Two things stand left and right, in this order."""

    seed: int
    things: tuple[Thing, ...]
    floor: str
    floor_colour: str
    floor_rgb: Any
    """One colour, or two of a checkered floor."""
    back: str
    wall_colour: str
    wall_rgb: Rgb
    wall_z: float
    light: Rgb
    """Unit vector towards the light."""
    light_side: str
    """Where the light comes from, "left" or "right"; "" from behind the camera."""
    height: float
    horizon: float
    focal: float
    pattern_scale: float
    pattern_turn: float
    stars: NDArray[np.float64] | None
    """(n, 3): place across -1..1, place up 0..1, brightness 0..1; at night only."""
    disc: tuple[float, float, float] | None
    """Sun or moon: across, above the horizon, radius."""


def sample(seed: int, two: float = 0.18) -> Scene:
    """The scene of that seed; `two` is the share of scenes with two things.

    The order of the draws is part of the world: weights are trained on it.
    """
    rng = np.random.default_rng(seed)
    back = str(rng.choice(BACKS, p=(0.40, 0.24, 0.20, 0.16)))
    floor = str(rng.choice(FLOORS, p=(0.36, 0.26, 0.20, 0.18)))
    floor_colour = str(rng.choice(list(PLAIN)))
    wall_colour = str(rng.choice(list(PLAIN)))
    floor_rgb = _floor_rgb(rng, floor, floor_colour)
    light, light_side = _light(rng)
    things = _things(rng, 2 if rng.uniform() < two else 1)
    stars = _stars(rng) if back == "night" else None
    disc = _disc(rng, back) if back in ("sunset", "night") and rng.uniform() < 0.5 else None
    return Scene(
        seed=seed,
        things=things,
        floor=floor,
        floor_colour=floor_colour,
        floor_rgb=floor_rgb,
        back=back,
        wall_colour=wall_colour,
        wall_rgb=_jitter(rng, PLAIN[wall_colour], 0.05),
        wall_z=rng.uniform(6.0, 8.0),
        light=light,
        light_side=light_side,
        height=rng.uniform(1.15, 1.65),
        horizon=rng.uniform(0.12, 0.40),
        focal=2.0,
        pattern_scale=rng.uniform(0.7, 1.1),
        pattern_turn=rng.uniform(0, np.pi / 2) if rng.uniform() < 0.6 else 0.0,
        stars=stars,
        disc=disc,
    )


def _jitter(rng: np.random.Generator, rgb: Rgb, amount: float) -> Rgb:
    mixed = np.asarray(rgb) * (1 + rng.uniform(-amount, amount)) + rng.uniform(-amount, amount, 3) * 0.35
    red, green, blue = np.clip(mixed, 0.02, 1.0)
    return red, green, blue


def _floor_rgb(rng: np.random.Generator, floor: str, colour: str) -> Any:
    wood, tile = WOODS[rng.integers(len(WOODS))], TILES[rng.integers(len(TILES))]
    if floor == "checkered":
        return CHECKS[rng.integers(len(CHECKS))]
    return _jitter(rng, {"plain": PLAIN[colour], "wooden": wood, "tiled": tile}[floor], 0.05)


def _light(rng: np.random.Generator) -> tuple[Rgb, str]:
    draw = rng.uniform()
    side = "left" if draw < 0.4 else "right" if draw < 0.8 else ""
    if side == "left":
        azimuth = np.radians(-rng.uniform(35, 80))
    elif side == "right":
        azimuth = np.radians(rng.uniform(35, 80))
    else:
        azimuth = np.radians(rng.uniform(-20, 20))
    rise = np.radians(rng.uniform(36, 64))
    return (np.sin(azimuth) * np.cos(rise), np.sin(rise), -np.cos(azimuth) * np.cos(rise)), side


def _things(rng: np.random.Generator, count: int) -> tuple[Thing, ...]:
    things: list[Thing] = []
    taken: list[tuple[str, str]] = []
    for index in range(count):
        size = str(rng.choice(list(SIZES), p=(0.30, 0.40, 0.30) if count == 1 else (0.5, 0.5, 0.0)))
        r = rng.uniform(*SIZES[size])
        while True:
            colour, shape = str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES))
            if (colour, shape) not in taken:
                break
        taken.append((colour, shape))
        z = rng.uniform(3.7, 4.6) if count == 1 else rng.uniform(3.9, 4.7)
        x = rng.normal() * 0.38 * (1.3 - r) if count == 1 else (-1, 1)[index] * rng.uniform(0.78, 1.05)
        yaw = rng.uniform(-1.0, 1.0) if shape == "ring" else rng.uniform(0, 2 * np.pi)
        gloss = rng.uniform(0.15, 0.55)
        things.append(Thing(shape, colour, size, r, x, z, yaw, _jitter(rng, COLOURS[colour], 0.06), gloss))
    return tuple(things)


def _stars(rng: np.random.Generator) -> NDArray[np.float64]:
    n = int(rng.integers(8, 22))
    return np.stack([rng.uniform(-1, 1, n), rng.uniform(0, 1, n), rng.uniform(0.4, 1, n)], 1)


def _disc(rng: np.random.Generator, back: str) -> tuple[float, float, float]:
    across = rng.uniform(-0.85, 0.85)
    above = rng.uniform(0.12, 0.3) if back == "sunset" else rng.uniform(0.3, 0.6)
    return across, above, rng.uniform(0.09, 0.14)
