"""Networks that take turns on a device: the same pictures, and never more there than the one whose turn it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from webui.checkpoints import estimate, memory, offloading
from webui.checkpoints.catalog import Catalog
from webui.checkpoints.estimate import Setting
from webui.checkpoints.families import SDXL
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.model import Model
from webui.checkpoints.offloading import Turns, Wish, way_of, wished
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import GeneratedImage
from webui.engine.generate import generate
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

CPU = torch.device("cpu")
ASKED = GenerationRequest(prompt="a red sphere", checkpoint="pocket", steps=2, seed=1, width=64, height=64, guidance=2.0)
Opened = Callable[..., Checkpoints]


@pytest.fixture
def opened(parts: Parts, app: App, tmp_path: Path) -> Opened:
    """The pocket checkpoint on a device that is said to have memory of its own: what comes there is a copy."""

    def open_(wish: Wish = "") -> Checkpoints:
        catalog = Catalog(app.paths.models, [], parts.families, tmp_path / "hashes.json")
        return Checkpoints(catalog, "pocket", CPU, tmp_path, dtype=torch.float32, is_shared=False, wish=wish)

    return open_


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Bytes that are on the device, each time that some come there."""
    seen: list[int] = []
    bring = Turns._bring

    def watched(self: Turns, tensor: torch.Tensor) -> None:
        bring(self, tensor)
        seen.append(self.bytes_there)

    monkeypatch.setattr(Turns, "_bring", watched)
    yield seen


def drawn(checkpoints: Checkpoints, parts: Parts, request: GenerationRequest = ASKED) -> GeneratedImage:
    (picture,) = generate(request, checkpoints, parts)
    return picture


def bytes_of(network: Any) -> int:
    return sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))


@pytest.mark.parametrize("wish", ["parts", "layers"])
def test_pictures_are_the_same_bytes_and_only_whose_turn_it_is_is_there(
    wish: Wish, opened: Opened, parts: Parts, most: list[int]
) -> None:
    plain = drawn(opened(), parts)
    assert not most
    checkpoints = opened(wish)
    picture = drawn(checkpoints, parts)
    assert picture.image.tobytes() == plain.image.tobytes()
    assert picture.notes == plain.notes == (), "what was asked for is not told"
    with checkpoints.use("pocket") as model:
        sizes = sorted(map(bytes_of, model.networks))
    assert 0 < max(most) <= (sizes[-1] if wish == "parts" else sizes[-2])
    assert checkpoints.is_ready("pocket") and checkpoints.status()[0].where == "host"


def test_nothing_stays_on_the_device_when_nobody_draws(opened: Opened, parts: Parts) -> None:
    checkpoints = opened("parts")
    with checkpoints.use("pocket") as model:
        home = [tensor.data_ptr() for network in model.networks for tensor in network.parameters()]
        drawn(checkpoints, parts)
    loaded = checkpoints._tiers.get("pocket")
    assert loaded is not None and loaded.turns is not None and loaded.turns.bytes_there == 0
    assert [tensor.data_ptr() for network in model.networks for tensor in network.parameters()] == home


def test_float32_for_once_and_a_precise_copy_leave_the_weights_where_they_are(opened: Opened, parts: Parts) -> None:
    from webui.checkpoints.model import widened
    from webui.engine.leaner import precise

    checkpoints = opened("parts")
    plain = drawn(checkpoints, parts)
    with checkpoints.use("pocket") as model:
        home = [tensor.data_ptr() for network in model.networks for tensor in network.parameters()]
        latents = torch.zeros(1, 4, 8, 8)
        with torch.inference_mode():
            model.autoencoder.decode(latents)
            with widened(model.autoencoder):
                model.autoencoder.decode(latents)
            copied = precise(model)
            assert copied.unet is not model.unet and copied.dtype == torch.float32
    assert [tensor.data_ptr() for network in model.networks for tensor in network.parameters()] == home
    assert drawn(checkpoints, parts).image.tobytes() == plain.image.tobytes()


def test_a_picture_that_fits_in_no_way_beside_the_whole_model_lets_its_parts_take_turns(
    opened: Opened, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = opened()
    plain = drawn(checkpoints, parts)
    with checkpoints.use("pocket") as model:
        assert model.computes_on is None
        assert checkpoints.take_turns(model) and not checkpoints.take_turns(model)
        assert model.device == CPU
    picture = drawn(checkpoints, parts)
    assert picture.image.tobytes() == plain.image.tobytes()
    assert picture.notes == ("The parts take turns on the graphics card because its memory is short.",)


def test_the_way_follows_from_what_is_free(opened: Opened) -> None:
    with opened().use("pocket") as model:
        setting = Setting(4, is_processor=False)
        work = estimate.whole(model.family, 1, model.family.native_size**2, setting, sides=1, decoded=offloading.SEEN)
        whole, largest = model.size_in_bytes(), max(map(bytes_of, model.networks))
        assert way_of(model, work + whole, setting) == "whole"
        assert way_of(model, work + whole - 1, setting) == "parts"
        assert way_of(model, work + largest, setting) == "parts"
        assert way_of(model, work + largest - 1, setting) == "layers"
        assert way_of(model, work, setting) is None


def test_only_large_families_take_turns_where_only_they_are_meant(parts: Parts) -> None:
    assert wished("large in parts", SDXL) == "parts"
    assert wished("large in parts", parts.families["sd1"]) is None
    assert wished("parts", parts.families["sd1"]) == "parts" and wished("layers", SDXL) == "layers"
    assert wished("", SDXL) is None


def test_where_there_is_no_device_of_its_own_nothing_takes_turns(app: App, parts: Parts, tmp_path: Path) -> None:
    catalog = Catalog(app.paths.models, [], parts.families, tmp_path / "hashes.json")
    checkpoints = Checkpoints(catalog, "pocket", CPU, tmp_path, dtype=torch.float32, wish="layers")
    with checkpoints.use("pocket") as model:
        assert model.computes_on is None and not checkpoints.take_turns(model)
        assert not any(module._forward_pre_hooks for module in model.unet.modules())


def test_without_a_graphics_card_the_flag_is_answered_with_one_word(
    parts: Parts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_app(Paths(tmp_path), parts, cpu_only=True, takes_jobs=False, turns="layers")
    opened.close()
    (said,) = [record.getMessage() for record in caplog.records if "vram" in record.getMessage()]
    assert said.startswith("--medvram and --lowvram are not needed here: there is no graphics card")


def test_another_checkpoint_of_the_same_build_does_not_take_turns_with_this_one(opened: Opened, parts: Parts) -> None:
    checkpoints = opened("parts")
    first = drawn(checkpoints, parts)
    second: list[Model] = []
    with checkpoints.use("pocket-inpainting") as model:
        second.append(model)
    assert drawn(checkpoints, parts, replace(ASKED, seed=2)).image.tobytes() != first.image.tobytes()
    assert drawn(checkpoints, parts).image.tobytes() == first.image.tobytes()


def test_a_container_leaves_what_its_limit_says(tmp_path: Path) -> None:
    assert memory._left_in_container(tmp_path) is None
    for name, text in {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 600\ninactive_file 50\n"}.items():
        (tmp_path / name).write_text(text)
    assert memory._left_in_container(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._left_in_container(tmp_path) is None
