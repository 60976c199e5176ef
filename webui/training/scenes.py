"""Scenes as networks see them: latents and captions on disk, pictures as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from webui.checkpoints.tokenizer import END, START, clip_tokenizer
from webui.training.filling import Filling, fill
from webui.training.loop import Arithmetic
from webui.training.networks import LATENT_CHANNELS, PLACES, SCALE, Autoencoder, mean_latents
from webui.training.worlds import HELD_OUT, PACK, SIZE, Worlds, render_shapes

WORDINGS = 5
"""Captions kept of each scene."""


def latents(folder: Path, count: int) -> Filling:
    """Scaled, standard deviation about 1, float16."""
    return Filling(folder / "latents.npy", (count, LATENT_CHANNELS, SIZE // 8, SIZE // 8), np.float16)


def tokens(folder: Path, count: int) -> Filling:
    """CLIP's ids, padded with the end token."""
    return Filling(folder / "tokens.npy", (count, WORDINGS, PLACES), np.uint16)


def encode(
    autoencoder: Autoencoder,
    worlds: Worlds,
    folder: Path,
    arithmetic: Arithmetic,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Write latents and captions of all scenes into a folder, or go on with it; False when stopped on the way."""
    arithmetic.put(autoencoder)
    kept, words = latents(folder, worlds.count), tokens(folder, worlds.count)
    seen = latent_packs(autoencoder, worlds.pictures.array, kept.filled, arithmetic)
    told = token_packs(worlds.caption, words.filled, worlds.count)
    return fill([kept], seen, say, "encode", should_stop) and fill([words], told, say, "captions", should_stop)


@torch.no_grad()
def latent_packs(
    autoencoder: Autoencoder, source: NDArray[np.uint8], start: int, arithmetic: Arithmetic
) -> Iterator[tuple[NDArray, ...]]:
    """Scaled latents of the pictures from start on. In float32: they are computed once and used a hundred times."""
    for i in range(start, len(source), PACK):
        values = mean_latents(autoencoder, to_tensor(source[i : i + PACK]).to(arithmetic.device)) * SCALE
        yield (values.cpu().numpy().astype(np.float16),)


def token_packs(caption: Callable[[int, int], str], start: int, count: int) -> Iterator[tuple[NDArray, ...]]:
    """Token ids of WORDINGS captions of each scene from start on; of each pack (n, 5, 77).

    Args:
        caption: seed and number of the wording to the words.
    """
    tokenize = clip_tokenizer()
    for first in range(start, count, PACK):
        seeds = range(first, min(first + PACK, count))
        rows = [padded(tokenize(caption(seed, k))) for seed in seeds for k in range(WORDINGS)]
        yield (np.asarray(rows, np.uint16).reshape(len(seeds), WORDINGS, PLACES),)


def padded(ids: list[int]) -> list[int]:
    """Ids with start and end, cut or filled to 77."""
    row = [START, *ids[: PLACES - 2], END]
    return row + [END] * (PLACES - len(row))


def to_tensor(values: NDArray[np.uint8]) -> Tensor:
    """Pictures (B, H, W, 3) uint8 to (B, 3, H, W) in [-1, 1], channels last."""
    x = torch.from_numpy(np.ascontiguousarray(values)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return x.contiguous(memory_format=torch.channels_last)


def held_out_pictures(count: int, first: int = 0) -> NDArray[np.uint8]:
    """Renders of shapes that no training sees: (count, 128, 128, 3)."""
    return render_shapes(HELD_OUT + first, count).pictures
