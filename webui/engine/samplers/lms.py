"""Linear multistep: the slopes of earlier steps, weighted for uneven noise levels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import numpy as np
from torch import Tensor

from webui.contract.options import Range
from webui.contract.parts import Denoise, Noise


def sample_lms(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,  # noqa: ARG001
    *,
    order: Annotated[int, Range(1, 4)] = 4,
) -> Tensor:
    """Adams-Bashforth: the polynomial through the last `order` slopes, integrated over the step.

    Args:
        denoise: (x, sigma) to predicted clean latents, shaped like x.
        x: noisy latents (B, C, h, w), standard deviation about sigmas[0]. Left unchanged.
        sigmas: noise levels (steps + 1,), falling, last one 0.
        noise: unused; this sampler is deterministic.
        order: of the polynomial, plus 1; the first steps have fewer slopes and a lower order.

    Returns:
        Clean latents (B, C, h, w). Costs `steps` calls of denoise.

    Source: Crowson, k-diffusion, sample_lms; rho-AB in Zhang & Chen 2023, arXiv:2204.13902. Integrated exactly.
    """
    levels = sigmas.tolist()
    slopes: list[Tensor] = []
    for i, (sigma, sigma_next) in enumerate(pairwise(levels)):
        slopes = [*slopes, (x - denoise(x, sigma)) / sigma][-order:]
        weights = _weights(levels[i + 1 - len(slopes) : i + 1], sigma, sigma_next)
        for slope, weight in zip(slopes, weights, strict=True):
            x = x + weight * slope
    return x


def _weights(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """Integrals from start to end of the Lagrange polynomials of the nodes."""
    weights = []
    for j, node in enumerate(nodes):
        others = [other for k, other in enumerate(nodes) if k != j]
        scale = np.prod([node - other for other in others])
        integral = np.poly1d(np.poly(others) / scale).integ()
        weights.append(float(integral(end) - integral(start)))
    return weights
