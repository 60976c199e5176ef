"""How much memory there is, by which tiles are cut, and what happens where it runs out. What a picture needs: estimate.py."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil
import torch

from webui.contract.errors import MemoryLimitError
from webui.contract.parts import Family

KEEP_FREE = 256 * 2**20
"""Bytes that are left to the rest of the machine."""
DEVICE_SHARE = 0.75
"""Of a graphics card's free memory at start, for the weights of checkpoints that are kept on it; the rest is left to pictures."""


def best_device(cpu_only: bool = False) -> torch.device:
    """The device to compute on: the first graphics card, Apple's, or the CPU."""
    if not cpu_only and torch.cuda.is_available():
        return torch.device("cuda", 0)
    if not cpu_only and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be used on the device."""
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    available = int(psutil.virtual_memory().available)
    return available if (left := _left_in_container()) is None else min(available, left)


def _left_in_container(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container's limit leaves (cgroup 2): the machine's free memory says nothing of it, and who goes beyond is ended.
    None: there is no limit."""
    try:
        limit, used = (int((folder / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        lines = (line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        cached = next(int(line[1]) for line in lines if line[0] == "inactive_file")  # pages of files, given back when wanted
    except (OSError, ValueError, StopIteration, IndexError):  # "max", or no such container
        return None
    return max(limit - used + cached, 0)


def total_bytes(device: torch.device) -> int:
    """Bytes that the device has in all: what does not change while the program runs, so decisions made by it stay the same."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return _machine_bytes()


@cache
def _machine_bytes() -> int:
    return int(psutil.virtual_memory().total)


def decoding_bytes(family: Family, pixels: int, bytes_per_value: int = 4) -> int:
    """About the most that decoding so many pixels at once needs: the decoder's last level works on whole pixels with its
    two narrowest widths (a convolution holds its input, its output and the shortcut)."""
    return pixels * 7 * family.decoder_width * bytes_per_value


def network_bytes(family: Family, pictures: int, pixels: int, bytes_per_value: int = 4) -> int:
    """About the most that the U-Net needs: its first level holds both guidance sides of all skip connections."""
    cells = pixels // family.latent_factor**2
    return 2 * pictures * cells * 24 * family.network_width * bytes_per_value


def room(device: torch.device) -> int:
    """Bytes that a picture may take."""
    return free_bytes(device) - KEEP_FREE


class RanOutError(MemoryLimitError):
    """Memory ran out on the way, although there should have been enough."""


@contextmanager
def shortage(width: int, height: int) -> Iterator[None]:
    """Running out of memory inside the block becomes a sentence, and what the failed attempt held is given back.

    Raises:
        RanOutError
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_shortage(error):
            raise
        error.__traceback__ = None  # its frames hold the tensors that did not fit
        release()
        raise RanOutError(
            f"Not enough memory for {width} x {height}: it ran out on the way. "
            "Try a smaller size or batch; everything else goes on."
        ) from None


WORDS = ("allocate memory", "out of memory", "not enough memory", "alloc_failed")
"""By which libraries tell a shortage that raise a plain RuntimeError for it."""


def _is_shortage(error: Exception) -> bool:
    if not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError):
        return True
    return any(word in str(error).lower() for word in WORDS)


def release() -> None:
    """Give back what is held for later, or in circles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
