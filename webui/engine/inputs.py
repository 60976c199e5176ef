"""The request's pictures as tensors, in the size of what shall be drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from webui.contract.errors import FieldError
from webui.contract.parts import Family, Inputs
from webui.contract.request import GenerationRequest

Pictures = Callable[[str], Image.Image]
"""A kept picture by its name in the request, in the mode that it came in"""


def no_pictures(name: str) -> Image.Image:
    """Where no pictures are kept. Raises FieldError."""
    raise FieldError("image", f"The picture {name[:16]!r} is not kept here. Give the picture again.")


def read(request: GenerationRequest, family: Family, pictures: Pictures) -> Inputs:
    """What a complete request draws from, as far as the family reads it.

    Pictures are brought to the size that is drawn (Lanczos; a map and a mask by their nearest pixels); what is enlarged is
    brought to that size divided by how many times it is.

    Raises:
        FieldError: a picture is not kept, or a map has colours in place of labels.
    """
    assert request.width and request.height
    asked = {name: getattr(request, name) for name in ("image", "second_image", "mask", "depth", "map") if name in family.inputs}
    opened = {name: pictures(picture) for name, picture in asked.items() if picture}
    size = (request.width, request.height)
    seen = (request.width // family.enlarges, request.height // family.enlarges)
    return Inputs(
        size=(request.height, request.width),
        image=pixels(opened["image"], seen) if "image" in opened else None,
        second_image=pixels(opened["second_image"], seen) if "second_image" in opened else None,
        mask=_mask(opened["mask"], size) if "mask" in opened else None,
        depth=_depth(opened["depth"]) if "depth" in opened else None,
        map=_labels(opened["map"], size) if "map" in opened else None,
    )


def pixels(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """(1, 3, H, W) in [-1, 1] of a picture at a size (width, height); what is transparent is shown on white."""
    if "A" in image.getbands() or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert("RGB")
    image = image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def _mask(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """(1, 1, H, W): 1 where the picture is at least half white (and opaque), else 0."""
    black = Image.new("RGBA", image.size, "black")
    grey = Image.alpha_composite(black, image.convert("RGBA")).convert("L").resize(size, Image.Resampling.NEAREST)
    return torch.from_numpy((np.array(grey) >= 128).astype(np.float32))[None, None]


def _depth(image: Image.Image) -> Tensor:
    """(1, 1, h, w) of a map of any depth of colour, at its own size."""
    grey = image if image.mode.startswith(("I", "F")) else image.convert("L")
    return torch.from_numpy(np.array(grey).astype(np.float32))[None, None]


def _labels(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """(1, H, W) int64: the numbers of the pixels, which stand for labels."""
    if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
        raise FieldError("map", "The map has colours. Give a grey or palette picture whose pixel values are labels.")
    return torch.from_numpy(np.array(image.resize(size, Image.Resampling.NEAREST)).astype(np.int64))[None]
