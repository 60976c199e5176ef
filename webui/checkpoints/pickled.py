"""Reads a .ckpt (torch's zip format) as data: tensors and plain values, never code.

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
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
_PLAIN: dict[tuple[str, str], Any] = {("collections", "OrderedDict"): OrderedDict}


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
    """The restricted unpickler; `storage(dtype, key, count)` gives a flat tensor."""

    def __init__(self, data: bytes, storage: Callable[[torch.dtype, str, int], torch.Tensor]) -> None:
        super().__init__(io.BytesIO(data))
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return _tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return _parameter
        if module.startswith("numpy") and name in ("scalar", "dtype"):
            return _number
        return _placeholder(module, name)

    def persistent_load(self, place: Any) -> torch.Tensor:
        kind, dtype, key, _device, count = place
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError("it holds a storage of an unknown kind")
        return self._storage(dtype, str(key), int(count))


def _tensor(storage: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> torch.Tensor:
    if any(side < 0 for side in (*size, *stride)) or offset < 0:
        raise pickle.UnpicklingError("it holds a tensor of impossible shape")
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True)) if 0 not in size else -1
    if last >= storage.numel():
        raise pickle.UnpicklingError("it holds a tensor that is larger than its data")
    return torch.as_strided(storage, size, stride, offset)


def _parameter(tensor: torch.Tensor, *_: object) -> torch.Tensor:
    return tensor


def _number(*_: object) -> None:
    """A NumPy number among the training notes; nobody needs it."""


def read_pickled(path: Path, with_data: bool = True) -> dict[str, torch.Tensor]:
    """The tensors of a .ckpt by name (the inside of "state_dict" where there is one).

    With `with_data` they lie on the mapped file (copy on write, read when first used), else on the meta device, which
    costs no more than the file's directory.

    Raises:
        CheckpointReadError: truncated, not a checkpoint, or not safe.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            names = {name.split("/", 1)[1]: name for name in archive.namelist() if "/" in name}
            if "data.pkl" not in names:
                raise CheckpointReadError(f"{path.name} is not a checkpoint: it holds no weights.")
            if archive.getinfo(names["data.pkl"]).file_size > 256 * 2**20:
                raise CheckpointReadError(f"{path.name} cannot be opened: its directory is larger than any checkpoint's.")
            if "byteorder" in names and archive.read(names["byteorder"]) != b"little":
                raise CheckpointReadError(f"{path.name} was written on a big-endian machine, which is not supported.")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if with_data else None

            def storage(dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
                if mapped is None:
                    return torch.empty(count, dtype=dtype, device="meta")
                if count == 0:
                    return torch.empty(0, dtype=dtype)
                return torch.frombuffer(
                    mapped, dtype=dtype, count=count, offset=_start(mapped, archive.getinfo(names[f"data/{key}"]))
                )

            content = _Reader(archive.read(names["data.pkl"]), storage).load()
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
    ) as error:
        raise CheckpointReadError(
            f"{path.name} cannot be read: it is damaged ({type(error).__name__}). Download it again."
        ) from error
    return _tensors(content, path)


def _start(mapped: mmap.mmap, entry: zipfile.ZipInfo) -> int:
    """Where the bytes of an uncompressed zip entry begin."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError("compressed weights")
    header = mapped[entry.header_offset : entry.header_offset + 30]
    name, extra = struct.unpack("<HH", header[26:30])
    return int(entry.header_offset + 30 + name + extra)


def _tensors(content: object, path: Path) -> dict[str, torch.Tensor]:
    for key in ("state_dict", "model", "params_ema", "params"):  # the last two: upscalers
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise CheckpointReadError(f"{path.name} is not a checkpoint: it holds no weights.")
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, torch.Tensor)}
    if not tensors:
        raise CheckpointReadError(f"{path.name} is not a checkpoint: it holds no weights.")
    return tensors
