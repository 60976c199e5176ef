"""The pocket world: small ray-cast scenes with captions, depth, segmentation and boxes. numpy only.

    scene = sample(seed)                  # what is in the picture: a function of the seed
    view = render(scene)                  # view.rgb, view.depth, view.segments, view.boxes
    text = caption(scene, rng)            # one of many wordings, with parts left out at random

Weights are trained on it, so a seed keeps its picture and its wordings.
"""

import numpy as np
from numpy.typing import NDArray

from webui.training.render import View, render
from webui.training.scene import COLOURS, SHAPES, Scene, Thing, sample
from webui.training.words import caption, held_out, says, wording

__all__ = [
    "COLOURS",
    "SHAPES",
    "Scene",
    "Thing",
    "View",
    "caption",
    "held_out",
    "render",
    "render_span",
    "sample",
    "says",
    "wording",
]


def render_span(span: tuple[int, int]) -> NDArray[np.uint8]:
    """(first seed, count) to pictures (count, 128, 128, 3). Here, so that a process that only renders needs no torch."""
    first, count = span
    return np.stack([render(sample(seed)).rgb for seed in range(first, first + count)])
