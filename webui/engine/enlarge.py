"""A finished picture made larger, as a job of its own; and the depth of a picture, to be looked at."""

from __future__ import annotations

import secrets
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from webui.checkpoints import memory
from webui.checkpoints.catalog import Entry
from webui.checkpoints.manager import Checkpoints
from webui.contract import infotext
from webui.contract.errors import FieldError
from webui.contract.more_parts import UpscalerPart
from webui.contract.parts import Parts
from webui.contract.request import EnlargeRequest, GenerationRequest
from webui.contract.result import EnlargedImage, Progress
from webui.engine import plan, upscale
from webui.engine.canvas import Pictures
from webui.engine.conditioners.pictures import estimated
from webui.engine.enlarging import asked_of, named, upscaler
from webui.engine.generate import generate
from webui.engine.inputs import pixels_of
from webui.engine.pictures import plain
from webui.engine.sizes import Enlargement, enlarge
from webui.engine.watch import Observer

MOST = 16384
"""Pixels of a side."""


def complete(request: EnlargeRequest, checkpoints: Checkpoints, parts: Parts, pictures: Pictures) -> EnlargeRequest:
    """The same request with nothing left open.

    Raises:
        RequestError: there is no picture, no such upscaler, the size is too large, or a checkpoint cannot draw it so.
        CheckpointError: the upscaler cannot be used.
    """
    if not request.image:
        raise FieldError("image", "There is nothing to enlarge: give it a picture (image).")
    image = pictures(request.image)
    growth(request, image.size)
    for name in filter(None, (request.upscaler, request.second_upscaler)):
        found = named(name, checkpoints, parts)
        if isinstance(found, Entry):
            plan.plan(asked_of(found, drawing(request)), checkpoints, parts, lambda _: image)
    return replace(
        request,
        upscaler=_name(request.upscaler or "Lanczos", checkpoints, parts),
        second_upscaler=_name(request.second_upscaler, checkpoints, parts) if request.second_upscaler else "",
        seed=secrets.randbelow(2**32) if request.seed < 0 else request.seed,
    )


def _name(name: str, checkpoints: Checkpoints, parts: Parts) -> str:
    """As the filters and extensions spell it; files and checkpoints are named as they were."""
    found = named(name, checkpoints, parts)
    return found.name if isinstance(found, upscale.Filter | UpscalerPart) else name


def growth(request: EnlargeRequest, size: tuple[int, int]) -> Enlargement:
    """How a picture of that size grows: the one place that page, job and infotext ask."""
    return enlarge(size, request.scale, (request.width, request.height), request.crop, MOST)


def enlarged(
    request: EnlargeRequest,
    checkpoints: Checkpoints,
    parts: Parts,
    observer: Observer,
    pictures: Pictures,
    text: str = "",
) -> EnlargedImage:
    """The picture, enlarged.

    Args:
        request: complete.
        text: the picture's own infotext, which is kept.

    Raises:
        RequestError, CheckpointError
        Interrupted: the observer wished to stop.
    """
    image = plain(pictures(request.image))
    target = growth(request, image.size)
    second = request.second_upscaler if request.second_share > 0 else ""
    with memory.shortage(*target.size):
        made = _by(request.upscaler, image, target, request, checkpoints, parts, _Part(observer, 0, 0.5 if second else 1))
        if second:
            other = _by(second, image, target, request, checkpoints, parts, _Part(observer, 0.5, 1))
            made = upscale.mixed(made, other, request.second_share)
    return EnlargedImage(made, request, infotext.enlarged(text, request, target.size), (target.note,) if target.note else ())


def _by(
    name: str,
    image: Image.Image,
    target: Enlargement,
    request: EnlargeRequest,
    checkpoints: Checkpoints,
    parts: Parts,
    observer: Observer,
) -> Image.Image:
    def draw(wish: GenerationRequest, small: Image.Image) -> Image.Image:
        return next(generate(wish, checkpoints, parts, observer, pictures=lambda _: small)).image

    way = upscaler(name, checkpoints, parts, drawing(request), draw)
    tiles = upscale.Tiles(request.tile, request.tile_overlap)

    def told(done: int, of: int) -> None:
        observer.progress(Progress(1, 1, done, of, done / of))

    return upscale.enlarged(image, way, target, tiles, told, observer.should_stop)


def drawing(request: EnlargeRequest) -> GenerationRequest:
    """What a checkpoint that enlarges is asked beside its picture."""
    return GenerationRequest(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        noise_level=request.noise_level,
        steps=request.steps,
        guidance=request.guidance,
        seed=request.seed,
        tile=request.tile,
    )


class _Part:
    """An observer of a part of a job's time."""

    def __init__(self, observer: Observer, begin: float, end: float) -> None:
        self.should_stop = observer.should_stop
        self._observer, self._begin, self._end = observer, begin, end

    def progress(self, progress: Progress) -> None:
        self._observer.progress(replace(progress, fraction=self._begin + (self._end - self._begin) * progress.fraction))


# ---------------------------------------------------------------- depth


def depth_of(image: Image.Image, checkpoints: Checkpoints, name: str = "") -> Image.Image:
    """How near things in a picture are, as a grey picture of its size: white is nearest.

    Args:
        name: the checkpoint that estimates it, where it can; "" is the one in use. Else another one that can.

    Raises:
        FieldError: no checkpoint here reads depth.
    """
    entry = plan.depth_checkpoint(checkpoints.find(name), checkpoints)
    shown = plain(image)
    with checkpoints.use(entry.title) as model, memory.shortage(*image.size), torch.inference_mode():
        near = estimated(pixels_of(shown).to(model.device), model).float().cpu()[0, 0].numpy()
    low, high = float(near.min()), float(near.max())
    grey = np.round((near - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return Image.fromarray(grey).resize(shown.size, Image.Resampling.BICUBIC)
