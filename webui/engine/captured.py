"""Networks recorded for the live stream, one recording for each shape of their inputs: on a graphics card as CUDA graphs, for a
fast card computes a call in less time than it takes to launch it; on a processor see webui.engine.traced.

A recorded graph holds addresses. So the recording owns its weights, and another checkpoint of the same shape is copied into
them: a swap costs the copy, and every recording stays true.
"""

from __future__ import annotations

import copy
import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from webui.checkpoints import memory
from webui.checkpoints.model import Model
from webui.engine import autoencoder
from webui.engine.traced import SHAPES, Inputs, Traced, is_small

_log = logging.getLogger(__name__)
WARM = 3
"""Calls before one is recorded: libraries choose their kernels in them."""
TRIES = 3
"""Failed recordings after which a network is called as it is."""

Call = Callable[[Inputs], Tensor]
Record = Callable[[Call, Inputs], Callable[[], Tensor]]
"""(function, its inputs, whose addresses stay) -> what runs it again on whatever they hold then, and answers the output"""

_quiet = threading.Lock()
"""Held while something is recorded or compiled: a compiler measures and waits for the card, which ends any recording with an
error."""


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


@dataclass(frozen=True)
class Recording:
    inputs: Inputs
    replay: Callable[[], Tensor]


class Captured(nn.Module):
    """A network that records itself. Not for several threads at once; see CapturedUNet and CapturedDecoder for how it is called.

    Args:
        network: whose weights are copied.
        record: how a call is recorded.
    """

    def __init__(self, network: nn.Module, record: Record = cuda_graph) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self._record, self._recordings, self._of, self._failed = record, dict[Any, Recording](), weakref.ref(network), 0
        self.was_compiled = False
        """Or was tried to; that is done once."""
        self._compiled: Callable[..., Any] | None = None
        self._compiled_for: frozenset[Any] = frozenset()

    def fits(self, network: nn.Module) -> bool:
        """Whether its weights can be copied into the recording's."""
        ours, theirs = self._tensors(self.network), self._tensors(network)
        return len(ours) == len(theirs) and all(
            (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device) for a, b in zip(ours, theirs, strict=True)
        )

    @torch.no_grad()
    def adopt(self, network: nn.Module) -> None:
        """From now on answer as this network does; see fits."""
        if network is not self._of():
            torch._foreach_copy_(self._tensors(self.network), self._tensors(network))
            self._of = weakref.ref(network)  # it may leave memory

    def call(self, network: Any, inputs: Inputs) -> Tensor:
        """How the network is called."""
        raise NotImplementedError

    def answer(self, given: Inputs) -> Tensor:
        """What the network makes of these, from a recording where there is or can be one."""
        key = tuple((name, value.shape, value.dtype) for name, value in given.items())
        recording = self._recordings.get(key) or self._recorded(key, given)
        if recording is None:
            return self.call(self.network, given)
        for name, value in given.items():
            recording.inputs[name].copy_(value)
        return recording.replay().clone()  # the next replay writes to the same place

    def _recorded(self, key: Any, given: Inputs) -> Recording | None:
        """A new recording; None while something is compiled, and where the card refuses."""
        if self._failed >= TRIES or not _quiet.acquire(blocking=False):
            return None
        try:
            while len(self._recordings) >= SHAPES:
                del self._recordings[next(iter(self._recordings))]
            held = {name: value.clone() for name, value in given.items()}
            network = self._compiled if key in self._compiled_for else self.network
            recording = self._recordings[key] = Recording(held, self._record(partial(self.call, network), held))
            return recording
        except RuntimeError as error:
            self._failed += 1
            _log.warning("a network could not be recorded and is called as it is: %s", str(error).splitlines()[0])
            return None
        finally:
            _quiet.release()

    def compile_ahead(self, compile_: Callable[..., Any] = torch.compile) -> None:
        """Compile for the shapes that are recorded, which may take a minute, and record these anew. In any thread.

        Raises:
            whatever the compiler raises; the recordings go on as they are.
        """
        with _quiet:
            compiled, known = compile_(self.network, dynamic=False), dict(self._recordings)
            for recording in known.values():
                with torch.inference_mode():
                    self.call(compiled, {name: value.clone() for name, value in recording.inputs.items()})
            self._compiled, self._compiled_for, self._recordings = compiled, frozenset(known), {}

    @staticmethod
    def _tensors(network: nn.Module) -> list[Tensor]:
        return [*network.parameters(), *network.buffers()]


class _AsUNet(nn.Module):
    """Called as the U-Net that it was made of."""

    answer: Callable[[Inputs], Tensor]

    def forward(self, seen: Tensor, t: Tensor, return_dict: bool = False, **told: Tensor) -> tuple[Tensor]:  # noqa: ARG002
        return (self.answer({"sample": seen, "timestep": t, **told}),)

    def call(self, network: Any, inputs: Inputs) -> Tensor:
        answer: Tensor = network(**inputs, return_dict=False)[0]
        return answer


class _AsDecoder(nn.Module):
    """Called as the tiny decoder that it was made of."""

    answer: Callable[[Inputs], Tensor]

    def forward(self, latents: Tensor) -> Tensor:
        return self.answer({"latents": latents})

    def call(self, network: Any, inputs: Inputs) -> Tensor:
        answer: Tensor = network(inputs["latents"])
        return answer


class CapturedUNet(_AsUNet, Captured):
    pass


class CapturedDecoder(_AsDecoder, Captured):
    pass


class TracedUNet(_AsUNet, Traced):
    pass


class TracedDecoder(_AsDecoder, Traced):
    pass


class Captures:
    """The recordings of the family that is streamed now: of its U-Net and its tiny decoder.

    Args:
        record: how a call is recorded; None: as a CUDA graph, or as a trace on a processor.
    """

    def __init__(self, record: Record | None = None) -> None:
        self._record = record
        self._unet: CapturedUNet | None = None
        self._decoder: CapturedDecoder | None = None
        self._traced = list[Traced]()
        self._known: tuple[weakref.ref[Model], Model] | None = None
        self._compiling = threading.Lock()

    def of(self, model: Model) -> Model:
        """The same model with its networks recorded, where that is of use and there is memory for it."""
        if self._known is not None and self._known[0]() is model:
            return self._known[1]
        record = self._record or (cuda_graph if model.device.type == "cuda" else None)
        if model.unet is None or model.computes_on is not None:  # whose weights come and go has no addresses
            return model
        if record is None:
            return self._to_be_traced(model)
        if self._unet is None or not self._unet.fits(model.unet):
            self._unet, self._known = None, None
            if memory.free_bytes(model.device) < 2 * sum(p.numel() * p.element_size() for p in model.unet.parameters()):
                return model
            _log.info("%s is recorded for the live stream", model.title)
            self._unet = CapturedUNet(model.unet, record)
        self._unet.adopt(model.unet)
        ready = replace(model, unet=self._unet)
        if (decoder := autoencoder.quick_decoder(model)) is not None:
            if self._decoder is None or not self._decoder.fits(decoder):
                self._decoder = CapturedDecoder(decoder, record)
            self._decoder.adopt(decoder)
            ready = autoencoder.with_quick_decoder(ready, self._decoder)
        self._known = weakref.ref(model, self._lose), ready
        return ready

    def _to_be_traced(self, model: Model) -> Model:
        """On a processor, where it is of use; else the model itself."""
        if model.device.type != "cpu" or model.unet is None or not is_small(model.unet):
            return model
        unet = TracedUNet(model.unet)
        ready, self._traced = replace(model, unet=unet), [unet]
        if (decoder := autoencoder.quick_decoder(model)) is not None:
            small = TracedDecoder(decoder)
            ready = autoencoder.with_quick_decoder(ready, small)
            self._traced.append(small)
        self._known = weakref.ref(model, self._lose), ready
        return ready

    def _lose(self, gone: weakref.ref[Model]) -> None:
        """A checkpoint has left memory: what was not recorded of it (its autoencoder, its encoders) is not kept either."""
        known = self._known
        if known is not None and known[0] is gone:
            self._known, self._traced = None, []

    @property
    def is_due(self) -> bool:
        """Whether something is called so often that compile_ahead is of use, beside the first time."""
        return any(traced.due() for traced in self._traced)

    @property
    def is_compiling(self) -> bool:
        return self._compiling.locked()

    def compile_ahead(self, calls: int = 1) -> None:
        """See Captured.compile_ahead and Traced.trace. Where they cannot, the log says so, and the stream goes on without.

        Args:
            calls: as Traced.trace has them.
        """
        with self._compiling:
            for traced in self._traced:
                traced.trace(calls)
            for captured in (self._unet, self._decoder):
                if captured is None or captured.was_compiled:
                    continue
                captured.was_compiled = True
                try:
                    captured.compile_ahead()
                except Exception as error:  # noqa: BLE001 (compilers fail in many ways, and nothing depends on this one)
                    _log.warning("the live stream goes on without a compiled network: %s", error)

    def forget(self) -> None:
        """Give the memory back."""
        self._unet = self._decoder = self._known = None
        self._traced = []
