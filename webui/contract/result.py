"""What comes back from a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webui.contract.request import EnlargeRequest, GenerationRequest

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class CheckpointName:
    """How a picture names the weights it was made with."""

    name: str
    """File name without its ending, or the folder's name."""
    hash: str = ""
    """First 10 hex digits of the file's SHA-256; "" where it is not known yet."""


@dataclass(frozen=True)
class GeneratedImage:
    """A finished picture and the exact request that makes it again.

    `request` has every choice filled in (sampler, schedule, steps, guidance, size, seed of this very picture) and
    asks for one picture; of a picture that a script made (a grid), it is the one that makes the whole script again.
    """

    image: Image
    request: GenerationRequest
    checkpoint: CheckpointName
    infotext: str
    notes: tuple[str, ...] = ()
    """Sentences for the user: what was done in another way than the request says at first sight."""


@dataclass(frozen=True)
class EnlargedImage:
    """A finished picture made larger."""

    image: Image
    request: EnlargeRequest
    infotext: str
    """The picture's own, with what was done to it."""
    notes: tuple[str, ...] = ()


Result = GeneratedImage | EnlargedImage


@dataclass(frozen=True)
class KeptImage:
    """A picture that an interrupted job has on the disk."""

    infotext: str
    open: Callable[[], Image | None]
    """RGB; None: its file is gone."""
    notes: tuple[str, ...] = ()


Kept = Callable[[int], KeptImage | None]
"""Number of a job's picture -> the picture that is there already; None: it is to be drawn."""


@dataclass(frozen=True)
class Progress:
    """Where a job stands, told after each step."""

    picture: int
    """The first picture of the batch being drawn, counted from 1."""
    pictures: int
    """Pictures of the whole job."""
    step: int
    """Steps done in this batch."""
    steps: int
    fraction: float
    """Of the whole job, 0 to 1, never falling."""
    preview: Callable[[], Image] | None = None
    """Draws a small picture of the prediction so far; cheap, but only called when somebody looks."""
