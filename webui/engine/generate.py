"""From a request to pictures: the whole journey on one screen. It owns no maths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from webui.checkpoints import memory
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.model import Model
from webui.contract import infotext
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import CheckpointName, GeneratedImage
from webui.engine import autoencoder, plan
from webui.engine.conditioning import condition
from webui.engine.guidance import guide
from webui.engine.inputs import Pictures, no_pictures, read
from webui.engine.plan import Batch, Stage
from webui.engine.start import Walk, begin, given_back
from webui.engine.table import NoiseTable
from webui.engine.watch import Observer, Unobserved, watch


def generate(
    request: GenerationRequest,
    checkpoints: Checkpoints,
    parts: Parts,
    observer: Observer | None = None,
    skip: int = 0,
    pictures: Pictures = no_pictures,
) -> Iterator[GeneratedImage]:
    """Draw a request, picture by picture.

    Args:
        observer: told of each step, asked before each network call whether to stop.
        skip: pictures of the job that are there already (a job taken up again); whole batches of them are left out.
        pictures: opens the pictures that the request names.

    Raises:
        RequestError, CheckpointError: before anything is drawn.
        Interrupted: the observer wished to stop; what was yielded is finished.
    """
    request = plan.complete(request, checkpoints, parts, pictures)
    for batch in plan.batches(request):
        if batch.first + len(batch.seeds) <= skip:
            continue
        yield from draw(request, batch, checkpoints, parts, observer or Unobserved(), pictures)


def draw(
    request: GenerationRequest,
    batch: Batch,
    checkpoints: Checkpoints,
    parts: Parts,
    observer: Observer,
    pictures: Pictures = no_pictures,
) -> Iterator[GeneratedImage]:
    """Draw one batch through its stages, all on one ladder. Its pictures come from the last one."""
    walk: Walk | None = None
    name: CheckpointName | None = None
    for stage in batch.stages:
        with checkpoints.use(stage.checkpoint) as model:
            with memory.shortage(stage.width, stage.height), torch.inference_mode():
                name = name or model.name
                if walk is None:
                    inputs = read(request, model.family, pictures)
                    walk = begin(request, batch, model, table_of(model), parts, inputs)
                walk = replace(walk, x=sample(request, batch, stage, model, parts, observer, walk))
            for i in range(len(batch.seeds) if stage.is_last else 0):
                with memory.shortage(stage.width, stage.height):
                    image = given_back(walk, i) or autoencoder.decode(walk.x[i : i + 1], model)
                exact = plan.of_picture(request, batch, i)
                yield GeneratedImage(image, exact, name, infotext.write(exact, name))


def sample(
    request: GenerationRequest, batch: Batch, stage: Stage, model: Model, parts: Parts, observer: Observer, walk: Walk
) -> Tensor:
    """One stage of the walk: latents (B, C, h, w), clean after the last stage."""
    table, together = table_of(model), len(batch.seeds)
    positive, negative = condition(request, model, parts, walk.inputs)
    guided = guide(model, table, positive, negative, request.guidance or 0, together)
    denoise = watch(
        guided,
        walk.sigmas,
        observer,
        batch.first,
        request.pictures,
        together,
        lambda clean: autoencoder.preview(clean, model),
        stage.first,
    )
    sampler = parts.samplers[request.sampler]
    options = plan.sampler_options(sampler, request)
    latents: Tensor = sampler.function(denoise, walk.x, walk.sigmas[stage.first : stage.last + 1], walk.noise, **options)
    return latents


def table_of(model: Model) -> NoiseTable:
    """The model's noise table, made once."""
    table: NoiseTable | None = model.fits.get("table")
    if table is None:
        table = NoiseTable(model.sigmas)
        model.fits.put("table", table)
    return table
