"""A file of weights, whatever its kind: its header without the weights, or its tensors. Told by content, not by name."""

from __future__ import annotations

import json
import math
import mmap
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from webui.checkpoints.pickled import SMALL, Place, read_pickled, read_place, read_places
from webui.contract.errors import CheckpointReadError

Shapes = Mapping[str, tuple[int, ...]]
SUFFIXES = (".safetensors", ".ckpt")
KINDS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64, "I32": torch.int32,
    "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""Number formats of .safetensors that can be opened."""
LONGEST_HEADER = 100 * 2**20


@dataclass(frozen=True)
class Header:
    """What a file says of its tensors before one of them is read."""

    path: Path
    shapes: Shapes
    kinds: frozenset[str]
    """Number formats of its tensors, as torch calls them ("float16")."""
    places: Mapping[str, Place | tuple[int, int, str]] = field(default_factory=dict, repr=False)
    """Where each tensor lies: in a .safetensors (first byte, last byte, number format)."""

    @property
    def precision(self) -> str:
        """The number format that most of its bytes have; "" where it has no tensor."""
        sizes: dict[torch.dtype, int] = {}
        for place in self.places.values():
            kind = place.dtype if isinstance(place, Place) else KINDS[place[2]]
            size = place.size * kind.itemsize if isinstance(place, Place) else place[1] - place[0]
            sizes[kind] = sizes.get(kind, 0) + size
        return str(max(sizes, key=lambda kind: sizes[kind])).removeprefix("torch.") if sizes else ""

    def value(self, name: str) -> torch.Tensor | None:
        """One small tensor of the file (a schedule, a scale), in float64; None where it is not there, or no such thing."""
        place = self.places.get(name)
        if place is None or math.prod(self.shapes[name]) > SMALL:
            return None
        if isinstance(place, Place):
            tensor = read_place(self.path, place)
            return None if tensor is None else tensor.double()
        start, end, kind = place
        with self.path.open("rb") as file:
            file.seek(start)
            data = bytearray(file.read(end - start))
        return torch.frombuffer(data, dtype=KINDS[kind]).double().reshape(self.shapes[name]) if data else None


def is_pickled(path: Path) -> bool:
    """Whether the file is torch's; the name says nothing (safetensors bytes under .ckpt are common)."""
    with path.open("rb") as file:
        start = file.read(9)
    return start.startswith(b"PK\x03\x04") or (start.startswith(b"\x80") and not start.endswith(b"{"))


def read_header(path: Path) -> Header:
    """Names, shapes and places of all tensors. Reads the header only, a few hundred kilobytes of 7 GB.

    Raises:
        CheckpointReadError: the file is truncated, damaged, or not a file of weights; one sentence says which.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise CheckpointReadError(f"{path.name} is not a file.")
        if is_pickled(path):
            places = read_places(path)
            kinds = frozenset(str(place.dtype).removeprefix("torch.") for place in places.values())
            return Header(path, {name: place.shape for name, place in places.items()}, kinds, places)
        return _read_safetensors(path)
    except OSError as error:
        raise CheckpointReadError(_why(path, error)) from None


def _read_safetensors(path: Path) -> Header:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        begins = file.read(min(length, 2)) if length else b""
        if not begins.startswith(b"{"):
            raise CheckpointReadError(what_it_is(path, start + begins + file.read(64)))
        if length > LONGEST_HEADER:
            raise CheckpointReadError(f"{path.name} is damaged: it claims a header of {length:,} bytes.")
        if 8 + length > size:
            raise CheckpointReadError(truncated(path))
        text = begins + file.read(length - len(begins))
    try:
        values = json.loads(text)
        values.pop("__metadata__", None)
        shapes = {str(name): tuple(int(side) for side in entry["shape"]) for name, entry in values.items()}
        kinds = {name: str(entry["dtype"]) for name, entry in values.items()}
        ranges = {name: (int(entry["data_offsets"][0]), int(entry["data_offsets"][1])) for name, entry in values.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise CheckpointReadError(f"{path.name} is not a checkpoint, or is damaged: its header cannot be read.") from None
    if 8 + length + max((end for _, end in ranges.values()), default=0) > size:
        raise CheckpointReadError(truncated(path))
    if strange := sorted(set(kinds.values()) - set(KINDS)):
        raise CheckpointReadError(
            f"{path.name} holds numbers in the format {strange[0]}, which cannot be read here. Use a file in half precision."
        )
    for name, (start_at, end) in ranges.items():
        if start_at < 0 or end - start_at != math.prod(shapes[name]) * KINDS[kinds[name]].itemsize:
            raise CheckpointReadError(f"{path.name} is damaged: {name[:80]} has not as many numbers as its shape says.")
    places = {name: (8 + length + first, 8 + length + last, kinds[name]) for name, (first, last) in ranges.items()}
    formats = frozenset(str(KINDS[kind]).removeprefix("torch.") for kind in kinds.values())
    return Header(path, shapes, formats, places)


def truncated(path: Path) -> str:
    return f"{path.name} is truncated: it holds less than its header says. Download it again."


STARTS = (
    (b"\xff\xd8\xff", "a JPEG picture"), (b"\x89PNG", "a PNG picture"), (b"RIFF", "a WebP picture"), (b"GIF8", "a GIF picture"),
    (b"<!doc", "a web page: the download failed"), (b"<htm", "a web page: the download failed"),
    (b"<?xml", "a web page: the download failed"), (b"version https://git-lfs", "only a pointer to a large file"),
    (b"GGUF", "in the GGUF format, which is not read here"),
)  # fmt: skip


def what_it_is(path: Path, start: bytes) -> str:
    """What a file is that is no checkpoint, by its first bytes."""
    if not start:
        return f"{path.name} is empty. Download it again."
    text = start.lstrip().lower()
    for mark, what in STARTS:
        if start.startswith(mark) or text.startswith(mark.lower()):
            return f"{path.name} is not a checkpoint. It is {what}."
    return f"{path.name} is not a checkpoint, or is damaged: its header cannot be read."


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors by name, on the mapped file: pages are read when they are first used.

    Raises:
        CheckpointReadError: as read_header.
    """
    try:
        if is_pickled(path):
            return read_pickled(path)
        return _mapped(path)
    except OSError as error:
        raise CheckpointReadError(_why(path, error)) from None


def _mapped(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors on its mapping (copy on write). No page of it is touched: safetensors' own reader
    touches one for each tensor, and a system that maps pages around it in large pieces then holds a quarter of the file."""
    header = _read_safetensors(path)
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise CheckpointReadError(truncated(path))
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    tensors = {}
    for name, place in header.places.items():
        assert not isinstance(place, Place)
        first, _, kind = place
        shape, dtype = header.shapes[name], KINDS[kind]
        count = math.prod(shape)
        if first + count * dtype.itemsize > len(pages):  # it was cut off after its header was read
            raise CheckpointReadError(truncated(path))
        flat = torch.frombuffer(pages, dtype=dtype, count=count, offset=first) if count else torch.empty(0, dtype=dtype)
        tensors[name] = flat.view(shape)
    return tensors


def _why(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path.name} is gone, or is a link that leads nowhere."
    return f"{path.name} cannot be opened: {error.strerror or error}."


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file of a folder in diffusers layout.

    Raises:
        CheckpointReadError: missing, or not a JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointReadError(
            f"{path.parent.parent.name} is not a whole checkpoint: {path.parent.name}/{path.name} is missing."
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointReadError(f"{path.parent.name}/{path.name} cannot be read: {error}.") from None
    if not isinstance(values, dict):
        raise CheckpointReadError(f"{path.parent.name}/{path.name} is not a configuration.")
    return values
