"""A loaded checkpoint: the networks of one family, ready to be called."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from webui.checkpoints.depth import DepthSource
from webui.checkpoints.download import Shelf
from webui.checkpoints.tiny import TinySource
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


@contextmanager
def widened(network: nn.Module) -> Iterator[None]:
    """A network in float32 while the block runs. Then its tensors are where they were: they lie in one piece with others."""
    were = [(tensor, tensor.data) for tensor in (*network.parameters(), *network.buffers())]
    try:
        for tensor, data in were:
            if data.is_floating_point():
                tensor.data = data.float()
        yield
    finally:
        for tensor, data in were:
            tensor.data = data


@dataclass
class Model:
    """The networks of a checkpoint. The engine calls them; only this room makes and moves them."""

    title: str
    name: CheckpointName
    family: Family
    unet: nn.Module | None
    """diffusers' UNet2DConditionModel or UNet2DModel: (x (B, C, h, w), t (B,), encoder_hidden_states (B, T, D) where
    the family has it, class_labels (B, D) where it has it) -> (B, C, h, w); None for an autoencoder alone"""
    autoencoder: Any
    """diffusers' AutoencoderKL or VQModel"""
    encoders: Mapping[str, Any]
    """By role (webui.contract.parts.Encoder): the networks of webui.checkpoints.encoders"""
    sigmas: Tensor
    """(T,) float32 on the CPU, rising: the noise levels that it was trained on"""
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    """"image_mean" and "image_deviation" (D,), of the image embeddings that unCLIP was trained on"""
    depth: DepthSource | None = None
    """Loads the depth estimator when it is first needed: (1, 3, H, W) in [-1, 1] -> (1, 1, h, w). None: the family reads no
    depth"""
    tiny: TinySource | None = None
    """Reads a tiny decoder for previews, where there is one"""
    path: Path | None = None
    """The file or folder it was read from; what is looked for beside it comes first"""
    shelf: Shelf | None = None
    """Where files lie that are not bundled (BERT's vocabulary, a depth estimator)"""
    memory_format: torch.memory_format = torch.contiguous_format
    encodings: Memo = field(default_factory=lambda: Memo(256))
    fits: Memo = field(default_factory=lambda: Memo(8))
    """What was fitted to these weights once (the preview's colours), or read for them (its decoder)."""
    computes_on: torch.device | None = None
    """Where it computes though its weights may be elsewhere (webui.checkpoints.offloading); None: where they are."""
    note: str = ""
    """What the user should know of how it computes."""

    @property
    def device(self) -> torch.device:
        return self.computes_on or next(self._main.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self._main.parameters()).dtype

    @property
    def _main(self) -> nn.Module:
        network: nn.Module = self.unet or self.autoencoder
        return network

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return tuple(network for network in (self.unet, self.autoencoder, *self.encoders.values()) if network is not None)

    def size_in_bytes(self) -> int:
        return sum(
            tensor.numel() * tensor.element_size()
            for network in self.networks
            for tensor in (*network.parameters(), *network.buffers())
        )
