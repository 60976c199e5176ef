"""Reads a .ckpt (torch's zip format, and the one from before 2020) as data: tensors and plain values, never code.

A pickle is a program. This reader runs it on a machine that can build tensors, dictionaries, lists and numbers and
nothing else. Names of foreign classes (the releases' files hold training callbacks beside the weights) become inert
placeholders and are never imported; calling one of them is refused.
"""

from __future__ import annotations

import io
import mmap
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import torch

from webui.contract.errors import CheckpointReadError

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_DTYPES = {"float8_e4m3fn": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2}
"""Number formats that have no storage class of their own."""
_PLAIN: dict[tuple[str, str], Any] = {("collections", "OrderedDict"): OrderedDict}
_MAGIC = 0x1950A86A20F9469CFC6C
"""The first value of a file in the old format."""
LONGEST_DIRECTORY = 256 * 2**20
SMALL = 4096
"""Numbers up to which a tensor is read along with the header (a schedule, a scale)."""


class Place(NamedTuple):
    """A tensor that was not read: where its numbers lie."""

    entry: int
    """First byte of its storage's entry in the zip; -1 where that is not known."""
    dtype: torch.dtype
    size: int
    """Numbers in the storage."""
    offset: int = 0
    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()


Storage = Callable[[torch.dtype, str, int], Any]
"""(number format, key, count) -> a flat tensor, or its Place"""


class _Inert(type):
    """The class of placeholders: calling one is what a harmful pickle would do, so it is refused."""

    def __call__(cls, *_: object, **__: object) -> object:
        raise pickle.UnpicklingError(f"it would call {cls.__module__}.{cls.__name__}")


def _placeholder(module: str, name: str) -> type:
    def new(cls: type, *_: object) -> object:
        return object.__new__(cls)

    def ignore(self: object, *_: object) -> None:
        """State and items of a foreign object are dropped."""

    members = {
        "__module__": module,
        "__new__": new,
        "__setstate__": ignore,
        "append": ignore,
        "extend": ignore,
        "__setitem__": ignore,
    }
    return _Inert(name, (), members)


class _Reader(pickle.Unpickler):
    """The restricted unpickler."""

    def __init__(self, file: BinaryIO, storage: Storage) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch.storage" and name == "UntypedStorage":
            return torch.uint8
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module == "torch._utils" and name in _REBUILD:
            return _REBUILD[name]
        if module.startswith("numpy") and name in ("scalar", "dtype"):
            return _number
        return _placeholder(module, name)

    def persistent_load(self, place: Any) -> Any:
        kind, dtype, key, _device, count = place[:5]
        if kind != "storage" or not isinstance(dtype, torch.dtype) or place[5:] not in ((), (None,)):
            name = getattr(dtype, "__name__", kind)
            raise pickle.UnpicklingError(f"it holds numbers of an unknown kind, {name}")
        if int(count) < 0:
            raise pickle.UnpicklingError("it holds a storage of impossible size")
        return self._storage(dtype, str(key), int(count))


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Any:
    if any(side < 0 for side in (*size, *stride)) or offset < 0:
        raise pickle.UnpicklingError("it holds a tensor of impossible shape")
    count = storage.size if isinstance(storage, Place) else storage.numel()
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True)) if 0 not in size else -1
    if last >= count:
        raise pickle.UnpicklingError("it holds a tensor that is larger than its data")
    if isinstance(storage, Place):
        return Place(storage.entry, storage.dtype, storage.size, offset, tuple(size), tuple(stride))
    return torch.as_strided(storage, size, stride, offset)


def _tensor_of(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> Any:
    """As _tensor, of a storage that has no number format of its own: (requires_grad, hooks, format)."""
    dtype = rest[2]
    if not isinstance(dtype, torch.dtype):
        raise pickle.UnpicklingError(f"it holds numbers of an unknown kind, {getattr(dtype, '__name__', dtype)}")
    if isinstance(storage, Place):
        storage = storage._replace(dtype=dtype, size=storage.size // dtype.itemsize)
    else:
        storage = storage.view(dtype)
    return _tensor(storage, offset, size, stride)


def _parameter(tensor: Any, *_: object) -> Any:
    return tensor


def _number(*_: object) -> None:
    """A NumPy number among the training notes; nobody needs it."""


_REBUILD = {"_rebuild_tensor_v2": _tensor, "_rebuild_tensor_v3": _tensor_of, "_rebuild_parameter": _parameter}


def read_pickled(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .ckpt by name (the inside of "state_dict" where there is one), on the mapped file: copy on write,
    read when first used.

    Raises:
        CheckpointReadError: truncated, not a checkpoint, or not safe.
    """
    return _named(_content(path, with_data=True), path, torch.Tensor)


def read_places(path: Path) -> dict[str, Place]:
    """What read_pickled would give, without reading one number: costs no more than the file's directory.

    Raises:
        CheckpointReadError: as read_pickled.
    """
    return _named(_content(path, with_data=False), path, Place)


def read_place(path: Path, place: Place) -> torch.Tensor | None:
    """One small tensor; None where it does not lie in one piece, or not where it should."""
    if place.entry < 0 or place.size > SMALL:
        return None
    with path.open("rb") as file:
        file.seek(place.entry)
        name, extra = struct.unpack("<26x2H", file.read(30).ljust(30, b"\0"))
        file.seek(place.entry + 30 + name + extra)
        data = bytearray(file.read(place.size * place.dtype.itemsize))
    try:
        return torch.as_strided(torch.frombuffer(data, dtype=place.dtype), place.shape, place.stride, place.offset)
    except (ValueError, RuntimeError):
        return None


def read_sequence(path: Path) -> list[torch.Tensor]:
    """The tensors of a file that holds a list or tuple of them (the statistics of unCLIP L), on the mapped file.

    Raises:
        CheckpointReadError: as read_pickled, or it holds something else.
    """
    try:
        content = _content(path, with_data=True)
    except OSError as error:
        raise CheckpointReadError(f"{path.name} cannot be opened: {error.strerror or error}.") from None
    if not isinstance(content, list | tuple) or not all(isinstance(value, torch.Tensor) for value in content):
        raise CheckpointReadError(f"{path.name} does not hold a row of tensors.")
    return list(content)


def _content(path: Path, with_data: bool) -> object:
    """What was pickled; tensors are Places where the data is not wanted."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if with_data else None
            read = _from_zip if file.read(4) == b"PK\x03\x04" else _from_old
            file.seek(0)
            return read(path, file, mapped)
    except CheckpointReadError:
        raise
    except zipfile.BadZipFile:
        raise CheckpointReadError(
            f"{path.name} cannot be read: it is truncated or not a checkpoint. Download it again."
        ) from None
    except pickle.UnpicklingError as error:
        raise CheckpointReadError(
            f"{path.name} was refused because it is not only data: {error}. Use a .safetensors file of it."
        ) from None
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        EOFError,
        struct.error,
        RuntimeError,
        MemoryError,
        OverflowError,
        zlib.error,
    ) as error:
        raise CheckpointReadError(
            f"{path.name} cannot be read: it is damaged ({type(error).__name__}). Download it again."
        ) from error


def _from_zip(path: Path, file: BinaryIO, mapped: mmap.mmap | None) -> object:
    with zipfile.ZipFile(file) as archive:
        names = {name.split("/", 1)[1]: name for name in archive.namelist() if "/" in name}
        if "data.pkl" not in names:
            raise CheckpointReadError(f"{path.name} is not a checkpoint: it holds no weights.")
        if archive.getinfo(names["data.pkl"]).file_size > LONGEST_DIRECTORY:
            raise CheckpointReadError(f"{path.name} cannot be opened: its directory is larger than any checkpoint's.")
        if "byteorder" in names and archive.read(names["byteorder"]) != b"little":
            raise CheckpointReadError(f"{path.name} was written on a big-endian machine, which is not supported.")

        def start(key: str) -> int:
            entry = archive.getinfo(names[f"data/{key}"])
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError("compressed weights")
            return entry.header_offset if mapped is None else _start(file, entry.header_offset)

        return _Reader(io.BytesIO(archive.read(names["data.pkl"])), _storage(mapped, start)).load()


def _storage(mapped: mmap.mmap | None, start: Callable[[str], int]) -> Storage:
    """How storages come about: as tensors on the mapped file, or as places."""

    def storage(dtype: torch.dtype, key: str, count: int) -> Any:
        if mapped is None:
            return Place(start(key), dtype, count)
        if count == 0:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(mapped, dtype=dtype, count=count, offset=start(key))

    return storage


def _from_old(path: Path, file: BinaryIO, mapped: mmap.mmap | None) -> object:
    """Torch's format from before 2020: five pickles behind each other, then each storage's count and numbers.

    The order of the storages comes last, so the third pickle is read twice: once to know their sizes.
    """
    sizes: dict[str, int] = {}

    def place(dtype: torch.dtype, key: str, count: int) -> Place:
        sizes[key] = dtype.itemsize * count
        return Place(-1, dtype, count)

    if _Reader(file, place).load() != _MAGIC:
        raise CheckpointReadError(f"{path.name} is not a checkpoint: it is a pickle that holds no weights.")
    for _ in ("version", "machine"):
        _Reader(file, place).load()
    begin = file.tell()
    content = _Reader(file, place).load()
    order, starts, position = _Reader(file, place).load(), {}, file.tell()
    if not isinstance(order, list):
        raise ValueError("no order of storages")
    for key in map(str, order):
        starts[key] = position + 8
        position += 8 + sizes[key]
    if position > path.stat().st_size:
        raise CheckpointReadError(f"{path.name} is truncated: it holds less than its header says. Download it again.")
    if mapped is None:
        return content
    file.seek(begin)
    return _Reader(file, _storage(mapped, starts.__getitem__)).load()


def _start(file: BinaryIO, entry: int) -> int:
    """Where the bytes of a zip entry begin, behind its own header."""
    file.seek(entry)  # read, since a mapping of a file that is cut off meanwhile ends the program
    name, extra = struct.unpack("<26x2H", file.read(30))
    return int(entry + 30 + name + extra)


Found = TypeVar("Found", torch.Tensor, Place)
_INSIDE = ("state_dict", "model", "params_ema", "params", "string_to_param")
"""Where files keep their tensors: checkpoints, autoencoders, upscalers, embeddings."""


def _named(content: object, path: Path, kind: type[Found]) -> dict[str, Found]:
    prefix = ""
    for key in _INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content, prefix = content[key], f"{key}." if key == "string_to_param" else ""
    if not isinstance(content, Mapping):
        raise CheckpointReadError(f"{path.name} is not a checkpoint: it holds no weights.")
    found = {prefix + key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, kind)}
    if not found:
        raise CheckpointReadError(f"{path.name} is not a checkpoint: it holds no weights.")
    return found
