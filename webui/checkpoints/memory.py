"""How much memory there is, and how much a picture needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    return int(psutil.virtual_memory().available)


def total_bytes(device: torch.device) -> int:
    """Bytes that the device has in all: what does not change while the program runs, so decisions made by it stay the same."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return int(psutil.virtual_memory().total)


def decoding_bytes(family: Family, pixels: int, bytes_per_value: int = 4) -> int:
    """About the most that decoding so many pixels at once needs: the decoder's last level works on whole pixels with its
    two narrowest widths (a convolution holds its input, its output and the shortcut)."""
    return pixels * 7 * family.decoder_width * bytes_per_value


def network_bytes(family: Family, pictures: int, pixels: int, bytes_per_value: int = 4) -> int:
    """About the most that the U-Net needs: its first level holds both guidance sides of all skip connections."""
    cells = pixels // family.latent_factor**2
    return 2 * pictures * cells * 24 * family.network_width * bytes_per_value


def picture_bytes(family: Family, batch: int, width: int, height: int, network_tile: int = 0, decoder_tile: int = 0) -> int:
    """About the most that a batch needs beyond the weights. The pictures of a batch are decoded one by one.

    Args:
        network_tile, decoder_tile: pixels of a side of what each sees at once; 0: all.
    """
    seen, decoded = (min(width, tile or width) * min(height, tile or height) for tile in (network_tile, decoder_tile))
    return max(decoding_bytes(family, decoded), network_bytes(family, batch, seen)) + batch * width * height * 16


def require(needed: int, device: torch.device, width: int, height: int, batch: int) -> None:
    """Refuse what cannot fit, before anything is allocated.

    Raises:
        MemoryLimitError: with the size that would fit.
    """
    free = free_bytes(device) - KEEP_FREE
    if needed <= free:
        return
    share = max(0.0, free / needed)
    side = int((width * height * share) ** 0.5) // 64 * 64
    ways = [f"Try {side} x {side}" if side >= 64 else "Close other programs", *(["a smaller batch"] if batch > 1 else [])]
    raise MemoryLimitError(
        f"Not enough memory for {width} x {height}: it needs {needed / 1e9:.1f} GB, {max(free, 0) / 1e9:.1f} GB are free. "
        f"{', or '.join(ways)}."
    )


@contextmanager
def shortage(width: int, height: int) -> Iterator[None]:
    """Running out of memory inside the block becomes a sentence, and what the failed attempt held is given back.

    Raises:
        MemoryLimitError
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        is_shortage = (
            not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
        )
        if not is_shortage:
            raise
        error.__traceback__ = None  # its frames hold the tensors that did not fit
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise MemoryLimitError(
            f"Not enough memory for {width} x {height}: it ran out on the way. "
            "Try a smaller size or batch; everything else goes on."
        ) from None
