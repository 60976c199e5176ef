"""SHA-256 of files of weights: at once, or behind everything else that the machine does."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

PIECE = 8 * 2**20
LOWEST = 19


def digest_of(path: Path, is_gentle: Callable[[], bool] | None = None) -> str | None:
    """SHA-256 of a file, in hex.

    Args:
        is_gentle: asked between pieces of 8 MB. True: rest as long as the last piece took, so that at most half of the disk's
            time is taken. It may wait, and it may raise Stopped to give up.

    Returns:
        None where it was given up.

    Raises:
        OSError: the file cannot be read.
    """
    state = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        piece = memoryview(bytearray(PIECE))
        left = os.fstat(file.fileno()).st_size  # a file that grows as quickly as it is read would be read for ever
        while left > 0:
            began = time.monotonic()
            length = file.readinto(piece[: min(PIECE, left)])
            if not length:
                break
            left -= length
            state.update(piece[:length])
            try:
                if is_gentle is not None and is_gentle():
                    time.sleep(min(time.monotonic() - began, 1.0))
            except Stopped:
                return None
    return state.hexdigest()


class Stopped(Exception):
    """Nobody wants the digest any more."""


def lower_priority() -> None:
    """Let everything else go first, as far as the system allows it for one thread (Linux does)."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)
