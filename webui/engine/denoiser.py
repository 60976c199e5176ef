"""The network as a denoiser: from noisy latents at a noise level to the clean latents that it predicts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from webui.checkpoints.model import Model
from webui.contract.parts import Conditioning
from webui.engine.table import NoiseTable

Combine = Callable[[Tensor], Tensor]


def denoiser(model: Model, table: NoiseTable, conditioning: Conditioning, sides: int = 1, combine: Combine | None = None) -> Callable[[Tensor, Tensor | float], Tensor]:
    """A function (x, sigma) -> predicted clean latents, shaped like x, float32. One call of it is one call of the network.

    Args:
        conditioning: for sides * B pictures, the sides of guidance behind each other.
        sides: how many conditionings each picture is asked with.
        combine: makes one prediction (B, ...) of the network's raw answers (sides * B, ...); both families of
            prediction are linear in them, so it may come before the step to clean latents.

    With x = clean + sigma * noise the network sees x / sqrt(1 + sigma^2) and the time step t(sigma), never rounded.
    eps: clean = x - sigma * eps (Ho et al. 2020, arXiv:2006.11239).
    v: clean = x / (1 + sigma^2) - v * sigma / sqrt(1 + sigma^2) (Salimans & Ho 2022, arXiv:2202.00512, appendix D).
    """
    unet, dtype, device, is_v = model.unet, model.dtype, model.device, model.family.prediction == "v"
    crossattn = None if conditioning.crossattn is None else conditioning.crossattn.to(device, dtype)
    vector = None if conditioning.vector is None else conditioning.vector.to(device, dtype)
    concat = None if conditioning.concat is None else conditioning.concat.to(device, dtype)

    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
        level, t = _level(sigma, x, table)
        scale = (level * level + 1) ** -0.5
        seen = (x * scale).to(dtype)
        if sides > 1:
            seen = torch.cat([seen] * sides)
            t = torch.cat([t] * sides) if t.ndim else t
        if concat is not None:
            seen = torch.cat([seen, concat], 1)
        raw = unet(seen.contiguous(memory_format=model.memory_format), t, encoder_hidden_states=crossattn, class_labels=vector, return_dict=False)[0]
        if combine is not None:
            raw = combine(raw)
        if is_v:
            return x * (scale * scale) - raw.float() * (level * scale)
        return torch.sub(x, raw.float() * level)

    return denoise


def _level(sigma: Tensor | float, x: Tensor, table: NoiseTable) -> tuple[Tensor | float, Tensor]:
    """(noise level that multiplies x, time steps): a scalar for all pictures, or (B, 1, 1, 1) and (B,)."""
    if isinstance(sigma, Tensor) and sigma.ndim:
        sigma = sigma.to(x.device)
        return sigma.view(-1, *[1] * (x.ndim - 1)), table.t_of(sigma)
    level = float(sigma)
    return level, torch.tensor(table.t(level), device=x.device)
