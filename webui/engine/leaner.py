"""Networks that need less memory for the same answer, or more of it for a safer one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from webui.checkpoints.model import Model


class InParts(nn.Module):
    """A U-Net that answers a batch a few rows at a time: the same answers to rounding, since a row never sees another.

    Args:
        network: diffusers' UNet2DConditionModel or UNet2DModel.
        rows: of one call, at most.
    """

    def __init__(self, network: nn.Module, rows: int) -> None:
        super().__init__()
        self.network, self._rows = network, rows

    def __getattr__(self, name: str) -> Any:
        """Whoever asks for its configuration or its attention means the network's own."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)

    def forward(self, x: Tensor, t: Tensor, **told: Any) -> tuple[Tensor]:
        """x (N, C, h, w), t scalar or (N,), everything else that is told with N rows, also in sequences (residuals). Answers a
        tuple, as those do who are called with return_dict=False."""
        total = x.shape[0]
        told.pop("return_dict", None)
        answers = []
        for first in range(0, total, self._rows):
            part = slice(first, first + self._rows)
            own = {name: _rows(value, part, total) for name, value in told.items()}
            answers.append(self.network(x[part], t[part] if t.ndim else t, **own, return_dict=False)[0])
        return (answers[0] if len(answers) == 1 else torch.cat(answers),)


def _rows(value: Any, part: slice, total: int) -> Any:
    if isinstance(value, Tensor):
        return value[part] if value.ndim and value.shape[0] == total else value
    if isinstance(value, Mapping):
        return {name: _rows(one, part, total) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return type(value)(_rows(one, part, total) for one in value)  # type: ignore[call-arg]
    return value


def in_parts(model: Model, rows: int) -> Model:
    """The same model, whose U-Net is asked for at most so many rows (pictures times sides of guidance) at a time. 0: as it is."""
    return model if not rows or model.unet is None else replace(model, unet=InParts(model.unet, rows))


def precise(model: Model) -> Model:
    """The same model with a U-Net of its own in float32, for once: others may draw with the one that is there meanwhile."""
    if model.unet is None:
        return model
    memo: dict[int, Any] = {}
    for tensor in (*model.unet.parameters(), *model.unet.buffers()):
        data = tensor.detach().float() if tensor.is_floating_point() else tensor.detach().clone()
        memo[id(tensor)] = nn.Parameter(data, requires_grad=False) if isinstance(tensor, nn.Parameter) else data
    return replace(model, unet=copy.deepcopy(model.unet, memo))
