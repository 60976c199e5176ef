"""A loaded checkpoint: the networks of one family, ready to be called."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from webui.contract.parts import Family
from webui.contract.result import CheckpointName


class Memo:
    """Results worth keeping (text encodings), the least recently used go first. Belongs to one model."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable) -> Any | None:
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        return None

    def put(self, key: Hashable, value: Any) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._limit:
            self._values.popitem(last=False)


@dataclass
class Model:
    """The networks of a checkpoint. The engine calls them; only this room makes and moves them."""

    title: str
    name: CheckpointName
    family: Family
    unet: nn.Module
    """diffusers' UNet2DConditionModel: (x (B, C, h, w), t (B,), encoder_hidden_states (B, T, D)) -> (B, C, h, w)"""
    autoencoder: Any
    """diffusers' AutoencoderKL"""
    text_encoders: tuple[nn.Module, ...]
    sigmas: Tensor
    """(1000,) float32 on the CPU, rising: the noise levels that it was trained on"""
    memory_format: torch.memory_format = torch.contiguous_format
    encodings: Memo = field(default_factory=lambda: Memo(256))
    fits: Memo = field(default_factory=lambda: Memo(8))
    """What was fitted to these weights once (the preview's colours)."""

    @property
    def device(self) -> torch.device:
        return next(self.unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.unet.parameters()).dtype

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.unet, self.autoencoder, *self.text_encoders)

    def size_in_bytes(self) -> int:
        return sum(
            tensor.numel() * tensor.element_size()
            for network in self.networks
            for tensor in (*network.parameters(), *network.buffers())
        )
