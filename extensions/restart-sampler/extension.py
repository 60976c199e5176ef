"""Restart sampling: a walk down the noise levels by Heun's method that goes back up on the way and takes a stretch again.

The noise that is added there makes the errors of the steps so far count less, while the steps between stay as exact as those of
an ordinary differential equation.

Source: Xu et al. 2023, arXiv:2306.14878, Algorithm 1; the default intervals are those of AUTOMATIC1111's web UI.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

from webui.contract import Range, hookimpl

LOW, HIGH = 0.1, 2.0
"""The stretch that is taken again."""
FROM_STEPS, TWICE_FROM = 20, 36
"""Steps from which there is room for one restart, and for two."""


@hookimpl
def register_samplers(register):
    register("Restart", sample_restart, aliases=("restart",), schedule="Karras", calls_per_step=2, is_random=True)


def sample_restart(
    denoise,
    x,
    sigmas,
    noise,
    *,
    restarts: Annotated[int, Range(0, 10), "How often it goes back; 0: as the steps allow"] = 0,
    restart_steps: Annotated[int, Range(1, 50), "Steps each time"] = 9,
    restart_from: Annotated[float, Range(0.03, 5), "Noise level at which it goes back"] = LOW,
    restart_to: Annotated[float, Range(0.1, 20), "Noise level that it goes back to"] = HIGH,
    s_noise: float = 1.0,
):
    """Args as the contract has them; x (B, C, h, w), sigmas (steps + 1,).

    With restarts 0 it costs about as many calls of denoise as Heun's method with these steps, 2 * steps - 1: from 20 steps on
    the ladder is replaced by a shorter one of Karras', to make room. Else the restarts come on top, 2 * restart_steps calls each.
    """
    levels = sigmas.tolist()
    steps = len(levels) - 1
    if not restarts and steps >= FROM_STEPS and levels[-1] == 0:  # part of a walk (before a refiner) stays as it is
        restarts = 2 if steps >= TWICE_FROM else 1
        restart_steps = steps // 4 if steps >= TWICE_FROM else 9
        levels = karras(steps - restarts * restart_steps, levels[-2], levels[0]) + [0.0]
    before = levels[0]
    for sigma, sigma_next in walk(levels, restarts, restart_steps, restart_from, restart_to):
        if sigma > before:
            x = x + noise(before, sigma) * (s_noise * math.sqrt(sigma**2 - before**2))
        x = heun(denoise, x, sigma, sigma_next)
        before = sigma_next
    return x


def walk(levels: list[float], restarts: int, steps: int, low: float, high: float) -> Iterator[tuple[float, float]]:
    """From which noise level to which, step by step."""
    rungs = range(len(levels))
    bottom, top = (min(rungs, key=lambda i: abs(levels[i] - level)) for level in (low, high))
    for i, (sigma, sigma_next) in enumerate(pairwise(levels)):
        yield sigma, sigma_next
        if i + 1 == bottom > top and sigma_next > 0:
            for _ in range(restarts):
                yield from pairwise(karras(steps + 1, levels[bottom], levels[top]))


def heun(denoise, x, sigma: float, sigma_next: float):
    """One step of Heun's method; to 0 an Euler step, which ends on the denoiser's own answer."""
    slope = (x - denoise(x, sigma)) / sigma
    ahead = x + slope * (sigma_next - sigma)
    if sigma_next == 0:
        return ahead
    return x + (slope + (ahead - denoise(ahead, sigma_next)) / sigma_next) / 2 * (sigma_next - sigma)


def karras(points: int, low: float, high: float, rho: float = 7) -> list[float]:
    """Noise levels from high down to low. Source: Karras et al. 2022, arXiv:2206.00364, equation 5."""
    ends = high ** (1 / rho), low ** (1 / rho)
    return [(ends[0] + i / max(points - 1, 1) * (ends[1] - ends[0])) ** rho for i in range(points)]
