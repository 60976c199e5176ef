"""`webui train depth`: one channel beside the latents, as SD 2 depth has it: how near things are, -1 the farthest of the
picture and 1 the nearest (Stability-AI, Stable Diffusion 2 depth).

The stage `estimator`, run only when asked for, trains the network that estimates depth from a picture; it lies in
webui/checkpoints/data and serves every checkpoint that has no estimator of its own.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from webui.training.estimator import train_estimator
from webui.training.networks import Autoencoder
from webui.training.recipes.guided import GuidedRecipe
from webui.training.worlds import SIZE, Worlds

SOFT = 0.5
"""Of the packs whose maps are blurred a little: maps that people paint, and estimates, have no sharp edges."""


class DepthRecipe(GuidedRecipe):
    """5 channels: latents, and the map."""

    name = "depth"
    asked_stages = ("estimator",)
    samples: ClassVar = {"unet": 100_000, "estimator": 60_000}
    batches: ClassVar = {"unet": (16, 256), "estimator": (8, 128)}
    channels = 1
    index: ClassVar = {"_class_name": "StableDiffusionDepth2ImgPipeline", "depth_estimator": [None, None]}

    def beside(self, coder: Autoencoder, worlds: Worlds, seeds: range) -> NDArray[np.float16]:  # noqa: ARG002
        near = torch.from_numpy(worlds.depth.array[seeds.start : seeds.stop].astype(np.float32))[:, None]
        if np.random.default_rng((19, seeds.start)).uniform() < SOFT:
            near = functional.avg_pool2d(near, 3, 1, 1, count_include_pad=False)
        return as_asked(near).numpy().astype(np.float16)

    def _estimator(self) -> bool:
        worlds = self._worlds()
        self.need(worlds.is_full, f"Only {worlds.filled} of {worlds.count} scenes are rendered", "render")
        return train_estimator(
            self.state_of("estimator"),
            self.options.state / "depth.safetensors",
            worlds,
            self.goal("estimator"),
            self.arithmetic,
            self.batch("estimator"),
            self.named("estimator"),
            self.should_stop,
        )


def as_asked(near: torch.Tensor) -> torch.Tensor:
    """Maps (B, 1, H, W) of any unit to what the U-Net gets, as the engine makes it: (B, 1, 16, 16) in [-1, 1]."""
    small = functional.interpolate(near, size=(SIZE // 8, SIZE // 8), mode="bicubic", align_corners=False)
    low, high = small.amin((1, 2, 3), keepdim=True), small.amax((1, 2, 3), keepdim=True)
    return 2 * (small - low) / (high - low).clamp(min=1e-6) - 1
