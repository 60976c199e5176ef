"""Folders are looked at behind those who ask: what was found out is remembered, and a slow disk holds nobody up."""

from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.checkpoints.test_catalog import pocket_copy
from webui.checkpoints import catalog as catalog_module
from webui.checkpoints import upscalers as upscalers_module
from webui.checkpoints.catalog import Catalog
from webui.checkpoints.identify import identify
from webui.checkpoints.remembered import Record, Remembered
from webui.checkpoints.scan import Found, Place, checkpoints_in
from webui.checkpoints.upscalers import Upscalers
from webui.contract.errors import UnknownCheckpointError
from webui.contract.parts import Parts


@pytest.fixture
def models(tmp_path: Path) -> Path:
    pocket_copy(tmp_path / "models" / "Stable-diffusion" / "apple")
    save_file({"x": torch.ones(2)}, tmp_path / "models" / "Stable-diffusion" / "none.safetensors")
    return tmp_path / "models"


def opened(models: Path, parts: Parts, patience: float | None = None) -> Catalog:
    return Catalog([models], [], parts.families, models.parent / "hashes.json", patience)


# -- what lies where


@pytest.mark.parametrize("place", ["models/Stable-diffusion", "models/checkpoints", "Stable-diffusion", "checkpoints"])
def test_the_folder_of_another_program_or_its_models_can_be_named(parts: Parts, tmp_path: Path, place: str) -> None:
    pocket_copy(tmp_path / "theirs" / place / "sub" / "apple")
    (tmp_path / "theirs" / "models" / "loras").mkdir(parents=True, exist_ok=True)
    assert opened(tmp_path / "theirs", parts).find("sub/apple").name == "apple"


def test_what_lies_beside_a_checkpoint_is_found_with_it(tmp_path: Path) -> None:
    for name in ("a.b.ckpt", "a.b.yaml", "a.b.jpg", "a.b.preview.png", "c.safetensors", "c.jpeg", "d.safetensors", "a.png"):
        (tmp_path / name).write_bytes(b"x")
    found = {one.title: one for one in checkpoints_in(tmp_path)}
    assert list(found) == ["a.b.ckpt", "c.safetensors", "d.safetensors"]
    first, second, third = found.values()
    assert first.preview == tmp_path / "a.b.preview.png" and first.config == tmp_path / "a.b.yaml"
    assert second.preview == tmp_path / "c.jpeg" and second.config is None
    assert third.preview is None and third.preview_time == 0


def test_a_folder_linked_into_itself_is_walked_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.ckpt").touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert [one.title for one in checkpoints_in(tmp_path)] == ["a/x.ckpt"]


# -- two of one name


def test_two_files_of_one_title_are_both_there_and_each_can_be_asked_for(parts: Parts, tmp_path: Path) -> None:
    for program in ("ours", "ComfyUI", "more/ComfyUI"):
        pocket_copy(tmp_path / program / "models" / "checkpoints" / "apple")
        file = tmp_path / program / "models" / "checkpoints" / "x.safetensors"
        save_file({"x": torch.full((2,), float(len(program)))}, file)
    folders = [tmp_path / program / "models" for program in ("ours", "ComfyUI", "more/ComfyUI")]
    catalog = Catalog(folders, [], parts.families, tmp_path / "hashes.json")
    titles = [entry.title for entry in catalog.entries() if entry.name == "x"]
    assert titles == ["x.safetensors", "ComfyUI/x.safetensors", "ComfyUI/x.safetensors (2)"]
    for title, folder in zip(titles, folders, strict=True):
        assert catalog.find(title).path == folder / "checkpoints" / "x.safetensors"
    with pytest.raises(UnknownCheckpointError, match=r"fits several checkpoints: x\.safetensors, ComfyUI/x"):
        catalog.find("x")


def test_the_same_folder_named_twice_is_listed_once(parts: Parts, models: Path) -> None:
    link = models.parent / "linked"
    link.symlink_to(models, target_is_directory=True)
    extra = [models / "Stable-diffusion", models / "Stable-diffusion"]
    catalog = Catalog([models, link], extra, parts.families, models.parent / "hashes.json")
    assert [entry.title for entry in catalog.entries()] == ["none.safetensors", "apple"]


def test_a_copy_of_the_same_bytes_answers_to_their_hash(parts: Parts, models: Path) -> None:
    first = models / "Stable-diffusion" / "none.safetensors"
    (models / "Stable-diffusion" / "second.safetensors").write_bytes(first.read_bytes())
    catalog = opened(models, parts)
    digest = [catalog.hash(entry).hash for entry in catalog.entries() if entry.path.suffix == ".safetensors"]
    assert len(set(digest)) == 1 and catalog.find(digest[0]).title == "none.safetensors"


# -- what is remembered


def test_what_was_found_out_is_not_read_again_at_the_next_start(
    parts: Parts, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened(models, parts).entries()
    read: list[Path] = []

    def counted(path: Path, *more: object) -> object:
        read.append(path)
        return identify(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(catalog_module, "identify", counted)
    catalog = opened(models, parts)
    assert [(entry.title, entry.family, entry.error) for entry in catalog.entries()] == [
        (entry.title, entry.family, entry.error) for entry in before
    ]
    assert not [path for path in read if path.suffix]
    save_file({"y": torch.ones(3)}, models / "Stable-diffusion" / "none.safetensors")
    catalog.refresh()
    assert [path.name for path in read if path.suffix] == ["none.safetensors"]


def test_every_family_comes_back_from_the_file_as_it_was(parts: Parts, tmp_path: Path) -> None:
    apple = tmp_path / "apple"
    pocket_copy(apple)
    known = identify(apple, parts.families)
    rows = [replace(row, native_size=row.native_size + 8, preview=None) for row in parts.families]
    made = [replace(known, family=row, kinds=frozenset({"float16"}), statistics=tmp_path / "x") for row in rows]
    records = [Record(Found(tmp_path / f"{n}", f"{n}", 1, (1, 2, 3)), {"a": "b"}, one, "") for n, one in enumerate(made)]
    records.append(Record(Found(tmp_path / "bad", "bad", problem="gone"), {}, None, "no checkpoint"))
    Remembered(tmp_path / "kept.json", parts.families).write(records)
    assert list(Remembered(tmp_path / "kept.json", parts.families).read().values()) == records


@pytest.mark.parametrize("spoil", ["", "[]", "{", '{"version": 1}', "other"])
def test_a_damaged_memory_or_one_of_other_code_is_no_memory(parts: Parts, models: Path, spoil: str) -> None:
    opened(models, parts).entries()
    kept = models.parent / "identities.json"
    values = json.loads(kept.read_text())
    kept.write_text(json.dumps(values | {"records": [[1]]}) if spoil == "other" else spoil)
    assert [entry.title for entry in opened(models, parts).entries() if entry.family] == ["apple"]


def test_a_failure_to_load_is_shown_until_the_file_changes(parts: Parts, models: Path) -> None:
    catalog = opened(models, parts)
    catalog.mark("apple", "It broke.")
    catalog.refresh()
    assert catalog.find("apple").error == "It broke."
    changed = models / "Stable-diffusion" / "none.safetensors"
    catalog.mark("none.safetensors", "It broke, too.")
    save_file({"x": torch.ones(5)}, changed)
    catalog.refresh()
    assert "broke" not in catalog.find("none").error


# -- a disk that answers slowly


class SlowDisk:
    """A place that answers when the test says so; the folders are real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slow: Path) -> None:
        self.answers = threading.Event()
        look = Place.look

        def looking(place: Place) -> list[Found]:
            if place.folder == slow and not self.answers.wait(60):
                raise TimeoutError("the test never let the disk answer")
            return look(place)

        monkeypatch.setattr(Place, "look", looking)


def test_a_disk_that_does_not_answer_holds_nobody_up_and_hides_no_other(
    parts: Parts, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path / "far"
    pocket_copy(far / "pear")
    opened_before = Catalog([models], [far], parts.families, tmp_path / "hashes.json")
    assert opened_before.find("pear")
    disk = SlowDisk(monkeypatch, far)
    (models / "Stable-diffusion" / "new").symlink_to(models / "Stable-diffusion" / "apple")
    catalog = Catalog([models], [far], parts.families, tmp_path / "hashes.json", patience=0.3)
    told = threading.Event()
    catalog.on_change(told.set)
    catalog.refresh()
    titles = [entry.title for entry in catalog.entries()]
    assert "pear" in titles, "what was known of it stands"
    assert catalog.is_looking
    pocket_copy(far / "plum")
    (models / "Stable-diffusion" / "none.safetensors").unlink()
    catalog.refresh()
    for _ in range(100):  # the quick disk's own look may still be on its way
        if "none.safetensors" not in [entry.title for entry in catalog.entries()]:
            break
        catalog.refresh()
    else:
        pytest.fail("the disk that answers was not looked at again")
    assert catalog.find("apple").family is not None
    told.clear()
    disk.answers.set()
    assert told.wait(20)
    end = time.monotonic() + 30
    while catalog.is_looking and time.monotonic() < end:
        time.sleep(0.02)
    assert {"apple", "pear", "plum"} <= {entry.title for entry in catalog.entries()}


def test_one_that_was_not_read_yet_is_read_when_it_is_asked_for(
    parts: Parts, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read = threading.Event()
    main = threading.current_thread()

    def slowly(path: Path, *more: object) -> object:
        if threading.current_thread() is not main:
            may_read.wait(60)
        return identify(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(catalog_module, "identify", slowly)
    catalog = opened(models, parts, patience=0.2)
    end = time.monotonic() + 30
    while not catalog.entries() and time.monotonic() < end:
        time.sleep(0.02)
    listed = {entry.title: entry for entry in catalog.entries()}
    assert list(listed) == ["none.safetensors", "apple"] and not listed["apple"].is_known and not listed["apple"].error
    assert catalog.find("apple").family is not None
    assert catalog.titled("none.safetensors").error and catalog.titled("nothing") is None  # type: ignore[union-attr]
    may_read.set()


def test_a_look_that_fails_leaves_what_was_known(parts: Parts, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = opened(models, parts)
    before = catalog.entries()
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(Place, "look", lambda _: 1 / 0)
    catalog.refresh()
    assert catalog.entries() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_tried_again(parts: Parts, models: Path) -> None:
    file = models / "Stable-diffusion" / "none.safetensors"
    file.chmod(0)
    catalog = opened(models, parts)
    assert "cannot be opened" in catalog.find("none").error
    file.chmod(0o600)
    catalog.refresh()
    assert "cannot be opened" not in catalog.find("none").error


def test_upscalers_on_a_disk_that_does_not_answer_are_those_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "upscale_models").mkdir(parents=True)
    (tmp_path / "models" / "upscale_models" / "a.pth").write_bytes(b"no weights")
    upscalers = Upscalers([tmp_path], patience=0.2)
    assert [entry.title for entry in upscalers.entries()] == ["upscale_models/a.pth"], "a program's own folder, ComfyUI's name"
    answers = threading.Event()
    walk = upscalers_module._files

    def slowly(folder: Path) -> list[Path]:
        answers.wait(60)
        return walk(folder)

    monkeypatch.setattr(upscalers_module, "_files", slowly)
    (tmp_path / "models" / "upscale_models" / "b.pth").write_bytes(b"no weights")
    assert [entry.name for entry in upscalers.entries()] == ["a"]
    answers.set()
    end = time.monotonic() + 30
    while len(upscalers.entries()) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    assert [entry.name for entry in upscalers.entries()] == ["a", "b"]


def test_many_ask_for_upscalers_at_once(tmp_path: Path) -> None:
    (tmp_path / "ESRGAN").mkdir()
    (tmp_path / "ESRGAN" / "a.pth").write_bytes(b"no weights")
    upscalers = Upscalers([tmp_path], patience=5)
    with ThreadPoolExecutor(12) as pool:
        told = list(pool.map(lambda _: len(upscalers.entries()), range(200)))
    assert set(told) == {1}
