"""Where a walk down the noise levels begins: noise, or a picture with noise on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from webui.checkpoints.model import Model
from webui.contract.parts import Inputs, Parts
from webui.contract.request import GenerationRequest
from webui.engine.autoencoder import encode
from webui.engine.inputs import FROM_NOISE, Start
from webui.engine.masks import start_latents
from webui.engine.noise import SeededNoise
from webui.engine.plan import Batch
from webui.engine.resizing import resized_latents
from webui.engine.schedules import ladder
from webui.engine.shot import sent
from webui.engine.table import NoiseTable


@dataclass(frozen=True)
class Walk:
    """A batch on its way down. Stages hand it on: the same ladder and noise, the latents exactly as they are."""

    x: Tensor
    """(B, C, h, w), noisy latents: clean + sigma * noise"""
    sigmas: Tensor
    """(steps + 1,) float32 on the CPU: the whole ladder, of all stages"""
    noise: Callable[[Tensor | float, Tensor | float], Tensor]
    """Of the steps"""
    inputs: Sequence[Inputs]
    """One for each picture of the batch"""
    original: Tensor | None = None
    """(1, C, h, w), clean latents that are held where the strength is 0"""
    strength: Tensor | None = None
    """(1, 1, h, w) in [0, 1]; with original"""


def begin(
    request: GenerationRequest,
    batch: Batch,
    model: Model,
    table: NoiseTable,
    parts: Parts,
    inputs: Inputs,
    start: Start = FROM_NOISE,
    steps: int | None = None,
    tile: int = 0,
) -> Walk:
    """The start of a batch: unit noise times the first noise level; where something is repainted, its latents with that
    noise on them, on the last steps of the ladder (Meng et al. 2022, arXiv:2108.01073).

    Args:
        start: what is repainted, and what is held.
        steps: of the request's ladder that are walked; None: all.
        tile: pixels of a side that the autoencoder sees at once; 0: all.
    """
    family, sampler = model.family, parts.samplers[request.sampler]
    sigmas = ladder(
        sampler, request.schedule, request.steps or 1, table, parts.schedules, family.schedule, request.schedule_options
    )
    sigmas = sigmas if steps is None else sigmas[len(sigmas) - 1 - steps :]
    factor, channels = family.latent_factor, family.latent_channels
    size = (inputs.size[0] // factor, inputs.size[1] // factor)
    found_at = (channels, request.seed_from_height // factor, request.seed_from_width // factor)
    noise = SeededNoise(
        batch.seeds,
        (channels, *size),
        source=request.noise_source,
        variation_seeds=batch.variation_seeds or None,
        variation_strength=request.variation_strength,
        from_shape=found_at if found_at[1] and found_at[2] else None,
        step_seed_shift=request.step_seed_shift,
    )
    first, device = float(sigmas[0]), model.device
    unit = sent(noise.start(), device)
    clean = start.latents
    if clean is None and start.pixels is not None:
        clean = _content(resized_latents(encode(start.pixels, model, tile), *size), start, noise, len(batch.seeds))
    if clean is not None:
        x = clean.to(device) + first * unit
    else:
        x = unit * ((1 + first**2) ** 0.5 if sampler.starts_vp else first)

    def step_noise(sigma: Tensor | float, sigma_next: Tensor | float) -> Tensor:
        return sent(noise(sigma, sigma_next), device)  # who keeps a walk keeps no model in memory

    return Walk(
        x,
        sigmas,
        step_noise,
        [replace(inputs, noise=noise.of(i)) for i in range(len(batch.seeds))],
        None if start.original is None else encode(start.original, model, tile),
        start.strength,
    )


def _content(latents: Tensor, start: Start, noise: SeededNoise, pictures: int) -> Tensor:
    """(1 or B, C, h, w): the latents with the masked content that was asked; noise is each picture's own."""
    if start.mask is None or start.fill in ("fill", "original"):
        return latents
    shape = tuple(latents.shape)
    draws = [noise.of(i)(shape) if start.fill == "latent noise" else torch.zeros(shape) for i in range(pictures)]
    return torch.cat([start_latents(latents, start.mask, start.fill, draw) for draw in draws])
