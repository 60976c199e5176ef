"""Pictures that are told with noise on them, and how much: what the x4 upscaler enlarges, what unCLIP varies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from webui.checkpoints.load import read_statistics
from webui.checkpoints.model import Model
from webui.contract.errors import PluginError
from webui.contract.parts import Conditioning, Inputs
from webui.contract.request import GenerationRequest
from webui.engine.conditioners.fourier import waves
from webui.engine.conditioners.pictures import needed


def noised_low_res(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:  # noqa: ARG001
    """The small picture with noise as concat (1, 3, h, w), a pixel for each latent, and the noise level as vector (1, 1).

    Source: Ho et al. 2021, arXiv:2106.15282 (conditioning augmentation), as the x4 upscaler of SD 2 has it.
    """
    image, level = needed(inputs.image, "image", model), level_of(request, model)
    return Conditioning(
        concat=with_noise(image, level, model, inputs), vector=torch.tensor([[float(level)]], device=model.device)
    )


def image_embedding(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:
    """What the picture shows as vector (1, 2 D): its embedding, with noise, and the noise level. Two pictures are mixed
    by the weighted mean of their embeddings. The negative side, and no picture, is zeros.

    The noise is added to an embedding of mean 0 and deviation 1, by the statistics that the checkpoint was trained with.

    Source: Ramesh et al. 2022, arXiv:2204.06125, as Stability-AI's unCLIP has it (CLIPEmbeddingNoiseAugmentation).
    """
    embedding = inputs.image_embedding
    if embedding is None and inputs.image is not None:
        embedding = _embedded(inputs.image, model)
        if inputs.second_image is not None:
            embedding = torch.lerp(embedding, _embedded(inputs.second_image, model), request.mix)
    if negative or embedding is None:
        return Conditioning(vector=torch.zeros(1, _vector_width(model), device=model.device))
    embedding = embedding.to(model.device, torch.float32)
    statistics = _statistics(model)
    mean = statistics.get("image_mean", torch.zeros(())).to(embedding)
    deviation = statistics.get("image_deviation", torch.ones(())).to(embedding)
    level = level_of(request, model)
    noised = with_noise((embedding - mean) / deviation, level, model, inputs) * deviation + mean
    told = waves(torch.tensor([level], device=model.device), embedding.shape[1])
    return Conditioning(vector=torch.cat([noised, told], 1))


def _statistics(model: Model) -> Mapping[str, Tensor]:
    """Mean and deviation (D,) of embeddings; {} for OpenCLIP's, which are 0 and 1. OpenAI's lie in a file of their own.

    Raises:
        MissingFileError: that file is not there.
    """
    is_openai = any(encoder.kind == "clip-image" for encoder in model.family.encoders)
    if is_openai and not model.statistics and model.shelf is not None:
        model.statistics = read_statistics(model.shelf.need("image-statistics", model.path))
    return model.statistics


def _embedded(image: Tensor, model: Model) -> Tensor:
    encoder: Any = model.encoders["image"]
    with torch.inference_mode():
        embedding: Tensor = encoder(image.to(model.device))
    return embedding.float()


def _vector_width(model: Model) -> int:
    """Of the vector that the network reads."""
    unet: Any = model.unet
    width: int = unet.class_embedding.linear_1.in_features
    return width


def level_of(request: GenerationRequest, model: Model) -> int:
    """How noisy the picture is told: a step of the family's input schedule."""
    return model.family.noise_level if request.noise_level is None else request.noise_level


def with_noise(clean: Tensor, level: int, model: Model, inputs: Inputs) -> Tensor:
    """clean * sqrt(a) + noise * sqrt(1 - a), a being what is left of the signal at that step (Ho et al. 2020,
    arXiv:2006.11239, eq. 4).

    Raises:
        PluginError: nobody gave the picture noise of its own.
    """
    if inputs.noise is None:
        raise PluginError(f"{model.family.label} draws from a picture with noise, and got none.")
    left = signal(model.family.input_schedule)[level]
    noise = inputs.noise(tuple(clean.shape)).to(clean)
    return clean * math.sqrt(left) + noise * math.sqrt(1 - left)


@cache
def signal(schedule: str) -> tuple[float, ...]:
    """What is left of the signal's variance after each of 1000 steps.

    Args:
        schedule: "linear:FIRST:LAST", linear in sqrt(beta); or "cosine" (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17).
    """
    kind, *ends = schedule.split(":")
    if kind == "cosine":
        share = [math.cos((i / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(1001)]
        betas = [min(1 - share[i + 1] / share[i], 0.999) for i in range(1000)]
    else:
        first, last = (math.sqrt(float(end)) for end in ends)
        betas = [(first + (last - first) * i / 999) ** 2 for i in range(1000)]
    left, product = [], 1.0
    for beta in betas:
        product *= 1 - beta
        left.append(product)
    return tuple(left)
