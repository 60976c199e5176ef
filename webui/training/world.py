"""The pocket world: small ray-cast scenes with captions, depth, segmentation and boxes. numpy only.

    scene = sample(seed)                  # what is in the picture: a function of the seed
    view = render(scene)                  # view.rgb, view.depth, view.segments, view.boxes
    text = caption(scene, rng)            # one of many wordings, with parts left out at random

Weights are trained on it, so a seed keeps its picture and its wordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from webui.training.render import View, render
from webui.training.scene import COLOURS, SHAPES, Scene, Thing, sample
from webui.training.words import caption, held_out, says, wording

__all__ = [
    "COLOURS",
    "SHAPES",
    "Pack",
    "Scene",
    "Thing",
    "View",
    "caption",
    "held_out",
    "render",
    "render_pack",
    "sample",
    "says",
    "stretched",
    "wording",
]


@dataclass(frozen=True)
class Pack:
    """Some rendered scenes in a row."""

    pictures: NDArray[np.uint8]
    """(B, S, S, 3)"""
    depth: NDArray[np.float16]
    """(B, S / 2, S / 2) in 0 to 1 of each picture: larger is nearer."""
    boxes: NDArray[np.float32]
    """(B, 4) left, top, right, bottom in 0 to 1: of one thing on it, which the seed chooses."""


def render_pack(job: tuple[Sequence[int], int]) -> Pack:
    """(seeds, pixels) to their scenes. Here, so that a process that only renders needs no torch."""
    seeds, size = job
    views = [render(sample(seed), size) for seed in seeds]
    boxes = np.zeros((len(seeds), 4), np.float32)
    for i, (seed, view) in enumerate(zip(seeds, views, strict=True)):
        seen = [box for box in view.boxes if box]
        chosen = int(np.random.default_rng((13, seed)).integers(max(1, len(seen))))
        boxes[i] = np.asarray(seen[chosen], np.float32) / size if seen else (0.25, 0.25, 0.75, 0.75)
    pictures = np.asarray([view.rgb for view in views], np.uint8).reshape(-1, size, size, 3)
    near = np.asarray([1 / np.maximum(view.depth, 1e-3) for view in views], np.float32).reshape(-1, size, size)
    return Pack(pictures, stretched(near), boxes)


def stretched(near: NDArray[np.float32]) -> NDArray[np.float16]:
    """(B, S, S) of any unit to (B, S / 2, S / 2): 0 the farthest of each picture and 1 the nearest."""
    count, size, _ = near.shape
    halved = near.reshape(count, size // 2, 2, size // 2, 2).mean((2, 4))
    low, high = halved.min((1, 2), keepdims=True, initial=np.inf), halved.max((1, 2), keepdims=True, initial=-np.inf)
    return ((halved - low) / np.maximum(high - low, 1e-6)).astype(np.float16)
