"""DPM-Solver++: exponential steps on the predicted clean latents (Lu et al. 2022, arXiv:2211.01095).

With lambda = -log sigma and h the step in lambda, a step is x' = (sigma' / sigma) x + (1 - sigma' / sigma) D: exact where
the prediction D does not change on the way. The members of the family differ in what they put in for D.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor

from webui.contract.parts import Denoise, Noise
from webui.engine.samplers.steps import ancestral, renoise


def exponential_step(x: Tensor, denoised: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """From sigma to sigma_next with a constant prediction; to 0 it answers the prediction itself."""
    share = sigma_next / sigma
    return share * x + (1 - share) * denoised


def sample_dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:  # noqa: ARG001
    """Second order from one call a step: the prediction is extrapolated from this and the last one.

    Args:
        denoise: (x, sigma) to predicted clean latents, shaped like x.
        x: noisy latents (B, C, h, w), standard deviation about sigmas[0]. Left unchanged.
        sigmas: noise levels (steps + 1,), falling, last one 0.
        noise: unused; this sampler is deterministic.

    Returns:
        Clean latents (B, C, h, w). Costs `steps` calls of denoise. The first step, and one that ends at 0, are of first
        order.

    Source: Lu et al. 2022, arXiv:2211.01095, Algorithm 2.
    """
    before: tuple[Tensor, float] | None = None  # the last prediction, and the step in lambda that followed it
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            return denoised
        h = math.log(sigma / sigma_next)
        mixed = denoised
        if before is not None:
            weight = h / (2 * before[1])  # 1 / (2 r) with r = h_last / h
            mixed = (1 + weight) * denoised - weight * before[0]
        x = exponential_step(x, mixed, sigma, sigma_next)
        before = denoised, h
    return x


def sample_dpmpp_2s_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, *, eta: float = 1.0, s_noise: float = 1.0
) -> Tensor:
    """Second order from two calls a step: the prediction is taken at the geometric middle; then ancestral noise.

    Args:
        denoise, x, sigmas: as in sample_dpmpp_2m.
        noise: drawn once a step, but not at the last.
        eta: share of ancestral noise; s_noise: its standard deviation.

    Returns:
        Clean latents (B, C, h, w). Costs 2 * steps - 1 calls of denoise: a step that ends at 0 is Euler's.

    Source: Lu et al. 2022, arXiv:2211.01095, Algorithm 1 (2S) with r = 1/2; the noise as in DDIM.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        down, up = ancestral(sigma, sigma_next, eta)
        denoised = denoise(x, sigma)
        if down > 0:
            middle = math.sqrt(sigma * down)
            denoised = denoise(exponential_step(x, denoised, sigma, middle), middle)
        x = renoise(exponential_step(x, denoised, sigma, down), sigma, sigma_next, noise, up * s_noise)
    return x
