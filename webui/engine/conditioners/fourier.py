"""Numbers as waves, the way networks are told sizes and noise levels."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def waves(numbers: Tensor, width: int) -> Tensor:
    """(N,) to (N, width): cosines, then sines, of the number times frequencies from 1 down to 1 / 10000; float32.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5, as Ho et al. 2020, arXiv:2006.11239, use it for time steps.
    """
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = numbers.float()[:, None] * frequencies.to(numbers.device)
    return torch.cat([angles.cos(), angles.sin()], -1)
