"""Tells extensions what happens. Each has a thread of its own, so that one that is slow, or hangs, holds up nobody else.

Whoever tells only puts the event down, which takes microseconds. What waits for one extension is bounded: where more than BEHIND
events wait, a step takes the place of the one before it, or is left out; of the others nothing is. One that is MOST events or
LETTERS letters behind has stopped listening: what waits is dropped, it is told of nothing more in this run, and the Extensions
tab says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pluggy

from webui.checkpoints.catalog import Entry
from webui.contract.happenings import (
    CheckpointLoaded,
    ImageFinished,
    ImageSaved,
    JobStarted,
    SettingsChanged,
    StepFinished,
)
from webui.contract.own import Own
from webui.contract.settings import Settings
from webui.plugins import manager
from webui.workspace.jobs import Event, Job
from webui.workspace.troubles import Troubles

_log = logging.getLogger(__name__)
HOOKS: dict[type[Any], str] = {
    JobStarted: "job_started",
    StepFinished: "step_finished",
    ImageFinished: "image_finished",
    ImageSaved: "image_saved",
    CheckpointLoaded: "checkpoint_loaded",
    SettingsChanged: "settings_changed",
}
BEHIND = 200
"""Events that may wait before steps are left out."""
MOST = 10_000
"""Events that may wait in all, and"""
LETTERS = 50_000_000
"""the letters in them."""
MOMENT = 1.0
"""Seconds that the end of the program waits for all extensions together."""


class Listener:
    """One extension, and what it has not been told yet.

    Args:
        plugin: a module or object with hook implementations.
        own: what is the extension's own.
        fail: (hook, what it raised or a sentence).
    """

    def __init__(self, name: str, plugin: Any, own: Own, fail: Callable[[str, BaseException | str], None]) -> None:
        self.name = name
        self._own, self._fail = own, fail
        self._asked = manager()
        self._asked.register(plugin, name=name)
        heard = {caller.name for caller in self._asked.get_hookcallers(plugin) or ()}
        self.hears = frozenset(kind for kind, hook in HOOKS.items() if hook in heard)
        """Kinds of events that it has a handler for."""
        self._waiting: deque[Any] = deque()
        self._letters = 0
        self._changed = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name=f"events of {name}", daemon=True)
        if self.hears:
            self._thread.start()

    def put(self, event: Any) -> None:
        """Put an event down. Never waits for the extension, and never raises."""
        if type(event) not in self.hears:
            return
        with self._changed:
            if self._is_over:
                return
            if isinstance(event, StepFinished) and len(self._waiting) >= BEHIND:
                if isinstance(self._waiting[-1], StepFinished) and self._waiting[-1].job == event.job:
                    self._waiting[-1] = event
                return
            self._waiting.append(event)
            self._letters += _letters(event)
            has_stopped = len(self._waiting) > MOST or self._letters > LETTERS
            if has_stopped:
                self._end()
            self._changed.notify()
        if has_stopped:
            self._fail(HOOKS[type(event)], "It has not kept up with what happens, and is told of nothing more in this run.")

    def finish(self) -> None:
        """Tell what waits, then end."""
        with self._changed:
            self._waiting.append(None)
            self._changed.notify()

    def join(self, seconds: float) -> bool:
        """Whether it came to an end in that time."""
        if self.hears:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _end(self) -> None:
        self._is_over = True
        self._waiting.clear()
        self._waiting.append(None)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                event = self._waiting.popleft()
                self._letters -= _letters(event)
            if event is None:
                return
            hook = HOOKS[type(event)]
            try:
                getattr(self._asked.hook, hook)(event=event, own=self._own)
            except BaseException as error:  # noqa: BLE001 (its thread: whatever it raises, SystemExit too, is told, and no end)
                self._fail(hook, error)


class Telling:
    """What happens, told to all extensions that want to know.

    Args:
        plugins: those that run; None: there are none.
        own: an extension's name to what is its own.
        troubles: takes what they raise.
        outputs: the folder below which pictures are saved.
    """

    def __init__(
        self, plugins: pluggy.PluginManager | None, own: Callable[[str], Own], troubles: Troubles, outputs: Path
    ) -> None:
        self._outputs = outputs
        self._told: dict[str, tuple[set[int], set[int]]] = {}
        self.listeners = tuple(self._listeners(plugins, own, troubles))

    @staticmethod
    def _listeners(plugins: pluggy.PluginManager | None, own: Callable[[str], Own], troubles: Troubles) -> Iterable[Listener]:
        for name, plugin in plugins.list_name_plugin() if plugins else ():
            found = plugins.get_hookcallers(plugin) if plugins and plugin is not None else None
            if not any(caller.name in HOOKS.values() for caller in found or ()):
                continue
            made = Listener(name, plugin, own(name), lambda hook, error, name=name: troubles.add(name, hook, error))  # type: ignore[misc]
            yield made

    def tell(self, event: Any) -> None:
        for listener in self.listeners:
            listener.put(event)

    # -- where events come from

    def of_queue(self, event: Event) -> None:
        """An event of the queue's log, told as the contract has it. Called in the queue's threads, in order."""
        job = event.job
        if not self.listeners or job is None:
            return
        if event.kind == "started":
            there = {image.index for image in job.images}  # of an earlier run of the program
            self._told[job.id] = there, {image.index for image in job.images if image.path}
            self.tell(JobStarted(job.id, job.tab, job.request, job.pictures))
        elif event.kind == "progress":
            self.tell(StepFinished(job.id, job.step, job.steps, job.picture, job.pictures, job.fraction))
        elif event.kind in ("image", "saved"):
            self._images(job)
        elif job.has_ended or event.kind == "removed":
            self._told.pop(job.id, None)

    def _images(self, job: Job) -> None:
        finished, saved = self._told.setdefault(job.id, (set(), set()))
        for image in job.images:
            if image.index not in finished:
                finished.add(image.index)
                self.tell(ImageFinished(job.id, image.index, image.width, image.height, image.seed, image.infotext))
            if image.path and image.index not in saved:
                saved.add(image.index)
                self.tell(ImageSaved(job.id, image.index, self._outputs / image.path, image.infotext))

    def of_checkpoint(self, entry: Entry) -> None:
        """A checkpoint came into memory."""
        self.tell(CheckpointLoaded(entry.title, entry.family.name if entry.family else "", entry.path))

    def of_settings(self, before: Settings, now: Settings) -> None:
        """The user's settings may have changed."""
        if before != now:
            self.tell(SettingsChanged(before.model_dump(), now.model_dump()))

    def close(self) -> None:
        """Let each be told what waits for it, but wait for all of them together no longer than MOMENT."""
        until = time.monotonic() + MOMENT
        for listener in self.listeners:
            listener.finish()
        for listener in self.listeners:
            if not listener.join(max(0.0, until - time.monotonic())):
                _log.warning("extension %s was still busy with what it was told when the program ended", listener.name)


def _letters(event: Any) -> int:
    """About how much memory an event keeps."""
    if event is None:
        return 0
    count = 200
    with suppress(AttributeError):
        count += len(event.infotext)
    for one in fields(event.request) if isinstance(event, JobStarted) else ():
        value = getattr(event.request, one.name)
        count += len(value) if isinstance(value, str) else 0
    return count
