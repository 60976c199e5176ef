"""Files of weights at full size that take no room: a header, and a hole in the place of the data."""

from __future__ import annotations

import gzip
import json
import math
import struct
from pathlib import Path

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4}


def sparse_file(keys: Path, path: Path) -> Path:
    """A safetensors file with the keys, shapes and number formats of a list (NAME.json.gz)."""
    header: dict[str, object] = {}
    end = 0
    for name, (shape, kind) in json.loads(gzip.decompress(keys.read_bytes())).items():
        start, end = end, end + math.prod(shape) * BYTES[kind]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path
