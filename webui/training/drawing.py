"""Draw many small pictures from an exported checkpoint, as the program draws them when nothing else is asked: the engine's
own sampler, ladder and noise, with the defaults of the pocket's family row.

The networks are opened as they are (a folder in diffusers layout), so what is drawn is what any other tool would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel
from transformers.utils import logging

from webui.checkpoints.families import POCKET, register_families
from webui.checkpoints.tokenizer import clip_tokenizer
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import ConditionerPart, Denoise, Parts, SamplerPart, SchedulePart
from webui.contract.registry import Registry
from webui.engine import builtin
from webui.engine.noise import SeededNoise
from webui.engine.schedules import ladder
from webui.engine.table import NoiseTable
from webui.training.autoencoder import load_autoencoder
from webui.training.networks import FACTOR, LATENT_CHANNELS, SCALE, Autoencoder, TextEncoder, UNet, decode
from webui.training.scenes import SIZE, padded

FOLDERS = ("vae", "unet", "text_encoder")


@dataclass(frozen=True)
class Drawer:
    """The networks of one checkpoint, float32 on the CPU."""

    autoencoder: Autoencoder
    unet: UNet
    text: TextEncoder

    @classmethod
    def open(cls, folder: Path) -> Drawer:
        missing = [part for part in FOLDERS if not (folder / part).is_dir()]
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
    def draw(
        self, prompts: Sequence[str], seeds: Sequence[int], steps: int = POCKET.steps, guidance: float = POCKET.guidance
    ) -> Tensor:
        """One picture of each prompt: (B, 3, 128, 128) in [-1, 1]. The same seed, the same noise, in any batch."""
        ours = parts()
        table, sampler = NoiseTable.from_family(POCKET), ours.samplers[POCKET.sampler]
        sigmas = ladder(sampler, "Automatic", steps, table, ours.schedules, POCKET.schedule)
        noise = SeededNoise(seeds, (LATENT_CHANNELS, SIZE // FACTOR, SIZE // FACTOR))
        latents = sampler.function(self._denoise(prompts, table, guidance), noise.start() * sigmas[0], sigmas, noise)
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


@cache
def parts() -> Parts:
    """The engine's own parts, as the program has them without extensions."""
    ours = Parts()
    for register, part, registry in (
        (builtin.register_samplers, SamplerPart, ours.samplers),
        (builtin.register_schedules, SchedulePart, ours.schedules),
        (builtin.register_conditioners, ConditionerPart, ours.conditioners),
    ):
        register(partial(_add, registry, part))
    register_families(lambda family: ours.families.add(family, "engine"))
    return ours


def _add(registry: Registry[Any], part: Callable[..., Any], name: str, function: Callable[..., Any], **options: Any) -> None:
    registry.add(part(name, function, **options), "engine")


def draw_all(drawer: Drawer, prompts: Sequence[str], say: Callable[[str], None], batch: int = 20, seed: int = 1000) -> Tensor:
    """Pictures of all prompts (N, 3, 128, 128), in batches; picture i has the seed `seed + i`."""
    packs = []
    for i in range(0, len(prompts), batch):
        asked = prompts[i : i + batch]
        packs.append(drawer.draw(asked, range(seed + i, seed + i + len(asked))))
        if (i // batch) % 3 == 2 or i + batch >= len(prompts):
            say(f"drawn {i + len(asked)} of {len(prompts)}")
    return torch.cat(packs)
