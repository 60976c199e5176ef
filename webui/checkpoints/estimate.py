"""How much memory a picture will need beside the weights: told from its family, size and batch, before anything is allocated.

The network and the decoder are never at work at the same time, so the larger of the two counts. What each holds at its peak was
counted, tensor by tensor, on networks of full size without memory (tests/checkpoints/test_estimate.py counts again), and what a
processor's kernels hold beside that was measured (`webui bench memory`, docs/benchmarks.md):

* A U-Net holds most in the last block of its first level: the skip connection, the concatenated features, and inside the
  transformer the feed-forward's 8 tensors. Family.network_tensors says how many tensors of the first level's width that is.
  Small pictures hold most on the deepest level, where a processor's kernels rearrange the widest convolution's weights.
* A decoder holds most before its last level: a tensor of whole pixels and twice the last width, thrice (before a group norm,
  after it, after the activation), which is Family.decoder_tensors. A convolution whose channels do not come last rearranges what
  it reads and writes, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from webui.checkpoints.model import Model
from webui.contract.parts import Family

DECODER = 1.44
"""What is measured of a decoder, of what is counted: 1.26 in float32 and 1.42 in bfloat16, and"""
DECODER_LAST = 1.1
"""where channels come last 1.0 and 1.08."""
WIDEST = 4
"""Times the last level's width: the decoder's widest."""
MIDDLE = 8
"""Tensors of the decoder's widest width, on the latents' grid, while its middle computes, which sees the whole also where the
rest goes in tiles; one of them stays beside the tiles."""
NETWORK = 1.08
"""What is measured of a U-Net, of what is counted: 1.02."""
DEEPEST = 288
"""Values of the widest convolution, in squares of the first level's width: 3 x 3 from 8 times to 4 times it."""
DEEP = 10
"""Tensors of the first level's size that are held while the deepest level computes: the skip connections."""
PIXEL = 16
"""Bytes of a pixel between decoder and file: three floats, and the picture."""
KEPT = 8
"""Bytes of a pixel for each picture of a batch: the finished picture, and the latents that samplers hold (8 of them)."""
CONTROL = 0.5
"""What a control network needs, of what the U-Net needs: it is its first half."""


@dataclass(frozen=True)
class Setting:
    """How a network computes, as far as its memory goes."""

    value_bytes: int = 4
    is_last: bool = False
    """Whether channels come last."""
    is_processor: bool = True
    """There each picture of a batch has a call of its own (see webui.engine.denoiser)."""


def expected(device: torch.device) -> Setting:
    """Of a checkpoint that is not loaded yet: the most that it may turn out to be."""
    return Setting(4 if device.type == "cpu" else 2, False, device.type == "cpu")


def setting_of(model: Model) -> Setting:
    is_last = model.memory_format == torch.channels_last
    return Setting(model.dtype.itemsize, is_last, model.device.type == "cpu")


def decoding(family: Family, pixels: int, setting: Setting) -> int:
    """Bytes for decoding so many pixels at once, or encoding them, which needs less."""
    counted = pixels * family.decoder_tensors * family.decoder_width * setting.value_bytes
    return int(counted * (DECODER_LAST if setting.is_last else DECODER))


def decoding_in_tiles(family: Family, pixels: int, seen: int, setting: Setting) -> int:
    """Bytes for decoding a picture of which so many pixels are seen at once."""
    if seen >= pixels:
        return decoding(family, pixels, setting)
    level = pixels / family.latent_factor**2 * WIDEST * family.decoder_width * setting.value_bytes
    return int(max(MIDDLE * level, level + decoding(family, seen, setting)))


def network(family: Family, rows: int, pixels: int, setting: Setting, controls: int = 0) -> int:
    """Bytes for one call of the U-Net.

    Args:
        rows: pictures times sides of guidance that are asked together.
        pixels: of one finished picture.
        controls: control networks beside it.
    """
    level = pixels / family.latent_factor**2 * rows * family.network_width
    most = family.network_tensors * level
    deep = DEEP * level + (DEEPEST * family.network_width**2 if setting.is_processor else 0)
    return int(NETWORK * max(most, deep) * setting.value_bytes * (1 + CONTROL * controls))


def pictures(batch: int, pixels: int) -> int:
    """Bytes for what is held however it is drawn."""
    return pixels * (PIXEL + KEPT * batch)


def whole(
    family: Family, batch: int, pixels: int, setting: Setting, *, sides: int = 2, decoded: int = 0, controls: int = 0
) -> int:
    """About the most that a batch needs beyond the weights; at least what it needs, and at most 1.3 times that.

    Args:
        sides: of guidance: 2, or 1 where there is none.
        decoded: pixels that are decoded at once; 0: a whole picture.
    """
    rows = sides if setting.is_processor else sides * batch
    asked = network(family, rows, pixels, setting, controls)
    return max(asked, decoding_in_tiles(family, pixels, decoded or pixels, setting)) + pictures(batch, pixels)
