"""The pocket world: small ray-cast scenes with captions, depth, segmentation and boxes. numpy only.

    scene = sample(seed)                  # what is in the picture: a function of the seed
    view = render(scene)                  # view.rgb, view.depth, view.segments, view.boxes
    text = caption(scene, rng)            # one of many wordings, with parts left out at random

Weights are trained on it, so a seed keeps its picture and its wordings.
"""

from webui.training.render import View, render
from webui.training.scene import COLOURS, SHAPES, Scene, Thing, sample
from webui.training.words import caption, held_out, says, wording

__all__ = ["COLOURS", "SHAPES", "Scene", "Thing", "View", "caption", "held_out", "render", "sample", "says", "wording"]
