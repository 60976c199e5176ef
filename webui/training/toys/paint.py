"""Toy scenes to pixels, many at once, on any device: floor, wall or sky, soft shadow, sprites.

Everything is computed at twice the size and averaged, so edges and far checkers are smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor

from webui.contract.errors import StartError
from webui.training.toys.scene import BACKS, COLOURS, FLOORS, GROUNDS, SKIES, Rgb, Toy, ToyScene, table

SIDE = 256
"""Pixels of a sprite in the atlas."""
STARS = 96
"""The night sky is that many cells wide; few of them hold a star."""


def read_atlas(folder: Path, device: torch.device) -> Tensor:
    """All sprites (N, 4, 256, 256) in 0 to 1, stretched to squares, colours multiplied by their alpha.

    Args:
        folder: where the sprites lie; docs/pocket.md says where they come from.

    Raises:
        StartError: a sprite is missing.
    """
    pixels = []
    for kind in table():
        path = folder / f"{kind.file}.webp"
        if not path.exists():
            raise StartError(f"The sprite of {kind.name} is not there: {path}. docs/pocket.md says where the sprites come from.")
        with Image.open(path) as opened:
            image = opened.convert("RGBA")
        image = image.crop(image.getchannel("A").getbbox()).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        values = np.array(image, np.float32) / 255
        values[..., :3] *= values[..., 3:]
        pixels.append(torch.from_numpy(values).permute(2, 0, 1).half())
    return torch.stack(pixels).to(device)


@dataclass(frozen=True)
class Painted:
    """Pictures of scenes and what is known of them, S x S pixels."""

    pictures: Tensor
    """(B, 3, S, S) in [-1, 1]"""
    masks: Tensor
    """(B, 1, S, S) in 0 to 1: the toys"""
    depth: Tensor
    """(B, 1, S, S) in 0 to 1: larger is nearer, 0 is the wall or the sky"""


Numbers = dict[str, Tensor]
"""What scenes say, as tensors with one row a scene; see describe."""


def describe(scenes: Sequence[ToyScene]) -> Numbers:
    """The scenes as numbers, on the CPU: small, so that a hundred thousand of them can wait for their painting."""

    def column(values: list[Any], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.tensor(values, dtype=dtype)

    def end(scene: ToyScene, which: int) -> Rgb:
        return SKIES[scene.back][which] if scene.back in SKIES else COLOURS[scene.wall_colour]

    nobody = Toy(0, "", 0.0, 1.0, 1.0, 1.0, "")
    pairs = [(*scene.toys, nobody)[:2] for scene in scenes]
    return {
        "horizon": column([scene.horizon for scene in scenes]),
        "floor": column([FLOORS.index(scene.floor) for scene in scenes], torch.long),
        "ground": column([GROUNDS.get(scene.floor, COLOURS[scene.floor_colour]) for scene in scenes]),
        "other": column([COLOURS["gray" if scene.floor_colour == "white" else "white"] for scene in scenes]),
        "back": column([BACKS.index(scene.back) for scene in scenes], torch.long),
        "low": column([end(scene, 0) for scene in scenes]),
        "high": column([end(scene, 1) for scene in scenes]),
        "toys": column([[toy.number for toy in pair] for pair in pairs], torch.long),
        "places": column([[(toy.left, toy.width, toy.foot, toy.height) for toy in pair] for pair in pairs]),
        "present": column([[float(toy is not nobody) for toy in pair] for pair in pairs]),
        "tints": column([[COLOURS.get(toy.tint, (1.0, 1.0, 1.0)) for toy in pair] for pair in pairs]),
        "is_tinted": column([[float(bool(toy.tint)) for toy in pair] for pair in pairs]),
    }


@torch.no_grad()
def paint(numbers: Numbers, atlas: Tensor, size: int, seed: int = 0) -> Painted:
    """The described scenes at a size (pixels, a multiple of 16), on the atlas' device. Grain and stars come from the seed."""
    device, count, side = atlas.device, len(numbers["horizon"]), 2 * size
    at = {name: value.to(device) for name, value in numbers.items()}
    for name in ("horizon", "floor", "back"):
        at[name] = at[name][:, None, None, None]
    for name in ("ground", "other", "low", "high"):
        at[name] = at[name][:, :, None, None]
    line = (torch.arange(side, device=device) + 0.5) / side
    y, x = line[None, None, :, None], line[None, None, None, :]
    horizon = at["horizon"]
    near = ((y - horizon) / (1 - horizon)).clamp(0, 1)
    is_floor = ((y - horizon) * size + 0.5).clamp(0, 1)

    random = torch.Generator(device).manual_seed(seed)
    grain = torch.randn((count, 1, 48, 48), generator=random, device=device)
    stars = (torch.rand((count, 1, STARS, STARS), generator=random, device=device) < 0.012).float()
    floor, back = _floor(at, x, near, grain, side), _back(at, y, stars, side)
    pixels = torch.lerp(back, floor, is_floor.expand(count, 3, side, side))
    depth = torch.where(y > horizon, 0.08 + 0.92 * near, torch.zeros_like(near)).expand(count, 1, side, side)
    mask = torch.zeros((count, 1, side, side), device=device)
    for k in range(2):
        left, width, foot, height = (value[:, None, None, None] for value in at["places"][:, k].unbind(1))
        present = at["present"][:, k, None, None, None]
        px, py = (x - left) / width, (y - foot + height) / height
        grid = torch.stack([(2 * value - 1).expand(-1, 1, side, side)[:, 0] for value in (px, py)], -1)
        sprite = functional.grid_sample(atlas[at["toys"][:, k]].float(), grid, align_corners=False) * present
        alpha = sprite[:, 3:]
        colour = _tinted(sprite[:, :3], alpha, at["tints"][:, k, :, None, None], at["is_tinted"][:, k, None, None, None])
        far = (((px - 0.5) / 0.52) ** 2 + ((y - foot) / (0.075 * height.clamp(min=0.3))) ** 2).sqrt()
        shade = (1.25 - far).clamp(0, 0.6) / 0.6
        shade = shade * shade * (3 - 2 * shade) * present
        pixels = pixels * (1 - 0.36 * shade * is_floor) * (1 - alpha) + colour
        small = functional.avg_pool2d(functional.avg_pool2d(alpha, side // 32), 5, 1, 2, count_include_pad=False)
        bulge = functional.interpolate(small, size=(side, side), mode="bilinear")
        nearness = 0.08 + 0.92 * ((foot - horizon) / (1 - horizon)).clamp(0, 1)
        depth = torch.where(alpha > 0.5, nearness + 0.06 * bulge, depth)
        mask = torch.maximum(mask, alpha)
    pooled = [functional.avg_pool2d(value, 2) for value in (pixels, mask, depth)]
    return Painted(pooled[0].clamp(0, 1) * 2 - 1, pooled[1], pooled[2].clamp(0, 1))


def _floor(at: Numbers, x: Tensor, near: Tensor, grain: Tensor, side: int) -> Tensor:
    """(B, 3, side, side) the floor, as if it went on above the horizon."""
    distance = 1 / (near + 0.12)
    across = (x - 0.5) * distance * 1.6
    sharp = (near * 14).clamp(0, 1)  # checkers melt into one colour where they are too far to be told
    checks = ((torch.floor(across * 2.2) + torch.floor(distance * 2.2)) % 2 - 0.5) * sharp + 0.5
    stripes = ((torch.floor(across * 2.5)) % 2 - 0.5) * sharp + 0.5
    mottle = functional.interpolate(grain, size=(side, side), mode="bicubic") * 0.022
    kind = at["floor"]
    colour = torch.where(kind == FLOORS.index("checkered"), at["ground"] * checks + at["other"] * (1 - checks), at["ground"])
    colour = torch.where(kind == FLOORS.index("striped"), at["ground"] * (1 - 0.28 * (1 - stripes)), colour)
    colour = torch.where(kind >= FLOORS.index("grass"), colour + mottle, colour)
    return colour * (0.86 + 0.14 * near)


def _back(at: Numbers, y: Tensor, stars: Tensor, side: int) -> Tensor:
    """(B, 3, side, side) wall or sky, as if it went on below the horizon."""
    up = (1 - y / at["horizon"]).clamp(0, 1)
    colour = torch.where(at["back"] == 0, at["low"] * (0.9 + 0.1 * (1 - up)), torch.lerp(at["low"], at["high"], up))
    if bool((at["back"] == BACKS.index("night")).any()):
        lit = functional.interpolate(stars, size=(side, side), mode="nearest")
        lit = functional.avg_pool2d(lit, 3, 1, 1) * (y < at["horizon"] - 0.03)
        colour = torch.where(at["back"] == BACKS.index("night"), torch.lerp(colour, torch.full_like(colour, 0.95), lit), colour)
    return colour.expand(-1, 3, side, side)


def _tinted(colour: Tensor, alpha: Tensor, tint: Tensor, share: Tensor) -> Tensor:
    """The same toy in another colour: its lightness, brought towards white, times the colour."""
    weights = colour.new_tensor([0.35, 0.5, 0.15])[None, :, None, None]
    light = ((colour * weights).sum(1, keepdim=True) / alpha.clamp(min=1e-3)).clamp(0, 1) ** 0.55 * alpha
    return torch.lerp(colour, light * tint * 1.12, share)
