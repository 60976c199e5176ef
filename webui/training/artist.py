"""Draws from a checkpoint as the program does: through the catalog, the manager and the engine, on the CPU in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from webui.checkpoints.catalog import Catalog
from webui.checkpoints.families import FAMILIES
from webui.checkpoints.manager import Checkpoints
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Family
from webui.contract.request import GenerationRequest
from webui.engine.generate import generate
from webui.training.drawing import parts


class Artist:
    """One checkpoint.

    Args:
        folder: in diffusers layout.

    Raises:
        CheckpointReadError: it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        folder = folder.resolve()
        if not (folder / "model_index.json").is_file():
            raise CheckpointReadError(f"{folder} is not a checkpoint in diffusers layout: it has no model_index.json.")
        self._kept = tempfile.TemporaryDirectory(prefix="webui-")
        kept = Path(self._kept.name)
        catalog = Catalog([], [folder.parent], FAMILIES, kept / "hashes.json")
        self._title = next(entry.title for entry in catalog.entries() if entry.path == folder)
        self._checkpoints = Checkpoints(catalog, self._title, torch.device("cpu"), kept, dtype=torch.float32)
        self._parts = parts()

    @property
    def family(self) -> Family:
        entry = self._checkpoints.find(self._title)
        if entry.family is None:
            raise CheckpointReadError(entry.error)
        return entry.family

    def draw(self, request: GenerationRequest, pictures: Mapping[str, Image.Image] | None = None) -> list[Image.Image]:
        """All pictures of a request. Those that it names are taken from `pictures`."""
        named = pictures or {}
        asked = replace(request, checkpoint=self._title)
        return [made.image for made in generate(asked, self._checkpoints, self._parts, pictures=lambda name: named[name])]


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3)"""
    return np.asarray(image.convert("RGB"))
