"""The network as a denoiser: from noisy latents at a noise level to the clean latents that it predicts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from webui.checkpoints.model import Model
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Conditioning, Denoise
from webui.engine.table import NoiseTable

Combine = Callable[[Tensor], Tensor]


def denoiser(
    model: Model, table: NoiseTable, conditioning: Conditioning, sides: int = 1, combine: Combine | None = None
) -> Denoise:
    """A function (x, sigma) -> predicted clean latents, shaped like x, float32. One call of it is one call of the network.

    Args:
        conditioning: for sides * B pictures, the sides of guidance behind each other.
        sides: how many conditionings each picture is asked with.
        combine: makes one prediction (B, ...) of the network's raw answers (sides * B, ...); both families of
            prediction are linear in them, so it may come before the step to clean latents.

    With x = clean + sigma * noise the network sees x / sqrt(1 + sigma^2) and the time step t(sigma), never rounded; a
    family that rounds takes the nearest level that it was trained on instead of sigma, while x keeps its own noise.
    eps: clean = x - sigma * eps (Ho et al. 2020, arXiv:2006.11239).
    v: clean = x / (1 + sigma^2) - v * sigma / sqrt(1 + sigma^2) (Salimans & Ho 2022, arXiv:2202.00512, appendix D).
    """
    ask, dtype, device, is_v = network(model, conditioning, sides), model.dtype, model.device, model.family.prediction == "v"
    concat = None if conditioning.concat is None else conditioning.concat.to(device, dtype)
    rounds = model.family.rounds_sigma

    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
        level, t = _level(table.nearest(sigma) if rounds else sigma, x, table)
        scale = (level * level + 1) ** -0.5
        seen = (x * scale).to(dtype)
        if sides > 1:
            seen = torch.cat([seen] * sides)
            t = torch.cat([t] * sides) if t.ndim else t
        if concat is not None:
            seen = torch.cat([seen, concat], 1)
        raw = ask(seen.contiguous(memory_format=model.memory_format), t)
        if combine is not None:
            raw = combine(raw)
        if is_v:
            return x * (scale * scale) - raw.float() * (level * scale)
        if isinstance(level, float):
            return torch.sub(x, raw.float(), alpha=level)
        return x - raw.float() * level

    return denoise


def network(model: Model, conditioning: Conditioning, sides: int = 1) -> Callable[[Tensor, Tensor], Tensor]:
    """The U-Net with its conditioning: (seen (sides * B, ...), t scalar or (sides * B,)) -> raw answer.

    On a processor each picture of a batch has a call of its own: its kernels sum in another order for another batch
    size, and a picture must be the same bytes in a batch and alone. (Batching brings little there: 3% at 512 x 512.)

    Raises:
        CheckpointReadError: the checkpoint is an autoencoder alone.
    """
    unet, device, dtype = model.unet, model.device, model.dtype
    if unet is None:
        raise CheckpointReadError(f"{model.title} is an autoencoder alone, which draws nothing. Choose another checkpoint.")
    told: dict[str, Tensor] = {}
    if conditioning.crossattn is not None:
        told["encoder_hidden_states"] = conditioning.crossattn.to(device, dtype)
    if conditioning.vector is not None:  # may be a row's number, which half precision would round: the network casts it
        told["class_labels"] = conditioning.vector.to(device)

    def together(seen: Tensor, t: Tensor) -> Tensor:
        return unet(seen, t, **told, return_dict=False)[0]

    if device.type != "cpu":
        return together

    def one_by_one(seen: Tensor, t: Tensor) -> Tensor:
        pictures = seen.shape[0] // sides  # len() of a tensor costs as much as an operation
        if pictures == 1:
            return together(seen, t)
        answers = []
        for i in range(pictures):
            own = {name: value[i::pictures] for name, value in told.items()}
            answers.append(unet(seen[i::pictures], t[i::pictures] if t.ndim else t, **own, return_dict=False)[0])
        return torch.stack(answers, 1).flatten(0, 1)

    return one_by_one


def _level(sigma: Tensor | float, x: Tensor, table: NoiseTable) -> tuple[Tensor | float, Tensor]:
    """(noise level that multiplies x, time steps): a scalar for all pictures, or (B, 1, 1, 1) and (B,)."""
    if isinstance(sigma, Tensor) and sigma.ndim:
        sigma = sigma.to(x.device)
        return sigma.view(-1, *[1] * (x.ndim - 1)), table.t_of(sigma)
    level = float(sigma)
    return level, table.step(level, x.device)
