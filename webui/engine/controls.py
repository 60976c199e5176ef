"""Control networks at the U-Net: who is asked, for which side of guidance, and what their answers must be.

Source: Zhang et al. 2023, ControlNet, arXiv:2302.05543: what a copy of the U-Net's first half makes of a picture is added to the
skip connections and to the middle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from webui.contract.errors import PluginError
from webui.contract.more_parts import Control, Residuals
from webui.contract.parts import ConditionerPart, Conditioning
from webui.contract.registry import Registry
from webui.engine.strangers import called


@dataclass(frozen=True, eq=False)
class Owned:
    """A conditioner's control: what goes wrong in it is told with the name of its extension. Equal where the control is the
    same one, which then is asked once for both sides of guidance."""

    control: Control
    registry: Registry[ConditionerPart]
    name: str
    """Of the conditioner."""

    def __call__(
        self, x: Tensor, t: Tensor, crossattn: Tensor | None, vector: Tensor | None, added: Mapping[str, Any] | None = None
    ) -> Residuals | None:
        with called(self.registry, self.name):
            answer = self.control(x, t, crossattn, vector, added)
        if answer is not None and not isinstance(answer, Residuals):
            raise self.refused(f"a {type(answer).__name__}, where Residuals or None are due")
        return answer

    def seen_through(self, top: int, left: int, height: int, width: int) -> Control:
        with called(self.registry, self.name):
            return replace(self, control=self.control.seen_through(top, left, height, width))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Owned) and other.control is self.control and other.name == self.name

    def __hash__(self) -> int:
        return hash((id(self.control), self.name))

    def refused(self, what: str) -> PluginError:
        owner = self.registry.owner(self.name)
        return PluginError(f"The extension {owner} answered {what}, in a control of its conditioner {self.name!r}.")


@dataclass(frozen=True)
class OnSides:
    """A control that is asked for some sides of guidance alone: the others get zeros."""

    control: Control
    sides: tuple[bool, ...]

    def __call__(
        self, x: Tensor, t: Tensor, crossattn: Tensor | None, vector: Tensor | None, added: Mapping[str, Any] | None = None
    ) -> Residuals | None:
        pictures = x.shape[0] // len(self.sides)
        rows = [side * pictures + i for side, is_asked in enumerate(self.sides) if is_asked for i in range(pictures)]
        words, numbers = (None if one is None else one[rows] for one in (crossattn, vector))
        answer = self.control(x[rows], t[rows] if t.ndim else t, words, numbers, added)
        if answer is None:
            return None

        def whole(part: Tensor) -> Tensor:
            made = part.new_zeros(x.shape[0], *part.shape[1:])
            made[rows] = part
            return made

        return Residuals(tuple(whole(one) for one in answer.down), whole(answer.middle))

    def seen_through(self, top: int, left: int, height: int, width: int) -> Control:
        return replace(self, control=self.control.seen_through(top, left, height, width))


def of_sides(sides: Sequence[Conditioning]) -> tuple[Control, ...]:
    """The controls of several sides of guidance that are asked in one call; one that all have is asked once for all."""
    seen = [Counter[Control]() for _ in sides]
    asked: dict[tuple[Control, int], list[bool]] = {}
    for number, side in enumerate(sides):
        for control in side.controls:  # two equal ones of a side both count
            seen[number][control] += 1
            asked.setdefault((control, seen[number][control]), [False] * len(sides))[number] = True
    return tuple(control if all(on) else OnSides(control, tuple(on)) for (control, _), on in asked.items())


def residuals(
    controls: Sequence[Control], unet: nn.Module, x: Tensor, t: Tensor, crossattn: Tensor | None, vector: Tensor | None
) -> dict[str, Any]:
    """What all controls say of latents x (N, C, h, w), added up, as arguments of the U-Net; {} where none says anything.

    Raises:
        PluginError: an answer is not of the U-Net's own shapes.
    """
    total: Residuals | None = None
    for control in controls:
        answer = control(x, t, crossattn, vector)
        if answer is None:
            continue
        _check(answer, shapes(unet, x), control)
        down, middle = [one.to(x.device, x.dtype) for one in answer.down], answer.middle.to(x.device, x.dtype)
        if total is not None:
            down, middle = [a + b for a, b in zip(total.down, down, strict=True)], total.middle + middle
        total = Residuals(tuple(down), middle)
    if total is None:
        return {}
    return {"down_block_additional_residuals": total.down, "mid_block_additional_residual": total.middle}


def shapes(unet: Any, x: Tensor) -> list[tuple[int, ...]]:
    """Of the maps at the skip connections of a UNet2DConditionModel, and last of the one in its middle."""
    rows, (height, width) = x.shape[0], x.shape[-2:]
    found = [(rows, unet.conv_in.out_channels, height, width)]
    for block in unet.down_blocks:
        found += [(rows, one.out_channels, height, width) for one in block.resnets]
        for one in block.downsamplers or ():
            height, width = (height + 1) // 2, (width + 1) // 2
            found.append((rows, one.out_channels, height, width))
    return [*found, found[-1]]


def _check(answer: Residuals, due: Sequence[tuple[int, ...]], control: Control) -> None:
    """diffusers' U-Net would add as many as there are, and broadcast others."""
    given = [tuple(one.shape) if isinstance(one, Tensor) else (type(one).__name__,) for one in (*answer.down, answer.middle)]
    if given == list(due):
        return
    wrong = next((pair for pair in zip(given, due, strict=False) if pair[0] != pair[1]), None)
    what = f"residuals of {wrong[0]} where {wrong[1]} are due" if wrong else f"{len(given)} residuals where {len(due)} are due"
    inner: Any = control
    while isinstance(inner, OnSides):
        inner = inner.control
    if isinstance(inner, Owned):
        raise inner.refused(what)
    raise PluginError(f"A control answered {what}.")
