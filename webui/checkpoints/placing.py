"""Weights come to where they stay: one copy, in the number format and memory layout that were chosen.

They are read past the mapping of the file, straight into memory that was asked for in one piece. A mapped page that is
copied costs a fault, is held twice until it is let go (both are measured by `webui bench open`), and ends the program where
the file was cut off meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from webui.checkpoints.arithmetic import Arithmetic
from webui.checkpoints.model import Model
from webui.contract.errors import CheckpointReadError

_log = logging.getLogger(__name__)
ALIGNED = 64
"""Bytes at which a tensor begins, for the processor's widest loads."""
PIECE = 2**20
"""Bytes that are converted at a time: they stay in the processor's cache between reading and writing."""
HOST = torch.device("cpu")


class AbandonedError(Exception):
    """Nobody wants the checkpoint any more that is being read."""


def never() -> bool:
    return False


@dataclass(frozen=True)
class Slot:
    """A parameter or buffer of a network, and how it lies in memory."""

    tensor: Tensor
    """Points at whichever copy is to be computed with."""
    shape: torch.Size
    dtype: torch.dtype
    is_last: bool
    """Whether channels come last."""
    is_buffer: bool = False
    """Then it points at a small copy: who deep-copies a tensor that is no parameter copies all of the memory it lies in."""

    @property
    def bytes(self) -> int:
        return _aligned(self.shape.numel() * self.dtype.itemsize)


def slots_of(model: Model, arithmetic: Arithmetic) -> list[Slot]:
    """All tensors of a model as they are to be: parameters in the chosen arithmetic, buffers in their own."""
    slots = []
    for network in model.networks:
        has_last = arithmetic.channels_last and (network is model.unet or network is model.autoencoder)
        for parameter in network.parameters():
            slots.append(Slot(parameter, parameter.shape, arithmetic.dtype, has_last and parameter.ndim == 4))
        slots += [Slot(buffer, buffer.shape, buffer.dtype, False, is_buffer=True) for buffer in network.buffers()]
    return slots


def place(
    model: Model,
    device: torch.device,
    arithmetic: Arithmetic,
    is_unwanted: Callable[[], bool] = never,
    other: Path | None = None,
    is_shared: bool | None = None,
    slots: Sequence[Slot] | None = None,
) -> Weights:
    """Read the networks' weights into host memory. Nothing hangs on the file afterwards.

    Args:
        other: a file that some of them lie on beside the model's own.
        is_shared: see Weights.
        device: they will be computed on; for a graphics card they are locked in memory, so that a copy need not wait.
        is_unwanted: asked between tensors whether to give up.

    Raises:
        CheckpointReadError: the file has become shorter, or cannot be read.
        AbandonedError
    """
    model.memory_format = arithmetic.memory_format
    slots = slots_of(model, arithmetic) if slots is None else slots
    with torch.inference_mode(False):
        room = Room(sum(slot.bytes for slot in slots), is_locked=device.type == "cuda")
        views = room.views(slots)
        with MappedFile(model.path, other) as file:
            for slot, view in zip(slots, views, strict=True):
                if is_unwanted():
                    raise AbandonedError
                file.copy(slot.tensor.data, view)
        return Weights(slots, room, device, is_shared)


class Weights:
    """The tensors of a model in one piece: in host memory, on the device, or on both. Not for several threads at once.

    A move is one copy of that piece, and pointing the networks' tensors at the other one (1 ms for SD 1.5); the networks stay.

    Args:
        room: their values in host memory.
        device: where they are computed with.
        is_shared: whether host memory is the device's memory; None: on a processor.
    """

    def __init__(self, slots: Sequence[Slot], room: Room, device: torch.device, is_shared: bool | None = None) -> None:
        self._slots, self._device = list(slots), device
        self.bytes = sum(slot.bytes for slot in slots)
        self.is_shared = device.type == "cpu" if is_shared is None else is_shared
        self._host: Room | None = room
        self._here: Room | None = room if self.is_shared else None
        self._point(room)

    @property
    def is_on_device(self) -> bool:
        return self._here is not None

    @property
    def is_on_host(self) -> bool:
        """Whether there is a copy that a device without them would be filled from."""
        return self._host is not None

    def to_device(self) -> None:
        """Be ready to compute with. The copy in host memory stays."""
        if self._here is None and self._host is not None:
            with torch.inference_mode(False):
                self._here = Room(self.bytes, self._device)
                self._here.fill(self._host)
                self._point(self._here)

    def leave_device(self) -> None:
        """Give the device's memory back. What was not in host memory is copied there first."""
        if self.is_shared or self._here is None:
            return
        with torch.inference_mode(False):
            if self._host is None:
                self._host = Room(self.bytes, is_locked=self._device.type == "cuda")
                self._host.fill(self._here)
            self._point(self._host)
            self._here = None

    def leave_host(self) -> None:
        """Give host memory back that is only a copy of what is on the device."""
        if not self.is_shared and self._here is not None:
            self._host = None

    def _point(self, room: Room) -> None:
        for slot, view in zip(self._slots, room.views(self._slots), strict=True):
            slot.tensor.data = view.clone() if slot.is_buffer else view


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


class Room:
    """Memory for the weights of a model in one piece: given back as a whole, when none of them is used any more.

    Args:
        size: in bytes.
        device: whose memory.
        is_locked: whether a graphics card may read it by itself (host memory).
    """

    def __init__(self, size: int, device: torch.device = HOST, is_locked: bool = False) -> None:
        if device.type == "cpu":
            # no pages of 2 MB (madvise): a quarter of the time where memory is free, ten times as much where it holds files
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE if hasattr(mmap, "MAP_POPULATE") else None
            pages = _Pages(-1, max(size, 1)) if flags is None else _Pages(-1, max(size, 1), flags=flags)
            self.bytes = torch.frombuffer(pages, dtype=torch.uint8)
            if is_locked:
                pages.lock(self.bytes)
        else:
            self.bytes = torch.empty(max(size, 1), dtype=torch.uint8, device=device)
        self._next = 0

    def take(self, shape: torch.Size, dtype: torch.dtype, is_last: bool) -> Tensor:
        """The next tensor; is_last: a (O, I, H, W) with its channels last in memory."""
        size = shape.numel() * dtype.itemsize
        flat = self.bytes[self._next : self._next + size].view(dtype)
        self._next += _aligned(size)
        if is_last:
            return flat.view(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
        return flat.view(shape)

    def views(self, slots: Sequence[Slot]) -> list[Tensor]:
        """All tensors of some slots, from the beginning."""
        self._next = 0
        return [self.take(slot.shape, slot.dtype, slot.is_last) for slot in slots]

    def fill(self, other: Room) -> None:
        """Take the values of another one. A card copies them on a stream of its own, beside what it computes."""
        card = next((room.bytes.device for room in (self, other) if room.bytes.device.type == "cuda"), None)
        if card is None:
            self.bytes.copy_(other.bytes)
            return
        stream = torch.cuda.Stream(card)
        stream.wait_stream(torch.cuda.current_stream(card))  # this memory may be another tensor's that is still computed with
        with torch.cuda.stream(stream):
            self.bytes.copy_(other.bytes, non_blocking=True)
        stream.synchronize()


class _Pages(mmap.mmap):
    """Anonymous memory, which is unlocked before it is given back."""

    address = 0

    def lock(self, tensor: Tensor) -> None:
        """Let cards read it by themselves, at its very size: torch's own allocator asks for the next power of two. Where that is
        refused, copies are slower and nothing else."""
        if refused := int(torch.cuda.cudart().cudaHostRegister(tensor.data_ptr(), tensor.numel(), 0)):
            _log.warning("%.1f GB of host memory could not be locked (CUDA error %d)", tensor.numel() / 1e9, refused)
        else:
            self.address = tensor.data_ptr()

    def __del__(self) -> None:
        if self.address:
            with contextlib.suppress(RuntimeError, AttributeError, TypeError):  # the program may be ending
                torch.cuda.cudart().cudaHostUnregister(self.address)


@dataclass(frozen=True)
class Range:
    """Addresses of this process at which a file is mapped."""

    low: int
    high: int
    place: int
    """In the file, of the first address."""
    descriptor: int


class MappedFile:
    """The files (or the files of folders) on which tensors are mapped, read at their places in them.

    Where the system does not tell which addresses those are (Linux does), and for tensors that lie on no file, it is a
    plain copy.
    """

    def __init__(self, *paths: Path | None) -> None:
        self._paths = [path for path in paths if path is not None]
        self._ranges: list[Range] = []
        self._piece = bytearray(PIECE)

    def __enter__(self) -> MappedFile:
        if self._paths and hasattr(os, "preadv"):
            self._ranges = _mapped_ranges(self._paths)
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in {piece.descriptor for piece in self._ranges}:
            os.close(descriptor)

    def copy(self, source: Tensor, target: Tensor) -> None:
        """The source's values into the target, of the same shape, in its number format and layout.

        Raises:
            CheckpointReadError: the file has become shorter since it was mapped, or cannot be read.
        """
        place = self._place_of(source)
        if place is None:
            target.copy_(source)
        elif not source.is_contiguous():
            target.copy_(self._whole(source, place))
        elif source.dtype == target.dtype and target.is_contiguous():
            self._read(target.detach().flatten().view(torch.uint8).numpy().data, place)
        else:
            self._convert(source, target, place)

    def _place_of(self, tensor: Tensor) -> tuple[int, int] | None:
        """(descriptor, place in the file) where a tensor begins; None where it does not lie on it."""
        if not self._ranges or tensor.device.type != "cpu" or not tensor.numel():
            return None
        start = tensor.data_ptr()
        end = start + _span(tensor) * tensor.element_size()
        fits = (piece for piece in self._ranges if piece.low <= start and end <= piece.high)
        return next(((piece.descriptor, start - piece.low + piece.place) for piece in fits), None)

    def _read(self, target: memoryview, place: tuple[int, int]) -> None:
        descriptor, start = place
        done, name = 0, self._paths[0].name
        while done < len(target):
            try:
                read = os.preadv(descriptor, [target[done:]], start + done)
            except OSError as error:
                raise CheckpointReadError(f"{name} cannot be read: {error.strerror or error}.") from None
            if read <= 0:
                raise CheckpointReadError(f"{name} was cut off while it was read. Try again when it is whole.")
            done += read

    def _whole(self, source: Tensor, place: tuple[int, int]) -> Tensor:
        """A copy of a tensor that does not lie in the file row by row (transposed, or every second column)."""
        data = bytearray(_span(source) * source.element_size())
        self._read(memoryview(data), place)
        return torch.frombuffer(data, dtype=source.dtype).as_strided(source.shape, source.stride())

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
            self._read(memoryview(self._piece)[:size], begins)
            part.copy_(torch.frombuffer(self._piece, dtype=source.dtype, count=part.numel()).view(part.shape))


def _span(tensor: Tensor) -> int:
    """Values from the first to the last one of a tensor, as they lie in memory."""
    return 1 + sum((side - 1) * step for side, step in zip(tensor.shape, tensor.stride(), strict=True))


def _mapped_ranges(paths: Sequence[Path]) -> list[Range]:
    """Where this process maps files, or files of folders; each file is opened once, to be closed by the caller."""
    try:
        files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
        wanted = {str(file.resolve()) for file in files}  # of a folder also where its links lead
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found: list[Range] = []
    opened: dict[str, int] = {}
    for line in lines:
        fields = line.split(None, 5)
        if len(fields) < 6 or fields[5] not in wanted:
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
    for descriptor in set(opened.values()) - {piece.descriptor for piece in found} - {-1}:
        os.close(descriptor)
    return found
