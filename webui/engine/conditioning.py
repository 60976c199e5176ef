"""What the network is told: the family's conditioners asked in order, then the request's, for both sides of guidance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from webui.checkpoints.model import Model
from webui.contract.errors import PluginError
from webui.contract.parts import Conditioning, Inputs, Parts
from webui.contract.request import GenerationRequest
from webui.engine.controls import Owned, of_sides
from webui.engine.references import References
from webui.engine.strangers import called
from webui.engine.tiling import Window

TENSORS = ("crossattn", "vector", "concat")
"""Of a Conditioning."""
Sides = tuple[Conditioning, Conditioning]
"""(positive, negative)"""


def condition(
    request: GenerationRequest, model: Model, parts: Parts, inputs: Sequence[Inputs], references: References | None = None
) -> Sides:
    """Both sides, each tensor with a batch dimension of the pictures: one for each of `inputs`, or of 1 where all pictures
    are told the same. Each picture is conditioned by itself, so that it is the same bytes alone and in a batch.

    Args:
        references: looks up what options of the request's conditioners name; None: there are no pictures.
    """
    known = references or References(parts, model.shelf)
    each = inputs if model.family.noise_levels else inputs[:1]  # only noise of its own sets a picture apart from its batch
    sides = [_sides(request, model, parts, own, known) for own in each]
    return stacked([positive for positive, _ in sides]), stacked([negative for _, negative in sides])


def _sides(request: GenerationRequest, model: Model, parts: Parts, inputs: Inputs, references: References) -> Sides:
    made = [_asked(name, {}, request, model, parts, inputs) for name in model.family.conditioners]
    name = model.family.name
    positive, negative = together([one for one, _ in made], name), together([other for _, other in made], name)
    for chosen in request.conditioners:
        options = references.called_with(parts.conditioners[chosen.name].function, chosen.options, "conditioners")
        more = _asked(chosen.name, options, request, model, parts, inputs)
        _check_added(more, (positive, negative), parts, chosen.name)
        positive, negative = (_added(base, one, parts, chosen.name) for base, one in zip((positive, negative), more, strict=True))
    return positive, negative


def _asked(
    name: str, options: Mapping[str, Any], request: GenerationRequest, model: Model, parts: Parts, inputs: Inputs
) -> Sides:
    """What one conditioner tells both sides."""
    part = parts.conditioners[name]
    with called(parts.conditioners, name):
        told = [
            part.function(request, model, is_negative, inputs, **options) for is_negative in (False, True)[: 2 - part.is_shared]
        ]
    if not all(isinstance(one, Conditioning) for one in told):
        raise PluginError(f"The conditioner {name!r} of {parts.conditioners.owner(name)} answered no Conditioning.")
    return told[0], told[-1]


def _check_added(more: Sides, base: Sides, parts: Parts, name: str) -> None:
    """Raises PluginError where what a request's conditioner made does not fit behind what the family's made."""
    wrong = ""
    if any(one.vector is not None or one.concat is not None for one in more):
        wrong = "makes vector or concat, which only a family's conditioners make; a request's make crossattn and controls"
    elif len({None if one.crossattn is None else one.crossattn.shape[1] for one in more}) > 1:
        wrong = "makes another number of rows of crossattn for each side"
    for one, whole in zip(more, base, strict=True):
        if one.crossattn is not None and (whole.crossattn is None or one.crossattn.shape[::2] != whole.crossattn.shape[::2]):
            due = "none is read" if whole.crossattn is None else f"(1, any, {whole.crossattn.shape[2]}) is due"
            wrong = wrong or f"makes crossattn of {tuple(one.crossattn.shape)}, where {due}"
    if wrong:
        raise PluginError(f"The conditioner {name!r} of {parts.conditioners.owner(name)} {wrong}.")


def _added(base: Conditioning, more: Conditioning, parts: Parts, name: str) -> Conditioning:
    crossattn = base.crossattn
    if crossattn is not None and more.crossattn is not None:
        crossattn = torch.cat([crossattn, more.crossattn.to(crossattn)], 1)
    controls = tuple(Owned(control, parts.conditioners, name) for control in more.controls)
    return replace(base, crossattn=crossattn, controls=(*base.controls, *controls))


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
        controls=tuple(control for one in every for control in one.controls),
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
    size = (window.bottom - window.top, window.right - window.left)
    controls = tuple(control.seen_through(window.top, window.left, *size) for control in whole.controls)
    return replace(whole, concat=None if whole.concat is None else window.of(whole.concat), controls=controls)


def of_picture(whole: Conditioning, i: int) -> Conditioning:
    """What one picture of a batch is told."""
    values = {name: getattr(whole, name) for name in TENSORS}
    own = {name: one if one is None or one.shape[0] == 1 else one[i : i + 1] for name, one in values.items()}
    return replace(whole, **own)


def batched(sides: Iterable[Conditioning], size: int) -> Conditioning:
    """The sides of guidance behind each other, each for all pictures of a batch: (sides * size, ...)."""
    every = list(sides)
    values = dict[str, Any]()
    for name in TENSORS:
        tensors = [getattr(side, name) for side in every]
        if tensors[0] is not None:
            values[name] = torch.cat([tensor.expand(size, *tensor.shape[1:]) for tensor in tensors])
    return Conditioning(**values, controls=of_sides(every))
