"""The stream of the Turbo tab: what is asked at one moment to frames, keeping between them what stays the same.

The pictures are those of the ordinary journey: same request, same noise, same latents. Only the eyes differ: a tiny decoder
shows them, and between two prompts the conditioning may wander.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from webui.checkpoints import memory
from webui.checkpoints.model import Model
from webui.contract.errors import Interrupted, RequestError
from webui.contract.parts import Conditioning, Denoise, Family, Parts
from webui.contract.request import GenerationRequest
from webui.engine import autoencoder, plan
from webui.engine.canvas import canvas_of
from webui.engine.captured import Captures
from webui.engine.conditioning import TENSORS, Sides, condition
from webui.engine.generate import table_of
from webui.engine.guidance import guide
from webui.engine.inputs import read, start_of
from webui.engine.schedules import ladder
from webui.engine.shot import Shot, Stopwatch
from webui.engine.start import Walk, begin
from webui.engine.strangers import called, latents_of
from webui.engine.table import NoiseTable
from webui.engine.together import Step, Together

MOST_STEPS = 4
"""That a checkpoint distilled for few steps is asked for."""
LADDERS = 10
"""Ladders among which one is chosen that begins at the asked noise: those of up to so many steps more than are walked."""


@dataclass(frozen=True)
class Wish:
    """What is asked at one moment."""

    request: GenerationRequest
    """Complete, for one picture."""
    picture: Image.Image | None = None
    """What is repainted; the request's image is then any name."""
    smooth: float = 0.0
    """Seconds in which what the old prompt said goes over into what the new one says."""
    of: Any = None
    """What the caller knows it by."""


@dataclass(frozen=True)
class Frame:
    """One look."""

    wish: Wish
    pixels: Tensor
    """(1, 3, H, W) in [-1, 1], on the device"""
    step: int
    steps: int
    is_final: bool
    """The last one of its wish, with the prompt wholly arrived."""
    shot: Shot
    """The picture, perhaps on its way yet."""
    stopwatch: Stopwatch
    """How long its network calls took, denoiser and decoder, once it is there."""


Deliver = Callable[[Frame], None]


class Stream:
    """One viewer's stream. Not for several threads at once.

    Args:
        captures: what records networks; shared by all streams.
        flows: whether walks of several steps share network calls (see webui.engine.together); None: on a graphics card,
            which computes a batch in about the time of one.
    """

    def __init__(self, parts: Parts, captures: Captures | None = None, flows: bool | None = None) -> None:
        self._parts, self._captures, self._flows = parts, captures or Captures(), flows
        self._blend = Blend()
        self._kept: _Kept | None = None
        self._flow: _Flow | None = None

    def draw(
        self,
        wish: Wish,
        model: Model,
        should_stop: Callable[[], bool],
        deliver: Deliver,
        now: Callable[[], float] = time.monotonic,
    ) -> bool:
        """Walk once and deliver the picture of each step; where walks share calls, go one call further and deliver what is
        ready, also of earlier wishes. False where there is more to draw of this wish: call again.

        Args:
            should_stop: asked before each network call but the first, so that every walk that begins shows something.

        Raises:
            Interrupted: something newer is asked; what was delivered stands.
            RequestError, WebUIError: nothing can be drawn so.
        """
        request = wish.request
        if request.conditioners or request.guiders:
            raise RequestError("The live stream takes no conditioners and no guiders. Take them off, or draw on another tab.")
        with memory.shortage(request.width or 0, request.height or 0), torch.inference_mode():
            model = self._captures.of(model)
            walk = self._walk(wish, model)
            self._blend.go(condition(request, model, self._parts, walk.inputs), wish.smooth, now(), id(model))
            sides, has_arrived = self._blend.at(now())
            sampler = self._parts.samplers[request.sampler]
            options = plan.sampler_options(sampler, request)

            def sample(denoise: Denoise) -> Tensor:
                with called(self._parts.samplers, sampler.name):
                    latents = sampler.function(denoise, walk.x, walk.sigmas, walk.noise, **options)
                return latents_of(latents, walk.x, self._parts.samplers, sampler.name)

            flows = model.device.type == "cuda" if self._flows is None else self._flows
            if flows and len(walk.sigmas) > 2:
                return self._go_on(wish, model, sides, has_arrived, sample, len(walk.sigmas) - 1, deliver)
            self.close()
            eyes = _Eyes(wish, model, walk.sigmas.tolist(), should_stop, deliver)
            denoise = guide(model, table_of(model), *sides, request.guidance or 0, 1)
            eyes.show(sample(eyes.watched(denoise)), has_arrived)
        return has_arrived

    def close(self) -> None:
        """End what is on its way."""
        if self._flow is not None:
            self._flow.together.close()
            self._flow = None

    def _go_on(
        self, wish: Wish, model: Model, sides: Sides, has_arrived: bool, sample: Step, steps: int, deliver: Deliver
    ) -> bool:
        """One call for all walks on their way, after this wish's began."""
        flow, kind = self._flow, (id(model), wish.request.guidance, wish.request.width, wish.request.height, steps)
        if flow is None or flow.kind != kind:
            self.close()
            table, scale = table_of(model), wish.request.guidance or 0

            def ask(x: Tensor, levels: Tensor, told: Sides) -> Tensor:
                return guide(model, table, *told, scale, len(x))(x, levels)

            flow = self._flow = _Flow(kind, Together(ask))
        if flow.newest is not wish:
            flow.together.begin((wish, has_arrived), sides, sample)
            flow.newest = wish if has_arrived else None
        stopwatch, is_there = Stopwatch(model.device), False
        with stopwatch.running():
            ready = [(*cast(tuple[Wish, bool], tag), latents) for tag, latents in flow.together.tick()]
        for of, was_last, latents in ready:
            with stopwatch.running():
                pixels = _seen(latents, of, model)
            deliver(Frame(of, pixels, steps, steps, was_last, Shot(pixels), stopwatch))
            is_there = is_there or (of is wish and was_last)
        return is_there

    def _walk(self, wish: Wish, model: Model) -> Walk:
        """Start, ladder and noise; of the last wish where only the words have changed."""
        if self._kept is None or not self._kept.is_of(wish, model):
            self._kept = _Kept(wish, model, _begun(wish, model, self._parts))
        return self._kept.walk()


@dataclass(eq=False)
class _Flow:
    """Walks of one kind on their way."""

    kind: Any
    together: Together
    newest: Wish | None = None
    """Begun, with the prompt wholly arrived."""


class _Eyes:
    """Looks at one walk: a frame for each of its steps."""

    def __init__(self, wish: Wish, model: Model, rungs: list[float], should_stop: Callable[[], bool], deliver: Deliver) -> None:
        self._wish, self._model, self._rungs, self._should_stop, self._deliver = wish, model, rungs, should_stop, deliver
        self._done, self._has_begun, self._stopwatch = 0, False, Stopwatch(model.device)

    def watched(self, denoise: Denoise) -> Denoise:
        def watching(x: Tensor, sigma: Tensor | float) -> Tensor:
            if self._has_begun and self._should_stop():
                raise Interrupted
            self._has_begun = True
            with self._stopwatch.running():
                clean = denoise(x, sigma)
            before, level = self._done, float(sigma if not isinstance(sigma, Tensor) or sigma.ndim == 0 else sigma.max())
            while self._done < len(self._rungs) - 1 and self._rungs[self._done] >= level * (1 - 1e-6):
                self._done += 1
            if before < self._done < len(self._rungs) - 1:
                self._look(clean, self._done, False)
            return clean

        return watching

    def show(self, latents: Tensor, is_final: bool) -> None:
        """The end of the walk."""
        self._look(latents, len(self._rungs) - 1, is_final)

    def _look(self, clean: Tensor, step: int, is_final: bool) -> None:
        with self._stopwatch.running():
            pixels = _seen(clean, self._wish, self._model)
        stopwatch, self._stopwatch = self._stopwatch, Stopwatch(self._model.device)
        self._deliver(Frame(self._wish, pixels, step, len(self._rungs) - 1, is_final, Shot(pixels), stopwatch))


def _seen(latents: Tensor, wish: Wish, model: Model) -> Tensor:
    """Pixels of latents, in the size that was asked: what the network needed beyond it lies to the right and below."""
    return autoencoder.quick(latents, model)[..., : wish.request.height, : wish.request.width]


def _begun(wish: Wish, model: Model, parts: Parts) -> Walk:
    request = wish.request
    batch = next(plan.batches(request))

    def pictures(name: str) -> Image.Image:  # noqa: ARG001  (a stream has one picture)
        assert wish.picture is not None
        return wish.picture

    one = batch.passes[0]
    canvas = canvas_of(request, model.family, pictures)
    start, inputs = start_of(request, model.family, canvas, one.steps), read(request, model.family, pictures, canvas)
    return begin(request, batch, model, table_of(model), parts, inputs, start, one.steps)


_beside_words = attrgetter(*(one.name for one in fields(GenerationRequest) if one.name not in ("prompt", "negative_prompt")))


class _Kept:
    """A walk that can be walked again: the noise of its steps comes once and is remembered. It keeps no model in memory."""

    def __init__(self, wish: Wish, model: Model, walk: Walk) -> None:
        self._asked, self._picture, self._model = _beside_words(wish.request), wish.picture, weakref.ref(model)
        self._walk, self._noises = walk, list[Tensor]()

    def is_of(self, wish: Wish, model: Model) -> bool:
        """Whether a wish begins as this one did: they may differ in their words."""
        return self._asked == _beside_words(wish.request) and self._picture is wish.picture and self._model() is model

    def walk(self) -> Walk:
        number = 0

        def noise(sigma: Tensor | float, sigma_next: Tensor | float) -> Tensor:
            nonlocal number
            if number == len(self._noises):
                self._noises.append(self._walk.noise(sigma, sigma_next))
            number += 1
            return self._noises[number - 1]

        return replace(self._walk, noise=noise)


class Blend:
    """What the network is told, on its way from one prompt to the next: linear in time, from wherever it is when a newer
    prompt comes. Prompts of different length are not blended."""

    def __init__(self) -> None:
        self._to: Sides | None = None
        self._from: Sides | None = None
        self._began, self._seconds, self._model = 0.0, 0.0, 0

    def go(self, to: Sides, seconds: float, now: float, model: int) -> None:
        """Towards this, unless that is where it goes already."""
        if seconds <= 0 and self._from is None:  # no look at values that a card may not have come to yet
            self._to, self._model = to, model
            return
        if self._to is not None and model == self._model and _are_equal(to, self._to):
            return
        at = self.at(now)[0] if self._to is not None and model == self._model and seconds > 0 else None
        self._from = at if at is not None and _have_one_shape(at, to) else None
        self._to, self._began, self._seconds, self._model = to, now, seconds, model

    def at(self, now: float) -> tuple[Sides, bool]:
        """What is told now, and whether it is where it goes."""
        assert self._to is not None
        if self._from is None:
            return self._to, True
        share = (now - self._began) / self._seconds
        if share >= 1:
            self._from = None
            return self._to, True
        mixed = (_mixed(a, b, share) for a, b in zip(self._from, self._to, strict=True))
        return (next(mixed), next(mixed)), False


def _tensors(told: Conditioning) -> list[Tensor | None]:
    return [getattr(told, name) for name in TENSORS]


def _are_equal(one: Sides, other: Sides) -> bool:
    return _have_one_shape(one, other) and all(
        a is b or (a is not None and b is not None and torch.equal(a, b))
        for x, y in zip(one, other, strict=True)
        for a, b in zip(_tensors(x), _tensors(y), strict=True)
    )


def _have_one_shape(one: Sides, other: Sides) -> bool:
    return all(
        (a is None) == (b is None) and (a is None or b is None or a.shape == b.shape)
        for x, y in zip(one, other, strict=True)
        for a, b in zip(_tensors(x), _tensors(y), strict=True)
    )


def _mixed(one: Conditioning, other: Conditioning, share: float) -> Conditioning:
    mixed: list[Any] = [
        None if a is None or b is None else torch.lerp(a, b, share) for a, b in zip(_tensors(one), _tensors(other), strict=True)
    ]
    return Conditioning(**dict(zip(TENSORS, mixed, strict=True)))


def steps_for(family: Family, steps: int) -> int:
    """Steps that a wish walks: what was asked of a checkpoint that was distilled for it; of any other a third of its usual
    ones, which is a sketch."""
    return min(max(steps, 1), MOST_STEPS) if family.distilled_from else max(math.ceil(family.steps / 3), 1)


def repainting(walked: int, strength: float, schedule: str, sampler: str, family: Family, parts: Parts) -> tuple[int, float]:
    """Which request repaints a picture in so many steps from about the noise of a strength: (steps, strength).

    A request walks the last rungs of a ladder; among ladders of different length that one is taken whose rung is nearest, so
    that few steps can begin anywhere.

    Args:
        walked: steps, at least 1. strength: share of the training steps, 0 to 1.
    """
    table, part = NoiseTable.from_family(family), parts.samplers[sampler]
    asked = strength * (len(table) - 1)

    def distance(steps: int) -> float:
        rungs = ladder(part, schedule, steps, table, parts.schedules, family.schedule)
        return abs(table.t(float(rungs[len(rungs) - 1 - walked])) - asked)

    steps = min(range(walked, walked + LADDERS + 1), key=distance)
    return steps, math.ceil(10_000 * walked / steps) / 10_000
