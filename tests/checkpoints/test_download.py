"""Fetching what is not bundled, from a server on this machine that speaks as the hub does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.hub import Hub, hub
from webui.checkpoints import download
from webui.checkpoints.download import EXTRAS, Shelf
from webui.contract.errors import DownloadError, MissingFileError, UnknownNameError

WORDS = "".join(f"word{i}\n" for i in range(20_000)).encode()
__all__ = ["hub"]


@pytest.fixture
def words_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real vocabulary is not here, so the table holds the checksum of ours."""
    part = download.Part("vocab.txt", hashlib.sha256(WORDS).hexdigest())
    row = EXTRAS["bert-vocabulary"]
    changed = download.Extra(row.about, row.size, row.folder, row.repository, ((part,),))
    monkeypatch.setattr(download, "EXTRAS", {**EXTRAS, "bert-vocabulary": changed})


def parts_left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".part")]


def test_what_is_missing_is_asked_for_in_one_sentence(tmp_path: Path) -> None:
    shelf = Shelf([tmp_path])
    assert shelf.find("bert-vocabulary") is None
    with pytest.raises(MissingFileError) as missing:
        shelf.need("bert-vocabulary")
    assert str(missing.value) == (
        "BERT's vocabulary, with which LDM text-to-image reads prompts, is missing (232 kB): fetch it with "
        "`webui fetch bert-vocabulary`, or put vocab.txt into models/BERT."
    )
    with pytest.raises(UnknownNameError, match="Did you mean 'depth-estimator'"):
        shelf.fetch("depth-estimater")


def test_a_file_that_the_user_put_there_is_found_beside_the_checkpoint_or_in_any_models_folder(tmp_path: Path) -> None:
    shelf = Shelf([tmp_path / "own", tmp_path / "project"])
    vocabulary = tmp_path / "project" / "BERT" / "vocab.txt"
    vocabulary.parent.mkdir(parents=True)
    vocabulary.write_text("[PAD]\n")
    assert shelf.find("bert-vocabulary") == vocabulary
    beside = tmp_path / "ldm" / "vocab.txt"
    beside.parent.mkdir()
    beside.write_text("[PAD]\n")
    assert shelf.find("bert-vocabulary", beside=tmp_path / "ldm" / "model.ckpt") == beside


def test_a_fetched_file_lies_in_the_first_folder_and_no_token_is_sent(tmp_path: Path, hub: Hub, words_are_right: None) -> None:
    hub.files["google-bert/bert-base-uncased/vocab.txt"] = WORDS
    seen: list[tuple[int, int]] = []
    shelf = Shelf([tmp_path / "own", tmp_path / "project"])
    path = shelf.fetch("bert-vocabulary", lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "own" / "BERT" / "vocab.txt"
    assert path.read_bytes() == WORDS
    assert seen[0] == (0, len(WORDS)) and seen[-1] == (len(WORDS), len(WORDS))
    assert not parts_left(tmp_path)
    assert set(hub.tokens) == {""}
    asked = len(hub.tokens)
    assert shelf.fetch("bert-vocabulary") == path
    assert len(hub.tokens) == asked  # what is there is not fetched again


def test_a_wrong_checksum_leaves_nothing_behind(tmp_path: Path, hub: Hub) -> None:
    hub.files["google-bert/bert-base-uncased/vocab.txt"] = WORDS
    with pytest.raises(DownloadError, match="another checksum"):
        Shelf([tmp_path]).fetch("bert-vocabulary")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_large_file_is_followed_to_where_it_is_stored_and_goes_on_where_it_broke_off(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 500)
    weights = bytes(range(256)) * 4096
    hub.files["Intel/dpt-hybrid-midas/config.json"] = b"{}"
    hub.files["Intel/dpt-hybrid-midas/pytorch_model.bin"] = weights
    hub.breaks_after = 1000
    shelf = Shelf([tmp_path])

    def pull_the_plug(done: int, total: int) -> None:
        if done > 3000:
            raise OSError("the plug is pulled")

    with pytest.raises(DownloadError, match="broke off"):
        shelf.fetch("depth-estimator", pull_the_plug)
    (left,) = parts_left(tmp_path)
    there = left.stat().st_size
    assert 2000 < there < len(weights) and weights.startswith(left.read_bytes())
    assert shelf.find("depth-estimator") is None
    hub.breaks_after = 0
    hub.ranges.clear()
    folder = shelf.fetch("depth-estimator")
    assert folder == tmp_path / "depth" / "dpt-hybrid-midas"
    assert f"bytes={there}-" in hub.ranges
    assert (folder / "pytorch_model.bin").read_bytes() == weights  # the safetensors were not there
    assert not parts_left(tmp_path)


def test_a_large_file_is_checked_by_the_hubs_own_word(tmp_path: Path, hub: Hub) -> None:
    hub.files["Intel/dpt-hybrid-midas/config.json"] = b"{}"
    hub.files["Intel/dpt-hybrid-midas/model.safetensors"] = b"a" * 5000
    shelf = Shelf([tmp_path])

    hub.claims["Intel/dpt-hybrid-midas/model.safetensors"] = "0" * 64
    with pytest.raises(DownloadError, match="another checksum"):
        shelf.fetch("depth-estimator")
    assert shelf.find("depth-estimator") is None


def test_without_a_network_there_is_one_plain_sentence(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError) as told:
        Shelf([tmp_path]).fetch("bert-vocabulary")
    assert str(told.value) == (
        "bert-vocabulary was not fetched: http://127.0.0.1:9 cannot be reached, or broke off. Try again when there is a "
        "network. Or put vocab.txt into models/BERT."
    )


def test_a_mirror_that_does_not_have_it_is_named(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(DownloadError, match="answers 404 for Intel/dpt-hybrid-midas"):
        Shelf([tmp_path]).fetch("depth-estimator")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "BERT").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot be written to"):
        Shelf([tmp_path]).fetch("bert-vocabulary")
