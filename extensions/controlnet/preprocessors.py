"""From a picture to what control networks were trained on: white edges, depths or strokes on black."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from webui.checkpoints.depth import DepthSource
from webui.contract import Range

if TYPE_CHECKING:
    from webui.checkpoints.download import Shelf


def canny(
    image: Image.Image,
    *,
    low: Annotated[float, Range(0, 1000), "Slope that an edge may have where it hangs on a strong one"] = 100.0,
    high: Annotated[float, Range(0, 1000), "Slope of a strong edge"] = 200.0,
    blur: Annotated[float, Range(0, 10, 0.1), "Deviation of the blur before, in pixels"] = 1.0,
) -> Image.Image:
    """Edges, one pixel wide.

    Slopes are Sobel's, of 8 bits: an edge between black and white has up to 1020.

    Source: Canny 1986, "A Computational Approach to Edge Detection": Gaussian, gradient, only the greatest across the edge,
    two thresholds with hysteresis.
    """
    return _picture(edges(_grey(image), low, high, blur))


def scribble(
    image: Image.Image,
    *,
    width: Annotated[float, Range(1, 40), "Of the strokes, for a picture of 512 pixels"] = 6.0,
) -> Image.Image:
    """Strokes as if somebody had drawn along the strongest edges with a thick pen."""
    scale = math.sqrt(image.width * image.height) / 512
    found = edges(_grey(image), 60.0, 140.0, 1 + 2 * scale).float()[None, None]
    side = max(round(width * scale), 1) | 1
    soft = _blurred(F.max_pool2d(found, side, 1, side // 2), max(side / 4, 0.5))
    return _picture(soft[0, 0] > 0.5)


def depth(image: Image.Image, shelf: Shelf | None = None, beside: Path | None = None) -> Image.Image:
    """How near things are, white is nearest, by the program's own estimator: MiDaS where it was fetched (`webui fetch
    depth-estimator`), else the small one that comes with the program, which knows the pocket's scenes.

    Args:
        shelf: where a fetched one may lie. beside: a checkpoint in whose folder it is looked for first.
    """
    network = DepthSource(None, beside or Path("nowhere"), shelf)()
    pixels = torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        near = network(pixels).float()[0, 0]
    near = (near - near.min()) / (near.max() - near.min()).clamp(min=1e-6)
    grey = Image.fromarray((near * 255).round().to(torch.uint8).numpy())
    return grey.resize(image.size, Image.Resampling.BICUBIC).convert("RGB")


def edges(grey: Tensor, low: float, high: float, blur: float) -> Tensor:
    """(H, W) bool of grey values (H, W) in [0, 255]."""
    smooth = _blurred(grey[None, None], blur) if blur else grey[None, None]
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    slopes = F.conv2d(F.pad(smooth, (1, 1, 1, 1), mode="replicate"), torch.stack([kernel, kernel.T])[:, None])[0]
    strength = slopes.square().sum(0).sqrt()
    thin = strength * _is_ridge(strength, slopes)
    strong, weak = thin >= high, thin >= min(low, high)
    while True:  # weak ones that touch a strong one, and those that touch these
        grown = (F.max_pool2d(strong[None, None].float(), 3, 1, 1)[0, 0] > 0) & weak
        if torch.equal(grown, strong):
            return strong
        strong = grown


def _is_ridge(strength: Tensor, slopes: Tensor) -> Tensor:
    """Where no neighbour across the edge is stronger: along one of four directions, the nearest to the slope's own. Of two that
    are equal one is taken."""
    across = (torch.atan2(slopes[1], slopes[0]) / (math.pi / 4)).round().long() % 4
    around = F.pad(strength[None, None], (1, 1, 1, 1))[0, 0]
    height, width = strength.shape

    def shifted(y: int, x: int) -> Tensor:
        return around[1 + y : 1 + y + height, 1 + x : 1 + x + width]

    ways = ((0, 1), (1, 1), (1, 0), (1, -1))
    is_top = torch.stack([(strength >= shifted(y, x)) & (strength > shifted(-y, -x)) for y, x in ways])
    return is_top.gather(0, across[None])[0]


def _blurred(values: Tensor, deviation: float) -> Tensor:
    """(1, 1, H, W), by a Gaussian; the edges are drawn out."""
    reach = max(round(3 * deviation), 1)
    row = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    row = row / row.sum()
    padded = F.pad(values, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, row[None, None, None]), row[None, None, :, None])


def _grey(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.convert("L"), dtype=np.float32))


def _picture(white: Tensor) -> Image.Image:
    return Image.fromarray((white * 255).to(torch.uint8).numpy()).convert("RGB")
