"""What extensions failed in while the program ran, where that ended nothing: told once in the log, and on the Extensions tab."""

from __future__ import annotations

import logging
import threading
import traceback
from dataclasses import dataclass, replace
from typing import Any

_log = logging.getLogger(__name__)
KINDS = 20
"""Kinds of trouble that are kept of one extension, and"""
LETTERS = 20_000
"""the letters of a traceback, its end."""


@dataclass(frozen=True)
class Trouble:
    """One kind: the same error in the same place."""

    where: str
    """The hook, or the part."""
    error: str
    """As it was the last time: "ValueError: ..."."""
    details: str = ""
    """The traceback of the first time; "" where nothing was raised."""
    times: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"where": self.where, "error": self.error, "details": self.details, "times": self.times}


class Troubles:
    """Of all extensions. Safe in any thread; never raises."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, dict[tuple[str, str], Trouble]] = {}

    def add(self, extension: str, where: str, error: BaseException | str) -> None:
        """Something went wrong.

        Args:
            where: the hook ("image_saved") or the part ("reader Comfy").
            error: what was raised, or a sentence that tells it.
        """
        kind = error if isinstance(error, str) else type(error).__name__
        words = error if isinstance(error, str) else _words(error)
        with self._lock:
            kept = self._kept.setdefault(extension, {})
            if (where, kind) in kept:
                known = kept[where, kind]
                kept[where, kind] = replace(known, error=words, times=known.times + 1)
                return
            if len(kept) >= KINDS:
                return
            kept[where, kind] = Trouble(where, words, "" if isinstance(error, str) else _trace(error))
        raised = None if isinstance(error, str) else error
        _log.error("extension %s failed in %s: %s", extension, where, words, exc_info=raised)

    def of(self, extension: str) -> tuple[Trouble, ...]:
        """In the order in which they came first."""
        with self._lock:
            return tuple(self._kept.get(extension, {}).values())


def _words(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (its __str__ is the extension's, too)
        text = ""
    text = " ".join(text.split())[:600].encode("utf-8", "replace").decode("utf-8")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _trace(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 (as above)
        return ""
    return text[-LETTERS:].encode("utf-8", "replace").decode("utf-8")
