"""Sprites of the tests' own: a flat colour for each toy, so that a picture tells which one it shows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from webui.training.toys.scene import table

SPRITE, MARGIN = 24, 3


def sprite_colour(number: int) -> tuple[int, int, int]:
    """No two toys have the same, and they differ by 36 or more in some channel."""
    return (36 * (number % 7), 36 * (number // 7 % 7), 36 * (number // 49))


@pytest.fixture(scope="session")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sprite of each toy: a rectangle in the toy's colour, with nothing around it."""
    folder = tmp_path_factory.mktemp("sprites")
    for number, kind in enumerate(table()):
        pixels = np.zeros((SPRITE, SPRITE, 4), np.uint8)
        pixels[MARGIN:-MARGIN, MARGIN:-MARGIN] = (*sprite_colour(number), 255)
        Image.fromarray(pixels).save(folder / f"{kind.file}.webp", lossless=True)
    return folder
