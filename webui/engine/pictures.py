"""Opening what a user gives: any picture as upright RGB or RGBA, any mask as soft grey. Page, API and command line pass
through here, so that a file means the same at each of them.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps, UnidentifiedImageError

from webui.contract.errors import FieldError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError, MemoryError,
           struct.error, zlib.error)  # fmt: skip
"""What Pillow's decoders raise on damaged files."""


class PictureError(FieldError):
    """A picture that cannot be opened: none, damaged, or too large."""


@dataclass(frozen=True)
class Limits:
    pixels: int = 8192 * 8192
    bytes: int = 50 * 2**20


DEFAULT_LIMITS = Limits()


def open_picture(data: bytes, field: str = "image", limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """The picture of a file, upright, as RGB or (where anything is transparent) RGBA, 8 bits; see plain.

    Of a moving picture the first frame. Whatever else the file holds (EXIF, profile, text) is left behind, so that a turn
    that was carried out here is not carried out again by whoever opens the result.

    Raises:
        PictureError: one sentence, naming the field.
    """
    return plain(_opened(data, field, limits))


def open_mask(data: bytes, field: str = "mask", limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """The mask of a file, upright, as soft grey (L); see mask.

    Raises:
        PictureError: one sentence, naming the field.
    """
    return mask(_opened(data, field, limits))


def plain(image: Image.Image) -> Image.Image:
    """Any picture as RGB or RGBA, 8 bits, without its notes.

    Palettes become colours, with their transparency (by index or in bytes); one transparent colour becomes alpha; 16-bit grey
    is scaled (65535 is white), floats count from 0 to 1 where none is above 1, else to 255; CMYK and wide-gamut colours are
    converted by their profile where there is one.
    """
    alpha = _alpha(image)
    colours = _deep(image) if image.mode.startswith(("I", "F")) else image
    if colours.mode in ("RGBA", "LA", "PA", "RGBa", "La", "P"):
        colours = colours.convert("RGBA").convert("RGB")
    colours = _in_srgb(colours, image.info.get("icc_profile"))
    if alpha is not None and alpha.getextrema() != (255, 255):
        colours = colours.copy()
        colours.putalpha(alpha)
    return _bare(colours)


def mask(image: Image.Image) -> Image.Image:
    """Any picture as a mask (L): 255 is painted anew, 0 stays, between is soft.

    One rule for every mode: the luminance, times the opacity. So white is painted, black or transparent is not, and half
    opaque white is painted half. Soft values are kept as they are.
    """
    flat = plain(image)
    if flat.mode == "RGB":
        return flat.convert("L")
    return ImageChops.multiply(flat.convert("RGB").convert("L"), flat.getchannel("A"))


def transparency(image: Image.Image) -> Image.Image | None:
    """What is transparent in an opened picture, as a mask (255: wholly transparent); None where nothing is."""
    if image.mode != "RGBA" or image.getchannel("A").getextrema()[0] == 255:
        return None
    return ImageChops.invert(image.getchannel("A"))


def fitting(given: Image.Image, size: tuple[int, int], field: str = "mask") -> Image.Image:
    """A mask (L) in the picture's size: as it is, or resized where it has the same proportions (to a pixel).

    Raises:
        PictureError: it has other proportions.
    """
    check_fits(given.size, size, field)
    return given if given.size == size else given.resize(size, Image.Resampling.BILINEAR)


def check_fits(given: tuple[int, int], size: tuple[int, int], field: str = "mask") -> None:
    """Raises PictureError where a mask of the given size has other proportions than an image of `size` (by more than a pixel)."""
    if abs(given[0] * size[1] - given[1] * size[0]) > max(*size, *given):
        raise PictureError(
            field,
            f"The {_label(field).lower()} has {given[0]} x {given[1]} pixels, the image {size[0]} x {size[1]}. "
            "Give one of the image's size, or of its proportions.",
        )


def kind_of(data: bytes, field: str = "image", limits: Limits = DEFAULT_LIMITS) -> str:
    """The format of a file, one of FORMATS, which was decoded whole to see that it can be.

    Raises:
        PictureError: one sentence, naming the field.
    """
    with _loaded(data, field, limits) as image:
        return "JPEG" if image.format == "MPO" else str(image.format)


def _opened(data: bytes, field: str, limits: Limits) -> Image.Image:
    with _loaded(data, field, limits) as image:
        return upright(image)


@contextmanager
def _loaded(data: bytes, field: str, limits: Limits) -> Iterator[Image.Image]:
    label = _label(field)
    if not data:
        raise PictureError(field, f"{label} is empty. Send a PNG, JPEG or WebP.")
    if len(data) > limits.bytes:
        raise PictureError(
            field, f"{label} has {len(data) / 2**20:.0f} MB. It can have {limits.bytes // 2**20} MB; send a smaller one."
        )
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > limits.pixels:
                raise PictureError(
                    field, f"{label} has {width} x {height} pixels. It can have {limits.pixels:,} in all; make it smaller first."
                )
            opened.load()
            yield opened
    except UnidentifiedImageError:
        raise PictureError(field, f"{label} is not a picture that can be read here. Send a PNG, JPEG or WebP.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(
            field, f"{label} has far too many pixels. It can have {limits.pixels:,} in all; make it smaller first."
        ) from None
    except _DAMAGE:
        raise PictureError(field, f"{label} is damaged: it cannot be decoded to its end. Send it again.") from None


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says (all eight orientations); as it is where the EXIF cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except _DAMAGE:
        return image.copy()


def _alpha(image: Image.Image) -> Image.Image | None:
    """What is opaque (L), by a channel, a palette or one transparent colour; None where everything is."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return image.convert("RGBA").getchannel("A")
    key = image.info.get("transparency")
    if key is None:
        return None
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(np.where(np.array(image) == key, 0, 255).astype(np.uint8)) if isinstance(key, int) else None
    if image.mode == "1":
        return Image.fromarray(np.where(np.array(image.convert("L")) == (255 if key else 0), 0, 255).astype(np.uint8))
    return image.convert("RGBA").getchannel("A") if image.mode in ("P", "L", "RGB") else None


def _deep(image: Image.Image) -> Image.Image:
    """Grey of 16 and 32 bits as 8 bits (L), scaled."""
    values = np.array(image)
    if image.mode == "F":
        finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=255.0, neginf=0.0)
        scaled = finite * (255.0 if finite.size and finite.max() <= 1 else 1.0)
    else:
        scaled = values.astype(np.float64) / 257.0
    return Image.fromarray(np.floor(np.clip(scaled, 0, 255) + 0.5).astype(np.uint8))


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """As RGB. A profile that is sRGB's own changes nothing, so that such a picture keeps its bytes."""
    if profile and image.mode in ("RGB", "CMYK", "L", "LAB"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if image.mode == "CMYK" or "srgb" not in ImageCms.getProfileDescription(source).lower():
                converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, *_DAMAGE):  # a profile that does not fit its picture: the numbers are all there is
            return image.convert("RGB")
    return image.convert("RGB")


def _bare(image: Image.Image) -> Image.Image:
    bare = image.copy()
    bare.info = {}
    bare.getexif().clear()
    return bare


def _label(field: str) -> str:
    return field.replace("_", " ").capitalize()
