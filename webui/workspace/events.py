"""The event log of the queue: any number of threads listen, none of them can hold up a job."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType

from webui.workspace.jobs import Event, Job

BEHIND = 200
"""Events that a slow listener may be behind before progress is left out for it; nothing else ever is."""


class Subscription:
    """What one listener has not read yet. A context manager; leave it to stop listening."""

    def __init__(self, leave: Callable[[Subscription], None]) -> None:
        self._leave = leave
        self._waiting: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def put(self, event: Event) -> None:
        if event.kind != "progress" or self._waiting.qsize() < BEHIND:
            self._waiting.put(event)

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when none came within `timeout` seconds."""
        try:
            return self._waiting.get(timeout=timeout)
        except queue.Empty:
            return None

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leave(self)


class EventLog:
    """Numbers events and hands them to everyone who listens.

    Args:
        heard: is called with each event too, in the thread in which it happens. It returns at once and never raises. It does
            not count as a listener: nobody looks at previews there.
    """

    def __init__(self, heard: Callable[[Event], None] = lambda _: None) -> None:
        self._heard = heard
        self._lock = threading.Lock()
        self._listeners: list[Subscription] = []
        self._count = 0

    def subscribe(self, snapshot: Callable[[], tuple[Job, ...]]) -> Subscription:
        """Listen from now on; the first event is the snapshot, so nothing falls between it and the next."""
        listener = Subscription(self._leave)
        with self._lock:
            listener.put(Event(self._count, "snapshot", jobs=snapshot()))
            self._listeners.append(listener)
        return listener

    @property
    def has_listeners(self) -> bool:
        return bool(self._listeners)

    def publish(self, kind: str, job: Job | None = None) -> None:
        with self._lock:
            self._count += 1
            event = Event(self._count, kind, job)
            for listener in self._listeners:
                listener.put(event)
            self._heard(event)

    def _leave(self, listener: Subscription) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
