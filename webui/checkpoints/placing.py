"""Weights come to where they stay: one copy, in the number format and memory layout that were chosen.

On the processor they are read past the mapping of the file, straight into memory that was asked for in one piece. A
mapped page that is copied costs a fault, and is held twice until it is let go; both are measured by `webui bench open`.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from webui.checkpoints.arithmetic import Arithmetic
from webui.checkpoints.model import Model

ALIGNED = 64
"""Bytes at which a tensor begins, for the processor's widest loads."""
PIECE = 2**20
"""Bytes that are converted at a time: they stay in the processor's cache between reading and writing."""


def place(model: Model, device: torch.device, arithmetic: Arithmetic) -> None:
    """Bring the networks to a device. Nothing hangs on the file afterwards."""
    model.memory_format = arithmetic.memory_format
    layouts = [
        (parameter, arithmetic.channels_last and parameter.ndim == 4 and network in (model.unet, model.autoencoder))
        for network in model.networks
        for parameter in network.parameters()
    ]
    if device.type == "cpu":
        _place_here(layouts, arithmetic.dtype, model.path)
    else:
        for parameter, is_last in layouts:
            layout = torch.channels_last if is_last else torch.preserve_format
            parameter.data = parameter.data.to(device, arithmetic.dtype, copy=True, memory_format=layout)
    for network in model.networks:
        for buffer in network.buffers():
            buffer.data = buffer.data.to(device, copy=True)


def _place_here(layouts: list[tuple[nn.Parameter, bool]], dtype: torch.dtype, path: Path | None) -> None:
    size = torch.empty(0, dtype=dtype).element_size()
    room = Room(sum(_aligned(parameter.numel() * size) for parameter, _ in layouts))
    with MappedFile(path) as file:
        for parameter, is_last in layouts:
            target = room.take(parameter.shape, dtype, is_last)
            file.copy(parameter.data, target)
            parameter.data = target


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


class Room:
    """Memory for the weights of a model in one piece: given back as a whole, when none of them is used any more.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int) -> None:
        flags = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE} if hasattr(mmap, "MAP_POPULATE") else {}
        self._bytes = torch.frombuffer(mmap.mmap(-1, max(size, 1), **flags), dtype=torch.uint8)
        self._next = 0

    def take(self, shape: torch.Size, dtype: torch.dtype, is_last: bool) -> Tensor:
        """The next tensor; is_last: a (O, I, H, W) with its channels last in memory."""
        size = shape.numel() * torch.empty(0, dtype=dtype).element_size()
        flat = self._bytes[self._next : self._next + size].view(dtype)
        self._next += _aligned(size)
        if is_last:
            return flat.view(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
        return flat.view(shape)


@dataclass(frozen=True)
class Range:
    """Addresses of this process at which a file is mapped."""

    low: int
    high: int
    place: int
    """In the file, of the first address."""
    descriptor: int


class MappedFile:
    """The file (or the files of a folder) on which tensors are mapped, read at their places in it.

    Where the system does not tell which addresses those are (Linux does), and for tensors that lie on no file, it is a
    plain copy.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._ranges: list[Range] = []
        self._piece = bytearray(PIECE)

    def __enter__(self) -> MappedFile:
        if self._path is not None and hasattr(os, "preadv"):
            self._ranges = _mapped_ranges(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in {piece.descriptor for piece in self._ranges}:
            os.close(descriptor)

    def copy(self, source: Tensor, target: Tensor) -> None:
        """The source's values into the target, of the same shape, in its number format and layout."""
        place = self._place_of(source)
        if place is None:
            target.copy_(source)
        elif source.dtype == target.dtype and target.is_contiguous():
            if not self._read(target.detach().flatten().view(torch.uint8).numpy().data, place):
                target.copy_(source)
        else:
            self._convert(source, target, place)

    def _place_of(self, tensor: Tensor) -> tuple[int, int] | None:
        """(descriptor, place in the file) where a tensor begins; None where it does not lie on it in one piece."""
        if not self._ranges or tensor.device.type != "cpu" or not tensor.is_contiguous() or not tensor.numel():
            return None
        start = tensor.data_ptr()
        end = start + tensor.numel() * tensor.element_size()
        fits = (piece for piece in self._ranges if piece.low <= start and end <= piece.high)
        return next(((piece.descriptor, start - piece.low + piece.place) for piece in fits), None)

    def _read(self, target: memoryview, place: tuple[int, int]) -> bool:
        descriptor, start = place
        done = 0
        while done < len(target):
            read = os.preadv(descriptor, [target[done:]], start + done)
            if read <= 0:
                return False
            done += read
        return True

    def _convert(self, source: Tensor, target: Tensor, place: tuple[int, int]) -> None:
        """Row by row through a small piece of memory."""
        rows, width = (source.shape[0], source[0].numel()) if source.ndim else (1, 1)
        step = max(1, PIECE // (width * source.element_size()))
        if width * source.element_size() > len(self._piece):
            self._piece = bytearray(width * source.element_size())
        for first in range(0, rows, step):
            part = target[first : first + step] if source.ndim else target
            size = part.numel() * source.element_size()
            begins = (place[0], place[1] + first * width * source.element_size())
            if not self._read(memoryview(self._piece)[:size], begins):
                target.copy_(source)
                return
            part.copy_(torch.frombuffer(self._piece, dtype=source.dtype, count=part.numel()).view(part.shape))


def _mapped_ranges(path: Path) -> list[Range]:
    """Where this process maps a file, or files of a folder; each file is opened once, to be closed by the caller."""
    try:
        wanted = str(path.resolve())
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found: list[Range] = []
    opened: dict[str, int] = {}
    for line in lines:
        fields = line.split(None, 5)
        if len(fields) < 6 or not (fields[5] == wanted or fields[5].startswith(wanted + os.sep)):
            continue
        low, _, high = fields[0].partition("-")
        try:
            descriptor = opened.setdefault(fields[5], -1)
            if descriptor < 0:
                descriptor = opened[fields[5]] = os.open(fields[5], os.O_RDONLY)
            if os.fstat(descriptor).st_ino != int(fields[4]):
                continue  # another file has taken its place since it was mapped
        except OSError:
            continue
        found.append(Range(int(low, 16), int(high, 16), int(fields[2], 16), descriptor))
    return found
