"""Files of weights at full size that take no room: a header, and a hole in the place of the data."""

from __future__ import annotations

import gzip
import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "F8_E4M3": 1}


def sparse_file(keys: Path, path: Path) -> Path:
    """A safetensors file with the keys, shapes and number formats of a list (NAME.json.gz)."""
    return write_sparse(json.loads(gzip.decompress(keys.read_bytes())), path)


def write_sparse(keys: Mapping[str, Sequence[Any]], path: Path) -> Path:
    """A safetensors file of tensors by name, each (shape, number format), whose values are a hole (zeros)."""
    header: dict[str, object] = {}
    end = 0
    for name, (shape, kind) in keys.items():
        start, end = end, end + math.prod(shape) * BYTES[kind]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path
