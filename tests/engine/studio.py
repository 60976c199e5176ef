"""Tiny checkpoints of every family, the pictures that they draw from, and a way to draw with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from webui.checkpoints.catalog import Catalog
from webui.checkpoints.download import Shelf
from webui.checkpoints.manager import Checkpoints
from webui.contract.parts import Family, Parts
from webui.contract.request import Box, GenerationRequest
from webui.contract.result import GeneratedImage
from webui.engine.generate import generate


def picture(name: str) -> Image.Image:
    """Pictures by their names in a request: smooth colours, a mask, a depth map, a map of labels."""
    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    values = {
        "mask": np.where(np.arange(32) > 15, 255, 0).astype(np.uint8)[None].repeat(32, 0),
        "depth": ramp[None].repeat(32, 0),
        "map": (ramp // 64)[None].repeat(32, 0),
        "second": np.stack([ramp[:, None].repeat(32, 1), ramp[None].repeat(32, 0), np.zeros((32, 32), np.uint8)], -1),
    }
    other = np.stack([ramp[None].repeat(32, 0)] * 2 + [255 - ramp[:, None].repeat(32, 1)], -1)
    return Image.fromarray(values.get(name, other))


def wish(family: Family, **more: Any) -> GenerationRequest:
    """A request with everything that the family draws from."""
    fields: dict[str, Any] = {"steps": 2, "seed": 5, "width": 64, "height": 64, "guidance": 2.0}
    known = {
        "prompt": "a painting of a virus monster playing guitar",
        "negative_prompt": "blurry",
        "mask": "mask",
        "depth": "depth",
        "map": "map",
        "class_label": "7",
        "boxes": (Box("3", 0.1, 0.2, 0.5, 0.5),),
        "noise_level": 30,
    }
    fields |= {name: value for name, value in known.items() if name in family.inputs}
    if "image" in family.inputs and (family.needs or family.does != "txt2img"):
        fields["image"] = "image"
        fields |= {"strength": 0.5} if "strength" in family.inputs else {}
    return GenerationRequest(**fields | more)


class Studio:
    """The checkpoints of a case (and of others beside it), and how to draw with them."""

    def __init__(self, folders: list[Path], models: Path, kept: Path, parts: Parts) -> None:
        folder = self.folder = folders[0]
        catalog = Catalog([], folders, parts.families, kept / "hashes.json")
        self.checkpoints = Checkpoints(catalog, "", torch.device("cpu"), kept, shelf=Shelf([models]), dtype=torch.float32)
        self.parts = parts
        self.file = json.loads((folder / "case.json").read_text())["checkpoint"]
        family = self.checkpoints.find(self.file).family
        assert family is not None
        self.family = family

    def draw(self, request: GenerationRequest) -> list[GeneratedImage]:
        return list(generate(replace(request, checkpoint=self.file), self.checkpoints, self.parts, pictures=picture))

    def bytes(self, request: GenerationRequest) -> bytes:
        (drawn,) = self.draw(request)
        return drawn.image.tobytes()
