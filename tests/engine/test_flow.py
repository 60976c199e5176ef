"""Recorded networks, and walks that share their calls: what a graphics card does, on the processor."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from webui.checkpoints.model import Model
from webui.contract.parts import Conditioning
from webui.contract.request import GenerationRequest
from webui.engine import autoencoder, plan
from webui.engine.captured import SHAPES, TRIES, Call, Captured, CapturedUNet, Captures, Inputs
from webui.engine.live import Frame, Stream, Wish
from webui.engine.together import Together
from webui.workspace.app import App


class Recorder:
    """Runs again on the very tensors that were held, as a graph does; a new output is copied into the old one."""

    def __init__(self) -> None:
        self.recorded = 0

    def __call__(self, call: Call, inputs: Inputs) -> Callable[[], Tensor]:
        self.recorded += 1
        out = call(inputs).clone()

        def replay() -> Tensor:
            return out.copy_(call(inputs))

        return replay


@pytest.fixture
def model(app: App) -> Iterator[Model]:
    """In float32, whatever is quickest here, so that differences show."""
    with app.checkpoints.use("pocket") as model:
        assert model.unet is not None
        yield replace(model, unet=copy.deepcopy(model.unet).float(), autoencoder=copy.deepcopy(model.autoencoder).float())


def other(unet: Any) -> Any:
    """A U-Net of the same shape with other weights."""
    changed = copy.deepcopy(unet)
    with torch.no_grad():
        for value in changed.parameters():
            value.mul_(1.01)
    return changed


@torch.inference_mode()
def call(unet: Any, side: int = 16) -> Tensor:
    dtype = next(unet.parameters()).dtype
    x = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(side)).to(dtype)
    words = torch.ones(1, 77, 96, dtype=dtype)
    return unet(x, torch.tensor(500.0), encoder_hidden_states=words, return_dict=False)[0].clone()


def test_a_recording_answers_as_its_network_and_records_each_shape_once(model: Model) -> None:
    assert model.unet is not None
    record = Recorder()
    captured = CapturedUNet(model.unet, record)
    for side in (16, 24, 16, 24):
        assert torch.equal(call(captured, side), call(model.unet, side))
    assert record.recorded == 2


def test_old_shapes_are_forgotten(model: Model) -> None:
    assert model.unet is not None
    record = Recorder()
    captured = CapturedUNet(nn.Identity(), record)
    captured.network = Doubling()
    with torch.inference_mode():
        for width in range(1, SHAPES + 5):
            captured(torch.ones(width), torch.tensor(0.0))
    assert len(captured._recordings) == SHAPES


class Doubling(nn.Module):
    def forward(self, sample: Tensor, timestep: Tensor, return_dict: bool) -> tuple[Tensor]:
        return (sample * 2,)


def test_a_swap_keeps_the_recordings(model: Model) -> None:
    assert model.unet is not None
    record, second = Recorder(), other(model.unet)
    captured = CapturedUNet(model.unet, record)
    before, places = call(captured), [value.data_ptr() for value in captured.network.parameters()]
    captured.adopt(second)
    assert torch.equal(call(captured), call(second))
    assert not torch.equal(before, call(captured))
    assert record.recorded == 1
    assert [value.data_ptr() for value in captured.network.parameters()] == places
    assert torch.equal(before, call(model.unet)), "the first checkpoint's own weights were written to"


def test_captures_hand_one_recording_to_all_checkpoints_of_a_shape(model: Model) -> None:
    assert model.unet is not None
    captures = Captures(Recorder())
    second = replace(model, unet=other(model.unet))
    one, two = captures.of(model), captures.of(second)
    assert one.unet is two.unet and captures.of(second) is two
    assert torch.equal(call(two.unet), call(second.unet))
    assert torch.equal(call(captures.of(model).unet), call(model.unet))
    small = replace(model, unet=nn.Linear(2, 2))
    assert captures.of(small).unet is not one.unet


def test_what_is_compiled_ahead_serves_the_shapes_that_were_recorded(model: Model) -> None:
    assert model.unet is not None
    compiled: list[int] = []

    def compile_(network: nn.Module, dynamic: bool) -> Any:
        def run(**given: Any) -> Any:
            compiled.append(given["sample"].shape[-1])
            return network(**given)

        return run

    captured = CapturedUNet(model.unet, Recorder())
    call(captured, 16)
    captured.compile_ahead(compile_)
    assert compiled == [16]
    assert torch.equal(call(captured, 16), call(model.unet, 16))
    assert torch.equal(call(captured, 24), call(model.unet, 24))
    assert set(compiled) == {16}, "a new shape waits for no compiler"


def test_a_compiler_that_fails_changes_nothing(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    captures = Captures(Recorder())
    before = call(captures.of(model).unet)
    captured: Any = captures.of(model).unet
    captured.compile_ahead = lambda: 1 / 0
    captures.compile_ahead()
    assert "goes on without" in caplog.text
    assert torch.equal(call(captures.of(model).unet), before)


def test_while_a_compiler_works_a_new_shape_is_called_as_it_is(model: Model) -> None:
    """A compiler waits for the card, and whoever waits for it ends a recording with an error."""
    record, seen = Recorder(), list[Tensor]()

    def compile_(network: nn.Module, dynamic: bool) -> Any:
        seen.append(call(captured, 24))
        return network

    captured = CapturedUNet(model.unet, record)  # type: ignore[arg-type]
    call(captured, 16)
    captured.compile_ahead(compile_)
    assert record.recorded == 1 and torch.equal(seen[0], call(model.unet, 24))
    call(captured, 24)
    assert record.recorded == 2


def test_a_card_that_refuses_a_recording_draws_without(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    asked = 0

    def refuse(call: Call, inputs: Inputs) -> Any:
        nonlocal asked
        asked += 1
        raise RuntimeError("operation not permitted when stream is capturing")

    captured = CapturedUNet(model.unet, refuse)  # type: ignore[arg-type]
    for _ in range(TRIES + 2):
        assert torch.equal(call(captured), call(model.unet))
    assert asked == TRIES and "not permitted" in caplog.text


def test_the_tiny_decoder_is_recorded_beside_the_network(model: Model) -> None:
    record = Recorder()
    captures, z = Captures(record), torch.randn(1, 4, 16, 16)
    with torch.inference_mode():
        assert torch.equal(autoencoder.quick(z, captures.of(model)), autoencoder.quick(z, model))
        assert torch.equal(autoencoder.quick(2 * z, captures.of(model)), autoencoder.quick(2 * z, model))
    assert record.recorded == 1


def test_each_network_is_compiled_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = list[Any]()
    monkeypatch.setattr(Captured, "compile_ahead", lambda self: compiled.append(self))
    captures = Captures(Recorder())
    captures.of(model)
    for _ in range(2):
        captures.compile_ahead()
    assert len(compiled) == 2 and not captures.is_compiling
    captures.forget()
    captures.of(model)
    captures.compile_ahead()
    assert len(compiled) == 4


# ---------------------------------------------------------------- walks that share their calls


def told(value: float) -> tuple[Conditioning, Conditioning]:
    one = Conditioning(crossattn=torch.full((1, 1, 1), value))
    return one, one


def test_walks_at_different_levels_share_one_call() -> None:
    calls: list[list[float]] = []

    def ask(x: Tensor, sigma: Tensor, sides: Any) -> Tensor:
        calls.append(sigma.tolist())
        return x + sides[0].crossattn.view(-1, 1)

    def walk(denoise: Any) -> Tensor:
        x = torch.zeros(1, 1)
        for level in (3.0, 2.0, 1.0):
            x = denoise(x, level)
        return x

    together, found = Together(ask), []
    for number in range(5):
        together.begin(number, told(number), walk)
        found += together.tick()
    assert [tag for tag, _ in found] == [0, 1, 2]
    while len(together):
        found += together.tick()
    assert [(tag, latents.item()) for tag, latents in found] == [(i, 3.0 * i) for i in range(5)]
    assert calls == [[3], [2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2], [1]]


def test_a_failing_call_ends_all_walks_and_their_threads() -> None:
    def ask(x: Tensor, sigma: Tensor, sides: Any) -> Tensor:
        raise MemoryError

    before, together = threading.active_count(), Together(ask)
    together.begin("a", told(0), lambda denoise: denoise(torch.zeros(1, 1), 1.0))
    with pytest.raises(MemoryError):
        together.tick()
    assert len(together) == 0
    wait_for_threads(before)


def test_a_failing_walk_is_told() -> None:
    def walk(denoise: Any) -> Tensor:
        raise ValueError("no such step")

    together = Together(lambda x, sigma, sides: x)
    together.begin("a", told(0), walk)
    with pytest.raises(ValueError, match="no such step"):
        together.tick()


def test_closing_ends_walks_in_the_middle() -> None:
    before, together = threading.active_count(), Together(lambda x, sigma, sides: x)
    together.begin("a", told(0), lambda denoise: denoise(denoise(torch.zeros(1, 1), 2.0), 1.0))
    together.tick()
    together.close()
    assert len(together) == 0
    wait_for_threads(before)


def wait_for_threads(count: int) -> None:
    for thread in threading.enumerate():
        if thread.name == "walk":
            thread.join(10)
    assert threading.active_count() <= count


def test_a_stream_batch_draws_what_single_walks_draw(app: App, model: Model) -> None:
    """But for the last digits: a level is one number alone, and a row of them in a batch."""
    wishes = [
        Wish(plan.complete(request, app.checkpoints, app.parts))
        for request in (
            GenerationRequest(
                prompt=prompt, checkpoint="pocket", seed=3, steps=3, guidance=1.0, schedule="Turbo", sampler="Euler a"
            )
            for prompt in ("a fox", "a red cube", "a fox on grass", "a panda")
        )
    ]

    def drawn(stream: Stream) -> list[tuple[str, Tensor]]:
        frames: list[Frame] = []
        for wish in wishes:
            stream.draw(wish, model, lambda: False, frames.append)
        while frames[-1].wish is not wishes[-1]:
            stream.draw(wishes[-1], model, lambda: False, frames.append)
        stream.close()
        return [(frame.wish.request.prompt, frame.pixels) for frame in frames if frame.step == frame.steps]

    alone, joined = drawn(Stream(app.parts)), drawn(Stream(app.parts, flows=True))
    assert [words for words, _ in joined] == [words for words, _ in alone]
    assert max((a - b).abs().max().item() for (_, a), (_, b) in zip(alone, joined, strict=True)) < 0.02
    recorded = drawn(Stream(app.parts, Captures(Recorder()), flows=True))
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(joined, recorded, strict=True))
