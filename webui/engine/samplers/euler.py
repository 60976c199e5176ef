"""Euler's method on the probability flow: plain, ancestral, and under the name DDIM."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor

from webui.contract.parts import Denoise, Noise
from webui.engine.samplers.steps import ancestral, churn, renoise


def sample_euler(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Tensor:
    """Walk down the noise levels in straight steps: x' = x + (sigma' - sigma) (x - D) / sigma.

    Args:
        denoise: (x, sigma) to predicted clean latents, shaped like x.
        x: noisy latents (B, C, h, w), standard deviation about sigmas[0]. Left unchanged.
        sigmas: noise levels (steps + 1,), falling, last one 0. Unit: that of the scaled latents, whose own standard
            deviation is about 1.
        noise: drawn once a step where s_churn is above 0.
        s_churn: noise thrown in before each step, shared out over all steps; s_tmin, s_tmax: between which levels;
            s_noise: its standard deviation.

    Returns:
        Clean latents (B, C, h, w). Costs `steps` calls of denoise. First order.

    Source: Karras et al. 2022, arXiv:2206.00364, Algorithm 2 without its second-order correction.
    """
    levels = sigmas.tolist()  # once: asking a GPU for each number would wait for it at every step
    for sigma, sigma_next in pairwise(levels):
        x, sigma = churn(x, sigma, len(levels) - 1, noise, s_churn, s_tmin, s_tmax, s_noise)
        slope = (x - denoise(x, sigma)) / sigma
        x = x + slope * (sigma_next - sigma)
    return x


def sample_euler_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, *, eta: float = 1.0, s_noise: float = 1.0
) -> Tensor:
    """Euler's step below the next noise level, then fresh noise up to it.

    Args:
        denoise, x, sigmas: as in sample_euler.
        noise: drawn once a step, but not at the last.
        eta: share of ancestral noise; 0 is sample_euler.
        s_noise: standard deviation of the fresh noise.

    Returns:
        Clean latents (B, C, h, w). Costs `steps` calls of denoise.

    Source: Song et al. 2021, arXiv:2010.02502, eq. 12 and 16, in sigma space.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        down, up = ancestral(sigma, sigma_next, eta)
        slope = (x - denoise(x, sigma)) / sigma
        x = renoise(x + slope * (down - sigma), sigma, sigma_next, noise, up * s_noise)
    return x


def sample_ddim(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, *, eta: float = 0.0) -> Tensor:
    """DDIM, which in sigma space is Euler's method (eta 0) or its ancestral form (eta 1).

    x' = D + (x - D) down / sigma + up noise, on the sampler's own time steps (webui.engine.schedules.ddim). The walk
    ends at 0, with the last prediction; the original ends at the table's lowest noise level, and A1111's one step
    before.

    Source: Song et al. 2021, arXiv:2010.02502, eq. 12.
    """
    return sample_euler_ancestral(denoise, x, sigmas, noise, eta=eta)
