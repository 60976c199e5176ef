"""`webui train inpainting`: five channels beside the latents, as SD 1.5 inpainting has them: the mask, and the latents of the
picture with grey in the holes (Rombach et al. 2022; runwayml's training masks 25% of all pictures whole, we 7%)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from webui.training.networks import SCALE, Autoencoder, mean_latents
from webui.training.recipes.guided import GuidedRecipe
from webui.training.scenes import to_tensor
from webui.training.worlds import SIZE, Worlds

AROUND, PATCH, SIDE = 0.55, 0.82, 0.93
"""Masks: up to here around a thing, then anywhere, then a side of the picture, then all of it."""
ROUND = 0.25
"""Of the masks of the first two kinds: an ellipse instead of a rectangle."""


class InpaintingRecipe(GuidedRecipe):
    """9 channels: latents, mask, latents of what stays."""

    name = "inpainting"
    channels = 5
    index: ClassVar = {"_class_name": "StableDiffusionInpaintPipeline"}

    def beside(self, coder: Autoencoder, worlds: Worlds, seeds: range) -> NDArray[np.float16]:
        x = to_tensor(worlds.pictures.array[seeds.start : seeds.stop])
        boxes = worlds.boxes.array[seeds.start : seeds.stop]
        masks = torch.from_numpy(np.stack([mask_of(seed, box) for seed, box in zip(seeds, boxes, strict=True)]))[:, None]
        kept = (x * (masks < 0.5)).to(self.arithmetic.device, memory_format=torch.channels_last)
        latents = mean_latents(coder, kept).cpu() * SCALE
        small = torch.nn.functional.interpolate(masks, size=latents.shape[-2:], mode="nearest")
        return torch.cat([small, latents], 1).numpy().astype(np.float16)


def mask_of(seed: int, box: NDArray[np.float32]) -> NDArray[np.float32]:
    """(128, 128): 1 where it is painted anew. Around the box of a thing (left, top, right, bottom in 0 to 1), or elsewhere."""
    rng = np.random.default_rng((17, seed))
    kind, line = rng.uniform(), (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    if kind < AROUND:
        gap = rng.uniform(0.01, 0.13, 4)
        left, top, right, low = box[0] - gap[0], box[1] - gap[1], box[2] + gap[2], box[3] + gap[3]
    elif kind < PATCH:
        (x, y), (width, height) = rng.uniform(0.2, 0.8, 2), rng.uniform(0.2, 0.7, 2)
        left, top, right, low = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    elif kind < SIDE:
        cut = rng.uniform(0.25, 0.75)
        left, top, right, low = [(0, 0, cut, 1), (cut, 0, 1, 1), (0, 0, 1, cut), (0, cut, 1, 1)][rng.integers(4)]
    else:
        left, top, right, low = 0, 0, 1, 1
    across, down = line[None, :], line[:, None]
    if kind < PATCH and rng.uniform() < ROUND:
        x, y = (across - (left + right) / 2) / ((right - left) / 2 + 0.02), (down - (top + low) / 2) / ((low - top) / 2 + 0.02)
        return (x**2 + y**2 < 1).astype(np.float32)
    return ((across > left) & (across < right) & (down > top) & (down < low)).astype(np.float32)
