"""Files that come, change and go are seen without asking; hashes are made when nothing else is to be done."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.checkpoints.test_catalog import pocket_copy
from tests.conftest import POCKET
from webui.checkpoints.catalog import Catalog
from webui.checkpoints.hashing import PIECE, Stopped, digest_of
from webui.checkpoints.watching import Watcher
from webui.contract.parts import Parts

SECONDS = 40
"""At most: on a machine that does much else at the same time."""


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > end:
            pytest.fail(f"it did not happen in {SECONDS} seconds")
        time.sleep(0.05)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    pocket_copy(tmp_path / "models" / "Stable-diffusion" / "apple")
    return tmp_path / "models"


@pytest.fixture
def catalog(models: Path, parts: Parts) -> Catalog:
    return Catalog([models], [models.parent / "missing"], parts.families, models.parent / "hashes.json")


@pytest.fixture
def watcher(catalog: Catalog) -> Iterator[Watcher]:
    pytest.importorskip("watchfiles")
    made = Watcher(catalog, lambda: None, lambda: False, hashes=False)
    yield made
    made.close()


def test_a_file_that_comes_changes_and_goes_is_seen_without_asking(catalog: Catalog, watcher: Watcher, models: Path) -> None:
    told = threading.Event()
    catalog.entries()
    catalog.on_change(told.set)
    watcher.start()
    place = models / "Stable-diffusion" / "sub"
    place.mkdir()

    def has(title: str, error: str = "") -> bool:
        return any(entry.title == title and error in entry.error for entry in catalog.entries())

    def come() -> bool:  # until the watch is set up, what is written is not seen
        (place / "new.ckpt").write_bytes(os.urandom(8))
        time.sleep(0.2)
        return has("sub/new.ckpt")

    until(come)
    assert told.is_set()
    save_file({"x": torch.ones(1)}, place / "new.ckpt")
    until(lambda: has("sub/new.ckpt", "no U-Net"))
    (place / "new.ckpt").unlink()
    until(lambda: not has("sub/new.ckpt"))


def test_hashes_are_made_behind_smallest_first_and_wait_for_what_is_drawn(models: Path, parts: Parts) -> None:
    place = models / "Stable-diffusion"
    (place / "apple").unlink()
    weights = next((POCKET / "unet").glob("*.safetensors"))
    for name in ("small", "large"):
        pocket_copy(place / name)
    busy = threading.Event()
    busy.set()
    catalog = Catalog([models], [], parts.families, models.parent / "hashes.json")
    watcher = Watcher(catalog, lambda: None, busy.is_set)
    catalog.entries()
    watcher.start(until_first_hash=0)
    try:
        time.sleep(0.5)
        assert not any(entry.sha256 for entry in catalog.entries())
        busy.clear()
        until(lambda: all(entry.sha256 for entry in catalog.entries()))
    finally:
        watcher.close()
    assert catalog.find("small").sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    again = Catalog([models], [], parts.families, models.parent / "hashes.json")
    assert again.find("large").sha256 == catalog.find("large").sha256, "kept"


def test_a_file_that_changes_while_it_is_hashed_gets_no_hash(catalog: Catalog, models: Path) -> None:
    file = models / "Stable-diffusion" / "growing.safetensors"
    file.write_bytes(b"x" * (PIECE + 1))
    catalog.refresh()

    def grow() -> bool:
        with file.open("ab") as more:
            more.write(b"y")
        return False

    entry = catalog.find("growing")
    assert catalog.hash(entry, grow).sha256 == "" and catalog.find("growing").sha256 == ""
    catalog.refresh()
    assert catalog.hash(catalog.find("growing")).sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_digest_can_be_given_up(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 100)

    def stop() -> bool:
        raise Stopped

    assert digest_of(tmp_path / "x", stop) is None
    assert digest_of(tmp_path / "x", lambda: True) == digest_of(tmp_path / "x") == hashlib.sha256(b"x" * 100).hexdigest()
