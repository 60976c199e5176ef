"""Draw many small pictures from an exported checkpoint with the engine's own sampler, schedule and noise table.

The networks are opened as they are (a folder in diffusers layout), so what is drawn is what any other tool would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel
from transformers.utils import logging

from webui.checkpoints.tokenizer import clip_tokenizer
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Denoise, Sampler, Schedule
from webui.engine.samplers.dpmpp import sample_dpmpp_2m
from webui.engine.schedules import uniform
from webui.engine.table import NoiseTable
from webui.training.autoencoder import load_autoencoder
from webui.training.networks import BETA_END, BETA_START, FACTOR, LATENT_CHANNELS, SCALE, Autoencoder, TextEncoder, UNet, decode
from webui.training.scenes import SIZE, padded

STEPS, GUIDANCE = 20, 2.5
SAMPLER: Sampler = sample_dpmpp_2m
SCHEDULE: Schedule = uniform
PARTS = ("vae", "unet", "text_encoder")


@dataclass(frozen=True)
class Drawer:
    """The networks of one checkpoint, float32 on the CPU."""

    autoencoder: Autoencoder
    unet: UNet
    text: TextEncoder

    @classmethod
    def open(cls, folder: Path) -> Drawer:
        missing = [part for part in PARTS if not (folder / part).is_dir()]
        if missing:
            raise CheckpointReadError(f"{folder} is not a checkpoint in diffusers layout: it has no folder {missing[0]}.")
        logging.disable_progress_bar()  # one bar for 52 small tensors
        try:
            unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, local_files_only=True)
            text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32, local_files_only=True)
            return cls(load_autoencoder(folder / "vae"), unet.to(memory_format=torch.channels_last), text)
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointReadError(f"{folder} cannot be opened: {error}") from error

    @torch.no_grad()
    def draw(self, prompts: Sequence[str], seeds: Sequence[int], steps: int = STEPS, guidance: float = GUIDANCE) -> Tensor:
        """One picture of each prompt: (B, 3, 128, 128) in [-1, 1]. The same seed, the same picture, in any batch."""
        betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, 1000, dtype=torch.float64) ** 2
        table = NoiseTable.from_betas(betas.tolist())
        sigmas = torch.tensor(SCHEDULE(steps, table))
        shape = (1, LATENT_CHANNELS, SIZE // FACTOR, SIZE // FACTOR)
        noise = torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        latents = SAMPLER(self._denoise(prompts, table, guidance), noise * sigmas[0], sigmas, _no_noise)
        return decode(self.autoencoder, latents / SCALE).clamp(-1, 1)

    def _denoise(self, prompts: Sequence[str], table: NoiseTable, guidance: float) -> Denoise:
        """With classifier-free guidance, both sides in one call."""
        tokenize = clip_tokenizer()
        ids = torch.tensor([padded(tokenize(prompt)) for prompt in [*prompts, ""]])
        told = self.text(ids).last_hidden_state
        context = torch.cat([told[:-1], told[-1:].expand(len(prompts), -1, -1)])

        def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
            level = float(sigma)
            seen = (x * (level**2 + 1) ** -0.5).contiguous(memory_format=torch.channels_last)
            asked, unasked = self.unet(torch.cat([seen, seen]), table.t(level), context).sample.chunk(2)
            return x - level * torch.lerp(unasked, asked, guidance)

        return denoise


def _no_noise(*_: object) -> Tensor:
    raise AssertionError("DPM++ 2M draws no noise on its way")


def draw_all(drawer: Drawer, prompts: Sequence[str], say: Callable[[str], None], batch: int = 20, seed: int = 1000) -> Tensor:
    """Pictures of all prompts (N, 3, 128, 128), in batches; picture i has the seed `seed + i`."""
    packs = []
    for i in range(0, len(prompts), batch):
        asked = prompts[i : i + batch]
        packs.append(drawer.draw(asked, range(seed + i, seed + i + len(asked))))
        if (i // batch) % 3 == 2 or i + batch >= len(prompts):
            say(f"drawn {i + len(asked)} of {len(prompts)}")
    return torch.cat(packs)
