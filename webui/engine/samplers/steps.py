"""What several samplers share: the split of an ancestral step, and noise thrown in on the way."""

from __future__ import annotations

import math

from torch import Tensor

from webui.contract.parts import Noise


def ancestral(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """Split the step down to sigma_next: walk to `down`, then add noise of standard deviation `up`.

    down^2 + up^2 = sigma_next^2. eta 0 walks all the way, 1 is the posterior of the forward process.

    Source: Song et al. 2021, arXiv:2010.02502, eq. 16, in sigma space.
    """
    up = min(sigma_next, eta * sigma_next * math.sqrt(max(sigma**2 - sigma_next**2, 0)) / sigma)
    return math.sqrt(sigma_next**2 - up**2), up


def renoise(x: Tensor, sigma: float, sigma_next: float, noise: Noise, up: float) -> Tensor:
    """Add noise of standard deviation `up`. Draws nothing where there is none, so that the streams stay in step."""
    return x + up * noise(sigma, sigma_next) if up > 0 else x


def churn(
    x: Tensor, sigma: float, steps: int, noise: Noise, s_churn: float, s_tmin: float, s_tmax: float, s_noise: float
) -> tuple[Tensor, float]:
    """Throw noise in before a step: the latents and the noise level that they then have.

    Source: Karras et al. 2022, arXiv:2206.00364, Algorithm 2, lines 4 to 6.
    """
    gamma = min(s_churn / steps, math.sqrt(2) - 1) if s_tmin <= sigma <= s_tmax else 0.0
    if gamma <= 0:
        return x, sigma
    higher = sigma * (1 + gamma)
    return x + s_noise * math.sqrt(higher**2 - sigma**2) * noise(sigma, higher), higher
