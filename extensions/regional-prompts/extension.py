"""Boxes of the picture with prompts of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

from webui.contract import Range, hookimpl
from webui.contract.parts import Denoise
from webui.contract.request import Chosen, GenerationRequest

from .mixing import weights
from .regions import read

NAME = "regional-prompts"
"""The extension's, under which its panel's values stand in a request."""
GUIDER = "Regional prompts"


@hookimpl
def register_guidance(register):
    register(GUIDER, regional)


@hookimpl
def register_scripts(register):
    register("Regional prompts of the panel", from_panel, when=is_drawn)


@hookimpl
def register_panels(register):
    from .panel import build

    register("Regional prompts", build, tabs=("txt2img", "img2img"))


def regional(
    denoise: Any,
    network: Any,
    *,
    regions: Annotated[str, "A line for each box, in shares of the picture: x y width height: prompt; none: the panel's"] = "",
    feather: Annotated[float, Range(0, 0.5), "How softly a box ends, in shares of the picture's shorter side"] = 0.1,
    base: Annotated[float, Range(0, 1), "Share of the picture's own prompt inside the boxes"] = 0.2,
) -> Denoise:
    """In each box the prediction for its own prompt, mixed at each step by soft masks; outside of all the picture's own.

    With classifier-free guidance negative + s (positive - negative), the prediction of a box differs from that of the picture by
    s (positive of the box - positive of the picture): that much, times the box's weight, is added to what the guiders before
    made. Costs a call of the network with one picture for each box, and one more.

    Source: MultiDiffusion, Bar-Tal et al. 2023, arXiv:2302.08113, eq. 5, with one latent canvas: F_i is the denoiser for prompt i
    and W_i its soft mask, so what the equation solves for is the mean of the predictions, weighted by the masks.

    Raises:
        ValueError: a line of `regions` is no region.
    """
    boxes = read(regions or panel_of(network.request).get("regions", ""))
    if not boxes:
        return denoise
    own = network.sides[0]
    positives = [network.condition(replace(network.request, prompt=box.prompt))[0] for box in boxes]
    scale = network.scale if network.scale not in (0, 1) else 1.0

    def mixed(x: Any, sigma: Any) -> Any:
        height, width = x.shape[-2:]
        shares = weights(boxes, height, width, feather, network.place).to(x.device) * (1 - base)
        whole, *inside = predictions(network, x, sigma, [own, *positives])
        towards = sum(share * (one - whole) for share, one in zip(shares, inside, strict=True))
        return denoise(x, sigma) + scale * towards

    return mixed


def predictions(network: Any, x: Any, sigma: Any, conditionings: list[Any]) -> list[Any]:
    """In one call of the network where all prompts have as many tokens."""
    if len({one.crossattn.shape for one in conditionings if one.crossattn is not None}) <= 1:
        return list(network.predict(x, sigma, *conditionings))
    return [network.predict(x, sigma, one)[0] for one in conditionings]


def panel_of(request: GenerationRequest) -> dict[str, Any]:
    values = request.extras.get(NAME)
    return dict(values) if isinstance(values, dict) else {}


def is_drawn(request: GenerationRequest) -> bool:
    """Whether there are boxes in the panel, and nobody named the guider."""
    has_guider = any(one.name.casefold() == GUIDER.casefold() for one in request.guiders)
    return bool(read(str(panel_of(request).get("regions", "")))) and not has_guider


def from_panel(request: GenerationRequest) -> Iterator[GenerationRequest]:
    """The same request with the guider, so that boxes in the panel are enough."""
    values = panel_of(request)
    options = {name: float(values[name]) for name in ("feather", "base") if isinstance(values.get(name), int | float)}
    yield replace(request, guiders=(*request.guiders, Chosen(GUIDER, options)))
