"""`webui evaluate upscaler`: does it bring back more of a picture than the filters do?

Scenes of 256 x 256 that no training saw, half toys and half shapes, are made small (64 x 64, Lanczos) and enlarged again:
by the checkpoint with its own defaults, by Lanczos and by bicubic. Compared are the error, and the distance of features of
the toys' judge, which sees edges and textures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from webui.contract.request import GenerationRequest
from webui.training.artist import Artist, pixels
from webui.training.evaluations.sheets import save_pictures
from webui.training.options import EvaluateOptions
from webui.training.scenes import to_tensor
from webui.training.table import Row
from webui.training.toys.held_out import held_out_toys
from webui.training.toys.judge import ToyJudge, load_toy_judge
from webui.training.toys.scene import names
from webui.training.toys.words import with_article
from webui.training.world import sample, wording
from webui.training.worlds import HELD_OUT, render_shapes

PICTURES, SIZE, SMALL = 48, 256, 64
FIRST_SHAPE = 7000
"""Of the held-out scenes of shapes, the first that is used here."""
FILTERS = {"Lanczos": Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}


def measure(options: EvaluateOptions, say: Callable[[str], None]) -> list[Row]:
    """All rows; saves the contact sheet: bicubic, the checkpoint, the render."""
    count = options.pictures or PICTURES
    truth, prompts = scenes(count)
    artist, judge = Artist(options.checkpoint), load_toy_judge()
    small = [Image.fromarray(picture).resize((SMALL, SMALL), Image.Resampling.LANCZOS) for picture in truth]
    made: dict[str, NDArray[np.uint8]] = {
        name: np.stack([pixels(image.resize((SIZE, SIZE), how)) for image in small]) for name, how in FILTERS.items()
    }
    ours = []
    for i, (image, prompt) in enumerate(zip(small, prompts, strict=True)):
        request = GenerationRequest(prompt=prompt, image="small", seed=3000 + i)
        ours.append(pixels(artist.draw(request, {"small": image})[0]))
        if i % 12 == 11:
            say(f"enlarged {i + 1} of {len(small)}")
    made["ours"] = np.stack(ours)
    shown = [*range(min(4, count // 2)), *range(count // 2, min(count // 2 + 4, count))]
    save_pictures([one[j] for j in shown for one in (made["bicubic"], made["ours"], truth)], options.sheet, columns=6)
    say(f"contact sheet: {options.sheet}")

    noise = {name: psnr(pictures, truth) for name, pictures in made.items()}
    far = {name: distance(judge, pictures, truth) for name, pictures in made.items()}
    for name in made:
        say(f"{name}: {noise[name]:.2f} dB, feature distance {far[name]:.4f}")
    return [
        Row("dB beyond Lanczos", noise["ours"] - noise["Lanczos"], " dB", 0.05, 2),
        Row("dB beyond bicubic", noise["ours"] - noise["bicubic"], " dB", 0.05, 2),
        Row("feature distance, times Lanczos", far["ours"] / far["Lanczos"], "", 0.95, 0.6, True),
        Row("feature distance, times bicubic", far["ours"] / far["bicubic"], "", 0.95, 0.6, True),
    ]


def scenes(count: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Pictures (count, 256, 256, 3), half toys and half shapes, and words for each."""
    toys, half = held_out_toys(SIZE), count // 2
    at = [i % len(toys.numbers) for i in range(half)]
    shapes = render_shapes(HELD_OUT + FIRST_SHAPE, count - half, SIZE).pictures
    seeds = range(HELD_OUT + FIRST_SHAPE, HELD_OUT + FIRST_SHAPE + count - half)
    prompts = [with_article(names()[toys.numbers[i]]) for i in at]
    prompts += [wording(sample(seed), np.random.default_rng(seed)) for seed in seeds]
    return np.concatenate([toys.pictures[at], shapes]), prompts


def psnr(pictures: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Mean over the pictures (B, H, W, 3), in decibels."""
    error = ((pictures.astype(np.float64) - truth.astype(np.float64)) ** 2).mean((1, 2, 3))
    return float((10 * np.log10(255**2 / error.clip(1e-6))).mean())


@torch.no_grad()
def distance(judge: ToyJudge, pictures: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Mean distance of features."""
    parts = [float(judge.distance(to_tensor(pictures[i : i + 8]), to_tensor(truth[i : i + 8]))) for i in range(0, len(truth), 8)]
    return float(np.mean(parts))
