"""The request's pictures as tensors, in the size of what shall be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from webui.contract.errors import FieldError
from webui.contract.parts import Family, Inputs
from webui.contract.request import Fill, GenerationRequest
from webui.engine import masks
from webui.engine.canvas import Canvas, Pictures, in_place, is_repainted
from webui.engine.pictures import plain
from webui.engine.resizing import padded_to
from webui.engine.sizes import Size


@dataclass(frozen=True)
class Start:
    """What a walk begins with, beside noise. H, W are the padded pixels that the network draws, h, w its latents."""

    pixels: Tensor | None = None
    """(1, 3, H, W) in [-1, 1]: what is repainted, where the walk does not start from noise alone; any size where its
    latents are to be resized"""
    latents: Tensor | None = None
    """(B, C, h, w), clean: the same, of an earlier pass"""
    original: Tensor | None = None
    """(1, 3, H, W): what is held where nothing is painted; None: nothing is"""
    strength: Tensor | None = None
    """(1, 1, h, w) in [0, 1], of each latent; with original"""
    mask: Tensor | None = None
    """(1, 1, h, w), 0 or 1: where the masked content is noise or nothing"""
    fill: Fill = "original"


FROM_NOISE = Start()


def start_of(request: GenerationRequest, family: Family, canvas: Canvas, steps: int) -> Start:
    """What repainting the canvas begins with, in so many steps: all of them start from noise alone."""
    if canvas.image is None:
        return FROM_NOISE
    part, part_mask = canvas.part, canvas.part_mask
    step, factor = family.size_step, family.latent_factor
    pixels, strength, mask, original = None, None, None, None
    if part_mask is not None:
        soft = padded_to(masks.tensor(part_mask), step)
        mask = masks.at_latents(soft, factor)
        # A network that is shown the mask keeps what is around it by itself; strength for each pixel is beyond it.
        if request.soft or "mask" not in family.inputs:
            strength = masks.at_latents(soft, factor, request.soft)
            original = padded_to(pixels_of(part), step)
    if steps < (request.steps or 1):
        content = masks.filled(part, part_mask) if part_mask is not None and request.masked_content == "fill" else part
        pixels = padded_to(pixels_of(canvas.source or content), factor if canvas.source else step)
    return Start(pixels, None, original, strength, mask, request.masked_content)


def read(request: GenerationRequest, family: Family, pictures: Pictures, canvas: Canvas) -> Inputs:
    """What a complete request draws from, as far as the family reads it, in the padded size of the canvas.

    A picture that is repainted is the canvas; one that is enlarged keeps its pixels; one that is varied, and a map of labels,
    are brought to the size that is drawn.

    Raises:
        FieldError: a picture is not kept, or a map has colours in place of labels.
    """
    asked = {name: getattr(request, name) for name in ("image", "second_image", "depth", "map") if name in family.inputs}
    opened = {name: pictures(picture) for name, picture in asked.items() if picture}
    step = family.size_step
    image = None
    if canvas.image is not None and "image" in opened:
        image = padded_to(pixels_of(canvas.part), step)
    elif "image" in opened and family.enlarges > 1:
        image = _to(pixels_of(plain(opened["image"])), (canvas.padded[0] // family.enlarges, canvas.padded[1] // family.enlarges))
    elif "image" in opened:
        image = pixels_of(_resized(plain(opened["image"]), canvas.padded))
    second = pixels_of(_resized(plain(opened["second_image"]), canvas.padded)) if "second_image" in opened else None
    mask = None
    if "mask" in family.inputs and canvas.part_mask is not None:
        mask = padded_to((masks.tensor(canvas.part_mask) >= 0.5).float(), step)
    depth = None
    if "depth" in opened:
        own = opened["image"].size if is_repainted(request, family) else opened["depth"].size
        depth = padded_to(_depth(in_place(_deep(opened["depth"]), request, canvas, own)), step)
    return Inputs(
        size=(canvas.padded[1], canvas.padded[0]),
        image=image,
        second_image=second,
        mask=mask,
        depth=depth,
        map=_labels(opened["map"], canvas) if "map" in opened else None,
    )


def pixels_of(image: Image.Image) -> Tensor:
    """(1, 3, H, W) in [-1, 1] of a plain picture; what is transparent is shown on white."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def _resized(image: Image.Image, size: Size) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _to(pixels: Tensor, size: Size) -> Tensor:
    """With the right and lower edge drawn out."""
    height, width = pixels.shape[-2:]
    return F.pad(pixels, (0, size[0] - width, 0, size[1] - height), mode="replicate")


def _deep(image: Image.Image) -> Image.Image:
    """A depth map of any depth of colour as one of floats."""
    grey = image if image.mode.startswith(("I", "F")) else plain(image).convert("L")
    return Image.fromarray(np.array(grey).astype(np.float32))


def _depth(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image))[None, None]


def _labels(image: Image.Image, canvas: Canvas) -> Tensor:
    """(1, H, W) int64: the numbers of the pixels, which stand for labels."""
    if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
        raise FieldError("map", "The map has colours. Give a grey or palette picture whose pixel values are labels.")
    numbers = np.array(image.resize(canvas.size, Image.Resampling.NEAREST)).astype(np.int64)
    return _to(torch.from_numpy(numbers)[None, None].double(), canvas.padded)[0].long()
