"""Second order by looking twice: Heun's method and DPM-Solver-2."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor

from webui.contract.parts import Denoise, Noise
from webui.engine.samplers.steps import ancestral, churn, renoise


def sample_heun(
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
    """An Euler step, then its correction by the slope where it ended.

    Args:
        denoise, x, sigmas, noise, s_churn, s_tmin, s_tmax, s_noise: as in webui.engine.samplers.euler.sample_euler.

    Returns:
        Clean latents (B, C, h, w). Costs 2 * steps - 1 calls of denoise.

    Source: Karras et al. 2022, arXiv:2206.00364, Algorithm 2 (Algorithm 1 where s_churn is 0).
    """
    levels = sigmas.tolist()
    for sigma, sigma_next in pairwise(levels):
        x, sigma = churn(x, sigma, len(levels) - 1, noise, s_churn, s_tmin, s_tmax, s_noise)
        slope = (x - denoise(x, sigma)) / sigma
        x_next = x + slope * (sigma_next - sigma)
        if sigma_next > 0:  # the slope at 0 divides by 0; Euler ends on the denoiser's own answer
            slope_next = (x_next - denoise(x_next, sigma_next)) / sigma_next
            x_next = x + (slope + slope_next) / 2 * (sigma_next - sigma)
        x = x_next
    return x


def sample_dpm_2(
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
    """The whole step with the slope at its geometric middle.

    Args:
        denoise, x, sigmas, noise, s_churn, s_tmin, s_tmax, s_noise: as in webui.engine.samplers.euler.sample_euler.

    Returns:
        Clean latents (B, C, h, w). Costs 2 * steps - 1 calls of denoise.

    Source: Lu et al. 2022, arXiv:2206.00927, DPM-Solver-2, walked on x itself.
    """
    levels = sigmas.tolist()
    for sigma, sigma_next in pairwise(levels):
        x, sigma = churn(x, sigma, len(levels) - 1, noise, s_churn, s_tmin, s_tmax, s_noise)
        x = _midpoint(denoise, x, sigma, sigma_next)
    return x


def sample_dpm_2_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, *, eta: float = 1.0, s_noise: float = 1.0
) -> Tensor:
    """As sample_dpm_2, below the next noise level, then fresh noise up to it (eta and s_noise as in Euler's)."""
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        down, up = ancestral(sigma, sigma_next, eta)
        x = renoise(_midpoint(denoise, x, sigma, down), sigma, sigma_next, noise, up * s_noise)
    return x


def _midpoint(denoise: Denoise, x: Tensor, sigma: float, sigma_next: float) -> Tensor:
    slope = (x - denoise(x, sigma)) / sigma
    if sigma_next > 0:  # 0 has no geometric middle: the last step is Euler's
        middle = math.sqrt(sigma * sigma_next)
        x_middle = x + slope * (middle - sigma)
        slope = (x_middle - denoise(x_middle, middle)) / middle
    return x + slope * (sigma_next - sigma)
