"""Networks that take turns on a graphics card: what computes comes there, and what does not waits in host memory.

By parts: a text encoder, the U-Net, the autoencoder; each stays while it is asked again, so a picture costs one copy of each. By
layers: of the U-Net only the layer that computes, so that a card holds a network that is larger than its memory; a call costs one
copy of the whole network. Both compute the very same numbers as without.

Nothing is locked and nobody has to say who comes next: a layer that is asked fetches its weights, and where its part is another
one than before, that one's go. So jobs that are drawn side by side may take turns, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from webui.checkpoints import estimate
from webui.checkpoints.estimate import Setting
from webui.checkpoints.model import Model
from webui.contract.parts import Family

How = Literal["whole", "parts", "layers"]
Wish = Literal["", "parts", "large in parts", "layers"]
"""What the command line asks for: "" nothing."""
Fetch = Callable[[Tensor], Tensor]
LARGE = 1024
"""Native size from which a family is large (SDXL)."""
SEEN = 512 * 512
"""Pixels that are decoded at once where memory is short."""


def fetching(device: torch.device) -> Fetch:
    """Copies to a device; from locked memory without waiting for it."""
    return lambda tensor: tensor.to(device, non_blocking=True, copy=True)


def wished(wish: Wish, family: Family) -> How | None:
    """What was asked for a family; None: what memory asks for."""
    if wish == "large in parts":
        return "parts" if family.native_size >= LARGE else None
    return wish or None


def way_of(model: Model, free: int, setting: Setting) -> How | None:
    """How a model is computed with where so many bytes can be had for its weights and for a picture of its native size, drawn one
    by one and decoded in tiles; None: not at all."""
    room = free - estimate.whole(model.family, 1, model.family.native_size**2, setting, sides=1, decoded=SEEN)
    if model.size_in_bytes() <= room:
        return "whole"
    if max(map(_bytes, model.networks)) <= room:
        return "parts"
    others = [_bytes(network) for network in model.networks if network is not model.unet]
    layers = [sum(tensor.nbytes for tensor in _own(module)) for module in model.unet.modules()] if model.unet is not None else []
    return "layers" if max([*others, *layers]) <= room else None


def _bytes(network: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))


def _own(module: nn.Module) -> Iterator[Tensor]:
    """What belongs to a module itself, not to those inside."""
    for tensor in (*module._parameters.values(), *module._buffers.values()):
        if tensor is not None:
            yield tensor


@dataclass(eq=False)
class Turns:
    """Whose turn it is, of the networks of one model. All of one thread.

    Args:
        fetch: makes the copy that is computed with.
    """

    fetch: Fetch
    _there: dict[int, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)
    """By a tensor's identity: it, its values at home, its values on the device"""
    _now: object = None
    """The part whose turn it is."""

    def take(self, model: Model, how: How, device: torch.device) -> None:
        """From now on the model's networks take turns on the device. Their weights are in host memory now."""
        model.computes_on = device
        for network in model.networks:
            by_layer = how == "layers" and network is model.unet
            for module in network.modules():
                if module is network or any(True for _ in _own(module)):
                    self._watch(module, network, by_layer)

    def leave(self) -> None:
        """Nobody computes: everything is at home."""
        for tensor, home, there in self._there.values():
            if tensor.data_ptr() == there.data_ptr():  # else somebody has pointed it elsewhere meanwhile
                tensor.data = home
        self._there.clear()
        self._now = None

    @property
    def bytes_there(self) -> int:
        return sum(there.nbytes for _, _, there in self._there.values())

    def _watch(self, module: nn.Module, part: nn.Module, by_layer: bool) -> None:
        name = id(part)  # not the part itself: a copy of a network has a copy of what its hooks hold

        def begins(asked: nn.Module, _told: Any) -> None:
            if self._now != name:
                self.leave()
                self._now = name
            with torch.inference_mode(False):
                for tensor in _own(asked):
                    self._bring(tensor)

        def ends(asked: nn.Module, _told: Any, _answer: Any) -> None:
            with torch.inference_mode(False):
                for tensor in _own(asked):
                    self._dismiss(tensor)

        module.register_forward_pre_hook(begins)
        if by_layer:
            module.register_forward_hook(ends)

    def _bring(self, tensor: Tensor) -> None:
        known = self._there.get(id(tensor))
        if known is None or known[2].data_ptr() != tensor.data_ptr():
            there = self.fetch(tensor.data)
            self._there[id(tensor)] = tensor, tensor.data, there
            tensor.data = there

    def _dismiss(self, tensor: Tensor) -> None:
        known = self._there.pop(id(tensor), None)
        if known is not None and known[2].data_ptr() == tensor.data_ptr():
            tensor.data = known[1]
