"""Live streams: for each viewer only the newest input counts, one thread draws for all, and jobs of the queue go first."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from typing import Any

from PIL import Image

from webui.checkpoints.catalog import Entry
from webui.checkpoints.manager import Checkpoints
from webui.contract.errors import Interrupted, RequestError, WebUIError
from webui.contract.live import LiveInput
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.engine.captured import Captures
from webui.engine.live import Frame, Stream, Wish
from webui.engine.pictures import open_picture
from webui.engine.traced import OFTEN
from webui.workspace.inputs import Inputs
from webui.workspace.queue import JobQueue
from webui.workspace.wishes import Wishes

_log = logging.getLogger(__name__)
STREAMS = 16
"""That may be open at a time."""
UNSHOWN = 2
"""Frames that may be on their way to a viewer: one that is drawn there, and the next."""
REMEMBERED = 32
"""Frames of a stream that can still be kept."""
PATIENCE = 5.0
"""Seconds after which a frame that nobody said was shown no longer holds its stream up."""
LOOK = 0.05
"""Seconds between two looks whether the queue is empty."""
LINGER = 60.0
"""Seconds that recorded networks outlive the last viewer, who may only have reloaded the page. A job ends them at once."""
QUALITY = 85
PICTURE = "live"
"""Name of the stream's picture in its requests."""

Tell = Callable[[dict[str, Any], bytes], None]
"""(what is to be told, a JPEG where it is a frame). Called from the drawing thread; must not wait."""


@dataclass(frozen=True)
class Asked:
    """An input, when it came (by time.perf_counter), and the file of the picture that it repaints, if any."""

    wish: LiveInput
    arrived: float
    picture: bytes


@dataclass(frozen=True)
class Cold:
    """A checkpoint that is to be ready before an input comes, at a size; None: its own."""

    checkpoint: str
    width: int | None = None
    height: int | None = None


@dataclass(eq=False)
class Viewer:
    """One stream. Its methods may be called from any thread."""

    live: Live
    tell: Tell
    stream: Stream
    newest: LiveInput | None = None
    """Not wholly drawn yet."""
    arrived: float = 0.0
    """When it came, by time.perf_counter."""
    cold: Cold | None = None
    picture: bytes = b""
    opened: tuple[bytes, Image.Image | None] = (b"", None)
    wish: Wish | None = None
    """That is drawn."""
    planned: tuple[Any, GenerationRequest] | None = None
    """What the last one's request was, and of what kind of input."""
    frames: int = 0
    drawn: float = 0.0
    """When it was last its turn."""
    unshown: OrderedDict[int, float] = field(default_factory=OrderedDict)
    """Frames on their way, and when they were told."""
    kept: OrderedDict[int, tuple[LiveInput, bytes]] = field(default_factory=OrderedDict)
    """What makes a frame again, with the checkpoint that drew it"""
    checkpoint: str = ""
    """Title that it was told of, and"""
    state: str = ""
    """the state that it was told."""

    def ask(self, wish: LiveInput) -> None:
        """Draw this from now on; whatever was asked before is forgotten."""
        with self.live.changed:
            self.newest, self.arrived = wish, time.perf_counter()
            self.live.changed.notify_all()

    def warm(self, cold: Cold) -> None:
        """Load a checkpoint and draw once with it, so that the first input need not wait; then tell of it."""
        with self.live.changed:
            self.cold = cold
            self.live.changed.notify_all()

    def show(self, picture: bytes) -> None:
        """Take the file of a picture to be repainted, from the next input on. What is wrong with it is told when it is drawn."""
        with self.live.changed:
            self.picture = picture

    def shown(self, frame: int) -> None:
        """That frame, and all before it, are on the viewer's screen."""
        with self.live.changed:
            for number in [one for one in self.unshown if one <= frame]:
                del self.unshown[number]
            self.live.changed.notify_all()

    def keep(self, frame: int) -> str:
        """Queue a job that draws that frame again, with the full decoder, and saves it; the job's id.

        Raises:
            RequestError: the frame is long gone.
            CheckpointError, SaveError
        """
        with self.live.changed:
            found = self.kept.get(frame)
        if found is None:
            raise RequestError("That picture is no longer at hand. Keep the one that is shown now.")
        return self.live.keep(*found)

    def close(self) -> None:
        self.live.leave(self)

    @property
    def asks(self) -> bool:
        """Whether something is to be done for it."""
        return self.newest is not None or self.cold is not None

    def can_take(self, now: float) -> bool:
        """Whether another frame may be on its way to it."""
        return len(self.unshown) < UNSHOWN or now - next(reversed(self.unshown.values())) > PATIENCE


class Live:
    """All streams.

    Args:
        queue: whose jobs go first, and which draws what is kept.
    """

    def __init__(self, checkpoints: Checkpoints, parts: Parts, queue: JobQueue, inputs: Inputs) -> None:
        self._checkpoints, self._parts, self._queue, self._inputs = checkpoints, parts, queue, inputs
        self._wishes, self._captures = Wishes(checkpoints, parts), Captures()
        self.changed = threading.Condition()
        self._viewers: list[Viewer] = []
        self._gone: list[Viewer] = []
        """Who left, and whose walks must end yet."""
        self._thread: threading.Thread | None = None
        self._compiler: threading.Thread | None = None
        self._is_closing = False
        self._left: float | None = None
        """When the last viewer left, by time.monotonic; None: somebody is there, or all is forgotten."""
        self._encoder, self._encoding = ThreadPoolExecutor(1, "encode"), Future[None]()
        """Pictures are encoded in another thread, while the next one is drawn."""
        self._is_on_card = checkpoints.device.type == "cuda"
        self._encoding.set_result(None)

    # -- viewers

    def open(self, tell: Tell) -> Viewer:
        """A new stream.

        Raises:
            RequestError: too many are open.
        """
        with self.changed:
            if self._is_closing or len(self._viewers) >= STREAMS:
                raise RequestError(f"{STREAMS} live streams are open already. Close one of them first.")
            viewer = Viewer(self, tell, Stream(self._parts, self._captures))
            self._viewers.append(viewer)
            self._left = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="live", daemon=True)
                self._thread.start()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        with self.changed:
            viewer.newest = viewer.cold = None
            viewer.kept.clear()
            if viewer in self._viewers:
                self._viewers.remove(viewer)
                self._gone.append(viewer)
            self.changed.notify_all()

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    @property
    def is_compiling(self) -> bool:
        """Whether a compiler is at work behind the streams, which are quicker after it."""
        return self._captures.is_compiling

    @property
    def behind(self) -> int:
        """Inputs that are not drawn yet and frames that are not shown yet, of all viewers."""
        with self.changed:
            return sum((one.newest is not None) + len(one.unshown) for one in self._viewers)

    def close(self, timeout: float = 10) -> None:
        with self.changed:
            self._is_closing = True
            self.changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)
        if self._compiler is not None and not self._is_on_card:  # a trace takes a second; on a card it may be a minute
            self._compiler.join(timeout)
        self._encoder.shutdown(wait=False)

    def keep(self, wish: LiveInput, picture: bytes) -> str:
        """See Viewer.keep."""
        name = self._inputs.put(picture, "picture") if picture else ""
        request = self._wishes.request(wish, self._wishes.entry(wish.checkpoint), name)
        return self._queue.submit(request, tab="turbo").id

    # -- drawing

    def _work(self) -> None:
        while self._turn():
            pass  # a turn forgets its viewer, which may leave while the next one is waited for

    def _turn(self) -> bool:
        """Do the next thing, when there is one. False when all is over."""
        with self.changed:
            while (viewer := self._next()) is None and not self._is_closing and not self._gone and not self._is_forgotten():
                self.changed.wait(self._patience())
            gone, self._gone = self._gone, []
            if self._is_closing:
                gone += self._viewers
        for one in gone:
            one.stream.close()
        with self.changed:
            if gone and not self._viewers:
                self._left = time.monotonic()
            if self._is_forgotten():
                self._captures.forget()
                self._left = None
            if self._is_closing:
                return False
            if viewer is None:
                return True
            (cold, viewer.cold), wish, viewer.drawn = (viewer.cold, None), viewer.newest, time.monotonic()
            asked = None if wish is None else Asked(wish, viewer.arrived, viewer.picture if wish.picture else b"")
        if cold is not None:
            self._try(viewer, None, partial(self._warm, viewer, cold))
        elif asked is not None and self._try(viewer, asked.wish.input, partial(self._draw, viewer, asked)):
            with self.changed:
                if viewer.newest is wish:
                    viewer.newest = None
        return True

    def _is_forgotten(self) -> bool:
        """Whether recorded networks are to go: some time after the last viewer left, and at once when a job wants the memory."""
        return self._left is not None and (time.monotonic() - self._left >= LINGER or self._queue.has_work or self._is_closing)

    def _patience(self) -> float | None:
        """Seconds to wait before looking again: for jobs to end or to come, for a viewer that says nothing; None: until
        something comes."""
        if not any(one.asks for one in self._viewers):
            return None if self._left is None else LOOK
        return LOOK if self._queue.has_work else PATIENCE

    def _next(self) -> Viewer | None:
        """Who waited longest; nobody while jobs are there."""
        asking = [one for one in self._viewers if one.asks]
        if self._queue.has_work:
            for viewer in asking:
                self._state(viewer, "waiting", "A job is drawn first.")
            return None
        now = time.monotonic()
        return min((one for one in asking if one.cold or one.can_take(now)), key=lambda one: one.drawn, default=None)

    def _try(self, viewer: Viewer, number: int | None, do: Callable[[], bool]) -> bool:
        """Whether nothing more is to be done for that input (None: none)."""
        try:
            return do()
        except Interrupted:
            return False  # a newer one is there, or this one comes again when the jobs are done
        except WebUIError as problem:
            words, of = str(problem), getattr(problem, "field", "")
        except Exception as problem:  # noqa: BLE001 (one thread draws for all: whatever one input does, the next is drawn)
            _log.exception("a live input failed")
            words, of = f"Something went wrong inside the program ({type(problem).__name__}). Its log says more.", ""
        self._say(viewer, {"error": words, "input": number, "field": of})
        self._state(viewer, "live", "")  # for the next one
        return True

    def _warm(self, viewer: Viewer, cold: Cold) -> bool:
        """See Viewer.warm."""
        entry = self._wishes.entry(cold.checkpoint)
        about = self._wishes.about(entry)
        wish = LiveInput(input=0, width=cold.width or about["width"], height=cold.height or about["height"])
        request = self._wishes.complete(wish, entry, "", None)
        self._say_loading(viewer, entry)

        def draw() -> None:
            with self._checkpoints.use(entry.title) as model:
                self._state(viewer, "warming", f"Drawing once with {entry.name}.")
                Stream(self._parts, self._captures, flows=False).draw(Wish(request), model, lambda: False, lambda _: None)

        self._queue.machine.do(draw)
        self._compile(1)
        self._say(viewer, {"model": about})
        viewer.checkpoint = entry.title
        self._state(viewer, "live", "")
        return True

    def _draw(self, viewer: Viewer, asked: Asked) -> bool:
        """Whether that was all of the input."""
        wish = asked.wish
        entry = self._wishes.entry(wish.checkpoint)
        if viewer.checkpoint != entry.title:
            self._say(viewer, {"model": self._wishes.about(entry)})
            viewer.checkpoint = entry.title
        image = self._opened(viewer, asked.picture) if asked.picture else None
        request = self._complete(viewer, wish, entry, image)
        self._say_loading(viewer, entry)

        def is_outdated() -> bool:
            return viewer.newest is not wish or self._queue.has_work or self._is_closing

        def draw() -> bool:
            with self._checkpoints.use(entry.title) as model:
                self._state(viewer, "live", "")
                if viewer.wish is None or viewer.wish.of.wish is not wish or viewer.wish.request != request:
                    viewer.wish = Wish(request, image, wish.smooth, asked)
                return viewer.stream.draw(viewer.wish, model, is_outdated, partial(self._deliver, viewer))

        is_drawn = self._queue.machine.do(draw)
        if self._captures.is_due and not self._captures.is_compiling:
            self._compile(OFTEN)
        return is_drawn

    def _compile(self, calls: int) -> None:
        """See Captures.compile_ahead; the stream goes on meanwhile."""
        self._compiler = threading.Thread(target=self._captures.compile_ahead, args=(calls,), name="compile", daemon=True)
        self._compiler.start()

    def _complete(self, viewer: Viewer, wish: LiveInput, entry: Entry, image: Image.Image | None) -> GenerationRequest:
        """What is to be drawn. Words and seed change with each letter, and nothing that is found out here depends on them."""
        kind = (replace(wish, input=0, prompt="", negative_prompt="", seed=0), entry, image)
        if viewer.planned is None or viewer.planned[0] != kind:
            viewer.planned = (kind, self._wishes.complete(wish, entry, PICTURE if image else "", image))
        return replace(viewer.planned[1], prompt=wish.prompt, negative_prompt=wish.negative_prompt, seed=wish.seed)

    def _say_loading(self, viewer: Viewer, entry: Entry) -> None:
        if entry.title not in self._checkpoints.resident():
            self._state(viewer, "loading", f"Loading {entry.name}.")

    def _opened(self, viewer: Viewer, picture: bytes) -> Image.Image | None:
        if viewer.opened[0] is not picture:
            viewer.opened = (picture, open_picture(picture, "picture"))
        return viewer.opened[1]

    def _deliver(self, viewer: Viewer, frame: Frame) -> None:
        """Tell a viewer a frame; one on the way to a better one is left out where the viewer is behind."""
        with self.changed:
            if not frame.is_final and not viewer.can_take(time.monotonic()):
                return
        if not (frame.is_final or self._is_on_card):  # on a processor a call takes longer than this: it may be spared
            return self._tell(viewer, frame)
        before, self._encoding = self._encoding, self._encoder.submit(self._tell, viewer, frame)
        before.result()  # one is enough: whoever runs further ahead shows what is old

    def _tell(self, viewer: Viewer, frame: Frame) -> None:
        asked: Asked = frame.wish.of
        file = BytesIO()
        frame.shot.image().save(file, "JPEG", quality=QUALITY)
        with self.changed:
            viewer.frames += 1
            number = viewer.frames
            viewer.unshown[number] = time.monotonic()
            while len(viewer.unshown) > UNSHOWN:  # one that nobody says was shown
                viewer.unshown.popitem(last=False)
            viewer.kept[number] = (replace(asked.wish, checkpoint=frame.wish.request.checkpoint), asked.picture)
            while len(viewer.kept) > REMEMBERED:
                viewer.kept.popitem(last=False)
        told = {
            "frame": number,
            "input": asked.wish.input,
            "step": frame.step,
            "steps": frame.steps,
            "final": frame.is_final,
            "ms": round(1000 * (time.perf_counter() - asked.arrived), 2),
            "network_ms": round(1000 * frame.stopwatch.seconds(), 2),
            "width": frame.shot.width,
            "height": frame.shot.height,
            "seed": str(frame.wish.request.seed),
            "checkpoint": frame.wish.request.checkpoint,
        }
        self._say(viewer, told, file.getvalue())

    def _state(self, viewer: Viewer, state: str, words: str) -> None:
        if viewer.state != state:
            viewer.state = state
            self._say(viewer, {"state": state, "words": words})

    def _say(self, viewer: Viewer, told: dict[str, Any], frame: bytes = b"") -> None:
        if viewer in self._viewers:
            viewer.tell(told, frame)
