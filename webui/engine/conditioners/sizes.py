"""What SDXL is told of the picture's size: how large it claims to have been, where it was cut, how large it shall be."""

from __future__ import annotations

import torch

from webui.checkpoints.model import Model
from webui.contract.parts import Conditioning, Inputs
from webui.contract.request import GenerationRequest
from webui.engine.conditioners.fourier import waves

WAVES = 256
"""Features of one number."""


def sizes(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:
    """The numbers that the family's row names as vector (1, 256 * numbers), heights before widths.

    What was not asked is the size of the picture itself.

    Source: Podell et al. 2023, arXiv:2307.01952, section 2.2.
    """
    height, width = inputs.size
    known = {
        "original_size": (request.original_height or height, request.original_width or width),
        "crop": (request.crop_top, request.crop_left),
        "target_size": (request.target_height or height, request.target_width or width),
        "aesthetic_score": (request.negative_aesthetic_score if negative else request.aesthetic_score,),
    }
    numbers = [number for name in model.family.size_numbers for number in known[name]]
    return Conditioning(vector=waves(torch.tensor(numbers, dtype=torch.float32), WAVES).reshape(1, -1).to(model.device))
