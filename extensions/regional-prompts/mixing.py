"""Soft masks of boxes over latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .regions import Region

if TYPE_CHECKING:
    from torch import Tensor

Place = tuple[float, float, float, float]


def weights(regions: Sequence[Region], height: int, width: int, feather: float, place: Place = (0, 0, 1, 1)) -> Tensor:
    """(regions, 1, 1, height, width) in [0, 1]: how much of each region's prompt counts in a cell. Where boxes lie on each other
    they share it, so that the sum is nowhere above 1.

    Args:
        height, width: of the latents.
        feather: how wide the soft edge is, in shares of the picture's shorter side, half of it on either side of the box's own.
            An edge on the picture's border has none.
        place: (x, y, width, height) of the latents in the whole picture.
    """
    import torch

    whole_width, whole_height = width / place[2], height / place[3]  # of the picture, in cells
    soft = feather * min(whole_width, whole_height)
    masks = torch.stack([_mask(one, height, width, soft, place, (whole_height, whole_width)) for one in regions])
    return masks / masks.sum(0, keepdim=True).clamp(min=1)


def _mask(region: Region, height: int, width: int, soft: float, place: Place, whole: tuple[float, float]) -> Tensor:
    down = _along(height, place[1], whole[0], region.y, region.height, soft)
    across = _along(width, place[0], whole[1], region.x, region.width, soft)
    return (down[:, None] * across[None, :])[None, None]


def _along(cells: int, first: float, whole: float, start: float, length: float, soft: float) -> Tensor:
    """Along one side, (cells,): 1 inside, 0 outside, half on the edge; a soft edge narrower than a cell is as wide as one."""
    import torch

    middle = torch.arange(cells, dtype=torch.float32) + 0.5 + first * whole
    low, high = start * whole, (start + length) * whole
    ramp = max(soft, 1.0)
    rise = ((middle - low) / ramp + 0.5).clamp(0, 1) if start > 0 else torch.ones(cells)
    fall = ((high - middle) / ramp + 0.5).clamp(0, 1) if start + length < 1 else torch.ones(cells)
    return torch.minimum(rise, fall)
