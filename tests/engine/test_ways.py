"""Pictures that would not fit, memory that runs out all the same, and numbers that are not finite."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.engine.studio import Studio, wish
from webui.checkpoints import memory
from webui.checkpoints.estimate import Setting, setting_of
from webui.contract.errors import MemoryLimitError, WebUIError
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import GeneratedImage
from webui.engine import leaner, ways
from webui.engine.autoencoder import NotFiniteError
from webui.engine.generate import work_for
from webui.engine.tiles import WHOLE
from webui.engine.ways import Way, Work
from webui.workspace.app import App

ASKED = GenerationRequest(prompt="a red sphere on a green floor", checkpoint="pocket", steps=1, seed=3, width=320, height=64)


def drawn(app: App, request: GenerationRequest = ASKED) -> GeneratedImage:
    (picture,) = app.generate(request)
    return picture


def far(one: Image.Image, other: Image.Image) -> tuple[float, float]:
    """(most, mean) difference of two pictures, of 255."""
    difference = np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int))
    return float(difference.max()), float(difference.mean())


def work_of(app: App, request: GenerationRequest = ASKED) -> Work:
    with app.checkpoints.use("pocket") as model:
        return work_for(app.complete(request), model, (request.width or 0, request.height or 0), request.batch_size)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how much memory there seems to be, for a picture."""

    def seems(bytes_: int) -> None:
        monkeypatch.setattr(memory, "free_bytes", lambda _device: bytes_ + memory.KEEP_FREE)

    return seems


@contextmanager
def running_out(network: nn.Module, times: int) -> Iterator[list[int]]:
    """A network that finds no memory, so many times."""
    calls: list[int] = []

    def refuse(*_: object) -> None:
        calls.append(1)
        if len(calls) <= times:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    handle = network.register_forward_pre_hook(refuse)
    try:
        yield calls
    finally:
        handle.remove()


# ---------------------------------------------------------------- what would not fit


def test_what_fits_is_drawn_in_the_plain_way_and_nothing_is_said(app: App, free: Callable[[int], None]) -> None:
    before = drawn(app)
    work = work_of(app)
    free(ways.need(work, ways.plain(work)))
    again = drawn(app)
    assert again.image.tobytes() == before.image.tobytes()
    assert not before.notes and not again.notes


def test_one_byte_less_and_it_is_decoded_in_tiles_without_seams(app: App, free: Callable[[int], None]) -> None:
    before, work = drawn(app), work_of(app)
    free(ways.need(work, ways.plain(work)) - 1)
    again = drawn(app)
    (note,) = again.notes
    assert re.fullmatch(r"Decoded in tiles of 256 pixels because it would need \d+ MB, and \d+ MB are free\.", note)
    most, mean = far(before.image, again.image)
    assert 0 < most <= 32 and mean < 1


def test_less_still_and_the_sides_of_guidance_are_asked_one_by_one(parts: Parts) -> None:
    here = Work(parts.families["sd1"], (2048, 1024), 1, 2, Setting(), WHOLE)
    asks = Way(replace(WHOLE, autoencoder=256))
    chosen = ways.choose(here, ways.need(here, asks) - 1)
    assert chosen.rows == 1
    assert ways.need(here, chosen) < ways.need(here, asks)
    assert "with one side of guidance at a time" in ways.note(here, chosen, "memory is short")


def test_sides_asked_one_by_one_are_the_same_picture_to_rounding(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    before = drawn(app)
    monkeypatch.setattr(ways, "fitting", lambda work, *_: (Way(work.tiles, 1), "One by one."))
    again = drawn(app)
    assert again.notes == ("One by one.",)
    assert far(before.image, again.image)[0] <= 3


def test_a_batch_on_a_card_is_asked_for_as_few_rows_as_must_be(parts: Parts) -> None:
    card = Work(parts.families["sd1"], (512, 512), 8, 2, Setting(2, is_processor=False), WHOLE)
    assert card.rows == 16
    whole = ways.need(card, Way(WHOLE))
    assert ways.choose(card, whole) == Way(WHOLE)
    half = ways.choose(card, whole - 1)
    assert half == Way(WHOLE, 8)
    assert ways.note(card, half, "x") == "Drawn 4 pictures at a time because x."
    needs = [ways.need(card, ways.choose(card, room)) for room in range(whole, 0, -whole // 40)]
    assert needs == sorted(needs, reverse=True), "less room, never a way that needs more"
    assert needs[-1] == ways.need(card, ways.leanest(card))


@pytest.mark.parametrize("name", ["sd-x4", "ldm-sr", "sdxl", "pocket", "ldm-text"])
def test_the_chosen_way_fits_wherever_one_does(name: str, parts: Parts) -> None:
    for size in ((512, 512), (2048, 1024), (4096, 4096)):
        for setting in (Setting(), Setting(2, is_processor=False)):
            work = Work(parts.families[name], size, 4, 2, setting, WHOLE)
            least, most = ways.need(work, ways.leanest(work)), ways.need(work, ways.plain(work))
            assert least <= most
            for room in (least, (least + most) // 2, most):
                assert ways.need(work, ways.choose(work, room)) <= room


def test_what_fits_in_no_way_is_refused_with_the_size_that_would(app: App, free: Callable[[int], None]) -> None:
    asked = replace(ASKED, width=2048, height=1024)
    work = work_of(app, replace(ASKED, width=512, height=256))
    for title in app.checkpoints.resident():  # what other tests left there would make room
        if title != "pocket":
            app.checkpoints.unload(title)
    free(ways.need(work, ways.leanest(work)) + 10**7)
    with pytest.raises(MemoryLimitError) as told:
        app.complete(asked)
    sentence = str(told.value)
    assert sentence.startswith("Not enough memory for 2048 x 1024: it needs")
    width, height = map(int, sentence.split("Try ")[1].rstrip(".").split(" x "))
    assert 64 <= height < 1024 and abs(width / height - 2) < 0.5
    app.complete(replace(asked, width=width, height=height))
    with pytest.raises(MemoryLimitError):
        app.complete(replace(asked, width=width + 256, height=height + 128))


def test_nothing_is_allocated_to_find_that_out(app: App) -> None:
    """8192 x 8192 in a batch of 64 would be tens of GB: the sentence comes at once, and memory stays as it is."""
    before = memory.free_bytes(torch.device("cpu"))
    with pytest.raises(MemoryLimitError, match="or a smaller batch"):
        app.complete(replace(ASKED, width=8192, height=8192, batch_size=64))
    assert abs(memory.free_bytes(torch.device("cpu")) - before) < 2**31


# ---------------------------------------------------------------- what ran out all the same


def test_a_network_that_runs_out_once_is_asked_again_in_the_leaner_way(app: App) -> None:
    with app.checkpoints.use("pocket") as model, running_out(model.unet, 1) as calls:
        picture = drawn(app)
    assert len(calls) == 3, "once in vain, then for each side of guidance"
    (note,) = picture.notes
    assert note == (
        "Decoded in tiles of 256 pixels and drawn with one side of guidance at a time because memory ran out on the way."
    )
    assert far(picture.image, drawn(app).image)[1] < 1


def test_decoding_that_runs_out_goes_on_in_tiles_without_walking_again(app: App) -> None:
    calls: list[int] = []
    with app.checkpoints.use("pocket") as model, running_out(model.autoencoder.decoder, 1):
        handle = model.unet.register_forward_pre_hook(lambda *_: calls.append(1))
        picture = drawn(app)
        handle.remove()
    assert len(calls) == 1
    assert picture.notes == ("Decoded in tiles of 256 pixels because memory ran out on the way.",)
    assert far(picture.image, drawn(app).image)[1] < 1


def test_a_job_that_runs_out_twice_is_told_so_and_the_next_one_is_drawn(app: App) -> None:
    with app.checkpoints.use("pocket") as model, running_out(model.unet, 10**6) as calls:
        job = app.queue.wait(app.queue.submit(ASKED, save=False).id, 60)
        failed = len(calls)
    assert job.state == "failed" and job.error_kind == "MemoryLimitError"
    assert "it ran out on the way. Try a smaller size" in job.error
    assert failed == 2, "tried again once, not more"
    following = app.queue.wait(app.queue.submit(ASKED, save=False).id, 60)
    assert following.state == "finished" and not following.notes


def test_the_note_is_on_the_job(app: App) -> None:
    with app.checkpoints.use("pocket") as model, running_out(model.unet, 1):
        job = app.queue.wait(app.queue.submit(ASKED, save=False).id, 60)
    assert job.state == "finished"
    assert [note for note in job.notes if "memory ran out" in note]


def test_twenty_failures_leave_memory_as_it_was(app: App) -> None:
    """AUTOMATIC1111/stable-diffusion-webui#3280, #13871: after one picture that was too large every smaller one was, too."""
    import psutil

    process = psutil.Process()

    def fail() -> None:
        with app.checkpoints.use("pocket") as model:
            level = model.autoencoder.decoder.up_blocks[-1]
            with running_out(level, 10**6), pytest.raises(MemoryLimitError):
                drawn(app)

    for _ in range(3):
        fail()
    before = process.memory_info().rss
    for _ in range(20):
        fail()
    assert process.memory_info().rss <= before * 1.02
    assert drawn(app).notes == ()


def test_fifty_jobs_with_hires_fix_leave_memory_as_it_was(app: App) -> None:
    """AUTOMATIC1111/stable-diffusion-webui#13871: memory grew from picture to picture, until none fitted."""
    import psutil

    process = psutil.Process()
    request = replace(ASKED, width=64, height=64, hires_scale=2.0, hires_upscaler="Lanczos", hires_steps=1, hires_strength=0.5)
    for _ in range(5):
        drawn(app, request)
    before = process.memory_info().rss
    for _ in range(50):
        drawn(app, request)
    assert process.memory_info().rss <= before * 1.02


# ---------------------------------------------------------------- rows


class Sums(nn.Module):
    """A network without memory of other rows, that is told as much as a U-Net is."""

    def __init__(self) -> None:
        super().__init__()
        self.config, self.calls = {"in_channels": 4}, []

    def forward(self, x: torch.Tensor, t: torch.Tensor, words: torch.Tensor, added: Any, return_dict: bool = True) -> Any:
        self.calls.append(x.shape[0])
        total = x + t.view(-1, 1, 1, 1) + words.mean((1, 2)).view(-1, 1, 1, 1) + sum(one.mean((1, 2, 3), True) for one in added)
        return total if return_dict else (total,)


@pytest.mark.parametrize("rows", [1, 2, 3, 8])
@pytest.mark.parametrize("each", [True, False])
def test_rows_are_answered_with_what_belongs_to_them(rows: int, each: bool) -> None:
    torch.manual_seed(0)
    whole = Sums()
    x, words = torch.randn(5, 4, 3, 3), torch.randn(5, 7, 2)
    added = (torch.randn(5, 2, 3, 3), torch.randn(5, 1, 2, 2))
    t = torch.randn(5) if each else torch.tensor(3.0)
    wanted = whole(x, t, words=words, added=added)
    parts = leaner.InParts(whole, rows)
    (answer,) = parts(x, t, words=words, added=added, return_dict=False)
    assert torch.allclose(answer, wanted, atol=1e-6)
    assert max(whole.calls[1:]) <= rows and sum(whole.calls[1:]) == 5
    assert parts.config is whole.config
    with pytest.raises(AttributeError):
        parts.nothing_of_that_name  # noqa: B018


# ---------------------------------------------------------------- numbers that are not finite


@pytest.fixture
def half(studios: Any) -> Iterator[Studio]:
    """A tiny checkpoint in half precision, as a graphics card has it."""
    studio = studios("sd1-a")
    studio.checkpoints._dtype = torch.float16
    studio.checkpoints.unload(studio.file)
    yield studio
    studio.checkpoints._dtype = torch.float32
    studio.checkpoints.unload(studio.file)


@contextmanager
def changed(tensor: torch.Tensor, factor: float) -> Iterator[None]:
    before = tensor.data.clone()
    tensor.data.mul_(factor)
    try:
        yield
    finally:
        tensor.data.copy_(before)


def test_an_autoencoder_that_overflows_is_run_in_float32_and_it_is_said(half: Studio) -> None:
    """lllyasviel/stable-diffusion-webui-forge#316, AUTOMATIC1111/stable-diffusion-webui#7633: a black picture, and a warning in
    the log."""
    request = wish(half.family)
    (plain,) = half.draw(request)
    with half.checkpoints.use(half.file) as model, changed(model.autoencoder.decoder.conv_in.weight, 6e4):
        weights = [tensor.data_ptr() for tensor in model.autoencoder.parameters()]
        (picture,) = half.draw(request)
        assert model.dtype == torch.float16 and weights == [tensor.data_ptr() for tensor in model.autoencoder.parameters()]
    assert picture.notes == ("The autoencoder overflowed in float16, so this picture was decoded in float32.",)
    assert len(set(picture.image.tobytes())) > 2, "not black"
    (after,) = half.draw(request)
    assert after.image.tobytes() == plain.image.tobytes() and not after.notes


def test_a_network_that_overflows_is_asked_again_in_float32_and_it_is_said(half: Studio) -> None:
    request = replace(wish(half.family), batch_size=2)
    with half.checkpoints.use(half.file) as model, changed(model.unet.conv_in.weight, 6e4):
        pictures = half.draw(request)
        assert model.dtype == torch.float16
    assert {picture.notes for picture in pictures} == {
        ("The network overflowed in float16, so this picture was drawn in float32.",)
    }
    assert len({picture.image.tobytes() for picture in pictures}) == 2
    assert all(len(set(picture.image.tobytes())) > 2 for picture in pictures), "not black"


@pytest.mark.parametrize("part", ["unet", "autoencoder"])
def test_what_is_not_finite_in_float32_either_is_one_sentence(half: Studio, part: str) -> None:
    with half.checkpoints.use(half.file) as model:
        weight = (model.unet.conv_in if part == "unet" else model.autoencoder.decoder.conv_in).weight
        with changed(weight, float("inf")), pytest.raises(WebUIError) as told:
            half.draw(wish(half.family))
    assert isinstance(told.value, NotFiniteError)
    assert str(told.value).startswith("The picture came out as numbers that are not finite. Try ")
    (after,) = half.draw(wish(half.family))
    assert not after.notes


def test_of_a_batch_the_pictures_that_are_finite_are_kept(app: App) -> None:
    calls: list[int] = []

    def spoil(_network: nn.Module, _told: object, answer: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
        calls.append(1)
        return (answer[0] * float("nan"),) if len(calls) % 2 == 0 else None  # the second picture of two, at every step

    kept: list[GeneratedImage] = []
    request = replace(ASKED, width=64, height=64, batch_size=2, steps=2, sampler="Euler")
    with app.checkpoints.use("pocket") as model:
        handle = model.unet.register_forward_hook(spoil)
        try:
            with pytest.raises(NotFiniteError, match="Picture 2: "):
                kept.extend(app.generate(request))
        finally:
            handle.remove()
    assert [picture.request.seed for picture in kept] == [3]


def test_a_setting_is_read_off_the_model(app: App) -> None:
    with app.checkpoints.use("pocket") as model:
        setting = setting_of(model)
    assert setting.value_bytes == model.dtype.itemsize and setting.is_processor
