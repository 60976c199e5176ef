"""The queue: a job lives here, not in a page. It is on the disk before it is acknowledged, and goes on after a restart."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image

from webui.contract.errors import Interrupted, QueueFullError, RequestError, SaveError, UnknownJobError, WebUIError
from webui.contract.request import Request
from webui.contract.result import Kept, KeptImage, Progress, Result
from webui.engine.company import Company
from webui.engine.watch import Observer
from webui.workspace import drawing, pictures, turns
from webui.workspace.events import EventLog, Subscription
from webui.workspace.files import read_json, write_json
from webui.workspace.gallery import Gallery
from webui.workspace.jobs import Event, Job, JobImage, from_dict
from webui.workspace.machine import Machine
from webui.workspace.settings import SettingsStore

_log = logging.getLogger(__name__)
Prepare = Callable[[Request, str], drawing.Prepared]
Draw = Callable[[Request, Observer, Kept], Iterator[tuple[int, Result]]]
WAITING = 1000
"""Jobs that may wait."""
HISTORY = 200
"""Ended jobs that are remembered."""
RECENT = 64
"""Pictures that stay in memory, and"""
RECENT_PIXELS = 2**28
"""their pixels together."""
TOGETHER = 4
"""Jobs that are drawn side by side."""
ATTEMPTS = 2
"""Starts of the program that may end in the middle of a job before it is set aside."""


class JobQueue:
    """Draws jobs one after the other, and side by side where that is quicker, in a thread of its own.

    Args:
        prepare: (request, tab) -> the request filled in and checked (RequestError, CheckpointError), and what its job will be.
        draw: (complete request, observer, the pictures that are there) -> (number, picture) of the others.
        gallery: saves pictures.
        settings: read when a picture is saved.
        folder: one JSON file a job.
        starts: whether to go on with what the folder holds and draw; else the folder is left alone.
        previews_at_once: whether previews are drawn by the machine's thread when anybody listens, or by whoever asks for one.
        heard: see EventLog.
        may_share: (request, those that are being drawn) -> whether they are quicker side by side.
        is_ready: whether the checkpoint of a title is on the device; jobs that need no swap may go first (webui.workspace.turns).
    """

    def __init__(
        self,
        prepare: Prepare,
        draw: Draw,
        gallery: Gallery,
        settings: SettingsStore,
        folder: Path,
        starts: bool = True,
        previews_at_once: bool = False,
        heard: Callable[[Event], None] = lambda _: None,
        may_share: Callable[[Request, Sequence[Request]], bool] = lambda _one, _others: False,
        is_ready: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._prepare = prepare
        self._draw = draw
        self._gallery = gallery
        self._settings = settings
        self._folder = folder
        self._changed = threading.Condition(threading.RLock())
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._attempts: dict[str, int] = {}
        self._stop: set[str] = set()
        self._closing = False
        self._pauses = 0
        self._previews: dict[str, Progress] = {}
        self._recent: OrderedDict[tuple[str, int], tuple[Result, bytes]] = OrderedDict()
        self._events = EventLog(heard)
        self.machine = Machine()
        """Whoever computes does so there: the job that runs, or a live stream between two jobs."""
        self._previews_at_once = previews_at_once
        self._may_share, self._is_ready = may_share, is_ready
        self._saver = ThreadPoolExecutor(1, "save")
        self._endings: list[Future[None]] = []
        self._worker = threading.Thread(target=self._work, name="jobs", daemon=True)
        if starts:
            self._take_up()
            self._worker.start()

    # -- asking

    def submit(self, request: Request, *, tab: str = "txt2img", save: bool = True) -> Job:
        """Check a request and put it at the end.

        Args:
            tab: where it came from; decides the folder its pictures are saved in.
            save: whether its pictures are saved.

        Raises:
            RequestError, CheckpointError: nothing was queued.
            SaveError: the job could not be written down, so it was not taken.
        """
        made = self._prepare(request, tab)
        with self._changed:
            if sum(not job.has_ended for job in self._jobs.values()) >= WAITING:
                raise QueueFullError(f"The queue is full: {WAITING} jobs are waiting. Wait for some to finish, or remove some.")
            job = Job(id=uuid.uuid4().hex, tab=tab, request=made.request, created=time.time(), save=save, notes=made.notes)
            job = replace(job, pictures=made.pictures, steps=drawing.steps_of(made.request))
            self._write(job)
            self._set("queued", job)
        return job

    def job(self, job_id: str) -> Job:
        """Raises UnknownJobError."""
        with self._changed:
            if job_id not in self._jobs:
                raise UnknownJobError(f"No job has the number {job_id[:40]!r}. It may have been removed.")
            return self._jobs[job_id]

    def jobs(self) -> list[Job]:
        """The oldest first."""
        with self._changed:
            return list(self._jobs.values())

    def running(self) -> Job | None:
        return next((job for job in self.jobs() if job.state == "running"), None)

    @property
    def has_work(self) -> bool:
        """Whether a job runs or waits."""
        with self._changed:
            return any(not job.has_ended for job in self._jobs.values())

    def interrupt(self, job_id: str | None = None) -> bool:
        """End a job within one network call (None: the one that runs); a waiting one is taken off the queue.

        Returns:
            Whether there was something to end. Finished pictures are kept.

        Raises:
            UnknownJobError
        """
        with self._changed:
            job = self.job(job_id) if job_id else self.running()
            if job is None or job.has_ended:
                return False
            if job.state == "waiting":
                self._end(job, "interrupted")
            else:
                self._stop.add(job.id)
            return True

    def remove(self, job_id: str) -> None:
        """Forget a job that has ended, or take a waiting one away. Its pictures stay.

        Raises:
            UnknownJobError
            RequestError: it is running.
        """
        with self._changed:
            job = self.job(job_id)
            if job.state == "running":
                raise RequestError("This job is running. Interrupt it first.")
            self._forget(job)
            self._events.publish("removed", job)
            self._changed.notify_all()

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """The job when it has ended, or as it is after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.job(job_id).has_ended, timeout)
            return self.job(job_id)

    def picture(self, job_id: str, index: int) -> Result | None:
        """A recent picture, as it was made; None when it is only on the disk, or not there."""
        with self._changed:
            found = self._recent.get((job_id, index))
        return found[0] if found else None

    def jpeg(self, job_id: str, index: int) -> bytes | None:
        """A picture as a JPEG with its infotext: ready for recent ones, else made from the saved file."""
        with self._changed:
            found = self._recent.get((job_id, index))
            if found:
                return found[1]
            image = next((image for image in self.job(job_id).images if image.index == index), None)
        path = self._gallery.find(image.path) if image and image.path else None
        if path is None or image is None:
            return None
        with Image.open(path) as opened:
            return pictures.jpeg_bytes(opened.convert("RGB"), image.infotext, 92)

    def preview(self, job_id: str) -> bytes | None:
        """The newest prediction of a running job as a small JPEG."""
        with self._changed:
            progress = self._previews.get(job_id)
        if progress is None or progress.preview is None:
            return None
        buffer = BytesIO()
        progress.preview().save(buffer, "JPEG", quality=80)
        return buffer.getvalue()

    def subscribe(self) -> Subscription:
        """Listen to all jobs; the first event is a snapshot of what there is."""
        with self._changed:
            return self._events.subscribe(self._snapshot)

    def announce(self, kind: str) -> None:
        """Tell all who listen of something that is no job's: "checkpoints" came, changed or went."""
        self._events.publish(kind)

    def _snapshot(self) -> tuple[Job, ...]:
        """All that have not ended, and the last 20 that have."""
        jobs = list(self._jobs.values())
        ended = [job for job in jobs if job.has_ended][-20:]
        return tuple(job for job in jobs if not job.has_ended or job in ended)

    def close(self, timeout: float = 10) -> None:
        """Stop drawing; what is waiting or half-done goes on at the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._worker.is_alive():
            self._worker.join(timeout)
        self._saver.shutdown()
        self.machine.close()

    # -- drawing

    def _work(self) -> None:
        while (job := self._take()) is not None:
            self.machine.do(lambda job=job: self._draw_together(job))  # type: ignore[misc]
            wait(self._endings)
            self._endings.clear()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No job begins while the block runs; what is drawn goes on."""
        with self._changed:
            self._pauses += 1
        try:
            yield
        finally:
            with self._changed:
                self._pauses -= 1
                self._changed.notify_all()

    def _take(self) -> Job | None:
        """The next job, which runs from now on, as soon as there is one; None: the program ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._next() is not None)
            job = None if self._closing else self._next()
            return self._start(job) if job else None

    def _start(self, job: Job) -> Job:
        job = replace(job, state="running", started=time.time())
        self._attempts[job.id] = self._attempts.get(job.id, 0) + 1
        self._write(job)
        self._set("started", job)
        return job

    def _next(self) -> Job | None:
        return None if self._pauses else turns.next_of(self._jobs.values(), self._is_ready, time.time())

    def _draw_together(self, job: Job) -> None:
        """Draw a job, and those that come to its side while it runs. In the machine's thread."""
        company = Company()
        self._join(company, job)
        company.run(lambda: self._let_join(company))

    def _let_join(self, company: Company) -> None:
        """Another job begins where it is its turn and it may be drawn beside those that run."""
        if len(company) >= TOGETHER or not self._settings.now.share_steps or self.machine.is_wanted:
            return
        with self._changed:
            job = None if self._closing else self._next()
            running = [other.request for other in self._jobs.values() if other.state == "running"]
            if job is None or not self._may_share(job.request, running):
                return
            job = self._start(job)
        self._join(company, job)

    def _join(self, company: Company, job: Job) -> None:
        watcher = _Watcher(self, job.id)
        saving: list[Future[None]] = []

        def draw() -> None:
            for number, picture in self._draw(job.request, watcher, self._kept(job)):
                saving.append(self._deliver(job, number, picture))

        def ended(error: BaseException | None) -> None:
            self._endings.append(self._saver.submit(self._finish, job, saving, error))  # behind the last of its pictures

        company.join(draw, ended)

    def _finish(self, job: Job, saving: list[Future[None]], error: BaseException | None) -> None:
        """What became of a job whose pictures are drawn, and saved but for those that could not be."""
        state, words, kind = "finished", "", ""
        try:
            if error is not None:
                raise error
            for future in saving:
                future.result()
        except Interrupted:
            state = "interrupted"
        except WebUIError as problem:
            state, words, kind = "failed", str(problem), _kind(problem)
        except BaseException as problem:  # noqa: BLE001 (whatever happened to one job, the next one is drawn)
            _log.error("job %s failed", job.id, exc_info=problem)
            kind = type(problem).__name__
            state, words = "failed", f"Something went wrong inside the program ({kind}). Its log says more."
        with self._changed:
            if self._closing and state == "interrupted":
                return  # stays "running" on the disk: the next start takes it up
            known = self._jobs[job.id]
            pictures = len(known.images) if state == "finished" else known.pictures  # a script may make others than it said
            self._end(replace(known, error_kind=kind, pictures=pictures), state, words)

    def _kept(self, job: Job) -> Kept:
        """The pictures that a job, taken up again, has on the disk."""
        there = {image.index: image for image in job.images if image.path}

        def kept(number: int) -> KeptImage | None:
            image = there.get(number)
            return KeptImage(image.infotext, lambda: self._opened(image.path), image.notes) if image else None

        return kept

    def _opened(self, path: str) -> Image.Image | None:
        file = self._gallery.find(path)
        if file is None:
            return None
        try:
            with Image.open(file) as opened:
                return opened.convert("RGB")
        except OSError:
            return None

    def _deliver(self, job: Job, number: int, picture: Result) -> Future[None]:
        """Show a finished picture at once, as a JPEG; the file is written behind it."""
        jpeg = pictures.jpeg_bytes(picture.image, picture.infotext, 92)
        width, height = picture.image.size
        notes = tuple(dict.fromkeys((*job.notes, *picture.notes)))
        image = JobImage(number, width, height, str(picture.request.seed), picture.infotext, notes=notes)
        with self._changed:
            self._recent[job.id, number] = (picture, jpeg)
            self._make_room(job)
            known = self._jobs[job.id]
            told = tuple(dict.fromkeys((*known.notes, *notes)))
            self._set("image", replace(known.with_image(image), notes=told))
        return self._saver.submit(self._save, job, image, picture)

    def _make_room(self, running: Job) -> None:
        """Forget the oldest pictures. Those of a running job that saves none stay: they are nowhere else."""
        kept_nowhere_else = "" if running.save else running.id
        old = [key for key in self._recent if key[0] != kept_nowhere_else]
        pixels = sum(picture.image.width * picture.image.height for picture, _ in self._recent.values())
        for key in old:
            if len(self._recent) <= RECENT and pixels <= RECENT_PIXELS:
                return
            gone, _ = self._recent.pop(key)
            pixels -= gone.image.width * gone.image.height

    def _save(self, job: Job, image: JobImage, picture: Result) -> None:
        if not job.save:
            return
        try:
            image = replace(image, path=self._gallery.save(picture, job.tab, self._settings.now))
        except SaveError as problem:
            _log.error("%s", problem)
            image = replace(image, error=str(problem))
        with self._changed:
            changed = self._jobs[job.id].with_image(image)
            self._write_or_log(changed)
            self._set("saved", changed)

    def _should_stop(self, job_id: str) -> bool:
        return job_id in self._stop or self._closing

    def _progress(self, job_id: str, progress: Progress, began: float) -> None:
        settings = self._settings.now
        shows = settings.show_preview and progress.step % settings.preview_every == 0 and progress.step < progress.steps
        if shows and self._previews_at_once and progress.preview is not None and self._events.has_listeners:
            look = progress.preview()
            progress = replace(progress, preview=lambda: look)
        with self._changed:
            job = self._jobs[job_id]
            if shows:
                self._previews[job_id] = progress
            self._set("progress", job.advanced(progress, job.preview + shows, began))

    # -- remembering

    def _set(self, kind: str, job: Job) -> None:
        with self._changed:
            self._jobs[job.id] = job
            self._events.publish(kind, job)
            self._changed.notify_all()

    def _end(self, job: Job, state: str, error: str = "") -> None:
        fraction = 1.0 if state == "finished" else job.fraction
        ended = replace(job, state=state, error=error, ended=time.time(), fraction=fraction, seconds_left=None)  # type: ignore[arg-type]
        self._stop.discard(job.id)
        self._previews.pop(job.id, None)
        self._write_or_log(ended)
        self._set(state, ended)
        for old in [one for one in self._jobs.values() if one.has_ended][:-HISTORY]:
            self._forget(old)

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        self._file(job.id).unlink(missing_ok=True)

    def _file(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"

    def _write(self, job: Job) -> None:
        write_json(self._file(job.id), {**job.to_dict(), "attempts": self._attempts.get(job.id, 0)})

    def _write_or_log(self, job: Job) -> None:
        """A full disk must not end a job whose pictures are there to be shown."""
        try:
            self._write(job)
        except SaveError as problem:
            _log.error("job %s: %s", job.id, problem)

    def _take_up(self) -> None:
        """Read what the last run left: ended jobs are history, the others go on."""
        found: list[Job] = []
        for path in self._folder.glob("*.json"):
            values = read_json(path)
            try:
                job = from_dict(values)
                self._attempts[job.id] = int(values.get("attempts", 0))
            except (KeyError, TypeError, ValueError, RequestError, AttributeError):
                _log.warning("%s is damaged and was left out", path.name)
                path.rename(path.with_suffix(".bad"))
                continue
            found.append(job)
        for job in sorted(found, key=lambda one: one.created):
            self._jobs[job.id] = job
            if job.has_ended:
                continue
            if not job.save:
                self._end(job, "interrupted", "The program stopped before this was drawn, and nobody waits for it any more.")
            elif self._attempts.get(job.id, 0) >= ATTEMPTS and job.state == "running":
                self._end(
                    job,
                    "failed",
                    f"The program ended {ATTEMPTS} times while it drew this, so it was set aside. Try a smaller size.",
                )
            else:
                self._jobs[job.id] = replace(job, state="waiting", images=tuple(image for image in job.images if image.path))


def _kind(problem: WebUIError) -> str:
    """The nearest class of the contract."""
    return next(kind.__name__ for kind in type(problem).__mro__ if kind.__module__ == WebUIError.__module__)


class _Watcher:
    """The engine's observer of one job."""

    def __init__(self, queue: JobQueue, job_id: str) -> None:
        self._queue = queue
        self._id = job_id
        self._began = time.time()

    def should_stop(self) -> bool:
        return self._queue._should_stop(self._id)

    def progress(self, progress: Progress) -> None:
        self._queue._progress(self._id, progress, self._began)
