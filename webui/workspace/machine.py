"""The one thread that computes, for jobs and live streams alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Machine:
    """Does one thing after the other, in the order in which they were asked for.

    One thread, because OpenMP keeps helpers for each thread that computes: once there are more of them than cores they sleep
    between two loops where they would wait, and small networks take twice as long, until the program ends.
    """

    def __init__(self) -> None:
        self._tasks: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="machine", daemon=True)
        self._thread.start()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for it."""
        return not self._tasks.empty()

    def close(self) -> None:
        """Do what was asked for, and no more."""
        self._tasks.put(None)

    def do(self, task: Callable[[], T]) -> T:
        """What the task answers, when it is its turn. Raises what it raises."""
        if threading.current_thread() is self._thread:
            return task()
        answer: Future[T] = Future()
        self._tasks.put((task, answer))
        try:
            return answer.result()
        finally:
            del answer  # an error holds the frame it passed through, and this one would hold the error

    def _work(self) -> None:
        while (asked := self._tasks.get()) is not None:
            task, answer = asked
            try:
                answer.set_result(task())
            except BaseException as error:  # noqa: BLE001 (handed to whoever asked)
                answer.set_exception(error)
            del asked, task, answer  # what they hold may be large, and the next task may be long in coming
