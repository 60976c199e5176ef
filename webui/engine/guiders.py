"""Guiders of a request: what extensions make of the guidance, in the order in which the request names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, get_ident
from typing import Any

import torch
from torch import Tensor, nn

from webui.checkpoints.model import Model
from webui.contract.errors import PluginError
from webui.contract.parts import Conditioning, Denoise
from webui.contract.request import Chosen, GenerationRequest
from webui.engine.conditioning import Sides, batched, of_picture
from webui.engine.denoiser import predictions
from webui.engine.guidance import guide
from webui.engine.references import References
from webui.engine.strangers import called, denoised_of
from webui.engine.table import NoiseTable

Condition = Callable[[GenerationRequest], Sides]
"""Both sides of another request, for the same pictures and the same window"""
Place = tuple[float, float, float, float]
"""(x, y, width, height) in shares of the picture"""
EVERYWHERE: Place = (0.0, 0.0, 1.0, 1.0)
_swapping = Lock()
"""Held while attention processors are others than usual."""


def guided(
    request: GenerationRequest,
    model: Model,
    table: NoiseTable,
    sides: Sides,
    condition: Condition,
    pictures: int,
    references: References,
    place: Place = EVERYWHERE,
) -> Denoise:
    """The denoiser of a batch: classifier-free guidance, and the request's guiders around it.

    On a processor each picture of a batch has guiders of its own, so that whatever they compute it is the same bytes in a
    batch and alone (see denoiser.network).

    Args:
        sides: of `request`.
        pictures: of the batch.
        place: of what is drawn, in the whole picture.
    """
    if not request.guiders:
        return guide(model, table, *sides, request.guidance or 0, pictures)
    if model.device.type != "cpu" or pictures == 1:
        return _guided(Asked(request, model, table, sides, condition, place), pictures, references)

    def alone(i: int) -> Denoise:
        own = (of_picture(sides[0], i), of_picture(sides[1], i))

        def conditioned(other: GenerationRequest) -> Sides:
            positive, negative = condition(other)
            return of_picture(positive, i), of_picture(negative, i)

        return _guided(Asked(request, model, table, own, conditioned, place), 1, references)

    each = [alone(i) for i in range(pictures)]

    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
        levels = [sigma[i : i + 1] if isinstance(sigma, Tensor) and sigma.ndim else sigma for i in range(pictures)]
        return torch.cat([one(x[i : i + 1], levels[i]) for i, one in enumerate(each)])

    return denoise


def _guided(asked: Asked, pictures: int, references: References) -> Denoise:
    denoise = guide(asked.model, asked.table, *asked.sides, asked.scale, pictures)
    for chosen in asked.request.guiders:
        denoise = _around(denoise, asked, chosen, references)
    return denoise


def _around(denoise: Denoise, asked: Asked, chosen: Chosen, references: References) -> Denoise:
    """What one guider makes of a denoiser."""
    registry = references.parts.guiders
    part = registry[chosen.name]
    options = references.called_with(part.function, chosen.options, "guiders")
    with called(registry, part.name):
        answer = part.function(denoise, asked, **options)
    if not callable(answer):
        raise PluginError(
            f"The extension {registry.owner(part.name)} answered a {type(answer).__name__} in its guider {part.name!r}, where a "
            "function (x, sigma) -> clean latents is due. Choose another guider."
        )

    def checked(x: Tensor, sigma: Tensor | float) -> Tensor:
        with called(registry, part.name):
            clean = answer(x, sigma)
        return denoised_of(clean, x, registry, part.name)

    return checked


@dataclass(frozen=True, eq=False)
class Asked:
    """The network of a stage as guiders may ask it: a webui.contract.more_parts.Network."""

    request: GenerationRequest
    model: Model
    table: NoiseTable
    sides: Sides
    conditioned: Condition
    place: Place = EVERYWHERE

    @property
    def scale(self) -> float:
        return self.request.guidance or 0.0

    def condition(self, request: GenerationRequest) -> Sides:
        return self.conditioned(request)

    def predict(
        self, x: Tensor, sigma: Tensor | float, *conditionings: Conditioning, attention: Mapping[str, Any] | None = None
    ) -> tuple[Tensor, ...]:
        if not conditionings:
            return ()
        told = batched(conditionings, x.shape[0])
        predict = predictions(self.model, self.table, told, len(conditionings), shares=not attention)
        if not attention:
            return predict(x, sigma)
        with attending(self.model.unet, attention):
            return predict(x, sigma)


@contextmanager
def attending(unet: nn.Module | None, processors: Mapping[str, Any]) -> Iterator[None]:
    """The U-Net with other attention processors inside the block, for calls of this thread alone.

    Args:
        processors: by the names of unet.attn_processors, as many as are to be others.

    Raises:
        PluginError: the U-Net has no attention of that name, or it is no processor.
    """
    places = attentions(unet)
    for name, one in processors.items():
        if name not in places:
            raise PluginError(f"This U-Net has no attention processor {name!r}. It has {', '.join(list(places)[:3])}, ...")
        if not callable(one):
            raise PluginError(f"The attention processor for {name!r} is a {type(one).__name__}, which cannot be called.")
    with _swapping:
        before = {name: places[name].processor for name in processors}
        try:
            for name, one in processors.items():
                places[name].set_processor(_InThread(one, before[name], get_ident()))
            yield
        finally:
            for name, one in before.items():
                places[name].set_processor(one)


def attentions(unet: nn.Module | None) -> dict[str, Any]:
    """The attention modules of a U-Net, by the names of its attn_processors."""
    modules = unet.named_modules() if unet is not None else ()
    return {f"{name}.processor": module for name, module in modules if hasattr(module, "set_processor")}


@dataclass(frozen=True, eq=False)
class _InThread:
    """An attention processor for one thread; others, which draw with the same network, go on with theirs."""

    own: Any
    others: Any
    thread: int

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **more: Any) -> Tensor:
        chosen = self.own if get_ident() == self.thread else self.others
        return chosen(attn, hidden_states, *args, **more)
