"""Classifier-free guidance: away from what the negative prompt predicts."""

from __future__ import annotations

import torch
from torch import Tensor

from webui.checkpoints.model import Model
from webui.contract.parts import Conditioning, Denoise
from webui.engine.conditioning import batched
from webui.engine.denoiser import denoiser
from webui.engine.table import NoiseTable


def guide(
    model: Model, table: NoiseTable, positive: Conditioning, negative: Conditioning, scale: float, pictures: int
) -> Denoise:
    """The denoiser with guidance inside: negative + scale * (positive - negative), both sides in one network call.

    scale 0 and 1 mean the prompt alone, in one conditional pass (as the cards of the Turbo checkpoints use 0).

    Source: Ho & Salimans 2022, arXiv:2207.12598, eq. 6, with scale = 1 + w.
    """
    if scale in (0, 1):
        return denoiser(model, table, batched([positive], pictures))

    def combine(raw: Tensor) -> Tensor:
        towards, away = raw.float().chunk(2)
        return torch.lerp(away, towards, scale)

    return denoiser(model, table, batched([positive, negative], pictures), 2, combine)
