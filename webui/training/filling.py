"""Arrays on disk that are filled from the front, so that rendering and encoding can be stopped too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from webui.contract.errors import StartError


class Filling:
    """A memory-mapped array, filled from the front; how far is kept beside it."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._mark = path.with_suffix(".filled")
        if path.exists():
            self.array: NDArray = np.lib.format.open_memmap(path, mode="r+")
            if self.array.shape[1:] != shape[1:]:
                raise StartError(f"{path} holds scenes of another size: choose another --state folder.")
            if self.array.shape != shape:
                raise StartError(
                    f"{path} holds {self.array.shape[0]} scenes, not {shape[0]}: "
                    f"add --scenes {self.array.shape[0]}, or choose another --state folder."
                )
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._mark.unlink(missing_ok=True)
            beside = path.with_name(path.name + ".new")
            np.lib.format.open_memmap(beside, mode="w+", dtype=np.dtype(dtype), shape=shape).flush()
            _reserve(beside)
            os.replace(beside, path)
            self.array = np.lib.format.open_memmap(path, mode="r+")
        self.filled = int(self._mark.read_text()) if self._mark.exists() else 0

    def __len__(self) -> int:
        return len(self.array)

    @property
    def is_full(self) -> bool:
        return self.filled == len(self.array)

    def put(self, start: int, values: NDArray) -> None:
        self.array[start : start + len(values)] = values
        self.filled = start + len(values)

    def keep(self) -> None:
        """What was filled in is on disk, and said to be."""
        if isinstance(self.array, np.memmap):
            self.array.flush()
        beside = self._mark.with_name(self._mark.name + ".new")
        beside.write_text(str(self.filled))
        os.replace(beside, self._mark)


def _reserve(path: Path) -> None:
    """Take the disk space now: a mapped file that meets a full disk while it is filled ends the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def fill(
    fillings: Sequence[Filling],
    packs: Iterable[tuple[NDArray, ...]],
    say: Callable[[str], None],
    what: str,
    should_stop: Callable[[], bool],
) -> bool:
    """Put the packs into the arrays, one value of each pack into each, until they are full; False when stopped.

    The first pack stands where the emptiest of them ends.
    """
    at, lines, total = min(filling.filled for filling in fillings), 0, len(fillings[0])
    for values in packs:
        for filling, value in zip(fillings, values, strict=True):
            filling.put(at, value)
        at += len(values[0])
        if at * 20 // total > lines or at == total:
            lines = at * 20 // total
            for filling in fillings:
                filling.keep()
            say(f"{what}: {at:,} of {total:,}")
        if should_stop() and at < total:
            for filling in fillings:
                filling.keep()
            return False
    return True
