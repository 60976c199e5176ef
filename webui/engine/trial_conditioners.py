"""An extension's conditioners, asked beside a real checkpoint before anybody draws with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from webui.checkpoints.families import POCKET
from webui.checkpoints.model import Model
from webui.contract.errors import CheckpointError, PluginError, RequestError
from webui.contract.parts import Family, Inputs, Parts
from webui.contract.request import Chosen, GenerationRequest
from webui.engine.conditioning import TENSORS, Sides, condition

REQUEST = GenerationRequest(
    prompt="a red cube", negative_prompt="blur", checkpoint="pocket", sampler="Euler", schedule="Uniform", steps=4, guidance=3.0,
    seed=1, width=128, height=128,
)  # fmt: skip


def conditioner_faults(parts: Parts, owner: str, opened: Callable[[], AbstractContextManager[Model]]) -> Iterator[PluginError]:
    """What is wrong with the conditioners of a plugin as soon as they are asked: those that a request names, and those of its
    families that are built like the pocket checkpoint. Others need a checkpoint that is not at hand.

    Args:
        opened: opens the pocket checkpoint, where there is anything to ask.
    """
    rows = [row for row in parts.families if parts.families.owner(row.name) == owner and _fits(row)]
    rows = [row for row in rows if all(name in parts.conditioners for name in row.conditioners)]  # else that is told already
    rows = [row for row in rows if any(parts.conditioners.owner(name) == owner for name in row.conditioners)]
    named = [part.name for part in parts.conditioners if part.on_request and parts.conditioners.owner(part.name) == owner]
    if not rows and not named:
        return
    try:
        with opened() as model, torch.inference_mode():
            for row in rows:
                family = replace(model.family, name=row.name, conditioners=row.conditioners, inputs=row.inputs)
                yield from _asked(REQUEST, replace(model, family=family), parts, f"the family {row.name!r}")
            for name in named:
                request = replace(REQUEST, conditioners=(Chosen(name),))
                yield from _asked(request, model, parts, f"a request that names the conditioner {name!r}")
    except CheckpointError:
        return  # it is not here, or cannot be read


def _fits(row: Family) -> bool:
    columns = ("encoders", "network", "in_channels", "latent_channels", "vector")
    return all(getattr(row, column) == getattr(POCKET, column) for column in columns)


def _asked(request: GenerationRequest, model: Model, parts: Parts, where: str) -> Iterator[PluginError]:
    try:
        first, again = (condition(request, model, parts, [Inputs(size=(128, 128))]) for _ in range(2))
    except PluginError as error:
        yield error
        return
    except RequestError:
        return  # it asks the user for something, as it may: options have their defaults here
    yield from (PluginError(f"What the conditioners of {where} make {what}.") for what in _wrong(first, again, model))


def _wrong(first: Sides, again: Sides, model: Model) -> Iterator[str]:
    for one, other in zip(first, again, strict=True):
        made = {name: tensor for name in TENSORS if (tensor := getattr(one, name)) is not None}
        if "crossattn" not in made:
            yield "has no crossattn, which the network needs"
            return
        shape, width = tuple(made["crossattn"].shape), model.family.context_width
        if len(shape) != 3 or shape[0] != 1 or shape[2] != width:
            yield f"has crossattn of {shape}, where (1, any, {width}) is due"
            return
        for name, tensor in made.items():
            if not bool(tensor.isfinite().all()):
                yield f"has numbers in {name} that are none"
                return
            if not torch.equal(tensor, getattr(other, name)):
                yield f"has another {name} each time, so no picture could be made again"
                return
