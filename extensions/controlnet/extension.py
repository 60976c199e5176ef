"""ControlNet: the shapes of a picture steer what is drawn."""

from __future__ import annotations

from webui.contract import hookimpl

from .conditioner import controlnet
from .preprocessors import canny, depth, scribble


@hookimpl
def register_conditioners(register):
    register("ControlNet", controlnet, on_request=True)


@hookimpl
def register_preprocessors(register):
    register("Canny", canny)
    register("Depth", depth)
    register("Scribble", scribble)
