"""Colours of the floor and of what is behind: patterns, skies, walls. numpy only, float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from webui.training.scene import Rgb, Scene
from webui.training.solids import Array, F

TILE_SIZE = {"wooden": 0.55, "tiled": 0.8, "checkered": 0.75}
"""Width of a plank, a tile, a check, times the scene's own scale."""


@dataclass(frozen=True)
class Sky:
    """Colours and light of one kind of surroundings."""

    horizon: Rgb
    middle: Rgb
    top: Rgb
    ambient: float
    strength: float
    tint: Rgb


SKIES = {
    "sky": Sky((0.84, 0.92, 0.98), (0.52, 0.74, 0.96), (0.24, 0.48, 0.88), 0.52, 0.60, (1.0, 1.0, 1.0)),
    "sunset": Sky((1.0, 0.76, 0.36), (0.95, 0.46, 0.32), (0.42, 0.24, 0.50), 0.52, 0.58, (1.05, 0.95, 0.86)),
    "night": Sky((0.16, 0.18, 0.36), (0.07, 0.08, 0.20), (0.02, 0.02, 0.09), 0.46, 0.42, (0.90, 0.94, 1.06)),
    "wall": Sky((0, 0, 0), (0, 0, 0), (0, 0, 0), 0.50, 0.60, (1.0, 1.0, 1.0)),
}


def floor_colour(scene: Scene, x: Array, z: Array) -> Array:
    """Colour (3, n) of the floor at points (n,), before the light. Patterns fade into their mean far away."""
    if scene.floor == "plain":
        return np.broadcast_to(_column(scene.floor_rgb), (3, x.size))
    turn = scene.pattern_turn
    c, s = float(np.cos(turn)), float(np.sin(turn))
    if scene.floor == "wooden":  # planks run along or across
        c, s = (1.0, 0.0) if turn < 0.8 else (0.0, 1.0)
    k = F(1 / (scene.pattern_scale * TILE_SIZE[scene.floor]))
    a, b = (F(c) * x - F(s) * z) * k, (F(s) * x + F(c) * z) * k
    fade = np.exp(-((z / F(10)) ** 2))
    if scene.floor == "checkered":
        odd = (np.floor(a) + np.floor(b)) % 2
        odd = F(0.5) + (odd - F(0.5)) * fade
        one, two = (_column(rgb) for rgb in scene.floor_rgb)
        return one + (two - one) * odd
    if scene.floor == "wooden":
        return _column(scene.floor_rgb) * (F(0.95) + (_planks(a, b, scene.seed) - F(0.95)) * fade)
    return _column(scene.floor_rgb) * (F(0.93) + (_tiles(a, b) - F(0.93)) * fade)


def sky_colour(scene: Scene, rows: Array) -> Array:
    """Colour (3, n) of the sky at rows (n,), given as heights of the picture plane from -1 to 1."""
    sky = SKIES[scene.back]
    up = np.clip((rows - F(scene.horizon)) / F(1.0 - scene.horizon), 0, 1)
    stops = np.asarray([sky.horizon, sky.middle, sky.top], F)
    return np.stack([np.interp(up, (0, 0.4, 1), stops[:, i]).astype(F) for i in range(3)])


def wall_colour(scene: Scene, y: Array) -> Array:
    """Colour (3, n) of the lit wall at heights y (n,); darker at its foot, with a skirting board."""
    sky = SKIES["wall"]
    tone = (F(0.80) + F(0.05) * np.clip(y, 0, 4)) * (F(1) - F(0.35) * np.exp(-np.maximum(y, 0) * F(5)))
    tone = np.where(y < 0.22, F(0.62), tone)
    face = F(sky.ambient + 0.12) + F(sky.strength) * max(F(0), -F(scene.light[2])) * F(0.6)
    return _column(scene.wall_rgb) * (tone * (face + F(0.25)))[None] * _column(sky.tint)


def _planks(a: Array, b: Array, seed: int) -> Array:
    plank = np.floor(a)
    edge = a - plank
    tone = F(0.84) + F(0.28) * _hash(plank + F(seed % 97))
    tone = tone + F(0.05) * np.sin(b * F(2.3) + F(9) * _hash(plank + F(3.7)) + F(3) * np.sin(edge * F(6)))
    return np.where((edge < 0.06), F(0.55), tone)


def _tiles(a: Array, b: Array) -> Array:
    across, along = np.floor(a), np.floor(b)
    line = ((a - across) < 0.07) | ((b - along) < 0.07)
    return np.where(line, F(0.55), F(0.94) + F(0.10) * _hash(across * F(1.7) + along * F(3.1)))


def _hash(v: Array) -> Array:
    """A number in 0..1 for each value, the same on every run."""
    h = np.sin(v * F(127.1)) * F(43758.547)
    return h - np.floor(h)


def _column(rgb: Rgb) -> Array:
    return np.asarray(rgb, F)[:, None]
