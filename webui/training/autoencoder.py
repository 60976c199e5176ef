"""The autoencoder's stages: whole pictures, no discriminator, latents that every SD-1 tool understands.

`train_autoencoder` trains all of it. Once latents are in use the encoder must stay as it is, and `train_decoder`
goes on with the decoder alone.
"""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as functional
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from webui.training.loop import Arithmetic, Learner, draws, learn, parameters_of, read_state, write_state
from webui.training.networks import LATENT_CHANNELS, SCALE, Autoencoder, decode, make_autoencoder, mean_latents, start_linear
from webui.training.options import Goal
from webui.training.scenes import to_tensor
from webui.training.worlds import HELD_OUT, render_shapes

SEED = 1
RATE, DECODER_RATE, AVERAGE_RATE = 1.5e-3, 8e-4, 0.998
NOISE = 0.03
"""Put on the latents, as a share of their deviation: the decoder must bear what a sampler leaves. 0.15 held it back."""
PULL = 5e-4
"""Weight of the latents' square, which stands for the KL term."""
DOUBT = 0.02
"""Deviation that the exported encoder reports, as a share of the latents' own."""


@dataclass(frozen=True)
class Kind:
    """Which autoencoder, and how it is trained."""

    make: Callable[[], Autoencoder] = make_autoencoder
    start: Callable[[Autoencoder], None] = start_linear
    """How it begins."""
    rate: float = RATE
    scale: float = SCALE
    """That its latents are multiplied by, after which their deviation is 1."""
    crop: int = 0
    """Side of the parts that it learns from, in pixels; 0: whole pictures."""


POCKET = Kind()


def train_autoencoder(
    state_file: Path,
    result: Path,
    pictures: NDArray,
    goal: Goal,
    arithmetic: Arithmetic,
    batch: int,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    kind: Kind = POCKET,
) -> bool:
    """Train encoder and decoder, or go on from the state. True when the goal is reached; then `result` is written."""
    torch.manual_seed(SEED)
    network = kind.make()
    kind.start(network)
    arithmetic.put(network)
    learner = Learner({"autoencoder": network}, list(network.parameters()), kind.rate, AVERAGE_RATE)
    if (state := read_state(state_file)) is not None:
        learner.load(state)

    def loss(step: int) -> Tensor:
        x, generator = _draw(pictures, batch, step, arithmetic, kind.crop)
        with arithmetic():
            z = mean_latents(network, x)
            out = decode(network, _noisy(z, generator))
        return picture_loss(out.float(), x) + PULL * z.float().pow(2).mean()

    def save() -> None:
        write_state(state_file, learner.state())

    done = learn(learner, goal, loss, batch, save=save, say=say, should_stop=should_stop, curve=state_file.with_suffix(".tsv"))
    if done:
        with learner.averaged():
            exported = copy.deepcopy(network)
        fold(exported, pictures, kind.scale)
        save_network(exported, result)
        _say_quality(exported, pictures, say)
    return done


def train_decoder(
    state_file: Path,
    result: Path,
    pictures: NDArray,
    goal: Goal,
    arithmetic: Arithmetic,
    batch: int,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    kind: Kind = POCKET,
    guess: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> bool:
    """Train the decoder of the autoencoder in `result` on, or go on from the state; the encoder stays.

    Args:
        guess: pictures (B, 3, H, W) to unscaled latents as a denoiser may leave them; the decoder learns from these in every
            second step.
    """
    network = load_autoencoder(result)
    arithmetic.put(network)
    learner = Learner(
        {"autoencoder": network}, parameters_of([network.decoder, network.post_quant_conv]), DECODER_RATE, AVERAGE_RATE
    )
    if (state := read_state(state_file)) is not None:
        learner.load(state)

    def loss(step: int) -> Tensor:
        x, generator = _draw(pictures, batch, step, arithmetic, kind.crop)
        with arithmetic():
            with torch.no_grad():
                z = _noisy(mean_latents(network, x), generator) if guess is None or step % 2 else guess(x, generator)
            out = decode(network, z)
        return picture_loss(out.float(), x)

    def save() -> None:
        write_state(state_file, learner.state())

    done = learn(learner, goal, loss, batch, save=save, say=say, should_stop=should_stop, curve=state_file.with_suffix(".tsv"))
    if done:
        with learner.averaged():
            save_network(network, result)
            _say_quality(network, pictures, say)
    return done


def save_network(network: Autoencoder, folder: Path) -> None:
    """Written beside and renamed."""
    beside = folder.with_name(folder.name + ".new")
    network.save_pretrained(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def load_autoencoder(folder: Path) -> Autoencoder:
    """From a folder in diffusers layout, in float32."""
    return AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True)


def _say_quality(network: Autoencoder, pictures: NDArray, say: Callable[[str], None]) -> None:
    count = min(48, max(4, len(pictures) // 32))
    held_out = render_shapes(HELD_OUT, count, pictures.shape[1]).pictures
    say(f"{reconstruction(network, held_out):.2f} dB on {count} held-out scenes")


def _draw(pictures: NDArray, batch: int, step: int, arithmetic: Arithmetic, crop: int = 0) -> tuple[Tensor, torch.Generator]:
    rng, generator = draws(SEED, step)
    picked = pictures[rng.integers(0, len(pictures), batch)]
    if crop:
        top, left = rng.integers(0, picked.shape[1] - crop + 1, 2)
        picked = picked[:, top : top + crop, left : left + crop]
    return to_tensor(picked[:, :, ::-1] if rng.uniform() < 0.5 else picked).to(arithmetic.device), generator


def _noisy(z: Tensor, generator: torch.Generator) -> Tensor:
    return z + torch.randn(z.shape, generator=generator).to(z) * (NOISE * z.detach().std())


def picture_loss(out: Tensor, x: Tensor) -> Tensor:
    """L1, L1 of the differences to the neighbours at three scales, and of the mean colour of each 8 x 8 cell."""
    loss = functional.l1_loss(functional.avg_pool2d(out, 8), functional.avg_pool2d(x, 8))
    for weight, slope in ((1.0, 0.5), (0.5, 0.35), (0.5, 0.25)):
        error = out - x
        loss = loss + weight * error.abs().mean()
        loss = loss + slope * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean())
        out, x = functional.avg_pool2d(out, 2), functional.avg_pool2d(x, 2)
    return loss


@torch.no_grad()
def fold(network: Autoencoder, pictures: NDArray, scale: float = SCALE, count: int = 320) -> None:
    """Fold the latents' mean, deviation and correlation into the two 1x1 convolutions, exactly.

    Afterwards the scaled latents have mean 0, deviation 1 and uncorrelated channels, and pictures come out as
    before; the encoder reports a deviation of a fiftieth of the latents' own.
    """
    device = network.quant_conv.weight.device
    at = torch.linspace(0, len(pictures) - 1, min(count, len(pictures))).long().tolist()
    packs = [to_tensor(pictures[at[i : i + 8]]).to(device) for i in range(0, len(at), 8)]
    values = torch.cat([mean_latents(network, pack) for pack in packs]).double().transpose(0, 1).flatten(1)
    mean, covariance = values.mean(1), torch.cov(values)
    deviation = covariance.diagonal().sqrt()
    eigenvalues, vectors = torch.linalg.eigh(covariance / deviation[:, None] / deviation[None])
    out = torch.diag(deviation) @ (vectors * eigenvalues.sqrt()) @ vectors.T
    into = torch.linalg.inv(out)

    quant, post = network.quant_conv, network.post_quant_conv
    weight = quant.weight[:LATENT_CHANNELS, :, 0, 0].double()
    quant.weight[:LATENT_CHANNELS, :, 0, 0] = (into @ weight / scale).float()
    quant.bias[:LATENT_CHANNELS] = (into @ (quant.bias[:LATENT_CHANNELS].double() - mean) / scale).float()
    quant.weight[LATENT_CHANNELS:] = 0
    quant.bias[LATENT_CHANNELS:] = 2 * math.log(DOUBT / scale)
    weight = post.weight[:, :, 0, 0].double()
    post.bias += (weight @ mean).float()
    post.weight[:, :, 0, 0] = (weight @ out * scale).float()


@torch.no_grad()
def reconstruction(network: Autoencoder, pictures: NDArray) -> float:
    """Mean PSNR in decibels of pictures that went through the autoencoder (no noise on the latents)."""
    values = []
    for i in range(0, len(pictures), 8):
        x = to_tensor(pictures[i : i + 8]).to(network.quant_conv.weight.device)
        error = decode(network, mean_latents(network, x)).clamp(-1, 1) - x
        values.append(10 * torch.log10(4 / error.pow(2).mean((1, 2, 3))))
    return torch.cat(values).mean().item()
