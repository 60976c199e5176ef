"""Sizes and places in whole pixels: enlarging, fitting, cropping. Page, job and infotext ask the same functions.

Nothing here knows pixels, only numbers, so it is exact. A size is (width, height); a box is (left, top, right, bottom).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from webui.contract.errors import FieldError
from webui.contract.request import ResizeMode

Size = tuple[int, int]
Box = tuple[int, int, int, int]


def rounded(value: Fraction | Decimal | float | int) -> int:
    """To the nearest whole number, halves upwards. Floats count as the digits that a person sees (1.4 is 14/10)."""
    exact = Decimal(repr(value)) if isinstance(value, float) else value
    if isinstance(exact, Fraction):
        return (exact.numerator * 2 + exact.denominator) // (exact.denominator * 2)
    return int(Decimal(exact).to_integral_value(ROUND_HALF_UP))


# ---------------------------------------------------------------- steps


def steps_of(strength: float, steps: int) -> int:
    """How many of the steps an image is repainted in: int(strength * steps), but at least one for any strength above 0.

    0 gives the picture back without a network call; 1 walks all steps. The product is exact (0.29 * 100 is 29, where
    floats say 28.99).
    """
    if strength <= 0:
        return 0
    return min(max(int(Decimal(repr(float(strength))) * steps), 1), steps)


# ---------------------------------------------------------------- enlarging


@dataclass(frozen=True)
class Enlargement:
    """How a picture grows: to `scaled` with its proportions kept, then `crop` of it is cut out."""

    source: Size
    scaled: Size
    crop: Box
    """Of the scaled picture; all of it where nothing is cut off."""
    factor: float
    """The greater of both sides' factors."""

    @property
    def size(self) -> Size:
        """Of the finished picture: what the page announces, the file has, and infotext and "send to" carry."""
        return self.crop[2] - self.crop[0], self.crop[3] - self.crop[1]

    @property
    def note(self) -> str:
        """One sentence where something is cut off, else ""."""
        if self.size == self.scaled:
            return ""
        return (
            f"{self.size[0]} x {self.size[1]} has other proportions than {self.source[0]} x {self.source[1]}: "
            f"{self.scaled[0] - self.size[0]} columns and {self.scaled[1] - self.size[1]} rows of the edges are cut off."
        )


def enlarge(source: Size, factor: float = 0, to: Size = (0, 0), crop: bool = True, most: int = 16384) -> Enlargement:
    """The one place where sizes of hires fix and upscaling are computed.

    Args:
        factor: used where `to` is (0, 0). 832 x 1216 times 1.4 is 1165 x 1702: the nearest pixel, no multiple of 8; what
            a network needs more is padded inside and cut off after.
        to: the wanted size; a side of 0 follows from the other one and the proportions.
        crop: whether other proportions are cut off around the middle; without it the picture covers the wanted size.

    Raises:
        FieldError: no size was asked, or a side is longer than `most`.
    """
    width, height = source
    if to == (0, 0):
        if factor <= 0:
            raise FieldError("upscale", "Nothing to enlarge to. Give a factor above 0, or a width and a height.")
        by = Fraction(Decimal(repr(float(factor))))
        scaled = (max(rounded(width * by), 1), max(rounded(height * by), 1))
        final = scaled
    else:
        if min(to) < 0:
            raise FieldError("upscale", f"{to[0]} x {to[1]} is no size. Both sides can be 0 (from the other side) or more.")
        by = max(Fraction(to[0], width), Fraction(to[1], height))
        scaled = (max(rounded(width * by), to[0], 1), max(rounded(height * by), to[1], 1))
        final = (to[0] or scaled[0], to[1] or scaled[1]) if crop else scaled
    if max(scaled) > most:
        raise FieldError("upscale", f"{scaled[0]} x {scaled[1]} is too large. A side can have {most} pixels.")
    left, top = (scaled[0] - final[0]) // 2, (scaled[1] - final[1]) // 2
    return Enlargement(source, scaled, (left, top, left + final[0], top + final[1]), float(by))


# ---------------------------------------------------------------- fitting


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in a frame: resized to `scaled`, its top left corner at (left, top), which may be negative."""

    scaled: Size
    left: int
    top: int


def placed(source: Size, frame: Size, mode: ResizeMode) -> Placement:
    """How a picture comes into a frame of another size.

    "stretch" (and "latent"): to the frame, whatever its proportions. "crop": covers the frame, the middle counts.
    "fill": lies whole in the middle; what is left at two sides is for the caller to fill. A scaled side never misses the frame by
    rounding: at least one of both is the frame's own.
    """
    if mode in ("stretch", "latent"):
        return Placement(frame, 0, 0)
    across, down = Fraction(frame[0], source[0]), Fraction(frame[1], source[1])
    by = max(across, down) if mode == "crop" else min(across, down)
    scaled = [max(rounded(side * by), 1) for side in source]
    limit = max if mode == "crop" else min
    scaled = [limit(side, wanted) for side, wanted in zip(scaled, frame, strict=True)]
    return Placement((scaled[0], scaled[1]), (frame[0] - scaled[0]) // 2, (frame[1] - scaled[1]) // 2)


def padded(size: Size, multiple: int) -> Size:
    """The next larger size whose sides are multiples (what an autoencoder can encode)."""
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


# ---------------------------------------------------------------- only masked


def region(box: Box, picture: Size, padding: int, aspect: Size) -> Box:
    """What is cut out to repaint only what is masked: the mask's box, with padding, brought to the proportions of `aspect`.

    Always inside the picture, and always around the whole box. Where the picture is too small for the proportions,
    as near to them as it allows (see drawn_size).

    Args:
        box: the mask's own, at least one pixel.
        padding: pixels on each side; what goes beyond the picture is cut there.
        aspect: width and height of what is drawn; only their proportion counts.
    """
    left, top = max(box[0] - padding, 0), max(box[1] - padding, 0)
    right, bottom = min(box[2] + padding, picture[0]), min(box[3] + padding, picture[1])
    width, height = right - left, bottom - top
    if width * aspect[1] < height * aspect[0]:
        left, right = _widened(left, right, rounded(Fraction(height * aspect[0], aspect[1])), picture[0])
    else:
        top, bottom = _widened(top, bottom, rounded(Fraction(width * aspect[1], aspect[0])), picture[1])
    return left, top, right, bottom


def _widened(start: int, end: int, wanted: int, most: int) -> tuple[int, int]:
    """A span grown to `wanted` around its middle, shifted into 0 to `most`."""
    wanted = min(max(wanted, end - start), most)
    start = min(max(start - (wanted - (end - start)) // 2, 0), most - wanted)
    return start, start + wanted


def drawn_size(cut: Box, asked: Size, multiple: int = 8) -> Size:
    """The size to draw a region at: the one that was asked where the proportions agree to a pixel, else one of the same
    area with the region's proportions, so that nothing is squeezed."""
    width, height = cut[2] - cut[0], cut[3] - cut[1]
    if abs(width * asked[1] - height * asked[0]) <= max(asked):
        return asked
    area = asked[0] * asked[1]
    across = (area * width / height) ** 0.5
    down = (area * height / width) ** 0.5
    return max(round(across / multiple), 1) * multiple, max(round(down / multiple), 1) * multiple


def grown(size: Size, left: int, top: int, right: int, bottom: int, most: int = 8192) -> tuple[Size, Box]:
    """A picture with room added at its sides: the new size, and the old picture's place in it.

    Raises:
        FieldError: a negative side, nothing to add, or too large.
    """
    if min(left, top, right, bottom) < 0:
        raise FieldError("outpaint", "A picture grows by 0 pixels or more at each side. To cut it, crop it.")
    wide = (size[0] + left + right, size[1] + top + bottom)
    if wide == size:
        raise FieldError("outpaint", "There is nothing to add. Choose at least one side and its pixels.")
    if max(wide) > most:
        raise FieldError("outpaint", f"{wide[0]} x {wide[1]} is too large. A side can have {most} pixels.")
    return wide, (left, top, left + size[0], top + size[1])
