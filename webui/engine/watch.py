"""Who looks on while a picture is made: progress, preview, and the wish to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


class Stopping:
    """Passes the wish to stop on, and tells nobody of steps: for what is drawn on the way."""

    def __init__(self, observer: Observer) -> None:
        self.should_stop = observer.should_stop

    def progress(self, progress: Progress) -> None:
        """Nobody to tell."""


@dataclass(frozen=True)
class Share:
    """Where a walk lies in its job."""

    picture: int
    """Index of the batch's first picture."""
    pictures: int
    """Of the whole job."""
    together: int
    """Of this batch."""
    steps: int
    """Of all walks of this batch."""
    before: int = 0
    """Steps of earlier walks of this batch."""
    begin: float = 0.0
    """Of the batch's time, 0 to 1: where this walk begins, and"""
    end: float = 1.0
    """where it ends."""


def watch(
    denoise: Denoise,
    sigmas: Tensor,
    observer: Observer,
    share: Share,
    preview: Callable[[Tensor], Image],
    first: int = 0,
) -> Denoise:
    """The same denoiser, observed. Steps are the user's steps, however often a sampler calls in one.

    Args:
        sigmas: the ladder (steps + 1,); a call at a noise level at or below rung i means that i steps are done.
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
            part = share.begin + (share.end - share.begin) * done / steps
            fraction = (share.picture + share.together * part) / share.pictures
            told = Progress(share.picture + 1, share.pictures, share.before + done, share.steps, fraction, lambda: preview(clean))
            observer.progress(told)
        return clean

    return watched
