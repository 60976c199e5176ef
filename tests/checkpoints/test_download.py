"""Fetching what is not bundled, from a server on this machine that speaks as the hub does."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from webui.checkpoints import download
from webui.checkpoints.download import EXTRAS, Shelf
from webui.contract.errors import DownloadError, MissingFileError, UnknownNameError

WORDS = "".join(f"word{i}\n" for i in range(20_000)).encode()
COMMIT = "86b5e0934494bd15c9632b12f734a8a67f723594"


@dataclass
class Hub:
    """Files by "owner/name/file"; large ones are redirected to another address, as the hub does."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    breaks_after: int = 0
    """Bytes after which a large file's connection is closed; 0: never."""
    claims: dict[str, str] = field(default_factory=dict)
    """Another SHA-256 than a file's own."""
    ranges: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.reply(is_head=True)

        def do_GET(self) -> None:
            self.reply(is_head=False)

        def reply(self, is_head: bool) -> None:
            hub.tokens.append(self.headers.get("authorization", ""))
            stored = self.path.startswith("/stored/")
            name = self.path.removeprefix("/stored").lstrip("/").replace("/resolve/main/", "/")
            data = hub.files.get(name)
            if data is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            digest = hub.claims.get(name, hashlib.sha256(data).hexdigest())
            is_large = name.endswith((".safetensors", ".bin"))
            if is_large and not stored:
                self.send_response(302)
                self.send_header("Location", f"{hub.url.replace('127.0.0.1', 'localhost')}/stored/{name}")  # another host
                self.send_header("X-Linked-Etag", f'"{digest}"')
                self.send_header("X-Linked-Size", str(len(data)))
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            asked = self.headers.get("range", "")
            hub.ranges.append(asked)
            first = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
            self.send_response(206 if first else 200)
            self.send_header("ETag", f'"{digest[:40]}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data) - first))
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if not is_head:
                body = data[first:]
                if hub.breaks_after and len(body) > hub.breaks_after:
                    self.wfile.write(body[: hub.breaks_after])
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.close()
                else:
                    self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    made = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    made.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield made
    server.shutdown()
    server.server_close()


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
