"""When a picture is drawn or decoded in tiles, and how large they are: by the machine's memory, or as asked."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from webui.checkpoints import memory
from webui.contract.parts import Family
from webui.engine.sizes import Size
from webui.engine.tiling import Cells

SHARE = 8
"""One tile takes at most this part of the machine's memory."""
LEAST = 32
"""Latents of a side."""


@dataclass(frozen=True)
class Tiles:
    """Pixels of the finished picture that are seen at once, a side; 0: all."""

    network: int = 0
    """Only for families that enlarge: what others draw must be seen whole."""
    autoencoder: int = 0

    def latents(self, family: Family) -> Cells:
        """The network's tiles in latents; neighbours share a quarter."""
        side, align = self.network // family.latent_factor, family.size_step // family.latent_factor
        return Cells(side, side // 4, align)


WHOLE = Tiles()


def tiles_of(family: Family, size: Size, asked: int, device: torch.device) -> Tiles:
    """The tiles for a picture of a size (width, height). 0 asked: none where twice a tile's memory holds the whole, so the
    same picture is cut in the same way on the same machine, whatever else runs there."""
    pixels, budget = size[0] * size[1], memory.total_bytes(device) // SHARE
    network, autoencoder = 0, 0
    if asked or memory.decoding_bytes(family, pixels) > 2 * budget:
        autoencoder = _side(asked, memory.decoding_bytes(family, 1 << 20), budget, family)
    if family.enlarges > 1 and (asked or memory.network_bytes(family, 1, pixels) > 2 * budget):
        network = _side(asked, memory.network_bytes(family, 1, 1 << 20), budget, family)
    longest = max(size)
    return Tiles(network if network < longest else 0, autoencoder if autoencoder < longest else 0)


def _side(asked: int, bytes_of_2_20: int, budget: int, family: Family) -> int:
    fits = int((budget / (bytes_of_2_20 / (1 << 20))) ** 0.5)
    side = min(asked or fits, fits)
    return max(side // family.size_step, -(-LEAST * family.latent_factor // family.size_step)) * family.size_step
