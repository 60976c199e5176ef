"""Networks traced on a processor: a small one spends half of its time there in Python, between its operations.

A trace (torch.jit.trace) is for one shape of the inputs. It is made in another thread while the network goes on as it is, and
uses the network's own weights.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_log = logging.getLogger(__name__)
SMALL = 100_000_000
"""Weights up to which a network is traced: a larger one computes so long that the time between does not count."""
OFTEN = 8
"""Calls of a shape after which it is worth a trace: a size that is typed passes through others."""
SHAPES = 12
"""Of which a recording or a trace is kept."""
RUNS = 2
"""Runs of a trace that are slower, since they plan the next ones."""

Inputs = Mapping[str, Tensor]

warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # of what differs with the shape, of which there is one here


def is_small(network: nn.Module) -> bool:
    return sum(value.numel() for value in network.parameters()) <= SMALL


class Traced(nn.Module):
    """A network that is traced once it is called often; see webui.engine.captured for how it is called."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._traces = dict[Any, Callable[..., Tensor] | None]()
        """None: the network cannot be traced so."""
        self._counts, self._seen = dict[Any, int](), dict[Any, dict[str, Tensor]]()
        self._changing = threading.Lock()

    def call(self, network: Any, inputs: Inputs) -> Tensor:
        """How the network is called."""
        raise NotImplementedError

    def answer(self, given: Inputs) -> Tensor:
        """What the network makes of these."""
        key = tuple((name, value.shape, value.dtype, value.stride()) for name, value in given.items())
        if (trace := self._traces.get(key)) is not None:
            return trace(*given.values())
        if key not in self._traces:
            self._count(key, given)
        return self.call(self.network, given)

    def _count(self, key: Any, given: Inputs) -> None:
        with self._changing:
            if key not in self._seen:
                while len(self._seen) >= SHAPES:
                    self._drop(next(iter(self._seen)))
                self._seen[key] = {name: value.clone() for name, value in given.items()}
            self._counts[key] = self._counts.get(key, 0) + 1

    def _drop(self, key: Any) -> None:
        for known in (self._seen, self._counts, self._traces):
            known.pop(key, None)

    def due(self, calls: int = OFTEN) -> list[Any]:
        """Shapes that were called so often, and are neither traced nor known to be untraceable."""
        with self._changing:
            return [key for key, count in self._counts.items() if count >= calls and key not in self._traces]

    @torch.inference_mode()
    def trace(self, calls: int = OFTEN) -> None:
        """Trace for the shapes that were called so often; about a second for each. In any thread."""
        for key in self.due(calls):
            made: Callable[..., Tensor] | None = None
            try:
                made = self._traced(self._seen[key])
            except (RuntimeError, ValueError, TypeError, KeyError) as error:
                _log.warning("a network could not be traced and is called as it is: %s", str(error).strip().splitlines()[:1])
            with self._changing:
                if key in self._seen:
                    self._traces[key] = made

    def _traced(self, like: Inputs) -> Callable[..., Tensor]:
        """Raises ValueError where the trace does not answer as the network does: its way depends on more than shapes."""

        def call(*given: Tensor) -> Tensor:
            return self.call(self.network, dict(zip(like, given, strict=True)))

        trace: Callable[..., Tensor] = torch.jit.trace(call, tuple(like.values()), check_trace=False)
        other = [value * 0.5 if value.is_floating_point() else value for value in like.values()]
        for _ in range(RUNS):
            trace(*other)
        if not torch.allclose(trace(*other), call(*other), rtol=1e-3, atol=1e-4):
            raise ValueError("the trace answers otherwise")
        return trace
