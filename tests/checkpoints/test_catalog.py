"""Checkpoints are found by title, path, name, stem or hash, and never mistaken for one another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import POCKET
from webui.checkpoints.catalog import Catalog
from webui.checkpoints.manager import Checkpoints
from webui.contract.errors import CheckpointError, CheckpointReadError, UnknownCheckpointError
from webui.contract.parts import Parts


def pocket_copy(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(POCKET)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two whole checkpoints, one that is none, one in a folder of the same file name, and a link that leads nowhere."""
    folder = tmp_path / "models"
    place = folder / "Stable-diffusion"
    pocket_copy(place / "apple")
    pocket_copy(place / "sub" / "pear")
    (place / "old").mkdir()
    for path in (
        place / "model.safetensors",
        place / "old" / "model.safetensors",
        place / "wd.safetensors",
        place / "wd-pruned.safetensors",
    ):
        save_file({"x": torch.full((2,), float(len(str(path))))}, path)
    (place / "broken.ckpt").write_bytes(b"hello, this is no checkpoint")
    (place / "dangling.safetensors").symlink_to(place / "gone")
    (place / "note.txt").touch()
    (place / "x.vae.safetensors").touch()
    return folder


@pytest.fixture
def catalog(models: Path, parts: Parts, tmp_path: Path) -> Catalog:
    return Catalog([models], [], parts.families, tmp_path / "hashes.json")


def test_everything_is_listed_and_what_is_broken_says_why(catalog: Catalog) -> None:
    entries = {entry.title: entry for entry in catalog.entries()}
    assert set(entries) == {
        "apple", "sub/pear", "model.safetensors", "old/model.safetensors", "wd.safetensors", "wd-pruned.safetensors",
        "broken.ckpt", "dangling.safetensors",
    }  # fmt: skip
    assert entries["apple"].family is not None and entries["apple"].family.label == "Pocket"
    assert entries["apple"].error == ""
    assert "leads nowhere" in entries["dangling.safetensors"].error
    assert "not a checkpoint" in entries["broken.ckpt"].error


@pytest.mark.parametrize("name", ["wd", "wd.safetensors"])
def test_a_short_name_is_not_taken_for_a_longer_one(catalog: Catalog, name: str) -> None:
    assert catalog.find(name).title == "wd.safetensors"


def test_the_exact_title_wins_over_an_equal_file_name_elsewhere(catalog: Catalog) -> None:
    assert catalog.find("model.safetensors").title == "model.safetensors"
    assert catalog.find("old/model.safetensors").title == "old/model.safetensors"


def test_a_name_that_fits_several_is_an_error_that_names_them(catalog: Catalog) -> None:
    with pytest.raises(UnknownCheckpointError, match=r"model\.safetensors, old/model\.safetensors"):
        catalog.find("model")


def test_a_path_finds_its_file(catalog: Catalog, models: Path) -> None:
    assert catalog.find(str(models / "Stable-diffusion" / "wd.safetensors")).title == "wd.safetensors"


@pytest.mark.parametrize("name", ["nope", "../wd.safetensors", "/etc/passwd", "WD", "wd.", "wd.safetensors ["])
def test_what_is_not_there_is_never_another_one(catalog: Catalog, name: str) -> None:
    with pytest.raises(UnknownCheckpointError):
        catalog.find(name)


def test_hashes_are_those_of_the_file_and_are_kept(catalog: Catalog, models: Path, parts: Parts, tmp_path: Path) -> None:
    hashed = catalog.hash(catalog.find("wd"))
    digest = hashlib.sha256((models / "Stable-diffusion" / "wd.safetensors").read_bytes()).hexdigest()
    assert hashed.sha256 == digest
    again = Catalog([models], [], parts.families, tmp_path / "hashes.json")
    assert again.find(digest[:10]).title == "wd.safetensors"
    assert again.find(f"wd.safetensors [{digest[:10]}]").title == "wd.safetensors"
    assert again.find("wd").hash == digest[:10]


def test_a_new_file_appears_at_the_next_look(catalog: Catalog, models: Path) -> None:
    catalog.entries()
    save_file({"x": torch.ones(1)}, models / "Stable-diffusion" / "new.safetensors")
    catalog.refresh()
    assert catalog.find("new")


@pytest.fixture
def checkpoints(catalog: Catalog, tmp_path: Path) -> Checkpoints:
    return Checkpoints(catalog, "apple", torch.device("cpu"), tmp_path / "state")


def test_a_request_uses_another_checkpoint_without_changing_the_choice(checkpoints: Checkpoints) -> None:
    with checkpoints.use("sub/pear") as model:
        assert model.title == "sub/pear"
    assert checkpoints.chosen == "apple"
    with checkpoints.use() as model:
        assert model.title == "apple"
    assert checkpoints.resident() == ["sub/pear", "apple"]


def test_a_broken_checkpoint_leaves_the_old_one_serving(checkpoints: Checkpoints) -> None:
    with checkpoints.use() as before:
        pass
    for bad in ("broken.ckpt", "dangling.safetensors", "nope"):
        with pytest.raises(CheckpointError):
            checkpoints.choose(bad)
        with pytest.raises(CheckpointError), checkpoints.use(bad):
            pass
    with checkpoints.use() as after:
        assert after is before


def test_a_choice_that_is_gone_or_broken_falls_to_one_that_opens(catalog: Catalog, tmp_path: Path) -> None:
    for last_time in ("broken.ckpt", "gone.safetensors"):
        assert Checkpoints(catalog, last_time, torch.device("cpu"), tmp_path).chosen in ("apple", "sub/pear")


def test_a_folder_without_checkpoints_says_where_they_go(parts: Parts, tmp_path: Path) -> None:
    empty = Catalog([tmp_path / "none"], [], parts.families, tmp_path / "hashes.json")
    with pytest.raises(CheckpointReadError, match="models/Stable-diffusion"):
        Checkpoints(empty, "", torch.device("cpu"), tmp_path).find()


def test_what_was_used_longest_ago_leaves_memory_first(catalog: Catalog, tmp_path: Path) -> None:
    small = Checkpoints(catalog, "apple", torch.device("cpu"), tmp_path / "state", host_memory_share=1e-9)
    with small.use("apple"):
        pass
    with small.use("sub/pear"):
        pass
    assert small.resident() == ["sub/pear"]


def test_the_arithmetic_is_chosen_once_and_kept(checkpoints: Checkpoints, tmp_path: Path) -> None:
    with checkpoints.use() as model:
        chosen = (model.dtype, model.memory_format)
    kept = tmp_path / "state" / "arithmetic.json"
    before = kept.read_text()
    checkpoints.unload("apple")
    with checkpoints.use() as model:
        assert (model.dtype, model.memory_format) == chosen
    assert kept.read_text() == before
