"""A job: a request on its way, as plain data. What every subscriber sees, and what is on the disk."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from webui.contract.request import EnlargeRequest, Request, enlarge_request_from, request_from, request_to_dict
from webui.contract.result import Progress

State = Literal["waiting", "running", "finished", "interrupted", "failed"]
SEEDS = ("seed", "variation_seed")
ENDED = ("finished", "interrupted", "failed")


@dataclass(frozen=True)
class JobImage:
    """One finished picture of a job."""

    index: int
    width: int
    height: int
    seed: str
    """As digits: a browser's numbers would round it."""
    infotext: str
    path: str = ""
    """Below the outputs folder; "" while it is not saved."""
    error: str = ""
    """Why it could not be saved."""
    notes: tuple[str, ...] = ()
    """Sentences for the user: what was done in another way than the request says at first sight."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A snapshot; the queue replaces it as the job goes on."""

    id: str
    tab: str
    request: Request
    state: State = "waiting"
    created: float = 0.0
    """Unix seconds, as started and ended; 0: not yet."""
    started: float = 0.0
    ended: float = 0.0
    fraction: float = 0.0
    step: int = 0
    steps: int = 0
    picture: int = 0
    pictures: int = 0
    seconds_left: float | None = None
    preview: int = 0
    """Counts the previews; 0: there is none."""
    images: tuple[JobImage, ...] = ()
    error: str = ""
    error_kind: str = ""
    """Class of the error, for programs; error is for people."""
    save: bool = True
    notes: tuple[str, ...] = ()
    """As of its pictures; some are known before they are."""

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON. Seeds of the request are digits too. "kind" is "generate" or "enlarge"."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        request = request_to_dict(self.request)
        seeds = {name: str(request[name]) for name in SEEDS if name in request}
        return {
            **values,
            "kind": "enlarge" if isinstance(self.request, EnlargeRequest) else "generate",
            "request": {**request, **seeds},
            "notes": list(self.notes),
            "images": [dataclasses.asdict(image) for image in self.images],
        }

    def advanced(self, progress: Progress, preview: int, began: float) -> Job:
        """After a step. `began`: when the first step of this run began, to tell what is left."""
        spent = time.time() - began
        left = spent / progress.fraction * (1 - progress.fraction) if progress.fraction > 0 else None
        return replace(
            self,
            fraction=max(self.fraction, progress.fraction),
            step=progress.step,
            steps=progress.steps,
            picture=progress.picture,
            pictures=progress.pictures,
            seconds_left=left,
            preview=preview,
        )

    def with_image(self, image: JobImage) -> Job:
        """With a picture added, or put in the place of the same picture."""
        rest = [other for other in self.images if other.index != image.index]
        return replace(self, images=tuple(sorted([*rest, image], key=lambda other: other.index)))


def from_dict(values: Mapping[str, Any]) -> Job:
    """A job as it was written to the disk. Raises KeyError, TypeError, ValueError or FieldError where it is damaged."""
    request = dict(values["request"])
    request |= {name: int(request[name]) for name in SEEDS if name in request}
    made = enlarge_request_from(request) if values.get("kind") == "enlarge" else request_from(request)
    known = {field.name for field in dataclasses.fields(Job)}
    rest = {name: value for name, value in values.items() if name in known and name not in ("request", "images", "notes")}
    images = tuple(JobImage(**{**image, "notes": tuple(image.get("notes", ()))}) for image in values["images"])
    return Job(**rest, request=made, images=images, notes=tuple(values.get("notes", ())))


@dataclass(frozen=True)
class Event:
    """Something happened to a job."""

    seq: int
    kind: str
    """snapshot, queued, started, progress, image, saved, finished, interrupted, failed, removed; and of no job:
    checkpoints (files of models came, changed or went)"""
    job: Job | None = None
    jobs: tuple[Job, ...] = ()
    """Of a snapshot: running, waiting, and the last finished ones."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "kind": self.kind,
            "job": self.job.to_dict() if self.job else None,
            "jobs": [job.to_dict() for job in self.jobs],
        }
