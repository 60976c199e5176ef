"""The stage of U-Net and text encoder, trained together on latents and captions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from webui.checkpoints.tokenizer import WORDS
from webui.contract.errors import StartError
from webui.training.loop import Arithmetic, Learner, draws, learn, parameters_of, read_state, write_state
from webui.training.networks import (
    LATENT_CHANNELS,
    TextEncoder,
    UNet,
    alphas_cumprod,
    make_text_encoder,
    make_unet,
    start_linear,
    start_words,
)
from webui.training.options import Goal

SEED = 3
RATE, AVERAGE_RATE = 1e-3, 0.999
TOWARDS_NOISE = 0.7
"""Exponent of the drawn time: below 1 the noisier steps come more often. 1 draws them evenly."""
STRANGE_SHARE = 0.08
"""Of the captions that get one to three words from outside the world, so that such words change little."""
TABLE = "embeddings.token_embedding.weight"


def train_unet(
    state_file: Path,
    latents: NDArray,
    tokens: NDArray,
    goal: Goal,
    arithmetic: Arithmetic,
    begin: Path | None,
    batch: int,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    beside: NDArray | None = None,
    rate: float = RATE,
) -> bool:
    """Train, or go on from the state. True when the goal is reached.

    Args:
        latents: (N, 4, 16, 16) scaled. tokens: (N, wordings, 77) CLIP ids.
        begin: a checkpoint in diffusers layout to begin from, where there is no state yet.
        beside: (N, C, 16, 16) what the U-Net gets beside the latents. Then the text encoder stays as it is, so that
            the checkpoint shares it with the one it began from.
    """
    torch.manual_seed(SEED)
    state, more = read_state(state_file), 0 if beside is None else beside.shape[1]
    if state is not None:
        known = state["known"]
        unet, text = make_unet(more), make_text_encoder(len(known) + 1)
    elif begin is not None:
        unet, text, known = load_networks(begin, np.unique(tokens), more)
    else:
        known = torch.from_numpy(np.unique(tokens).astype(np.int64))
        unet, text = make_unet(), make_text_encoder(len(known) + 1)
        start_linear(unet)
        start_words(text)
    text.embeddings.token_embedding.padding_idx = 0  # no gradient: the row of all other words stays zero
    arithmetic.put(unet)
    text.to(arithmetic.device)
    learns = [unet] if more else [unet, text]
    learner = Learner({"unet": unet, "text": text}, parameters_of(learns), rate, AVERAGE_RATE, warm_steps=200)
    if state is not None:
        learner.load(state)
    row_of, alphas = rows(known), alphas_cumprod()

    def loss(step: int) -> Tensor:
        rng, generator = draws(SEED, step)
        picked = rng.integers(0, len(latents), batch)
        z = torch.from_numpy(latents[picked].astype(np.float32))
        ids = row_of[tokens[picked, rng.integers(0, tokens.shape[1], batch)].astype(np.int64)]
        add_strange_words(ids, rng)
        spread = (rng.permutation(batch) + rng.uniform(size=batch)) / batch
        t = torch.from_numpy((spread**TOWARDS_NOISE * 1000).astype(np.int64)).clamp(0, 999)
        a, noise = alphas[t][:, None, None, None], torch.randn(z.shape, generator=generator)
        x = a.sqrt() * z + (1 - a).sqrt() * noise
        if beside is not None:
            x = torch.cat([x, torch.from_numpy(beside[picked].astype(np.float32))], 1)
        x = x.to(arithmetic.device, memory_format=torch.channels_last)
        with arithmetic():
            out = predict(unet, text, x, t.to(arithmetic.device), torch.from_numpy(ids).to(arithmetic.device))
        error = (out.float() - noise.to(arithmetic.device)).pow(2).mean((1, 2, 3))
        return (error * loss_weight(alphas[t]).to(arithmetic.device)).mean()

    def save() -> None:
        write_state(state_file, learner.state() | {"known": known})

    def about() -> str:
        ids = row_of[tokens[:, 0].astype(np.int64)]
        right, wrong = caption_errors(unet, text, latents, ids, arithmetic.device, beside)
        return f"error of the clean latents at t = 900: {right:.3f} with the right caption, {wrong:.3f} with a wrong one"

    return learn(
        learner, goal, loss, batch, save=save, say=say, should_stop=should_stop, curve=state_file.with_suffix(".tsv"), about=about
    )


def predict(unet: UNet, text: TextEncoder, x: Tensor, t: Tensor, ids: Tensor) -> Tensor:
    """Predicted noise (B, 4, h, w) for noisy latents, times (B,) and rows of the word table (B, 77)."""
    return unet(x, t, text(ids).last_hidden_state).sample


def loss_weight(alpha: Tensor) -> Tensor:
    """Weights (B,) of the squared errors of eps, as a v-loss has them (1 + 1 / SNR), tamed at both ends.

    On a 16 x 16 latent most of the layout is still visible in SD's noisier steps, so a caption is news in the
    noisiest ones only. With eps or min-SNR weights (Hang et al. 2023, arXiv:2303.09556) those count for nothing,
    and captions were not followed after 30 thousand samples.
    """
    snr = alpha / (1 - alpha)
    return snr.clamp(max=5) / snr * (1 + 1 / snr).clamp(max=150) / 15


def rows(known: Tensor) -> NDArray[np.int64]:
    """(49408,) the row of each CLIP id in the table of known words; 0 is the zero row."""
    row_of = np.zeros(WORDS, np.int64)
    row_of[known.numpy()] = np.arange(1, len(known) + 1)
    return row_of


def add_strange_words(ids: NDArray[np.int64], rng: np.random.Generator) -> None:
    """Put one to three words from outside the world into some of the captions (B, 77), in place."""
    for row in ids:
        if rng.uniform() < STRANGE_SHARE:
            length = int((row != row[-1]).sum())
            at, count = int(rng.integers(1, length + 1)), int(rng.integers(1, 4))
            row[:] = np.concatenate([row[:at], np.zeros(count, np.int64), row[at:]])[: len(row)]


@torch.no_grad()
def caption_errors(
    unet: UNet,
    text: TextEncoder,
    latents: NDArray,
    ids: NDArray[np.int64],
    device: torch.device,
    beside: NDArray | None = None,
) -> tuple[float, float]:
    """Mean squared error of the predicted clean latents at t = 900, with the right captions and with wrong ones.

    The gap between the two says whether captions are followed long before pictures do; the loss does not.
    """
    at = np.linspace(0, len(latents) - 1, min(64, len(latents))).astype(np.int64)
    t = torch.full((len(at),), 900)
    a, generator = alphas_cumprod()[900], torch.Generator().manual_seed(SEED)
    z = torch.from_numpy(latents[at].astype(np.float32))
    x = a.sqrt() * z + (1 - a).sqrt() * torch.randn(z.shape, generator=generator)
    seen = x if beside is None else torch.cat([x, torch.from_numpy(beside[at].astype(np.float32))], 1)
    errors = []
    for captions in (ids[at], np.roll(ids[at], 1, 0)):
        eps = predict(unet, text, seen.to(device), t.to(device), torch.from_numpy(captions).to(device)).cpu()
        errors.append(((x - (1 - a).sqrt() * eps) / a.sqrt() - z).pow(2).mean().item())
    return errors[0], errors[1]


def load_networks(folder: Path, words: NDArray, more: int = 0) -> tuple[UNet, TextEncoder, Tensor]:
    """U-Net and text encoder of an exported checkpoint, in float32, with a table of its own and the given words.

    Args:
        more: channels that the U-Net gets beside the latents; where the checkpoint has fewer they begin unheard.
    """
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, local_files_only=True)
    if lacking := LATENT_CHANNELS + more - unet.config.in_channels:
        weights = unet.state_dict()
        first = weights["conv_in.weight"]
        weights["conv_in.weight"] = torch.cat([first, first.new_zeros(first.shape[0], lacking, *first.shape[2:])], 1)
        unet = make_unet(more)
        unet.load_state_dict(weights)
    stored = load_file(folder / "text_encoder" / "model.safetensors")
    weights = {name.removeprefix("text_model."): value.float() for name, value in stored.items() if "position_ids" not in name}
    table = weights[TABLE]
    used = torch.nonzero(table.abs().sum(1)).flatten()
    known = torch.from_numpy(np.union1d(used.numpy(), words.astype(np.int64)))
    text = make_text_encoder(len(known) + 1)
    if table.shape[1] != text.config.hidden_size:
        raise StartError(f"{folder} is not a pocket checkpoint: its text encoder is {table.shape[1]} wide.")
    weights[TABLE] = torch.cat([torch.zeros(1, table.shape[1]), table[known]])
    text.load_state_dict(weights)
    return unet, text, known
