"""Hires fix: what was drawn is enlarged, as latents or as a picture, and repainted from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor

from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.model import Model
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import CheckpointName
from webui.engine import upscale
from webui.engine.autoencoder import encode
from webui.engine.canvas import Canvas
from webui.engine.enlarging import Draw, upscaler
from webui.engine.inputs import FROM_NOISE, Start, pixels_of
from webui.engine.resizing import LATENT_MODES, padded_to, resized_latents
from webui.engine.sizes import Enlargement
from webui.engine.tiles import Tiles


@dataclass(frozen=True)
class Painted:
    """What a walk ended with, for one picture."""

    latents: Tensor
    """(1, C, h, w), clean"""
    checkpoint: CheckpointName
    image: Callable[[], Image.Image]
    """Decodes it, and may add to late."""
    notes: tuple[str, ...] = ()
    late: list[str] = field(default_factory=list)
    """What decoding it had to do otherwise than usual."""


@dataclass(frozen=True)
class Repainting:
    """A second pass: its request, and how the picture grows before it."""

    request: GenerationRequest
    growth: Enlargement
    steps: int
    seeds: Sequence[int]

    def begin(
        self,
        canvas: Canvas,
        before: Sequence[Painted],
        model: Model,
        checkpoints: Checkpoints,
        parts: Parts,
        draw: Draw,
        should_stop: Callable[[], bool],
        tiles: Tiles,
    ) -> tuple[Start, list[Canvas]]:
        """What its walk begins with, and the canvas of each picture.

        Raises:
            Interrupted: the user wants to stop.
        """
        blank = replace(canvas, image=None, mask=None, place=None)
        name = self.request.hires_upscaler
        if name in LATENT_MODES:
            latents = self._latents(torch.cat([one.latents for one in before]), canvas, model, name)
            return self._start(latents), [blank] * len(before)
        images = []
        for seed, one in zip(self.seeds, before, strict=True):
            wish = GenerationRequest(
                prompt=self.request.prompt, negative_prompt=self.request.negative_prompt, seed=seed, tile=self.request.tile
            )
            way = upscaler(name, checkpoints, parts, wish, draw)
            images.append(
                upscale.enlarged(
                    one.image().convert("RGB"), way, self.growth, upscale.Tiles(self.request.tile), should_stop=should_stop
                )
            )
        if not self.steps:
            return FROM_NOISE, [replace(blank, image=image) for image in images]
        pixels = [padded_to(pixels_of(image), model.family.size_step) for image in images]
        return self._start(torch.cat([encode(one, model, tiles.autoencoder) for one in pixels])), [blank] * len(before)

    def _start(self, latents: Tensor) -> Start:
        """Strength 1 keeps nothing."""
        return Start(latents=latents) if self.steps < (self.request.steps or 1) else FROM_NOISE

    def _latents(self, latents: Tensor, canvas: Canvas, model: Model, name: str) -> Tensor:
        """Enlarged as the picture would be, and cut as it would be, to the latents of the padded canvas."""
        factor, growth = model.family.latent_factor, self.growth
        needed = (canvas.padded[1] // factor, canvas.padded[0] // factor)
        corner = (round(growth.crop[1] / factor), round(growth.crop[0] / factor))
        grown = [
            max(round(have * scaled / source), first + need)
            for have, scaled, source, first, need in zip(
                latents.shape[-2:], growth.scaled[::-1], growth.source[::-1], corner, needed, strict=True
            )
        ]
        whole = resized_latents(latents, grown[0], grown[1], name)
        return whole[..., corner[0] : corner[0] + needed[0], corner[1] : corner[1] + needed[1]].contiguous()
