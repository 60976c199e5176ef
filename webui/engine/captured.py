"""A U-Net recorded as CUDA graphs, one for each shape of its inputs: a fast card computes a call in less time than it takes to
launch it.

A recorded graph holds addresses. So the recording owns its weights, and another checkpoint of the same shape is copied into
them: a swap costs the copy, and every recording stays true.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from webui.checkpoints import memory
from webui.checkpoints.model import Model

_log = logging.getLogger(__name__)
WARM = 3
"""Calls before one is recorded: libraries choose their kernels in them."""
SHAPES = 12
"""Recordings that are kept."""

Inputs = Mapping[str, Tensor]
Call = Callable[[Inputs], Tensor]
Record = Callable[[Call, Inputs], Callable[[], Tensor]]
"""(function, its inputs, whose addresses stay) -> what runs it again on whatever they hold then, and answers the output"""


def cuda_graph(call: Call, inputs: Inputs) -> Callable[[], Tensor]:
    """As a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM):
            call(inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        out = call(inputs)

    def replay() -> Tensor:
        graph.replay()
        return out

    return replay


def _call(network: Any, inputs: Inputs) -> Tensor:
    answer: Tensor = network(**inputs, return_dict=False)[0]
    return answer


@dataclass(frozen=True)
class Recording:
    inputs: Inputs
    replay: Callable[[], Tensor]


class Captured(nn.Module):
    """Called as the U-Net that it was made of. Not for several threads at once.

    Args:
        unet: whose weights are copied.
        record: how a call is recorded.
    """

    def __init__(self, unet: nn.Module, record: Record = cuda_graph) -> None:
        super().__init__()
        self.unet = copy.deepcopy(unet)
        self._record, self._recordings, self._of = record, dict[Any, Recording](), unet
        self._compiled: Callable[..., Any] | None = None
        self._compiled_for: frozenset[Any] = frozenset()

    def fits(self, unet: nn.Module) -> bool:
        """Whether its weights can be copied into the recording's."""
        ours, theirs = self._tensors(self.unet), self._tensors(unet)
        return len(ours) == len(theirs) and all(
            (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device) for a, b in zip(ours, theirs, strict=True)
        )

    @torch.no_grad()
    def adopt(self, unet: nn.Module) -> None:
        """From now on answer as this U-Net does; see fits."""
        if unet is not self._of:
            torch._foreach_copy_(self._tensors(self.unet), self._tensors(unet))
            self._of = unet

    def forward(self, seen: Tensor, t: Tensor, return_dict: bool = False, **told: Tensor) -> tuple[Tensor]:  # noqa: ARG002
        given = {"sample": seen, "timestep": t, **told}
        key = tuple((name, value.shape, value.dtype) for name, value in given.items())
        recording = self._recordings.get(key)
        if recording is None:
            while len(self._recordings) >= SHAPES:
                del self._recordings[next(iter(self._recordings))]
            held = {name: value.clone() for name, value in given.items()}
            network = self._compiled if key in self._compiled_for else self.unet
            recording = self._recordings[key] = Recording(held, self._record(partial(_call, network), held))
        for name, value in given.items():
            recording.inputs[name].copy_(value)
        return (recording.replay().clone(),)  # the next replay writes to the same place

    def compile_ahead(self, compile_: Callable[..., Any] = torch.compile) -> None:
        """Compile for the shapes that are recorded, which may take a minute, and record these anew. In any thread.

        Raises:
            whatever the compiler raises; the recordings go on as they are.
        """
        compiled, known = compile_(self.unet, dynamic=False), dict(self._recordings)
        for recording in known.values():
            with torch.inference_mode():
                _call(compiled, {name: value.clone() for name, value in recording.inputs.items()})
        self._compiled, self._compiled_for, self._recordings = compiled, frozenset(known), {}

    @staticmethod
    def _tensors(network: nn.Module) -> list[Tensor]:
        return [*network.parameters(), *network.buffers()]


class Captures:
    """The recording of the family that is streamed now.

    Args:
        record: how a call is recorded; None: as a CUDA graph, and not at all on other devices.
    """

    def __init__(self, record: Record | None = None) -> None:
        self._record = record
        self._captured: Captured | None = None
        self._compiled: Captured | None = None
        self._known: tuple[Model, Model] | None = None

    def of(self, model: Model) -> Model:
        """The same model with its U-Net recorded, where that is of use and there is memory for it."""
        if self._known is not None and self._known[0] is model:
            return self._known[1]
        record = self._record or (cuda_graph if model.device.type == "cuda" else None)
        if model.unet is None or record is None:
            return model
        if self._captured is None or not self._captured.fits(model.unet):
            self._captured, self._known = None, None
            size = sum(value.numel() * value.element_size() for value in model.unet.parameters())
            if memory.free_bytes(model.device) < 2 * size:
                return model
            _log.info("%s is recorded for the live stream", model.title)
            self._captured = Captured(model.unet, record)
        self._captured.adopt(model.unet)
        self._known = model, replace(model, unet=self._captured)
        return self._known[1]

    def compile_ahead(self) -> None:
        """See Captured.compile_ahead. Where the compiler cannot, the log says so, and the stream goes on without."""
        captured = self._captured
        if captured is None or captured is self._compiled:
            return
        self._compiled = captured
        try:
            captured.compile_ahead()
        except Exception as error:  # noqa: BLE001 (compilers fail in many ways, and nothing depends on this one)
            _log.warning("the live stream goes on without a compiled network: %s", error)

    def forget(self) -> None:
        """Give the memory back."""
        self._captured, self._known = None, None
