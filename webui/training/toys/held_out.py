"""Scenes of toys that no training sees, painted once and kept beside this file, so that measuring needs no sprites.

Each shows another of the most loved toys, alone. `webui train pocket --stage held-out --sprites FOLDER` paints them anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from webui.training.toys.judge import HELD_OUT
from webui.training.toys.paint import read_atlas
from webui.training.toys.scene import ToyScene, most_loved, sample
from webui.training.toys.words import held_out_wording
from webui.training.world import stretched
from webui.training.worlds import toy_pack

SHIPPED = Path(__file__).with_name("held_out")
LIST = "scenes.json"
COUNT, SIZE = 48, 256


@dataclass(frozen=True)
class HeldOut:
    """The scenes at one size S."""

    scenes: tuple[ToyScene, ...]
    prompts: tuple[str, ...]
    """Of each scene a wording that no training sees; it tells the toy, the floor and what is behind."""
    pictures: NDArray[np.uint8]
    """(N, S, S, 3)"""
    depth: NDArray[np.float16]
    """(N, S / 2, S / 2) in 0 to 1 of each picture: larger is nearer."""
    boxes: NDArray[np.float32]
    """(N, 4) left, top, right, bottom of the toy in 0 to 1."""

    @property
    def numbers(self) -> NDArray[np.int64]:
        """(N,) which toy it is, as its place in names()."""
        return np.asarray([scene.toys[0].number for scene in self.scenes], np.int64)


def held_out_toys(size: int, folder: Path = SHIPPED) -> HeldOut:
    """The scenes at a size of 256 pixels or a half, a quarter, ... of it."""
    listed = json.loads((folder / LIST).read_text("utf-8"))
    pictures, near = (
        np.stack([_opened(folder / f"{_stem(row)}{what}.webp", mode) for row in listed])
        for what, mode in (("", "RGB"), ("-depth", "L"))
    )
    small = pictures if size == SIZE else _halved(pictures, size).round().astype(np.uint8)
    depth = near.astype(np.float32) / 255
    return HeldOut(
        scenes=tuple(sample(row["seed"], row["number"], alone=True) for row in listed),
        prompts=tuple(row["prompt"] for row in listed),
        pictures=small,
        depth=depth.astype(np.float16) if size == SIZE else stretched(_halved(depth[..., None], size)[..., 0]),
        boxes=np.asarray([row["box"] for row in listed], np.float32),
    )


def write_held_out(folder: Path, sprites: Path, say: Callable[[str], None], count: int = COUNT) -> None:
    """Paint them on the CPU, which gives the same pixels on every machine, and keep them without loss."""
    chosen: list[tuple[ToyScene, str]] = []
    for number in most_loved()[:count]:
        chosen.append(held_out_wording(number, chosen[-1][0].seed + 1 if chosen else HELD_OUT))
    atlas = read_atlas(sprites, torch.device("cpu"))
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for scene, prompt in chosen:
        pack = toy_pack([scene], atlas, SIZE, scene.seed)
        row = {
            "seed": scene.seed,
            "number": scene.toys[0].number,
            "name": scene.toys[0].name,
            "prompt": prompt,
            "floor": scene.floor,
            "floor_colour": scene.floor_colour,
            "back": scene.back,
            "wall_colour": scene.wall_colour,
            "box": [round(float(edge), 4) for edge in pack.boxes[0]],
        }
        rows.append(row)
        near = (pack.depth[0].astype(np.float32) * 255).round().astype(np.uint8)
        for what, pixels in (("", pack.pictures[0]), ("-depth", near)):
            Image.fromarray(pixels).save(folder / f"{_stem(row)}{what}.webp", lossless=True, method=6)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / LIST).write_text(f"[\n{lines}\n]\n", "utf-8")
    say(f"{len(rows)} scenes with depth in {folder}, which belong at {SHIPPED}")


def _stem(row: dict[str, Any]) -> str:
    return str(row["name"]).replace(" ", "-")


def _opened(path: Path, mode: str) -> NDArray[np.uint8]:
    with Image.open(path) as opened:
        return np.asarray(opened.convert(mode))


def _halved(values: NDArray[Any], size: int) -> NDArray[np.float32]:
    """(N, S, S, C) to (N, size, size, C) by means; as they are where they have that size."""
    count, side, _, channels = values.shape
    times = side // size
    return values.astype(np.float32).reshape(count, size, times, size, times, channels).mean((2, 4))
