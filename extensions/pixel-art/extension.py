"""Upscalers for pixel art. Every colour of the result is one of the picture's own."""

import numpy as np
from PIL import Image

from webui.contract import hookimpl


@hookimpl
def register_upscalers(register):
    register("Pixel art", rounded, aliases=("Scale2x", "EPX"))
    register("Pixel art (squares)", squares)


def rounded(image, scale):
    """Rounds the stairs of slanted lines, by Scale2x and Scale3x, until the picture is large enough."""
    colours = packed(image)
    for factor in factors(scale):
        colours = scale2x(colours) if factor == 2 else scale3x(colours)
    return unpacked(colours)


def squares(image, scale):
    """Each pixel becomes a square of whole pixels."""
    times = max(1, int(np.ceil(scale)))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def factors(scale):
    """Twos and threes whose product is the least that is not below the scale, up to 8."""
    ways = ((), (2,), (3,), (2, 2), (3, 2), (2, 2, 2))
    return next((way for way in ways if np.prod(way) >= scale), ways[-1])


def scale2x(e):
    """(H, W) colours -> (2H, 2W).

    Source: Andrea Mazzoleni, Scale2x (2001), https://www.scale2x.it/algorithm; the same as EPX, Eric Johnston (1992).
    """
    _, b, _, d, f, _, h, _ = around(e)
    may = (b != h) & (d != f)
    made = np.empty((e.shape[0] * 2, e.shape[1] * 2), e.dtype)
    made[0::2, 0::2] = np.where(may & (d == b), d, e)
    made[0::2, 1::2] = np.where(may & (b == f), f, e)
    made[1::2, 0::2] = np.where(may & (d == h), d, e)
    made[1::2, 1::2] = np.where(may & (h == f), f, e)
    return made


def scale3x(e):
    """(H, W) colours -> (3H, 3W). Source: as scale2x."""
    a, b, c, d, f, g, h, i = around(e)
    may = (b != h) & (d != f)
    made = np.empty((e.shape[0] * 3, e.shape[1] * 3), e.dtype)
    made[0::3, 0::3] = np.where(may & (d == b), d, e)
    made[0::3, 1::3] = np.where(may & (((d == b) & (e != c)) | ((b == f) & (e != a))), b, e)
    made[0::3, 2::3] = np.where(may & (b == f), f, e)
    made[1::3, 0::3] = np.where(may & (((d == b) & (e != g)) | ((d == h) & (e != a))), d, e)
    made[1::3, 1::3] = e
    made[1::3, 2::3] = np.where(may & (((b == f) & (e != i)) | ((h == f) & (e != c))), f, e)
    made[2::3, 0::3] = np.where(may & (d == h), d, e)
    made[2::3, 1::3] = np.where(may & (((d == h) & (e != i)) | ((h == f) & (e != g))), h, e)
    made[2::3, 2::3] = np.where(may & (h == f), f, e)
    return made


def around(e):
    """The eight neighbours of each pixel, row by row; beyond the edge the picture goes on as it ends."""
    wide = np.pad(e, 1, mode="edge")
    rows, columns = e.shape
    places = [(top, left) for top in range(3) for left in range(3) if (top, left) != (1, 1)]
    return [wide[top : top + rows, left : left + columns] for top, left in places]


def packed(image):
    """A colour as one number, so that two are compared at once."""
    values = np.array(image, dtype=np.uint32)
    return values[..., 0] << 16 | values[..., 1] << 8 | values[..., 2]


def unpacked(colours):
    return Image.fromarray(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], -1).astype(np.uint8))
