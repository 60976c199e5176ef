"""What the network is told: the family's conditioners asked in order, for both sides of guidance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

import torch

from webui.checkpoints.model import Model
from webui.contract.errors import PluginError
from webui.contract.parts import Conditioning, Parts
from webui.contract.request import GenerationRequest


def condition(request: GenerationRequest, model: Model, parts: Parts) -> tuple[Conditioning, Conditioning]:
    """(positive, negative), each tensor for one picture: batch dimension 1."""
    return tuple(  # type: ignore[return-value]
        together(
            (parts.conditioners[name].function(request, model, negative) for name in model.family.conditioners), model.family.name
        )
        for negative in (False, True)
    )


def together(made: Iterable[Conditioning], family: str) -> Conditioning:
    """One conditioning out of those of several conditioners; two may not make the same input."""
    whole = Conditioning()
    for one in made:
        for field in fields(Conditioning):
            value = getattr(one, field.name)
            if value is None:
                continue
            if getattr(whole, field.name) is not None:
                raise PluginError(f"Two conditioners of {family} make {field.name}.")
            whole = replace(whole, **{field.name: value})
    return whole


def batched(sides: Iterable[Conditioning], size: int) -> Conditioning:
    """The sides of guidance behind each other, each repeated for the pictures of a batch: (sides * size, ...)."""
    every = list(sides)
    values = {}
    for field in fields(Conditioning):
        tensors = [getattr(side, field.name) for side in every]
        if tensors[0] is not None:
            values[field.name] = torch.cat([tensor.expand(size, *tensor.shape[1:]) for tensor in tensors])
    return Conditioning(**values)
