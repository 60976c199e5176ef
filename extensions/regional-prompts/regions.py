"""Regions as text: a line for each box, "x y width height: prompt", in shares of the picture from its top left corner."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

MOST = 12
"""Each costs a picture more at each step."""
_LINE = re.compile(r"\s*([-+.\deE]+)[\s,]+([-+.\deE]+)[\s,]+([-+.\deE]+)[\s,]+([-+.\deE]+)\s*:(.*)", re.S)


@dataclass(frozen=True)
class Region:
    """A box and its prompt. Sides in shares of the picture's width and height."""

    x: float
    y: float
    width: float
    height: float
    prompt: str


def read(text: str) -> list[Region]:
    """The regions of some lines; empty lines, and boxes without a prompt, are passed over.

    Raises:
        ValueError: a line is none, or there are too many; one sentence.
    """
    found = [_region(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    named = [one for one in found if one.prompt]
    if len(named) > MOST:
        raise ValueError(f"{len(named)} regions are too many, there can be {MOST}")
    return named


def _region(number: int, line: str) -> Region:
    wanted = "it must be x y width height: prompt, in shares of the picture, as 0 0 0.5 1: a red sphere"
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"line {number} of the regions is {line[:60]!r}, but {wanted}")
    try:
        x, y, width, height = map(float, match.groups()[:4])
    except ValueError:
        raise ValueError(f"line {number} of the regions has no four numbers: {line[:60]!r}, but {wanted}") from None
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        raise ValueError(f"line {number} of the regions has a box without a size: {line[:60]!r}")
    if x >= 1 or y >= 1 or x + width <= 0 or y + height <= 0:
        raise ValueError(f"line {number} of the regions is a box outside of the picture: {line[:60]!r}")
    return Region(x, y, width, height, match[5].strip())
