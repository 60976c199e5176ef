"""The training data on disk: rendered pictures, their latents, their captions as token ids.

Each is a memory-mapped array that is filled from the front, so that rendering and encoding can be stopped too.
Scene i has the seed i; scenes that no training sees begin at HELD_OUT.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from webui.checkpoints.tokenizer import END, START, clip_tokenizer
from webui.contract.errors import StartError
from webui.training.loop import Arithmetic
from webui.training.networks import LATENT_CHANNELS, PLACES, SCALE, Autoencoder, mean_latents
from webui.training.world import caption, render_span, sample

SIZE = 128
WORDINGS = 5
"""Captions kept of each scene."""
HELD_OUT = 10_000_000
PACK = 32


class Filling:
    """A memory-mapped array, filled from the front; how far is kept beside it."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._mark = path.with_suffix(".filled")
        if path.exists():
            self.array: NDArray = np.lib.format.open_memmap(path, mode="r+")
            if self.array.shape != shape:
                raise StartError(
                    f"{path} holds {self.array.shape[0]} scenes, not {shape[0]}: "
                    f"add --scenes {self.array.shape[0]}, or choose another --state folder."
                )
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._mark.unlink(missing_ok=True)
            beside = path.with_name(path.name + ".new")
            np.lib.format.open_memmap(beside, mode="w+", dtype=np.dtype(dtype), shape=shape).flush()
            _reserve(beside)
            os.replace(beside, path)
            self.array = np.lib.format.open_memmap(path, mode="r+")
        self.filled = int(self._mark.read_text()) if self._mark.exists() else 0

    def __len__(self) -> int:
        return len(self.array)

    @property
    def is_full(self) -> bool:
        return self.filled == len(self.array)

    def extend(self, values: NDArray) -> None:
        self.array[self.filled : self.filled + len(values)] = values
        self.filled += len(values)

    def keep(self) -> None:
        """What was filled in is on disk, and said to be."""
        if isinstance(self.array, np.memmap):
            self.array.flush()
        beside = self._mark.with_name(self._mark.name + ".new")
        beside.write_text(str(self.filled))
        os.replace(beside, self._mark)


def _reserve(path: Path) -> None:
    """Take the disk space now: a mapped file that meets a full disk while it is filled ends the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def pictures(folder: Path, count: int) -> Filling:
    return Filling(folder / "pictures.npy", (count, SIZE, SIZE, 3), np.uint8)


def latents(folder: Path, count: int) -> Filling:
    """Scaled, standard deviation about 1, float16."""
    return Filling(folder / "latents.npy", (count, LATENT_CHANNELS, SIZE // 8, SIZE // 8), np.float16)


def tokens(folder: Path, count: int) -> Filling:
    """CLIP's ids, padded with the end token."""
    return Filling(folder / "tokens.npy", (count, WORDINGS, PLACES), np.uint16)


def fill(
    filling: Filling, packs: Iterator[NDArray], say: Callable[[str], None], what: str, should_stop: Callable[[], bool]
) -> bool:
    """Put the packs into the array until it is full; False when stopped on the way."""
    lines = 0
    for values in packs:
        filling.extend(values)
        if filling.filled * 20 // len(filling) > lines or filling.is_full:
            lines = filling.filled * 20 // len(filling)
            filling.keep()
            say(f"{what}: {filling.filled:,} of {len(filling):,}")
        if should_stop() and not filling.is_full:
            filling.keep()
            return False
    return True


def render_packs(start: int, count: int, workers: int) -> Iterator[NDArray[np.uint8]]:
    """Pictures of the scenes start to count, in packs; in several processes where the machine has the cores."""
    spans = [(i, min(PACK, count - i)) for i in range(start, count, PACK)]
    if workers <= 1 or len(spans) <= 1:
        yield from map(render_span, spans)
        return
    # spawned, not forked: a fork after torch has started its threads may hang
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(render_span, spans)


@torch.no_grad()
def latent_packs(autoencoder: Autoencoder, source: NDArray[np.uint8], start: int, arithmetic: Arithmetic) -> Iterator[NDArray]:
    """Scaled latents of the pictures from start on. In float32: they are computed once and used a hundred times."""
    for i in range(start, len(source), PACK):
        values = mean_latents(autoencoder, to_tensor(source[i : i + PACK]).to(arithmetic.device)) * SCALE
        yield values.cpu().numpy().astype(np.float16)


def token_packs(start: int, count: int) -> Iterator[NDArray[np.uint16]]:
    """Token ids of WORDINGS captions of each scene from start on; of each pack (n, 5, 77)."""
    tokenize = clip_tokenizer()
    for first in range(start, count, PACK):
        seeds = range(first, min(first + PACK, count))
        texts = [caption(sample(seed), np.random.default_rng((7, seed, k))) for seed in seeds for k in range(WORDINGS)]
        rows = [padded(tokenize(text)) for text in texts]
        yield np.asarray(rows, np.uint16).reshape(len(seeds), WORDINGS, PLACES)


def padded(ids: list[int]) -> list[int]:
    """Ids with start and end, cut or filled to 77."""
    row = [START, *ids[: PLACES - 2], END]
    return row + [END] * (PLACES - len(row))


def to_tensor(values: NDArray[np.uint8]) -> Tensor:
    """Pictures (B, H, W, 3) uint8 to (B, 3, H, W) in [-1, 1], channels last."""
    x = torch.from_numpy(np.ascontiguousarray(values)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return x.contiguous(memory_format=torch.channels_last)


def held_out_pictures(count: int, first: int = 0) -> NDArray[np.uint8]:
    """Renders that no training sees: (count, 128, 128, 3)."""
    return render_span((HELD_OUT + first, count))
