"""UniPC: a multistep predictor whose next call also corrects where it has landed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from torch import Tensor

from webui.contract.options import Range
from webui.contract.parts import Denoise, Noise
from webui.engine.samplers.dpmpp import exponential_step

Known = tuple[Tensor, float]  # a prediction, and lambda = -log sigma where it was made


def sample_unipc(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,  # noqa: ARG001
    *,
    order: Annotated[int, Range(1, 3)] = 3,
    variant: Literal["bh1", "bh2"] = "bh1",
    lower_order_final: bool = True,
) -> Tensor:
    """Predict from the last `order` predictions, ask once where that leads, correct with the answer.

    Args:
        denoise: (x, sigma) to predicted clean latents, shaped like x.
        x: noisy latents (B, C, h, w), standard deviation about sigmas[0]. Left unchanged.
        sigmas: noise levels (steps + 1,), falling, last one 0.
        noise: unused; this sampler is deterministic.
        order: of the predictor; fewer steps than that lower it.
        variant: B(h) of the paper, h or e^h - 1.
        lower_order_final: lower the order towards the end, which is steadier with few steps.

    Returns:
        Clean latents (B, C, h, w). Costs `steps` calls of denoise. The step to 0 answers the last prediction.

    Source: Zhao et al. 2023, arXiv:2302.04867, Algorithms 5 to 8, on the predicted clean latents.
    """
    levels = sigmas.tolist()
    known: list[Known] = []
    start, used = x, 1  # where the last step began, and from how many predictions
    for i, (sigma, sigma_next) in enumerate(pairwise(levels)):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            return denoised
        here = -math.log(sigma)
        if known:
            x = _step(start, known[-used:], levels[i - 1], sigma, variant, (denoised, here))
        known = [*known, (denoised, here)][-order:]
        left = len(levels) - 1 - i
        used = min(len(known), left) if lower_order_final else len(known)
        start, x = x, _step(x, known[-used:], sigma, sigma_next, variant, None)
    return x


def _step(x: Tensor, known: Sequence[Known], sigma: float, sigma_next: float, variant: str, landed: Known | None) -> Tensor:
    """From sigma to sigma_next with all that is known; with `landed`, the prediction there, the corrector's step."""
    newest, here = known[-1]
    h = math.log(sigma / sigma_next)
    others = [*known[-2::-1]] if landed is None else [*known[-2::-1], landed]
    places = [(place - here) / h for _, place in others]
    scale = -h if variant == "bh1" else math.expm1(-h)
    x = exponential_step(x, newest, sigma, sigma_next)
    for (denoised, _), place, weight in zip(others, places, _weights(places, h, scale), strict=True):
        x = x - scale * weight / place * (denoised - newest)
    return x


def _weights(places: Sequence[float], h: float, scale: float) -> list[float]:
    """The paper's a_m: what makes the step exact for predictions that are polynomials in lambda (eq. 10 and theorem 3.1).

    With a single unknown both sides take 1/2, which keeps the order (section 3.3).
    """
    if len(places) < 2:
        return [0.5] * len(places)
    phi = math.expm1(-h) / -h - 1
    right = []
    factorial = 1
    for k in range(1, len(places) + 1):
        right.append(phi * factorial / scale)
        factorial *= k + 1
        phi = phi / -h - 1 / factorial
    left = np.vander(places, len(places), increasing=True).T
    return [float(weight) for weight in np.linalg.solve(left, right)]
