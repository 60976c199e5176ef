"""Reads a .pth in torch's format before 1.6 (many older upscalers) as data, with the restricted reader of pickled.py.

The file is five parts: three pickles of numbers about the file, the content, the keys of its storages; then each
storage's count and its bytes.
"""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

import torch

from webui.checkpoints.pickled import _Reader, _tensors
from webui.contract.errors import CheckpointReadError

_MAGIC = 0x1950A86A20F9469CFC6C
_DAMAGE = (KeyError, ValueError, TypeError, AttributeError, IndexError, EOFError, struct.error, RuntimeError, MemoryError)


def is_legacy(path: Path) -> bool:
    """Whether the file begins as a bare pickle does."""
    with path.open("rb") as file:
        return file.read(2) == b"\x80\x02"


def read_legacy(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of an old .pth by name.

    Raises:
        CheckpointReadError: truncated, not a file of weights, or not safe.
    """
    data = path.read_bytes()
    storages: dict[str, torch.Tensor] = {}

    def storage(dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
        if count < 0 or count * dtype.itemsize > len(data):
            raise ValueError("a storage larger than its file")
        if key not in storages:
            storages[key] = torch.zeros(count, dtype=dtype)
        return storages[key]

    try:
        reader = _Sequence(data, storage)
        if reader.next() != _MAGIC:
            raise CheckpointReadError(f"{path.name} is not a file of weights.")
        reader.next()
        reader.next()
        content = reader.next()
        keys = reader.next()
        if not isinstance(keys, list):
            raise ValueError("no list of storages")
        place = reader.place
        for key in keys:
            (count,) = struct.unpack_from("<q", data, place)
            target = storages[str(key)]
            if count != target.numel():
                raise ValueError("a storage of another size")
            end = place + 8 + count * target.element_size()
            if end > len(data):
                raise EOFError
            if count:
                target.copy_(torch.frombuffer(bytearray(data[place + 8 : end]), dtype=target.dtype))
            place = end
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


class _Sequence:
    """Several pickles behind each other, each read by the restricted reader."""

    def __init__(self, data: bytes, storage: object) -> None:
        self._data, self._storage = data, storage
        self.place = 0

    def next(self) -> object:
        file = io.BytesIO(self._data)
        file.seek(self.place)
        content = _OnFile(file, self._storage).load()
        self.place = file.tell()
        return content


class _OnFile(_Reader):
    """The restricted reader, on an open file (its parent takes bytes)."""

    def __init__(self, file: io.BytesIO, storage: object) -> None:
        pickle.Unpickler.__init__(self, file)
        self._storage = storage  # type: ignore[assignment]

    def persistent_load(self, place: tuple[object, ...]) -> torch.Tensor:
        if len(place) == 6:  # the old format adds a view of a storage, which nobody has used since torch 0.3
            if place[5] is not None:
                raise pickle.UnpicklingError("it holds a storage that is a view")
            place = place[:5]
        return super().persistent_load(place)
