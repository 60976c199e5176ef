"""Counts the tensors that a network holds at its peak, on fake ones: shapes and lifetimes are real, memory is not used."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from webui.checkpoints.arithmetic import blank_inputs

CPU = torch.device("cpu")


class Count(TorchDispatchMode):
    """Bytes that are held now and that were at most, beyond a network's own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known = {_key(tensor): 0 for tensor in (*network.parameters(), *network.buffers())}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(answer):
            if isinstance(tensor, Tensor) and _key(tensor) not in self._known:
                storage = tensor.untyped_storage()
                self._known[_key(tensor)] = storage.nbytes()
                self.now += storage.nbytes()
                weakref.finalize(storage, self._gone, _key(tensor))
        self.peak = max(self.peak, self.now)
        return answer

    def _gone(self, key: int) -> None:
        self.now -= self._known.pop(key, 0)


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def peak_of_unet(unet: Any, rows: int, channels: int, side: int) -> int:
    """Bytes, float32, of one call with latents of side x side."""
    with FakeTensorMode(), torch.no_grad():
        _fill(unet)
        x, t = torch.zeros(rows, channels, side, side), torch.full((), 500.0)
        return _peak(unet, lambda: unet(x, t, **blank_inputs(unet, rows, CPU, torch.float32), return_dict=False))


def peak_of_decoder(autoencoder: Any, channels: int, side: int) -> int:
    with FakeTensorMode(), torch.no_grad():
        _fill(autoencoder)
        latents = torch.zeros(1, channels, side, side)
        return _peak(autoencoder, lambda: autoencoder.decode(latents))


def peak_of_encoder(autoencoder: Any, side: int) -> int:
    with FakeTensorMode(), torch.no_grad():
        _fill(autoencoder)
        pixels = torch.zeros(1, 3, side, side)
        return _peak(autoencoder, lambda: autoencoder.encode(pixels))


def _peak(network: nn.Module, run: Callable[[], object]) -> int:
    with Count(network) as count:
        run()
    return count.peak


def _fill(network: nn.Module) -> None:
    """A network without memory, on a processor that is only said to be there."""
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(torch.empty(parameter.shape), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
