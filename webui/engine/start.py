"""Where a walk down the noise levels begins: noise, or a picture with noise on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PIL import Image
from torch import Tensor

from webui.checkpoints.model import Model
from webui.contract.parts import Inputs, Parts
from webui.contract.request import GenerationRequest
from webui.engine import plan
from webui.engine.autoencoder import encode, to_image
from webui.engine.noise import SeededNoise
from webui.engine.plan import Batch
from webui.engine.schedules import ladder
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


def begin(request: GenerationRequest, batch: Batch, model: Model, table: NoiseTable, parts: Parts, inputs: Inputs) -> Walk:
    """The start of a batch: unit noise times the first noise level; where the request's image is repainted, its latents
    with that noise on them, on the last strength * steps steps of the ladder (Meng et al. 2022, arXiv:2108.01073)."""
    assert request.width and request.height
    family, sampler = model.family, parts.samplers[request.sampler]
    sigmas = ladder(sampler, request.schedule, request.steps or 1, table, parts.schedules, family.schedule)
    sigmas = sigmas[len(sigmas) - 1 - plan.walked(request) :]
    factor, channels = family.latent_factor, family.latent_channels
    found_at = (channels, request.seed_from_height // factor, request.seed_from_width // factor)
    noise = SeededNoise(
        batch.seeds,
        (channels, request.height // factor, request.width // factor),
        source=request.noise_source,
        variation_seeds=batch.variation_seeds or None,
        variation_strength=request.variation_strength,
        from_shape=found_at if found_at[1] and found_at[2] else None,
        step_seed_shift=request.step_seed_shift,
    )
    first, unit = float(sigmas[0]), noise.start().to(model.device)
    if plan.repaints(request) and inputs.image is not None:
        x = encode(inputs.image, model) + first * unit
    else:
        x = unit * ((1 + first**2) ** 0.5 if sampler.starts_vp else first)

    def step_noise(sigma: Tensor | float, sigma_next: Tensor | float) -> Tensor:
        return noise(sigma, sigma_next).to(model.device)

    return Walk(x, sigmas, step_noise, [replace(inputs, noise=noise.of(i)) for i in range(len(batch.seeds))])


def given_back(walk: Walk, i: int) -> Image.Image | None:
    """The image of picture i itself, where no step is walked (strength 0): the same bytes, past the autoencoder."""
    image = walk.inputs[i].image
    return to_image(image) if len(walk.sigmas) == 1 and image is not None else None
