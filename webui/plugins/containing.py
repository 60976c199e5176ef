"""What an extension may change while it is imported, put back; and a limit to the time that it takes."""

from __future__ import annotations

import ctypes
import logging
import operator
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from itertools import filterfalse
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class Surroundings:
    """What all of the program shares, as it was. Not what an extension leaves behind by itself: modules that it needs stay."""

    def __init__(self) -> None:
        self._variables, self._path, self._folder = dict(os.environ), list(sys.path), os.getcwd()
        self._modules = dict(sys.modules)
        self._streams, self._hooks = (sys.stdin, sys.stdout, sys.stderr), (sys.excepthook, sys.displayhook)
        self._filters, self._meta = list(warnings.filters), (list(sys.meta_path), list(sys.path_hooks))
        root = logging.getLogger()
        self._handlers, self._levels = list(root.handlers), (root.level, root.manager.disable)

    def restore(self, folder: Path | None = None, own: str = "") -> None:
        """Put back what was changed.

        Args:
            folder: of the extension; modules that were imported from there by bare names are forgotten, so that the next
                extension's `helpers` is not this one's. own: name of its package, whose modules stay.
        """
        if dict(os.environ) != self._variables:
            os.environ.clear()
            os.environ.update(self._variables)
        sys.path[:] = self._path
        os.chdir(self._folder)
        sys.stdin, sys.stdout, sys.stderr = self._streams
        sys.excepthook, sys.displayhook = self._hooks
        warnings.filters[:] = self._filters  # type: ignore[index]
        sys.meta_path[:], sys.path_hooks[:] = self._meta
        root = logging.getLogger()
        root.handlers[:] = self._handlers
        if (root.level, root.manager.disable) != self._levels:  # to set them forgets what every logger has worked out
            root.setLevel(self._levels[0])
            logging.disable(self._levels[1])
        if not all(map(operator.is_, map(sys.modules.get, self._modules), self._modules.values())):  # some thousands, so in C
            sys.modules.update(self._modules)
        if folder is None:
            return
        inside = os.path.join(folder, "")
        for name in list(filterfalse(self._modules.__contains__, sys.modules)):
            is_own = name == own or name.startswith(f"{own}.")
            file = None if is_own else getattr(sys.modules[name], "__file__", None)
            if isinstance(file, str) and file.startswith(inside):
                del sys.modules[name]


class Attempt(Generic[T]):
    """Something done in a thread of its own, which may never come to an end."""

    def __init__(self, name: str, do: Callable[[], T]) -> None:
        self.answer: T | None = None
        self.error: BaseException | None = None
        self.details = ""
        self._do, self._began = do, time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def is_over(self, within: float) -> bool:
        """Whether it has ended so many seconds after it began; waits until then."""
        self._thread.join(max(0.0, self._began + within - time.monotonic()))
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Have it raise SystemExit as soon as it runs Python again: else a loop would take half the time of everything."""
        if self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(SystemExit))

    def _run(self) -> None:
        try:
            self.answer = self._do()
        except BaseException as error:  # noqa: BLE001 (it may raise anything, and is told)
            self.error, self.details = error, traceback.format_exc()
