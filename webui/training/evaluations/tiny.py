"""`webui evaluate tiny`: how much of a picture the tiny autoencoder's decoder keeps, and how much faster it is."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from webui.checkpoints.tiny import TinyDecoder
from webui.contract.errors import CheckpointReadError
from webui.training.autoencoder import load_autoencoder
from webui.training.evaluations.sheets import save_pictures
from webui.training.evaluations.upscaler import psnr
from webui.training.networks import SCALE, Autoencoder, decode, mean_latents
from webui.training.options import EvaluateOptions
from webui.training.scenes import held_out_pictures, to_tensor
from webui.training.table import Row
from webui.training.toys.held_out import held_out_toys
from webui.training.worlds import SIZE

PICTURES = 96
FIRST_SHAPE = 8000
"""Of the held-out scenes of shapes, the first that is used here."""
RUNS = 40


@torch.inference_mode()
def measure(options: EvaluateOptions, say: Callable[[str], None]) -> list[Row]:
    """All rows; saves the contact sheet: the whole autoencoder's pictures, below them the tiny one's."""
    half = (options.pictures or PICTURES) // 2
    toys = held_out_toys(SIZE).pictures
    truth = np.concatenate([toys[np.arange(half) % len(toys)], held_out_pictures(half, FIRST_SHAPE)])
    whole = load_autoencoder(options.of("pocket") / "vae")
    try:
        tiny: Autoencoder = AutoencoderTiny.from_pretrained(options.checkpoint, torch_dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointReadError(f"{options.checkpoint} is no tiny autoencoder: {error}") from error

    def both(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        latents = mean_latents(whole, x) * SCALE
        return decode(whole, latents / SCALE), tiny.decode(latents).sample, tiny.decode(tiny.encode(x).latents).sample

    packs = [both(to_tensor(truth[i : i + 16])) for i in range(0, len(truth), 16)]
    of_whole, of_tiny, alone = (_bytes(torch.cat(values)) for values in zip(*packs, strict=True))
    rows = []
    for i in (0, half):
        rows += [*of_whole[i : i + 8], *of_tiny[i : i + 8]]
    save_pictures(rows, options.sheet)
    say(f"contact sheet: {options.sheet}")
    full, less = psnr(of_whole, truth), psnr(of_tiny, truth)
    say(f"whole {full:.2f} dB, tiny decoder {less:.2f} dB, tiny encoder and decoder {psnr(alone, truth):.2f} dB")
    quickly = TinyDecoder(tiny.decoder)
    slow, quick = seconds(lambda z: decode(whole, z), quickly)
    say(f"a picture of {SIZE} x {SIZE}: whole {1000 * slow:.1f} ms, tiny {1000 * quick:.1f} ms of CPU time")
    return [
        Row("dB that the tiny decoder loses", full - less, " dB", 3, 1.5, True),
        Row("time, times the whole decoder's", quick / slow, "", 0.1, 0.08, True),
    ]


def _bytes(pictures: Tensor) -> np.ndarray:
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def seconds(*decoders: Callable[[Tensor], object]) -> list[float]:
    """CPU time of each for one picture, in turns: the least of some, for others use the machine too."""
    latents = torch.randn(1, 4, SIZE // 8, SIZE // 8)
    taken: list[list[float]] = [[] for _ in decoders]
    for _ in range(RUNS):
        for decoder, times in zip(decoders, taken, strict=True):
            start = time.process_time()
            decoder(latents)
            times.append(time.process_time() - start)
    return [min(times) for times in taken]
