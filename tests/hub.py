"""A server on this machine that speaks as the hub of models does, as far as files go."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

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
