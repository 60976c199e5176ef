"""Networks traced on a processor: they answer as they did, and what cannot be traced goes on as it is."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.engine.test_flow import call, model
from webui.checkpoints.model import Model
from webui.contract.request import GenerationRequest
from webui.engine import plan, traced
from webui.engine.captured import Captures, TracedDecoder, TracedUNet
from webui.engine.live import Frame, Stream, Wish
from webui.engine.traced import OFTEN, SHAPES
from webui.workspace.app import App

__all__ = ["model"]


class Network(nn.Module):
    """Doubles; counts how often it is called, which a trace does not."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.calls = nn.Parameter(torch.tensor(2.0), requires_grad=False), 0

    def forward(self, latents: Tensor) -> Tensor:
        self.calls += 1
        return latents * self.scale


class Deciding(Network):
    """What it does depends on what it is given."""

    def forward(self, latents: Tensor) -> Tensor:
        self.calls += 1
        return latents * 3 if float(latents.sum()) > 2 else latents


class Refusing(Network):
    def forward(self, latents: Tensor) -> Tensor:
        self.calls += 1
        if torch.jit.is_tracing():
            raise RuntimeError("this network has no trace")
        return latents


@torch.inference_mode()
def often(network: nn.Module, width: int = 4, calls: int = OFTEN) -> list[Tensor]:
    return [network(torch.full((1, width), float(number))) for number in range(calls)]


def test_a_trace_answers_as_its_network_for_each_shape_that_was_called_often(model: Model) -> None:
    assert model.unet is not None
    ours = TracedUNet(model.unet)
    for side, calls in ((16, OFTEN), (24, OFTEN), (32, OFTEN - 1)):
        for _ in range(calls):
            call(ours, side)
    assert len(ours.due()) == 2
    ours.trace()
    assert ours.due() == [] and len(ours._traces) == 2
    for side in (16, 24, 32):
        assert torch.equal(call(ours, side), call(model.unet, side))


def test_a_traced_network_is_not_called_any_more() -> None:
    network = Network()
    ours = TracedDecoder(network)
    often(ours)
    ours.trace()
    before = network.calls
    assert [value[0, 0].item() for value in often(ours)] == [2.0 * number for number in range(OFTEN)]
    assert network.calls == before


def test_a_trace_that_would_answer_otherwise_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    ours = TracedDecoder(Deciding())
    with torch.inference_mode():
        ours(torch.full((1, 4), 1.0))  # above the bound; half of it, by which a trace is tried, is not
    ours.trace(1)
    assert "answers otherwise" in caplog.text
    assert [value[0, 0].item() for value in often(ours, calls=3)] == [0, 3, 6]
    assert ours.due(1) == [], "it is not tried again"


def test_a_network_without_a_trace_goes_on_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    ours = TracedDecoder(Refusing())
    often(ours)
    ours.trace()
    assert "has no trace" in caplog.text
    assert [value[0, 0].item() for value in often(ours, calls=3)] == [0, 1, 2]
    assert ours.due() == []


def test_old_shapes_are_forgotten() -> None:
    ours = TracedDecoder(Network())
    for width in range(1, SHAPES + 5):
        often(ours, width)
        ours.trace()
    assert len(ours._traces) == len(ours._seen) == SHAPES


def test_only_small_networks_that_are_where_they_compute_are_traced(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = Captures()
    ready = captures.of(model)
    assert isinstance(ready.unet, TracedUNet) and captures.of(model) is ready
    away = replace(model, computes_on=torch.device("cpu"))
    assert Captures().of(away) is away
    monkeypatch.setattr(traced, "SMALL", 1000)
    assert Captures().of(model) is model


def test_a_checkpoint_that_leaves_memory_takes_its_traces_along(app: App) -> None:
    captures = Captures()
    with app.checkpoints.use("pocket") as found:
        own = replace(found)
        unet: Any = captures.of(own).unet
        call(unet)
        captures.compile_ahead()
        gone = weakref.ref(unet)
    del own, unet
    gc.collect()
    assert gone() is None and not captures.is_due


def test_a_stream_draws_the_same_picture_when_its_networks_are_traced(app: App, model: Model) -> None:
    request = GenerationRequest(
        prompt="a red fox", checkpoint="pocket", seed=3, steps=2, guidance=2.0, schedule="Turbo", sampler="Euler a"
    )
    wish, captures = Wish(plan.complete(request, app.checkpoints, app.parts)), Captures()
    frames: list[Frame] = []
    stream = Stream(app.parts, captures)
    stream.draw(wish, model, lambda: False, frames.append)
    assert not captures.is_due, "one picture of a size is worth no trace"
    captures.compile_ahead()
    assert all(traced._traces for traced in captures._traced)
    stream.draw(wish, model, lambda: False, frames.append)
    half = len(frames) // 2
    assert half and all(torch.equal(a.pixels, b.pixels) for a, b in zip(frames[:half], frames[half:], strict=True))
