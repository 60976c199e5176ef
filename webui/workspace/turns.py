"""Whose turn it is: jobs come in the order in which they were asked for, but one that needs no other checkpoint may go before
one that does, within bounds, so that the machine does not swap between every two of them and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from webui.contract.request import GenerationRequest, Request
from webui.workspace.jobs import Job

OVERTAKERS = 4
"""Jobs that may go before one that was asked for earlier."""
SECONDS = 60.0
"""In which they may begin, from the first of them on."""


def next_of(jobs: Iterable[Job], is_ready: Callable[[str], bool], now: float) -> Job | None:
    """The waiting job whose turn it is; None: none waits.

    The first one has it where its checkpoints are ready. Where they are not, the first one of which they are goes before it,
    unless OVERTAKERS have done so already, or the first of those did longer ago than SECONDS. Every job counts all that were
    asked for after it and began before it, so no job is overtaken more often, wherever it stands.

    Args:
        jobs: in the order in which they were asked for; those that run or have ended tell who went before whom.
        is_ready: whether the checkpoint of a title is on the device. Asked with a complete request's titles.
        now: Unix seconds.
    """
    known = list(jobs)
    place = next((i for i, job in enumerate(known) if job.state == "waiting"), None)
    if place is None:
        return None
    first, later = known[place], known[place + 1 :]
    if all(map(is_ready, checkpoints_of(first.request))):
        return first
    before = [job.started for job in later if job.started > first.created]
    if len(before) >= OVERTAKERS or (before and now - min(before) > SECONDS):
        return first
    waiting = (job for job in later if job.state == "waiting")
    return next((job for job in waiting if all(map(is_ready, checkpoints_of(job.request)))), first)


def checkpoints_of(request: Request) -> tuple[str, ...]:
    """Titles of the checkpoints that a complete request draws with; none where filters enlarge a picture."""
    if not isinstance(request, GenerationRequest):
        return ()
    return tuple(title for title in (request.checkpoint, request.refiner, request.hires_checkpoint) if title)
