"""What a job of either kind is: how it is prepared, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from webui.checkpoints.manager import Checkpoints
from webui.contract.parts import Parts
from webui.contract.request import EnlargeRequest, GenerationRequest, Request
from webui.contract.result import EnlargedImage, Kept, Result
from webui.engine import enlarge, plan, scripts
from webui.engine.canvas import NOTHING_MASKED
from webui.engine.company import pays
from webui.engine.watch import Observer
from webui.workspace.inputs import Inputs
from webui.workspace.pictures import read_infotext

Read = Callable[[bytes], str]
"""a picture's file -> the infotext in it"""


@dataclass(frozen=True)
class Prepared:
    """A request with nothing left open, what the user should know before it is drawn, and how many pictures it makes."""

    request: Request
    notes: tuple[str, ...] = ()
    pictures: int = 1


def prepared(request: Request, tab: str, checkpoints: Checkpoints, parts: Parts, inputs: Inputs) -> Prepared:
    """What a job is, before it is drawn.

    Raises:
        RequestError, CheckpointError: it cannot be drawn.
        PluginError: its script failed.
    """
    inputs.check(request)
    if isinstance(request, EnlargeRequest):
        return Prepared(enlarge.complete(request, checkpoints, parts, inputs.open))
    made = scripts.prepare(request, checkpoints, parts, inputs.open)
    is_whole = tab == "inpaint" and request.image and not (request.mask or request.is_extended)
    return Prepared(made.request, (*made.notes, *((NOTHING_MASKED,) if is_whole else ())), made.pictures)


def may_share(request: Request, others: Sequence[Request], checkpoints: Checkpoints) -> bool:
    """Whether a job is quicker drawn beside those that are on their way: all of one checkpoint, and of a size at which calls of
    the network are worth sharing."""
    every = [one for one in (request, *others) if isinstance(one, GenerationRequest) and _is_plain(one)]
    if len(every) <= len(others) or len({one.checkpoint for one in every}) > 1:
        return False
    family, first = checkpoints.find(every[0].checkpoint).family, every[0]
    return family is not None and pays(checkpoints.device, family, first.width or 0, first.height or 0)


def _is_plain(request: GenerationRequest) -> bool:
    """Whether one checkpoint draws all of it, in one walk a picture."""
    return not (request.has_hires or request.refiner or request.script or request.is_extended)


def steps_of(request: Request) -> int:
    """Steps that a batch of a complete request walks, in all its passes; 0 where that is not known before."""
    return 0 if isinstance(request, EnlargeRequest) else sum(one.steps for one in plan.passes_of(request))


def draw(
    request: Request,
    checkpoints: Checkpoints,
    parts: Parts,
    inputs: Inputs,
    observer: Observer,
    kept: Kept,
    read: Read = read_infotext,
) -> Iterator[tuple[int, Result]]:
    """The pictures of a job with their numbers, but for those that are kept already."""
    if not isinstance(request, EnlargeRequest):
        yield from scripts.draw(request, checkpoints, parts, observer, kept, inputs.open)
    elif kept(0) is None:
        yield 0, enlarged(request, checkpoints, parts, inputs, observer, read)


def enlarged(
    request: EnlargeRequest,
    checkpoints: Checkpoints,
    parts: Parts,
    inputs: Inputs,
    observer: Observer,
    read: Read = read_infotext,
) -> EnlargedImage:
    """A kept picture made larger, with its own infotext in it."""
    complete = enlarge.complete(request, checkpoints, parts, inputs.open)
    text = read(inputs.path(request.image).read_bytes())
    return enlarge.enlarged(complete, checkpoints, parts, observer, inputs.open, text)
