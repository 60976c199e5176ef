"""What a small checkpoint says that it knows, and what it makes of a prompt."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from webui.checkpoints.catalog import Catalog
from webui.checkpoints.knows import Example, Knows, read_knows
from webui.contract.parts import Parts

TOLD: dict[str, Any] = {
    "about": "It draws toys and coloured shapes.",
    "things": ["fox", "raccoon", "owl", "steam train", "jack-o-lantern", "cherries", "cow face", "wolf", "glass"],
    "also": {"t-rex": "tyrannosaurus", "cow's face": "cow face"},
    "shapes": ["sphere", "cube"],
    "words": ["a", "at", "blue", "floor", "grass", "on", "red", "sunset", "tyrannosaurus"],
    "examples": [{"prompt": "a fox on grass at sunset", "seed": 3}],
}


def write_knows(folder: Path, **changed: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "knows.json").write_text(json.dumps({**TOLD, **changed}), encoding="utf-8")
    return folder


@pytest.fixture
def knows(tmp_path: Path) -> Knows:
    found = read_knows(write_knows(tmp_path))
    assert found is not None
    return found


def test_the_file_is_read_as_it_is_written(knows: Knows) -> None:
    assert knows.things[:2] == ("fox", "raccoon") and knows.shapes == ("sphere", "cube")
    assert knows.also["t-rex"] == "tyrannosaurus" and "sunset" in knows.words
    assert knows.examples == (Example("a fox on grass at sunset", 3),)


@pytest.mark.parametrize(
    "prompt",
    [
        "a fox", "A FOX!", "two foxes", "a (fox:1.2) in space", "[lighthouse|fox]", "((fox))", "red_fox", "the fox's dream",
        "steam trains", "a steam-train", "a Jack-O-Lantern", "jack o lantern", "a cherry", "cherries", "a cow face",
        "a cow’s face", "wolves", "a glass", "T-Rex, 8k", "cubes", "castle AND sphere:0.8", "BREAK fox", "owl,owl",
    ],
)  # fmt: skip
def test_a_name_is_known_however_it_is_written(knows: Knows, prompt: str) -> None:
    assert knows.hear(prompt).is_named


@pytest.mark.parametrize(
    "prompt, unknown",
    [
        ("a lighthouse", ("lighthouse",)),
        ("A Lighthouse by (Vermeer:1.3), a lighthouse", ("Lighthouse", "Vermeer")),
        ("steam", ()),  # a part of a name, which it has seen
        ("foxglove in the train station", ("foxglove", "station")),
        ("red grass at sunset", ()),
        ("<lora:fox:0.8> portrait, 8k, f/1.8", ("portrait", "f")),
        ("城", ("城",)),
        ("my very own", ("own",)),
        ("", ()),
        ("🦊 (:1.2) 42 ...", ()),
    ],
)
def test_what_it_never_saw_is_told_as_it_was_typed(knows: Knows, prompt: str, unknown: tuple[str, ...]) -> None:
    heard = knows.hear(prompt)
    assert (heard.is_named, heard.unknown) == (False, unknown)


def test_a_folder_that_says_nothing_and_a_file_know_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file.safetensors").touch()
    assert read_knows(tmp_path) is None and read_knows(tmp_path / "file.safetensors") is None
    assert not caplog.records


@pytest.mark.parametrize(
    "changed",
    [
        {"things": [1]},
        {"things": "fox"},
        {"also": ["kitten"]},
        {"examples": [{"prompt": "a fox"}]},
        {"examples": 3},
        {"about": None},
    ],
)
def test_a_file_of_another_kind_is_none_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, changed: Any) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_knows(write_knows(tmp_path, **changed)) is None
    assert "knows.json" in caplog.text


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_broken_file_is_none_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes) -> None:
    (tmp_path / "knows.json").write_bytes(text)
    with caplog.at_level(logging.WARNING):
        assert read_knows(tmp_path) is None
    assert "knows.json" in caplog.text


def test_the_catalog_tells_what_a_folder_knows_and_sees_when_that_changes(tmp_path: Path, parts: Parts) -> None:
    models = tmp_path / "models"
    folder = write_knows(models / "little")
    (folder / "model_index.json").write_text("{}")
    catalog = Catalog([models], [], parts.families, tmp_path / "hashes.json")
    (entry,) = catalog.entries()
    assert entry.knows and entry.knows.things[0] == "fox" and isinstance(hash(entry), int)
    write_knows(models / "little", things=["owl", "a longer name"])
    catalog.refresh()
    (entry,) = catalog.entries()
    assert entry.knows and entry.knows.things[0] == "owl"
    (folder / "knows.json").unlink()
    catalog.refresh()
    assert catalog.entries()[0].knows is None
