"""PLMS: a multistep method on the noise that the network sees, with weights for equal time steps."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from webui.contract.parts import Denoise, Noise

WEIGHTS = ((3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Adams and Bashforth's, of orders 2 to 4, the newest slope first."""


def sample_plms(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:  # noqa: ARG001
    """Four slopes mixed by fixed weights; the first step asks twice, at both of its ends (Heun).

    Args:
        denoise: (x, sigma) to predicted clean latents, shaped like x.
        x: noisy latents (B, C, h, w), standard deviation about sigmas[0]. Left unchanged.
        sigmas: noise levels (steps + 1,), falling.
        noise: unused; this sampler is deterministic.

    Returns:
        Latents (B, C, h, w) at the last level. Costs steps + 1 calls of denoise (one where the first step ends at 0).

    Source: Liu et al. 2022, arXiv:2202.09778, eq. 12 (S-PNDM's first step, then F-PNDM's weights), as Rombach et al.'s
    PLMSSampler has it, in sigma space. The weights suit its own equal time steps (webui.engine.schedules.ddim).
    """
    slopes: list[Tensor] = []
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        slope = (x - denoise(x, sigma)) / sigma
        slopes = [slope, *slopes][:4]
        if len(slopes) > 1:
            mixed = sum((weight * one for weight, one in zip(WEIGHTS[len(slopes) - 2], slopes, strict=True)), start=0 * slope)
        elif sigma_next > 0:
            x_next = x + (sigma_next - sigma) * slope
            mixed = (slope + (x_next - denoise(x_next, sigma_next)) / sigma_next) / 2
        else:
            mixed = slope
        x = x + (sigma_next - sigma) * mixed
    return x
