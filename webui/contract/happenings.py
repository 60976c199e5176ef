"""What extensions are told while the program runs (the event hooks of hookspecs). Plain values, safe in any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webui.contract.request import Request


@dataclass(frozen=True)
class JobStarted:
    """A job is being drawn."""

    job: str
    """Its number."""
    tab: str
    """Where it came from: "txt2img", ..., "api"."""
    request: Request
    pictures: int


@dataclass(frozen=True)
class StepFinished:
    """A sampler took a step. Some are left out for who is slow."""

    job: str
    step: int
    """Of `steps`, counted from 1."""
    steps: int
    picture: int
    pictures: int
    fraction: float
    """Of the whole job, 0 to 1."""


@dataclass(frozen=True)
class ImageFinished:
    """A picture is there; it may not be on the disk yet."""

    job: str
    index: int
    width: int
    height: int
    seed: str
    """As digits."""
    infotext: str


@dataclass(frozen=True)
class ImageSaved:
    """A picture is on the disk."""

    job: str
    index: int
    path: Path
    """The file."""
    infotext: str


@dataclass(frozen=True)
class CheckpointLoaded:
    """A checkpoint came into memory."""

    title: str
    family: str
    """Name of its row."""
    path: Path


@dataclass(frozen=True)
class SettingsChanged:
    """The user's settings are others than before; an extension's own are not among them."""

    before: Mapping[str, Any] = field(default_factory=dict)
    now: Mapping[str, Any] = field(default_factory=dict)
