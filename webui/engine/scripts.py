"""Scripts: what makes several requests of one. Their generators are run here, and what they ask for is drawn.

A job that was interrupted is taken up again by running its script from the beginning. Each picture that is there already is
handed to it from the disk, so what it asks for next is what it asked for the first time.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from pydantic import ValidationError

from webui.checkpoints.manager import Checkpoints
from webui.contract import infotext
from webui.contract.errors import FieldError, Interrupted, PluginError, RequestError, WebUIError
from webui.contract.more_parts import ScriptPart
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest, field_error
from webui.contract.result import GeneratedImage, Kept, Progress
from webui.engine import own_options, plan
from webui.engine.canvas import Pictures, no_pictures
from webui.engine.generate import Studio
from webui.engine.plan import Batch, Plan
from webui.engine.references import References
from webui.engine.strangers import called
from webui.engine.watch import Observer, Unobserved

_log = logging.getLogger(__name__)
MOST = 10_000
"""Pictures that a script may make."""
MOST_SIDE = 65_500
"""Pixels of a side of a picture that it makes itself: what a JPEG can have, as which pictures are shown."""
Numbered = tuple[int, GeneratedImage]
OVER = object()
"""Where a script has ended."""
_LIKE_ANOTHER_DAY = ("Version", "Model hash")
"""Fields of an infotext that may be others although the picture is the same."""


@dataclass(frozen=True)
class Prepared:
    """A job's request with nothing left open, what the user should know of it, and how many pictures it makes."""

    request: GenerationRequest
    notes: tuple[str, ...]
    pictures: int


def nothing_kept(_: int) -> None:
    """For a job whose pictures are all to be drawn."""


def prepare(request: GenerationRequest, checkpoints: Checkpoints, parts: Parts, pictures: Pictures = no_pictures) -> Prepared:
    """What a job is, before it is drawn. Its script is begun, and what it asks for first is looked at.

    Raises:
        RequestError, CheckpointError: the request, or what its script asks for first, cannot be drawn.
        PluginError: the script failed.
    """
    run = _Run(checkpoints, parts, Unobserved(), nothing_kept, pictures)
    planned = run.plan(request)
    chosen = run.script_of(planned.request, frozenset())
    if chosen is None:
        return Prepared(planned.request, (*planned.said, *run.notes), planned.request.pictures)
    total = run.count(chosen, planned.request)
    if total > MOST:
        words = f"{chosen.part.name} would make {total:,} pictures. A job can have {MOST:,}."
        raise FieldError("script_options" if planned.request.script else "prompt", words)
    notes = (*planned.notes, *run.begin(chosen, planned.request, frozenset()), *run.notes)
    return Prepared(planned.request, tuple(dict.fromkeys(notes)), total)


def draw(
    request: GenerationRequest,
    checkpoints: Checkpoints,
    parts: Parts,
    observer: Observer | None = None,
    kept: Kept = nothing_kept,
    pictures: Pictures = no_pictures,
) -> Iterator[Numbered]:
    """Draw a job, picture by picture: the number of each, counted from 0, and the picture. Those that are kept are left out.

    Args:
        observer: as of generate; its fractions are of the whole job.
        kept: knows the pictures that are there already.

    Raises:
        RequestError, CheckpointError, PluginError, Interrupted: what was yielded is finished.
    """
    run = _Run(checkpoints, parts, observer or Unobserved(), kept, pictures)
    yield from run.play(request, frozenset())


@dataclass(frozen=True)
class _Chosen:
    """A script that is to run."""

    part: ScriptPart
    options: Mapping[str, Any]
    """As the request has them."""


class _Run:
    """One job on its way. `within` are the names of the scripts that are running: none runs inside itself."""

    def __init__(self, checkpoints: Checkpoints, parts: Parts, observer: Observer, kept: Kept, pictures: Pictures) -> None:
        self._checkpoints, self._parts, self._pictures = checkpoints, parts, pictures
        self._observer, self._kept = observer, kept
        self._references = References(parts, checkpoints.shelf, pictures)
        self._seed: int | None = None
        self._picked = 0
        self.number = 0
        """Of the next picture."""
        self.total = 0
        """Pictures that are expected in all."""
        self.notes: list[str] = []
        """Sentences for the user, of scripts and about them."""

    # -- what is asked

    def plan(self, request: GenerationRequest) -> Plan:
        """With nothing left open. A seed that a script leaves open follows from the job's, to be the same the next time."""
        if self._seed is not None:
            request = self._with_seeds(request)
        planned = plan.plan(request, self._checkpoints, self._parts, self._pictures)
        if self._seed is None:
            self._seed = planned.request.seed
        return planned

    def _with_seeds(self, request: GenerationRequest) -> GenerationRequest:
        if request.seed < 0:
            request = replace(request, seed=self._pick())
        if request.variation_seed < 0 and request.variation_strength:
            request = replace(request, variation_seed=self._pick())
        return request

    def _pick(self) -> int:
        self._picked += 1
        return int.from_bytes(hashlib.sha256(f"{self._seed} {self._picked}".encode()).digest()[:4])

    def script_of(self, request: GenerationRequest, within: frozenset[str]) -> _Chosen | None:
        """The script that the request names, else the first one that runs unasked.

        Raises:
            UnknownNameError, FieldError: it names none that is here, or one that is running.
        """
        scripts = self._parts.scripts
        if request.script:
            part = scripts[request.script]
            if part.name in within:
                raise FieldError("script", f"The script {part.name} asks for itself, which would never end.")
            return _Chosen(part, request.script_options)
        for part in scripts:
            if part.name not in within and part.when is not None and self._wants(part, request):
                return _Chosen(part, own_options.of_script(part.name, {}, self._references)[1])
        return None

    def _wants(self, part: ScriptPart, request: GenerationRequest) -> bool:
        """Whether it runs unasked. One that fails here does so for every request, and must not stand in the way of all."""
        try:
            assert part.when is not None
            return bool(part.when(request))
        except Exception as error:  # noqa: BLE001 (a stranger's: told, and left out)
            owner = self._parts.scripts.owner(part.name)
            words = f"The extension {owner} failed in its script {part.name!r}, left out here ({type(error).__name__}: {error})."
            self._note(words)
            return False

    def _note(self, words: str) -> None:
        """Said of every picture from now on; a hundred of them are enough."""
        if words not in self.notes and len(self.notes) < 100:
            self.notes.append(words[:1000])

    def count(self, chosen: _Chosen, request: GenerationRequest) -> int:
        """How many pictures it says it makes."""
        return counted(self._parts, chosen.part, request, self._arguments(chosen))

    def begin(self, chosen: _Chosen, request: GenerationRequest, within: frozenset[str]) -> tuple[str, ...]:
        """What the user should know of the first thing that a script asks for. Nothing is drawn.

        Raises:
            RequestError, CheckpointError: it cannot be drawn.
        """
        within |= {chosen.part.name}
        steps = self._start(chosen, request)
        try:
            asked = self._next(chosen.part, steps, None)
            for _ in range(MOST):
                if not isinstance(asked, str):
                    break
                self._note(asked)
                asked = self._next(chosen.part, steps, [])
            if isinstance(asked, list):
                self._complete(asked)
                return ()
            if not isinstance(asked, GenerationRequest):
                return ()
            planned = self.plan(asked)
            inner = self.script_of(planned.request, within)
            return planned.said if inner is None else (*planned.notes, *self.begin(inner, planned.request, within))
        finally:
            _close(steps)

    # -- what is drawn

    def play(self, request: GenerationRequest, within: frozenset[str]) -> Generator[Numbered, None, list[GeneratedImage]]:
        """Draw a request by the scripts that it is for; all its pictures, where a script waits for them."""
        planned = self.plan(request)
        chosen = self.script_of(planned.request, within)
        if chosen is None:
            return (yield from self._drawn(planned, bool(within)))
        return (yield from self._scripted(chosen, planned.request, within))

    def _scripted(
        self, chosen: _Chosen, request: GenerationRequest, within: frozenset[str]
    ) -> Generator[Numbered, None, list[GeneratedImage]]:
        if not within:
            self.total = self.count(chosen, request)
        inside, made = within | {chosen.part.name}, list[GeneratedImage]()
        steps, answer = self._start(chosen, request), list[Any]()
        is_begun = False
        try:
            while True:
                if self._observer.should_stop():
                    raise Interrupted
                asked = self._next(chosen.part, steps, answer if is_begun else None)
                is_begun = True
                if asked is OVER:
                    return made
                if isinstance(asked, str):
                    self._note(asked)
                    answer = []
                    continue
                if isinstance(asked, list):
                    answer = self._complete(asked)
                    continue
                if isinstance(asked, GenerationRequest):
                    answer = yield from self.play(asked, inside)
                else:
                    answer = yield from self._own_picture(chosen, request, asked)
                if within:
                    made += answer
        finally:
            _close(steps)

    def _drawn(self, planned: Plan, is_awaited: bool) -> Generator[Numbered, None, list[GeneratedImage]]:
        """The pictures of a request without a script."""
        request, first, made = planned.request, self.number, list[GeneratedImage]()
        self._make_room(request.pictures)
        studio = Studio(self._checkpoints, self._parts, _Within(self, self._observer, first, request.pictures), self._pictures)
        for batch in plan.batches(request):
            there = self._there(request, batch, is_awaited)
            if there is not None:
                made += there
                self.number += len(batch.seeds)
                continue
            for picture in studio.draw(request, batch):
                notes = tuple(dict.fromkeys((*planned.said, *picture.notes, *self.notes)))
                picture, number = replace(picture, notes=notes), self.number
                self.number += 1
                made += [picture] if is_awaited else []
                if is_awaited or self._kept(number) is None:
                    yield number, picture
        return made

    def _there(self, request: GenerationRequest, batch: Batch, is_awaited: bool) -> list[GeneratedImage] | None:
        """The pictures of a batch from the disk; None where it is to be drawn. Nobody looks at those that are not awaited."""
        found = list[GeneratedImage]()
        for i in range(len(batch.seeds)):
            kept = self._kept(self.number + i)
            if kept is None:
                return None
            if not is_awaited:
                continue
            exact, image = request.alone(batch.first + i), None
            name = infotext.read(kept.infotext).checkpoint
            if _is_same(kept.infotext, infotext.write(exact, name)):  # else an extension draws something else since then
                image = kept.open()
            if image is None:
                return None
            found.append(GeneratedImage(image, exact, name, kept.infotext, kept.notes))
        return found

    def _own_picture(
        self, chosen: _Chosen, request: GenerationRequest, image: Image.Image
    ) -> Generator[Numbered, None, list[GeneratedImage]]:
        """A picture that the script made itself."""
        part = chosen.part
        if not 0 < image.width <= MOST_SIDE or not 0 < image.height <= MOST_SIDE:
            size = f"{image.width} x {image.height}"
            raise _broken(self._parts, part, f"made a picture of {size}, where a side has 1 to {MOST_SIDE:,} pixels")
        self._make_room(1)
        whole = replace(request, script=part.name, script_options=chosen.options)
        name = self._checkpoints.find(request.checkpoint).checkpoint_name
        number, kept = self.number, self._kept(self.number)
        made = GeneratedImage(image.convert("RGB"), whole, name, infotext.write(whole, name))
        self.number += 1
        if kept is None or not _is_same(kept.infotext, made.infotext):
            yield number, made
        return [made]

    # -- calling it

    def _start(self, chosen: _Chosen, request: GenerationRequest) -> Generator[Any, Any, Any]:
        return started(self._parts, chosen.part, request, self._arguments(chosen))

    def _arguments(self, chosen: _Chosen) -> dict[str, Any]:
        return self._references.called_with(chosen.part.function, chosen.options, "script_options")

    def _next(self, part: ScriptPart, steps: Generator[Any, Any, Any], answer: Any) -> Any:
        return following(self._parts, part, steps, answer)

    def _complete(self, asked: Sequence[GenerationRequest]) -> list[GenerationRequest]:
        """Requests as they would be drawn, and none of them drawn."""
        if len(asked) > MOST:
            raise RequestError(f"{len(asked):,} requests are too many. A job can have {MOST:,} pictures.")
        return [self.plan(one).request for one in asked]

    def _make_room(self, pictures: int) -> None:
        if self.number + pictures > MOST:
            raise RequestError(f"A job can have {MOST:,} pictures, and its script asks for more. Those that are there are kept.")


def counted(parts: Parts, part: ScriptPart, request: GenerationRequest, arguments: Mapping[str, Any]) -> int:
    """How many pictures a script says it makes. Raises PluginError, or a FieldError of its own."""
    if part.count is None:
        return request.pictures
    with called(parts.scripts, part.name):
        answer = part.count(_bare(request), **arguments)
    if not isinstance(answer, int) or isinstance(answer, bool) or answer < 0:
        raise _broken(parts, part, f"counted {answer!r} pictures, where a whole number is due")
    return answer


def started(parts: Parts, part: ScriptPart, request: GenerationRequest, arguments: Mapping[str, Any]) -> Generator[Any, Any, Any]:
    """A script's generator, before its first line. Raises PluginError."""
    with called(parts.scripts, part.name):
        steps = part.function(_bare(request), **arguments)
    if not isinstance(steps, Generator):
        raise _broken(parts, part, f"answered a {type(steps).__name__}, where a generator is due")
    return steps


def following(parts: Parts, part: ScriptPart, steps: Generator[Any, Any, Any], answer: Any) -> Any:
    """What a script yields next: a request, a list of requests, a picture or a text; OVER where it has ended.

    Raises:
        PluginError: it failed, or yielded something else. A FieldError of its own stays one.
    """
    try:
        with called(parts.scripts, part.name):
            try:
                asked = steps.send(answer)
            except StopIteration:
                return OVER
    except PluginError as error:
        if isinstance(error.__cause__, ValidationError):  # a request that cannot be: said as the user is told it
            raise _broken(parts, part, f"made a request that cannot be. {field_error(error.__cause__)}") from error
        raise
    if isinstance(asked, GenerationRequest | Image.Image | str):
        return asked
    if isinstance(asked, Sequence) and asked and all(isinstance(one, GenerationRequest) for one in asked):
        return list(asked)
    raise _broken(parts, part, f"yielded a {type(asked).__name__}, where a request or a picture is due")


def _broken(parts: Parts, part: ScriptPart, what: str) -> WebUIError:
    return PluginError(f"The extension {parts.scripts.owner(part.name)} {what}, in its script {part.name!r}.")


class _Within:
    """Looks on for a part of a job, and tells where that lies in all of it."""

    def __init__(self, run: _Run, observer: Observer, first: int, pictures: int) -> None:
        self.should_stop = observer.should_stop
        self._run, self._observer, self._first, self._pictures = run, observer, first, pictures

    def progress(self, progress: Progress) -> None:
        total = max(self._run.total, self._first + self._pictures)
        fraction = (self._first + progress.fraction * self._pictures) / total
        self._observer.progress(replace(progress, picture=self._first + progress.picture, pictures=total, fraction=fraction))


def _bare(request: GenerationRequest) -> GenerationRequest:
    return replace(request, script="", script_options={})


def _is_same(kept: str, due: str) -> bool:
    """Whether two infotexts are of the same picture."""
    one, other = infotext.read(kept), infotext.read(due)
    fields = [{key: value for key, value in each.fields.items() if key not in _LIKE_ANOTHER_DAY} for each in (one, other)]
    return (one.prompt, one.negative_prompt, fields[0]) == (other.prompt, other.negative_prompt, fields[1])


def _close(steps: Generator[Any, Any, Any]) -> None:
    """Let a generator go, whatever it does on its way out: what came before counts."""
    try:
        steps.close()
    except Exception:  # noqa: BLE001 (a stranger's)
        _log.warning("a script failed when it was ended", exc_info=True)
