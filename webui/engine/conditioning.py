"""What the network is told: the family's conditioners asked in order, for both sides of guidance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from webui.checkpoints.model import Model
from webui.contract.errors import PluginError
from webui.contract.parts import Conditioning, Inputs, Parts
from webui.contract.request import GenerationRequest
from webui.engine.strangers import called
from webui.engine.tiling import Window

TENSORS = ("crossattn", "vector", "concat")
"""Of a Conditioning."""
Sides = tuple[Conditioning, Conditioning]
"""(positive, negative)"""


def condition(request: GenerationRequest, model: Model, parts: Parts, inputs: Sequence[Inputs]) -> Sides:
    """Both sides, each tensor with a batch dimension of the pictures: one for each of `inputs`, or of 1 where all pictures
    are told the same. Each picture is conditioned by itself, so that it is the same bytes alone and in a batch.
    """
    each = inputs if model.family.noise_levels else inputs[:1]  # only noise of its own sets a picture apart from its batch
    sides = [_sides(request, model, parts, own) for own in each]
    return stacked([positive for positive, _ in sides]), stacked([negative for _, negative in sides])


def _sides(request: GenerationRequest, model: Model, parts: Parts, inputs: Inputs) -> Sides:
    positive, negative = [], []
    for name in model.family.conditioners:
        part = parts.conditioners[name]
        with called(parts.conditioners, name):
            told = [part.function(request, model, is_negative, inputs) for is_negative in (False, True)[: 2 - part.is_shared]]
        if not all(isinstance(one, Conditioning) for one in told):
            raise PluginError(f"The conditioner {name!r} of {parts.conditioners.owner(name)} answered no Conditioning.")
        positive.append(told[0])
        negative.append(told[-1])
    return together(positive, model.family.name), together(negative, model.family.name)


def together(made: Iterable[Conditioning], family: str) -> Conditioning:
    """One conditioning out of those of several conditioners: the parts of vector and of concat behind each other, in order.

    Raises:
        PluginError: two of them make crossattn.
    """
    every = list(made)
    crossattn = [one.crossattn for one in every if one.crossattn is not None]
    if len(crossattn) > 1:
        raise PluginError(f"Two conditioners of {family} make crossattn.")
    vector = [one.vector for one in every if one.vector is not None]
    concat = [one.concat for one in every if one.concat is not None]
    return Conditioning(
        crossattn=crossattn[0] if crossattn else None,
        vector=torch.cat(vector, 1) if vector else None,
        concat=torch.cat(concat, 1) if concat else None,
    )


def stacked(pictures: Iterable[Conditioning]) -> Conditioning:
    """One conditioning for a batch, of the pictures' own."""
    every = list(pictures)
    if len(every) == 1:
        return every[0]
    values = {name: [getattr(one, name) for one in every] for name in TENSORS}
    told = {name: torch.cat(tensors) for name, tensors in values.items() if tensors[0] is not None}
    return Conditioning(**told, controls=every[0].controls)


def seen_through(window: Window, whole: Conditioning) -> Conditioning:
    """What belongs to a window of the latents."""
    return whole if whole.concat is None else replace(whole, concat=window.of(whole.concat))


def batched(sides: Iterable[Conditioning], size: int) -> Conditioning:
    """The sides of guidance behind each other, each for all pictures of a batch: (sides * size, ...)."""
    every = list(sides)
    values = dict[str, Any]()
    for name in TENSORS:
        tensors = [getattr(side, name) for side in every]
        if tensors[0] is not None:
            values[name] = torch.cat([tensor.expand(size, *tensor.shape[1:]) for tensor in tensors])
    return Conditioning(**values)
