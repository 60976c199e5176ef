"""High guidance without burnt colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch

from webui.contract import Range

from .sides import is_alone

if TYPE_CHECKING:
    from torch import Tensor

    from webui.contract.more_parts import Network
    from webui.contract.parts import Denoise


def dynamic_thresholding(
    denoise: Denoise,
    network: Network,
    *,
    mimic: Annotated[float, Range(1, 20, 0.1), "Guidance whose range of values is kept"] = 3.0,
    percentile: Annotated[float, Range(0.8, 1, 0.001), "Share of the values that count; the rest is cut off"] = 0.995,
) -> Denoise:
    """What is drawn with high guidance, brought into the range that a lower guidance has: where the guidance is above `mimic`,
    each channel of each picture is cut off at a percentile of its own values and shrunk to the reach of the lower one.

    Costs nothing next to the network; behind another guider two more rows for each picture and call.

    Source: Saharia et al. 2022, Imagen, arXiv:2205.11487, section 2.3: clean pixels are cut off at a percentile s of their
    absolute values and divided by s. Latents have no bounds of -1 and 1; that those of a lower guidance stand for them, channel
    by channel, is the idea of the extension sd-dynamic-thresholding (2023), of which no code is here. The means are those of the
    lower guidance too: with those of the higher one the picture keeps its cast.
    """
    if network.scale <= mimic:
        return denoise
    positive, negative = network.sides
    alone = is_alone(network, "Dynamic thresholding")

    def bounded(x: Tensor, sigma: Tensor | float) -> Tensor:
        towards, away = network.predict(x, sigma, positive, negative)
        strong = torch.lerp(away, towards, network.scale) if alone else denoise(x, sigma)
        return in_range_of(strong, torch.lerp(away, towards, mimic), percentile)

    return bounded


def in_range_of(strong: Tensor, mild: Tensor, percentile: float) -> Tensor:
    """`strong` (B, C, h, w) about the means of the channels of `mild`: each channel cut off at a percentile of its distances from
    its mean, where that is beyond the reach of `mild`, and shrunk to that reach."""
    middle = mild.mean((2, 3), keepdim=True)
    reach = (mild - middle).abs().amax((2, 3), keepdim=True)
    centred = strong - strong.mean((2, 3), keepdim=True)
    pictures = [torch.quantile(one, percentile, dim=1) for one in centred.abs().flatten(2)]  # it takes no more than 2^24 at once
    far = torch.stack(pictures)[..., None, None]
    bound = torch.maximum(far, reach)
    return middle + centred.clamp(-bound, bound) * (reach / bound.clamp(min=1e-8))
