"""Checkpoints are swapped without being built anew, stay within their budget, and never leave the program without one."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from webui.bench import full_size
from webui.checkpoints.catalog import Catalog, Entry
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.model import Model
from webui.checkpoints.placing import Room
from webui.contract.errors import CheckpointError, CheckpointReadError, WebUIError
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.engine.generate import generate

CPU = torch.device("cpu")
BYTES = 4 * 7_061_868
"""Of a small checkpoint's weights in float32, about."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints of one family."""
    folder = tmp_path_factory.mktemp("small")
    for seed, name in enumerate("abc"):
        full_size.write(folder / f"{name}.safetensors", full_size.small(), "F16", seed)
    return folder


@pytest.fixture
def folder(files: Path, tmp_path: Path) -> Path:
    """The same, to be changed by a test."""
    place = tmp_path / "models"
    place.mkdir()
    for file in files.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


class Opened:
    """Checkpoints over a folder, and what came into memory."""

    def __init__(self, folder: Path, kept: Path, parts: Parts, catalog: type[Catalog] = Catalog, is_shared: bool | None = None):
        self.loaded: list[str] = []
        self.catalog = catalog([], [folder], parts.families, kept / "hashes.json")
        self.checkpoints = Checkpoints(
            self.catalog,
            "a.safetensors",
            CPU,
            kept,
            dtype=torch.float32,
            on_loaded=lambda entry: self.loaded.append(entry.name),
            is_shared=is_shared,
        )

    def limit(self, checkpoints: float) -> None:
        """Room for so many of the small ones."""
        self.checkpoints._tiers._host_limit = int(checkpoints * BYTES)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def still(files: Path, kept: Path, parts: Parts) -> Opened:
    """Over files that no test changes, so that what is found out of them is found out once."""
    return Opened(files, kept, parts)


@pytest.fixture
def opened(folder: Path, tmp_path: Path, parts: Parts) -> Opened:
    return Opened(folder, tmp_path / "state", parts)


def values(model: Model) -> dict[str, torch.Tensor]:
    """Some of its weights, one of each network."""
    unet: Any = model.unet
    return {
        "model.diffusion_model.out.2.weight": unet.conv_out.weight,
        "first_stage_model.decoder.conv_out.weight": model.autoencoder.decoder.conv_out.weight,
        "cond_stage_model.transformer.text_model.final_layer_norm.weight": model.encoders["text"].network.final_layer_norm.weight,
    }


def assert_is(model: Model, file: Path) -> None:
    tensors = load_file(file)
    for key, value in values(model).items():
        assert torch.equal(value, tensors[key].float()), key


def places(model: Model) -> list[int]:
    return [tensor.data_ptr() for network in model.networks for tensor in network.parameters()]


# -- swapping


def test_going_to_another_and_back_moves_no_weight(still: Opened, files: Path) -> None:
    with still.checkpoints.use("a") as first:
        assert_is(first, files / "a.safetensors")
        before = places(first)
    with still.checkpoints.use("b") as second:
        assert_is(second, files / "b.safetensors")
    with still.checkpoints.use("a") as again:
        assert again is first and places(again) == before
        assert_is(again, files / "a.safetensors")
    assert still.loaded == ["a", "b"]
    assert still.checkpoints.chosen == "a.safetensors"


def test_two_of_a_family_can_be_in_use_at_once(still: Opened, files: Path) -> None:
    with still.checkpoints.use("a") as first, still.checkpoints.use("b") as second:
        assert_is(first, files / "a.safetensors")
        assert_is(second, files / "b.safetensors")
        assert not set(places(first)) & set(places(second))
        assert [one.is_in_use for one in still.checkpoints.status()] == [True, True]
    assert [one.is_in_use for one in still.checkpoints.status()] == [False, False]


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_picture_is_the_same_after_a_swap_and_back(files: Path, kept: Path, parts: Parts, is_shared: bool) -> None:
    """Also where weights go to a device of its own and leave it, which is tried on the processor's memory here."""
    opened = Opened(files, kept, parts, is_shared=is_shared)
    opened.checkpoints._tiers._device_limit = BYTES // 2

    def picture(name: str) -> bytes:
        request = GenerationRequest(prompt="a fox", checkpoint=name, steps=2, width=64, height=64, seed=3)
        return next(generate(request, opened.checkpoints, parts)).image.tobytes()

    first = picture("a")
    other = picture("b")
    assert {one.title: one.where for one in opened.checkpoints.status()}["a.safetensors"] == ("device" if is_shared else "host")
    assert picture("a") == first != other


def test_pictures_of_two_checkpoints_are_the_same_where_only_one_fits_the_device(files: Path, kept: Path, parts: Parts) -> None:
    """The first pass is decoded when the second one's checkpoint has taken its place."""
    request = GenerationRequest(
        prompt="a fox", checkpoint="a", hires_checkpoint="b", hires_scale=1.5, hires_upscaler="Lanczos",
        steps=2, hires_steps=2, strength=0.5, width=64, height=64, seed=3,
    )  # fmt: skip
    drawn = []
    for is_shared in (True, False):
        opened = Opened(files, kept, parts, is_shared=is_shared)
        opened.checkpoints._tiers._device_limit = BYTES // 2
        drawn.append(next(generate(request, opened.checkpoints, parts)).image.tobytes())
    assert drawn[0] == drawn[1]


# -- memory


def test_there_is_one_copy_of_the_weights_and_none_on_the_file(still: Opened, files: Path) -> None:
    with still.checkpoints.use("a") as model:
        pass
    spaces = {tensor.untyped_storage().data_ptr() for network in model.networks for tensor in network.parameters()}
    assert len(spaces) == 1, "in one piece"
    assert abs(still.checkpoints.status()[0].bytes - BYTES) < 0.01 * BYTES
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(files) not in maps.read_text(encoding="utf-8")
    budget = still.checkpoints.budget()
    assert budget.is_shared and budget.device_used == budget.host_used == still.checkpoints.status()[0].bytes


def test_the_least_recently_used_leaves_first(still: Opened) -> None:
    still.limit(2.5)
    for name in ("a", "b", "a", "c"):
        still.checkpoints.load(name)
    assert still.checkpoints.resident() == ["a.safetensors", "c.safetensors"]


def test_what_is_pinned_stays(still: Opened) -> None:
    still.limit(2.5)
    still.checkpoints.pin("b")
    for name in ("b", "a", "c"):
        still.checkpoints.load(name)
    assert still.checkpoints.resident() == ["b.safetensors", "c.safetensors"]
    assert [one.is_pinned for one in still.checkpoints.status()] == [True, False]
    still.limit(1.5)
    still.checkpoints.load("a")
    assert still.checkpoints.resident() == ["b.safetensors", "a.safetensors"], "beyond the budget, since both are wanted"
    still.checkpoints.unpin("b")
    assert still.checkpoints.resident() == ["a.safetensors"]


def test_what_is_in_use_stays_whatever_comes(still: Opened, files: Path) -> None:
    still.limit(0.5)
    with still.checkpoints.use("a") as model:
        for name in ("b", "c"):
            still.checkpoints.load(name)
        still.checkpoints.unload("a")
        assert "a.safetensors" in still.checkpoints.resident()
        assert_is(model, files / "a.safetensors")
    assert still.checkpoints.resident() == ["c.safetensors"]


def test_unloading_gives_the_memory_back_at_once_also_after_drawing(still: Opened, parts: Parts) -> None:
    request = GenerationRequest(prompt="a fox", checkpoint="a", steps=1, width=64, height=64, seed=3)
    next(generate(request, still.checkpoints, parts))
    with still.checkpoints.use("a") as model:
        unet: Any = model.unet
        kept = [weakref.ref(one) for one in (model, unet, unet.conv_in.weight, model.autoencoder, model.encoders["text"])]
    del model, unet
    gc.collect()
    gc.disable()  # nothing may wait for the collector: it comes when it likes, and this may be gigabytes
    try:
        still.checkpoints.unload("a")
        assert [one() for one in kept] == [None] * len(kept)
    finally:
        gc.enable()
    assert still.checkpoints.resident() == []


def live_rooms() -> int:
    """Pieces of memory for weights that exist."""
    gc.collect()
    return sum(type(one) is Room for one in gc.get_objects())


def live_bytes() -> int:
    """Bytes of all tensors that exist."""
    gc.collect()
    spaces = {}
    for one in gc.get_objects():
        if issubclass(type(one), torch.Tensor) and one.device.type == "cpu":
            spaces[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
    return sum(spaces.values())


@pytest.mark.parametrize(("checkpoints", "is_shared"), [(1.5, None), (3.5, None), (1.5, False)])
def test_swaps_leave_nothing_behind(files: Path, kept: Path, parts: Parts, checkpoints: float, is_shared: bool | None) -> None:
    opened = Opened(files, kept, parts, is_shared=is_shared)
    opened.limit(checkpoints)
    opened.checkpoints._tiers._device_limit = int(1.5 * BYTES)
    for name in "abc":
        opened.checkpoints.load(name)
    rooms, bytes_ = live_rooms(), live_bytes()
    for _ in range(2):
        for name in "abc":
            opened.checkpoints.load(name)
    assert live_rooms() == rooms
    assert live_bytes() <= bytes_ * 1.001


# -- files that are not what they were


def test_a_file_that_vanished_leaves_the_old_one_serving(opened: Opened, folder: Path) -> None:
    with opened.checkpoints.use() as before:
        pass
    opened.checkpoints.entries()
    (folder / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"is gone|No checkpoint is called") as error, opened.checkpoints.use("b"):
        pass
    assert str(error.value).count("\n") == 0
    with opened.checkpoints.use() as after:
        assert after is before
        assert_is(after, folder / "a.safetensors")


def test_what_is_in_memory_serves_on_when_its_file_is_gone(opened: Opened, folder: Path) -> None:
    opened.checkpoints.load("a")
    (folder / "a.safetensors").unlink()
    with opened.checkpoints.use("a") as model:
        assert model.unet is not None
    assert opened.loaded == ["a"]


@pytest.mark.parametrize("keep", [0, 7, 5000, 7_000_000])
def test_a_file_that_was_cut_off_leaves_the_old_one_serving(opened: Opened, folder: Path, keep: int) -> None:
    with opened.checkpoints.use() as before:
        pass
    opened.checkpoints.entries()
    os.truncate(folder / "b.safetensors", keep)
    with pytest.raises(CheckpointReadError, match=r"b\.safetensors"), opened.checkpoints.use("b"):
        pass
    with opened.checkpoints.use() as after:
        assert after is before
    assert opened.checkpoints.resident() == ["a.safetensors"]


def test_a_file_that_changed_is_read_anew_when_it_is_asked_for(opened: Opened, folder: Path) -> None:
    with opened.checkpoints.use("a") as old:
        first = old.name
        old_values = {key: value.clone() for key, value in values(old).items()}
        full_size.write(folder / "a.safetensors", full_size.small(), "F16", seed=9)
        with opened.checkpoints.use("a") as new:
            assert new is not old and new.name != first
            assert_is(new, folder / "a.safetensors")
            for key, value in values(old).items():
                assert torch.equal(value, old_values[key]), "whoever began with the old one ends with it"
    assert opened.loaded == ["a", "a"] and opened.checkpoints.resident() == ["a.safetensors"]
    assert opened.checkpoints.budget().host_used == opened.checkpoints.status()[0].bytes


def test_a_file_that_becomes_a_broken_one_is_told_and_another_serves(opened: Opened, folder: Path) -> None:
    opened.checkpoints.load("a")
    (folder / "a.safetensors").write_bytes(b"<!doctype html>")
    with pytest.raises(CheckpointReadError, match="web page"), opened.checkpoints.use("a"):
        pass
    opened.checkpoints.refresh()
    with opened.checkpoints.use() as model:
        assert model.title != "a.safetensors"


class Changing(Catalog):
    """A file of which a download writes on while it is read: its hash is the first thing that reading does."""

    def hash(self, entry: Entry, *rest: object) -> Entry:
        hashed = super().hash(entry)
        if entry.name == "b" and len(list(entry.path.parent.glob("*"))) == 3:
            os.utime(entry.path, (1, 1))
            (entry.path.parent / "once").touch()
        return hashed


def test_a_file_that_changes_while_it_is_read_is_refused_and_read_later(folder: Path, tmp_path: Path, parts: Parts) -> None:
    opened = Opened(folder, tmp_path, parts, Changing)
    opened.checkpoints.load("a")
    with pytest.raises(CheckpointReadError, match="changed while it was read"):
        opened.checkpoints.load("b")
    assert opened.checkpoints.resident() == ["a.safetensors"]
    opened.checkpoints.load("b")
    assert opened.loaded == ["a", "b"]


# -- wishes


class Slow(Catalog):
    """A disk that answers when the test says so, for what is named b."""

    def __init__(self, *rest: object) -> None:
        super().__init__(*rest)  # type: ignore[arg-type]
        self.asked, self.go = threading.Event(), threading.Event()

    def hash(self, entry: Entry, *rest: object) -> Entry:
        if entry.name == "b":
            self.asked.set()
            assert self.go.wait(20)
        return super().hash(entry)


@pytest.fixture
def slow(files: Path, kept: Path, parts: Parts) -> Opened:
    opened = Opened(files, kept, parts, Slow)
    opened.checkpoints.load("a")
    return opened


def test_of_thirty_picks_the_last_one_wins_and_nothing_is_half_loaded(slow: Opened, files: Path) -> None:
    told: list[str] = []
    slow.checkpoints.prefer("b", told.append)
    assert slow.catalog.asked.wait(20)  # type: ignore[attr-defined]
    for i in range(28):
        slow.checkpoints.prefer("abc"[i % 2], told.append)
    slow.checkpoints.prefer("c", told.append)
    assert slow.checkpoints.chosen == "c.safetensors" == told[-1] and len(told) == 30
    slow.catalog.go.set()  # type: ignore[attr-defined]
    assert slow.checkpoints.settle(20)
    assert slow.loaded == ["a", "c"], "what was passed over was given up"
    assert slow.checkpoints.resident() == ["a.safetensors", "c.safetensors"]
    for name in "abc":
        with slow.checkpoints.use(name) as model:
            assert_is(model, files / f"{name}.safetensors")


def test_while_one_is_read_the_others_are_used_and_listed(slow: Opened) -> None:
    slow.checkpoints.prefer("b")
    assert slow.catalog.asked.wait(20)  # type: ignore[attr-defined]
    with slow.checkpoints.use("a") as model:
        assert model.title == "a.safetensors"
    assert [one.title for one in slow.checkpoints.status()] == ["a.safetensors"]
    assert slow.checkpoints.loading() == "b.safetensors" == slow.checkpoints.chosen
    slow.catalog.go.set()  # type: ignore[attr-defined]
    assert slow.checkpoints.settle(20)
    assert slow.checkpoints.is_ready("b.safetensors") and slow.checkpoints.loading() == ""


def test_what_is_needed_now_goes_before_what_was_only_chosen(slow: Opened) -> None:
    slow.checkpoints.prefer("b")
    assert slow.catalog.asked.wait(20)  # type: ignore[attr-defined]
    needed = threading.Thread(target=slow.checkpoints.load, args=("c",))
    needed.start()
    while not slow.checkpoints._urgent:
        assert needed.is_alive()
    slow.catalog.go.set()  # type: ignore[attr-defined]
    needed.join(20)
    assert slow.checkpoints.settle(20)
    assert slow.loaded == ["a", "c", "b"]


def test_what_is_read_behind_already_is_not_read_again_for_who_needs_it(slow: Opened) -> None:
    slow.checkpoints.prefer("b")
    assert slow.catalog.asked.wait(20)  # type: ignore[attr-defined]
    needed = threading.Thread(target=slow.checkpoints.load, args=("b",))
    needed.start()
    while not slow.checkpoints._urgent:
        assert needed.is_alive()
    slow.catalog.go.set()  # type: ignore[attr-defined]
    needed.join(20)
    assert slow.checkpoints.settle(20)
    assert slow.loaded == ["a", "b"]


def test_a_wish_that_cannot_be_read_falls_back_to_the_one_before(opened: Opened, folder: Path) -> None:
    told: list[str] = []
    opened.checkpoints.prefer("c", told.append)
    assert opened.checkpoints.settle(20)
    os.truncate(folder / "b.safetensors", 7_000_000)
    opened.checkpoints.prefer("b", told.append)
    assert opened.checkpoints.settle(20)
    assert told == ["c.safetensors", "b.safetensors", "c.safetensors"]
    assert opened.checkpoints.chosen == "c.safetensors"
    assert "truncated" in opened.checkpoints.find("b.safetensors").error
    assert opened.checkpoints.failure() == opened.checkpoints.find("b.safetensors").error
    with opened.checkpoints.use() as model:
        assert_is(model, folder / "c.safetensors")
    opened.checkpoints.prefer("c")
    assert opened.checkpoints.failure() == ""


@pytest.mark.parametrize("name", ["nope", "d"])
def test_what_is_known_to_be_broken_is_refused_at_once(opened: Opened, folder: Path, name: str) -> None:
    (folder / "d.safetensors").write_bytes(b"{}")
    with pytest.raises(CheckpointError):
        opened.checkpoints.prefer(name)
    assert opened.checkpoints.chosen == "a.safetensors" and opened.checkpoints.settle(0)


def test_closing_gives_up_what_is_read_behind(slow: Opened) -> None:
    slow.checkpoints.prefer("b")
    assert slow.catalog.asked.wait(20)  # type: ignore[attr-defined]
    threading.Timer(0.1, slow.catalog.go.set).start()  # type: ignore[attr-defined]
    slow.checkpoints.close()
    assert slow.loaded == ["a"] and slow.checkpoints.settle(0)


def test_many_threads_use_many_checkpoints(still: Opened, files: Path) -> None:
    still.limit(1.5)
    wrong: list[BaseException] = []

    def work(names: str) -> None:
        try:
            for name in names:
                with still.checkpoints.use(name) as model:
                    assert_is(model, files / f"{name}.safetensors")
        except BaseException as error:  # noqa: BLE001 (told below)
            wrong.append(error)

    run_all([partial(work, names) for names in ("abcabc", "cbacba", "aabbcc", "ccaabb")])
    assert not wrong
    assert not any(one.is_in_use for one in still.checkpoints.status())
    assert len(still.checkpoints.resident()) == 1


def run_all(tasks: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_checkpoint_for_which_there_is_no_memory_is_refused(still: Opened) -> None:
    still.checkpoints.load("a")
    still.checkpoints._tiers._free = lambda _: 1000
    with pytest.raises(WebUIError, match=r"not enough memory for b: it needs 0\.0 GB"):
        still.checkpoints.load("b")
    still.checkpoints._tiers._free = lambda _: 2**40
    still.checkpoints.load("b")
