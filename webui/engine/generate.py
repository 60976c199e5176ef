"""From a request to pictures: the whole journey on one screen. It owns no maths."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from webui.checkpoints import memory
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.model import Model
from webui.contract import infotext
from webui.contract.parts import Noise, Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import GeneratedImage
from webui.engine import autoencoder, plan
from webui.engine.conditioning import condition
from webui.engine.guidance import guide
from webui.engine.noise import SeededNoise
from webui.engine.plan import Batch, Stage
from webui.engine.schedules import ladder
from webui.engine.table import NoiseTable
from webui.engine.watch import Observer, Unobserved, watch


def generate(
    request: GenerationRequest, checkpoints: Checkpoints, parts: Parts, observer: Observer | None = None, skip: int = 0
) -> Iterator[GeneratedImage]:
    """Draw a request, picture by picture.

    Args:
        observer: told of each step, asked before each network call whether to stop.
        skip: pictures of the job that are there already (a job taken up again); whole batches of them are left out.

    Raises:
        RequestError, CheckpointError: before anything is drawn.
        Interrupted: the observer wished to stop; what was yielded is finished.
    """
    request = plan.complete(request, checkpoints, parts)
    for batch in plan.batches(request):
        if batch.first + len(batch.seeds) <= skip:
            continue
        yield from draw(request, batch, checkpoints, parts, observer or Unobserved())


def draw(
    request: GenerationRequest, batch: Batch, checkpoints: Checkpoints, parts: Parts, observer: Observer
) -> Iterator[GeneratedImage]:
    """Draw one batch through its stages."""
    for stage in batch.stages:
        with checkpoints.use(stage.checkpoint) as model:
            with memory.shortage(stage.width, stage.height), torch.inference_mode():
                latents = sample(request, batch, stage, model, parts, observer)
            for i in range(len(batch.seeds)):
                with memory.shortage(stage.width, stage.height):
                    image = autoencoder.decode(latents[i : i + 1], model)
                exact = plan.of_picture(request, batch, i)
                yield GeneratedImage(image, exact, model.name, infotext.write(exact, model.name))


def sample(request: GenerationRequest, batch: Batch, stage: Stage, model: Model, parts: Parts, observer: Observer) -> Tensor:
    """Clean latents (B, C, h, w) of one stage."""
    table = table_of(model)
    positive, negative = condition(request, model, parts)
    x, sigmas, noise = start(request, batch, stage, model, table, parts)
    guided = guide(model, table, positive, negative, request.guidance or 0, len(batch.seeds))
    denoise = watch(
        guided, sigmas, observer, batch.first, request.pictures, len(batch.seeds), lambda clean: autoencoder.preview(clean, model)
    )
    sampler = parts.samplers[request.sampler]
    latents: Tensor = sampler.function(denoise, x, sigmas, noise, **plan.sampler_options(sampler, request))
    return latents


def table_of(model: Model) -> NoiseTable:
    """The model's noise table, made once."""
    table: NoiseTable | None = model.fits.get("table")
    if table is None:
        table = NoiseTable(model.sigmas)
        model.fits.put("table", table)
    return table


def start(
    request: GenerationRequest, batch: Batch, stage: Stage, model: Model, table: NoiseTable, parts: Parts
) -> tuple[Tensor, Tensor, Noise]:
    """Where a walk begins: noisy latents (B, C, h, w), the ladder (steps + 1,), and the noise of its steps."""
    sampler = parts.samplers[request.sampler]
    sigmas = ladder(sampler, request.schedule, request.steps or 1, table, parts.schedules, model.family.schedule)
    factor, channels = model.family.latent_factor, model.family.latent_channels
    found_at = (channels, request.seed_from_height // factor, request.seed_from_width // factor)
    noise = SeededNoise(
        batch.seeds,
        (channels, stage.height // factor, stage.width // factor),
        source=request.noise_source,
        variation_seeds=batch.variation_seeds or None,
        variation_strength=request.variation_strength,
        from_shape=found_at if found_at[1] and found_at[2] else None,
        step_seed_shift=request.step_seed_shift,
    )
    first = float(sigmas[0])
    x = noise.start().to(model.device) * ((1 + first**2) ** 0.5 if sampler.starts_vp else first)

    def step_noise(sigma: Tensor | float, sigma_next: Tensor | float) -> Tensor:
        return noise(sigma, sigma_next).to(model.device)

    return x, sigmas, step_noise
