"""Contact sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from webui.contract.errors import SaveError

COLUMNS = 8


def save_pictures(pictures: Sequence[NDArray[np.uint8]], path: Path, columns: int = COLUMNS) -> None:
    """Pictures (H, W, 3) of one size in rows, as a PNG.

    Raises:
        SaveError: it cannot be written.
    """
    height, width = pictures[0].shape[:2]
    sheet = Image.new("RGB", (columns * width, math.ceil(len(pictures) / columns) * height), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture), (i % columns * width, i // columns * height))
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(beside, "PNG")
        beside.replace(path)
    except OSError as error:
        raise SaveError(f"The contact sheet {path} could not be saved: {error.strerror or error}.") from error
