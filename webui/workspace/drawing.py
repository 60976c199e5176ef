"""What a job of either kind is: how it is prepared, and how it is drawn."""

from __future__ import annotations

from collections.abc import Iterator

from webui.checkpoints.manager import Checkpoints
from webui.contract.parts import Parts
from webui.contract.request import EnlargeRequest, Request
from webui.contract.result import EnlargedImage, Result
from webui.engine import enlarge, plan
from webui.engine.canvas import NOTHING_MASKED
from webui.engine.generate import generate
from webui.engine.watch import Observer
from webui.workspace.inputs import Inputs
from webui.workspace.pictures import read_infotext


def prepared(
    request: Request, tab: str, checkpoints: Checkpoints, parts: Parts, inputs: Inputs
) -> tuple[Request, tuple[str, ...]]:
    """The request with nothing left open, and what the user should know before it is drawn.

    Raises:
        RequestError, CheckpointError: it cannot be drawn.
    """
    inputs.check(request)
    if isinstance(request, EnlargeRequest):
        return enlarge.complete(request, checkpoints, parts, inputs.open), ()
    planned = plan.plan(request, checkpoints, parts, inputs.open)
    is_whole = tab == "inpaint" and request.image and not (request.mask or request.is_extended)
    return planned.request, (*planned.notes, *((NOTHING_MASKED,) if is_whole else ()))


def steps_of(request: Request) -> int:
    """Steps that a batch of a complete request walks, in all its passes; 0 where that is not known before."""
    return 0 if isinstance(request, EnlargeRequest) else sum(one.steps for one in plan.passes_of(request))


def draw(
    request: Request, checkpoints: Checkpoints, parts: Parts, inputs: Inputs, observer: Observer, skip: int = 0
) -> Iterator[Result]:
    """The pictures of a job but for the first ones, which are there already."""
    if not isinstance(request, EnlargeRequest):
        yield from generate(request, checkpoints, parts, observer, skip, inputs.open)
    elif not skip:
        yield enlarged(request, checkpoints, parts, inputs, observer)


def enlarged(
    request: EnlargeRequest, checkpoints: Checkpoints, parts: Parts, inputs: Inputs, observer: Observer
) -> EnlargedImage:
    """A kept picture made larger, with its own infotext in it."""
    complete = enlarge.complete(request, checkpoints, parts, inputs.open)
    text = read_infotext(inputs.path(request.image).read_bytes())
    return enlarge.enlarged(complete, checkpoints, parts, observer, inputs.open, text)
