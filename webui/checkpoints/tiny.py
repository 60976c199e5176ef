"""Tiny autoencoders (TAESD, Bohan 2023): decoders quick enough for a look at every step.

Found by what they decode: in models/VAE-approx as their releases name them, the pocket's own in models/pocket-tiny.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from webui.checkpoints.files import read_json, read_tensors
from webui.checkpoints.folder import weights
from webui.checkpoints.networks import assign
from webui.contract.errors import WebUIError
from webui.contract.parts import Family

_log = logging.getLogger(__name__)
FOLDER = "VAE-approx"
KINDS = {0.18215: "taesd", 0.13025: "taesdxl"}
"""Name of the release for latents of that scale, with 4 channels and f = 8."""
SUFFIXES = (".safetensors", ".pth", ".pt")


class TinyDecoder(nn.Module):
    """Latents as a denoiser sees them (B, 4, h, w) -> pictures (B, 3, 8h, 8w) in [-1, 1]."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: Tensor) -> Tensor:
        weight = next(self.decoder.parameters())
        z = latents.to(weight.device, weight.dtype).contiguous(memory_format=torch.channels_last)  # a third quicker on processors
        return self.decoder(z).float()

    @property
    def is_quick(self) -> bool:
        """Whether a processor decodes with it in no time."""
        return sum(parameter.numel() for parameter in self.parameters()) < 200_000


@dataclass(frozen=True)
class TinySource:
    """Where a family's tiny decoder may lie. Read when a preview is first asked for."""

    family: Family
    folders: Sequence[Path]
    """models/ folders."""

    def find(self) -> Path | None:
        family = self.family
        if (family.latent_channels, family.latent_factor, family.autoencoder) != (4, 8, "kl"):
            return None
        if family.name.startswith("pocket"):
            places = [folder / "pocket-tiny" for folder in self.folders]
        else:
            name = KINDS.get(round(family.latent_scale, 5))
            places = [] if name is None else [
                folder / FOLDER / place
                for folder in self.folders
                for place in (*(f"{name}_decoder{suffix}" for suffix in SUFFIXES), name)
            ]  # fmt: skip
        return next((place for place in places if place.is_file() or (place / "config.json").is_file()), None)

    def __call__(self) -> TinyDecoder | None:
        """None where there is none, or none that can be read."""
        place = self.find()
        if place is None:
            return None
        try:
            return load_tiny(place)
        except (WebUIError, OSError, ValueError, TypeError, KeyError) as error:
            _log.warning("%s cannot be used for previews: %s", place.name, error)
            return None


def load_tiny(place: Path) -> TinyDecoder:
    """From a release's file (taesd_decoder.safetensors) or a folder in diffusers layout.

    Raises:
        CheckpointReadError: a tensor is missing or has another shape.
    """
    values: dict[str, Any] = {}
    if place.is_dir():
        asked = inspect.signature(AutoencoderTiny.__init__).parameters  # it keeps more than it takes
        values = {key: value for key, value in read_json(place / "config.json").items() if key in asked}
        tensors = {name: tensor for name, tensor in weights(place).items() if name.startswith("decoder.")}
    else:  # numbered from the clamp on, which is no layer in diffusers
        tensors = {}
        for name, tensor in read_tensors(place).items():
            number, _, rest = name.partition(".")
            tensors[f"decoder.layers.{int(number) - 1}.{rest}"] = tensor
    with torch.device("meta"):
        network = TinyDecoder(AutoencoderTiny(**values).decoder)
    assign(network, tensors, place.name)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)
