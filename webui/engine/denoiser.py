"""The network as a denoiser: from noisy latents at a noise level to the clean latents that it predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from webui.checkpoints.model import Model
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Conditioning, Denoise
from webui.engine.company import called
from webui.engine.controls import residuals
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
    ask = _asking(model, table, conditioning, sides)

    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
        answer = ask(x, sigma)
        return answer.clean(answer.raw if combine is None else combine(answer.raw))

    return denoise


def predictions(
    model: Model, table: NoiseTable, conditioning: Conditioning, sides: int, shares: bool = True
) -> Callable[[Tensor, Tensor | float], tuple[Tensor, ...]]:
    """As denoiser, but what is predicted with each of the sides, in one call of the network.

    Args:
        shares: see network.
    """
    ask = _asking(model, table, conditioning, sides, shares)

    def predict(x: Tensor, sigma: Tensor | float) -> tuple[Tensor, ...]:
        answer = ask(x, sigma)
        return tuple(answer.clean(one) for one in answer.raw.chunk(sides))

    return predict


@dataclass(slots=True)
class _Answer:
    """What a network said of latents, and how clean latents are made of that."""

    raw: Tensor
    """(sides * B, C, h, w)"""
    x: Tensor
    level: Tensor | float
    scale: Tensor | float
    is_v: bool

    def clean(self, raw: Tensor) -> Tensor:
        """Of one prediction (B, C, h, w)."""
        if self.is_v:
            return self.x * (self.scale * self.scale) - raw.float() * (self.level * self.scale)
        if isinstance(self.level, float):
            return torch.sub(self.x, raw.float(), alpha=self.level)
        return self.x - raw.float() * self.level


def _asking(
    model: Model, table: NoiseTable, conditioning: Conditioning, sides: int, shares: bool = True
) -> Callable[[Tensor, Tensor | float], _Answer]:
    ask, dtype, device = network(model, conditioning, sides, shares), model.dtype, model.device
    is_v = model.family.prediction == "v"
    concat = None if conditioning.concat is None else conditioning.concat.to(device, dtype)
    rounds = model.family.rounds_sigma

    def answer(x: Tensor, sigma: Tensor | float) -> _Answer:
        level, t = _level(table.nearest(sigma) if rounds else sigma, x, table)
        scale = (level * level + 1) ** -0.5
        seen = (x * scale).to(dtype)
        if sides > 1:
            seen = torch.cat([seen] * sides)
            t = torch.cat([t] * sides) if t.ndim else t
        if concat is not None:
            seen = torch.cat([seen, concat], 1)
        raw = ask(seen.contiguous(memory_format=model.memory_format), t)
        return _Answer(raw, x, level, scale, is_v)

    return answer


def network(model: Model, conditioning: Conditioning, sides: int = 1, shares: bool = True) -> Callable[[Tensor, Tensor], Tensor]:
    """The U-Net with its conditioning and its controls: (seen (sides * B, ...), t scalar or (sides * B,)) -> raw answer.

    On a processor each picture of a batch has a call of its own: its kernels sum in another order for another batch
    size, and a picture must be the same bytes in a batch and alone. (Batching brings little there: 3% at 512 x 512.)

    Args:
        shares: whether other jobs may be answered by the same call: not where the U-Net is another one for this call. One with
            controls is never shared.

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

    controls, channels = conditioning.controls, model.family.latent_channels

    def together(seen: Tensor, t: Tensor, told: Mapping[str, Tensor] = told) -> Tensor:
        if shares and not controls:
            return called(unet, seen, t, told)
        latents = seen if seen.shape[1] == channels else seen[:, :channels]
        words, numbers = told.get("encoder_hidden_states"), told.get("class_labels")
        added = residuals(controls, unet, latents, t, words, numbers) if controls else {}
        return unet(seen, t, **told, **added, return_dict=False)[0]

    if device.type != "cpu":
        return together

    def one_by_one(seen: Tensor, t: Tensor) -> Tensor:
        pictures = seen.shape[0] // sides  # len() of a tensor costs as much as an operation
        if pictures == 1:
            return together(seen, t)
        answers = []
        for i in range(pictures):
            own = {name: value[i::pictures] for name, value in told.items()}
            answers.append(together(seen[i::pictures], t[i::pictures] if t.ndim else t, own))
        return torch.stack(answers, 1).flatten(0, 1)

    return one_by_one


def _level(sigma: Tensor | float, x: Tensor, table: NoiseTable) -> tuple[Tensor | float, Tensor]:
    """(noise level that multiplies x, time steps): a scalar for all pictures, or (B, 1, 1, 1) and (B,)."""
    if isinstance(sigma, Tensor) and sigma.ndim:
        sigma = sigma.to(x.device)
        return sigma.view(-1, *[1] * (x.ndim - 1)), table.t_of(sigma)
    level = float(sigma)
    return level, table.step(level, x.device)
