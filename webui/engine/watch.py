"""Who looks on while a picture is made: progress, preview, and the wish to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from webui.contract.errors import Interrupted
from webui.contract.parts import Denoise
from webui.contract.result import Progress

if TYPE_CHECKING:
    from PIL.Image import Image


class Observer(Protocol):
    """Told of each step; asked before each network call."""

    def should_stop(self) -> bool: ...
    def progress(self, progress: Progress) -> None: ...


class Unobserved:
    """Nobody looks on."""

    def should_stop(self) -> bool:
        return False

    def progress(self, progress: Progress) -> None:
        """Nobody to tell."""


def watch(
    denoise: Denoise,
    sigmas: Tensor,
    observer: Observer,
    picture: int,
    pictures: int,
    together: int,
    preview: Callable[[Tensor], Image],
    first: int = 0,
) -> Denoise:
    """The same denoiser, observed. Steps are the user's steps, however often a sampler calls in one.

    Args:
        sigmas: the ladder (steps + 1,); a call at a noise level at or below rung i means that i steps are done.
        picture: index of the batch's first picture; pictures: of the whole job; together: of this batch.
        preview: draws predicted clean latents (B, C, h, w) small.
        first: rung at which this stage begins.

    The denoiser raises Interrupted where the user wants to stop: before the next call, so within one.
    """
    rungs = sigmas.tolist()
    steps = len(rungs) - 1
    done = first

    def watched(x: Tensor, sigma: Tensor | float) -> Tensor:
        nonlocal done
        if observer.should_stop():
            raise Interrupted
        clean = denoise(x, sigma)
        level = float(sigma if not isinstance(sigma, Tensor) or sigma.ndim == 0 else sigma.max())
        before = done
        while done < steps and rungs[done] >= level * (1 - 1e-6):
            done += 1
        if done > before:
            fraction = (picture + together * done / steps) / pictures
            observer.progress(Progress(picture + 1, pictures, done, steps, fraction, lambda: preview(clean)))
        return clean

    return watched
