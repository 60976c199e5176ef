"""The live stream over a real socket: frames go out, and no garbage, silence or departure at the other end harms it."""

from __future__ import annotations

import io
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.api.small import basic
from tests.api.test_progress import until
from webui.api import live
from webui.api.access import Access
from webui.api.live import PICTURE_BYTES, TEXT_LETTERS, TOO_MANY, TOO_SLOW
from webui.api.server import build
from webui.workspace.app import App
from webui.workspace.live import STREAMS

PASSWORD = "correct-horse-battery"
BUFFER = 8192
"""Bytes that a socket holds back, so that a viewer who does not read is found out soon."""


@dataclass
class Door:
    """Where a server listens."""

    port: int
    server: uvicorn.Server

    @property
    def busy(self) -> int:
        """Requests and sockets that the server is busy with."""
        return len(self.server.server_state.tasks)

    @contextmanager
    def open(self, **options: Any) -> Iterator[Page]:
        address = f"ws://127.0.0.1:{self.port}/api/v1/live"
        with connect(address, max_size=None, proxy=None, open_timeout=60, ping_interval=None, **options) as opened:
            yield Page(opened)


class Page:
    """A browser's side of the socket."""

    def __init__(self, opened: ClientConnection) -> None:
        self.socket = opened

    def send(self, message: Any) -> None:
        """Bytes and text as they are, anything else as JSON."""
        self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def ask(self, number: int, **more: Any) -> None:
        fields = {"prompt": "a fox", "checkpoint": "swift", "seed": 5, "width": 64, "height": 64}
        self.send({"input": number, **fields, **more})

    def read(self) -> tuple[dict[str, Any], bytes]:
        """The next message, and the JPEG where it is a frame, which is then shown."""
        message = self.socket.recv(timeout=60)
        if isinstance(message, str):
            return json.loads(message, parse_constant=not_json), b""
        (length,) = struct.unpack(">I", message[:4])
        told = json.loads(message[4 : 4 + length])
        self.send({"shown": told["frame"]})
        return told, message[4 + length :]

    def wait(self, claim: Callable[[dict[str, Any]], Any]) -> tuple[dict[str, Any], bytes, list[dict[str, Any]]]:
        """The first message of which that is true, its JPEG, and all that came before it."""
        before: list[dict[str, Any]] = []
        while True:
            told, jpeg = self.read()
            if claim(told):
                return told, jpeg, before
            before.append(told)

    def wait_for_final(self, number: int) -> tuple[dict[str, Any], bytes, list[dict[str, Any]]]:
        return self.wait(lambda told: told.get("final") and told["input"] == number)

    def drop(self) -> None:
        """Gone without a word, as a laptop that is shut, or a browser that crashes."""
        raw = self.socket.socket
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            raw.shutdown(socket.SHUT_RD)
        raw.close()


def not_json(name: str) -> None:
    raise AssertionError(f"{name} is nothing that a browser reads")


@contextmanager
def served(app: App, auth: str | None = None) -> Iterator[Door]:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)  # its connections have it from it
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    web = build(app, Access.for_flags(auth=auth, port=port))
    server = uvicorn.Server(uvicorn.Config(web, log_level="error", timeout_graceful_shutdown=1, proxy_headers=False))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    until(lambda: server.started)
    yield Door(port, server)
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def door(turbo_app: App) -> Iterator[Door]:
    with served(turbo_app) as opened:
        yield opened


@pytest.fixture
def page(door: Door) -> Iterator[Page]:
    with door.open() as opened:
        yield opened


@pytest.fixture(autouse=True)
def nobody_stays(turbo_app: App) -> Iterator[None]:
    yield
    until(lambda: turbo_app.live.viewers == 0)
    assert sum(thread.name in ("live", "walk") for thread in threading.enumerate()) <= 1


def file_of(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


# ---------------------------------------------------------------- the protocol


def test_a_page_warms_up_asks_is_shown_frames_and_keeps_one(page: Page, turbo_app: App) -> None:
    page.send({"warm": {"checkpoint": "swift", "width": 64, "height": 64}})
    model = page.wait(lambda told: "model" in told)[0]["model"]
    assert (model["checkpoint"], model["is_turbo"], model["note"]) == ("swift", True, "")
    page.ask(17, steps=2, prompt="een vos \u2603 \U0001f98a")
    seen = []
    while not seen or not seen[-1][0]["final"]:
        told, jpeg = page.read()
        seen += [(told, jpeg)] if jpeg else []
    assert [(told["frame"], told["input"], told["step"], told["steps"]) for told, _ in seen] == [(1, 17, 1, 2), (2, 17, 2, 2)]
    for told, jpeg in seen:
        with Image.open(io.BytesIO(jpeg)) as opened:
            assert (opened.format, opened.size) == ("JPEG", (told["width"], told["height"])) == ("JPEG", (64, 64))
    page.send({"keep": 2})
    told, _, before = page.wait(lambda told: "kept" in told)
    assert told["frame"] == 2 and not any("error" in one for one in before)
    job = turbo_app.queue.wait(told["kept"], 60)
    assert (job.state, job.tab) == ("finished", "turbo") and job.images[0].path


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_repainted_from_the_next_input_on(page: Page, kind: str) -> None:
    page.ask(1, picture=False)
    alone = page.wait_for_final(1)[1]
    for number, colour in ((2, "red"), (3, "lime")):
        page.send(file_of(Image.new("RGB", (80, 80), colour), kind))
        page.ask(number, picture=True, strength=0.05)
        jpeg = page.wait_for_final(number)[1]
        with Image.open(io.BytesIO(jpeg)) as opened:
            mean = np.asarray(opened).mean((0, 1))
        assert mean.argmax() == number - 2 and mean.max() > 2 * np.sort(mean)[1], mean
    page.ask(4, picture=False)
    assert page.wait_for_final(4)[1] == alone


def test_the_newest_of_many_inputs_is_the_last_frame(page: Page) -> None:
    for number in range(200):
        page.ask(number, prompt=f"a fox {number}", steps=1 + number % 4)
    _, _, before = page.wait_for_final(199)
    inputs = [told["input"] for told in before if "frame" in told]
    assert inputs == sorted(inputs)
    page.ask(200)
    assert not [told for told in page.wait_for_final(200)[2] if "frame" in told and told["input"] < 200]


# ---------------------------------------------------------------- garbage


SENTENCES: list[tuple[Any, str, int | None, str]] = [
    ("", "The message is no JSON object.", None, ""),
    ("hello", "The message is no JSON object.", None, ""),
    ("{", "The message is no JSON object.", None, ""),
    ("[]", "The message is no JSON object.", None, ""),
    ('[{"input": 1}]', "The message is no JSON object.", None, ""),
    ("17", "The message is no JSON object.", None, ""),
    ("null", "The message is no JSON object.", None, ""),
    ("NaN", "The message is no JSON object.", None, ""),
    ('"input"', "The message is no JSON object.", None, ""),
    ("[" * 100_000, "The message is no JSON object.", None, ""),
    ('{"input": ' + "9" * 5000 + "}", "The message is no JSON object.", None, ""),
    ("{}", "The message asks for nothing. It can hold input, shown, keep or warm.", None, ""),
    ('{"": 1}', "The message asks for nothing.", None, ""),
    ('{"prompt": "' + "x" * TEXT_LETTERS + '"}', "The message is too long.", None, ""),
    ('{"input": NaN}', "Input nan is not right. It must be a whole number.", None, "input"),
    ('{"input": Infinity}', "Input inf is not right.", None, "input"),
    ('{"input": 1e400}', "Input inf is not right.", None, "input"),
    ('{"input": "' + "x" * 1000 + '"}', "Input 'xxx", None, "input"),
    ('{"input": {"input": 1}}', "Input {'input': 1} is not right.", None, "input"),
    ('{"input": true}', "Input True is not right.", None, "input"),
    ('{"input": -1}', "Input -1 is out of range.", -1, "input"),
    ('{"input": ' + "9" * 4000 + "}", "Input 999", int("9" * 4000), "input"),
    ('{"input": 1, "prompt": null}', "Prompt None is not right. It must be text.", 1, "prompt"),
    ('{"input": 2, "strength": NaN}', "Strength nan is not right.", 2, "strength"),
    ('{"input": 3, "smooth": -Infinity}', "Smooth -inf is not right.", 3, "smooth"),
    ('{"input": 4, "seed": "7"}', "Seed '7' is not right.", 4, "seed"),
    ('{"input": 5, "width": 1e9}', "Width 1000000000.0 is not right.", 5, "width"),
    ('{"input": 6, "width": 0}', "Width 0 is out of range.", 6, "width"),
    ('{"input": 7, "picture": "yes"}', "Picture 'yes' is not right.", 7, "picture"),
    ('{"input": 8, "sampler": "Euler"}', "No field is called 'sampler'.", 8, "sampler"),
    ('{"input": 9, "' + "y" * 100_000 + '": 1}', "No field is called 'yyy", 9, "y" * 60),
    ('{"input": 10, "\\ud800": 1}', "Request '\\ud800' is not right. It must be text.", 10, "request"),
    ('{"input": 11, "checkpoint": "\\ud800"}', "Checkpoint '\\ud800' is not right. It must be text.", 11, "checkpoint"),
    ('{"input": 12, "checkpoint": "../../etc/passwd"}', "No checkpoint is called '../../etc/passwd'.", 12, ""),
    ('{"shown": "1"}', "Shown must be the number of a frame.", None, "shown"),
    ('{"shown": 1.5}', "Shown must be the number of a frame.", None, "shown"),
    ('{"shown": NaN}', "Shown must be the number of a frame.", None, "shown"),
    ('{"shown": true}', "Shown must be the number of a frame.", None, "shown"),
    ('{"keep": null}', "Keep must be the number of a frame.", None, "keep"),
    ('{"keep": [1]}', "Keep must be the number of a frame.", None, "keep"),
    ('{"keep": -1}', "That picture is no longer at hand.", None, ""),
    ('{"keep": ' + "9" * 4000 + "}", "That picture is no longer at hand.", None, ""),
    ('{"warm": true}', "Warm must be an object", None, "warm"),
    ('{"warm": {"checkpoint": 5}}', "Checkpoint 5 is not right.", None, "checkpoint"),
    ('{"warm": {"checkpoint": "nosuch"}}', "No checkpoint is called 'nosuch'.", None, ""),
    ('{"warm": {"width": -5}}', "Width -5 is out of range.", None, "width"),
    ('{"warm": {"colour": 1}}', "No field is called 'colour'.", None, "colour"),
    (b"\0" * (PICTURE_BYTES + 1), "The picture is larger than 8 MB. Send a smaller one.", None, "picture"),
    (b"\0" * (9 * 2**20), "The picture is larger than 8 MB. Send a smaller one.", None, "picture"),
]  # fmt: skip


def test_each_thing_that_can_be_wrong_is_answered_in_one_sentence_and_the_stream_goes_on(page: Page) -> None:
    for number, (message, sentence, of, field) in enumerate(SENTENCES, 1000):
        page.send(message)
        told, _, before = page.wait(lambda told: "error" in told)
        assert told["error"].startswith(sentence) and len(told["error"]) < 400 and told["error"].endswith("."), told["error"]
        assert (told["input"], told["field"]) == (of, field), message[:60]
        assert not [one for one in before if "state" not in one]
        if number % 6 == 0:
            page.ask(number)
            assert not [one for one in page.wait_for_final(number)[2] if "error" in one]
    page.ask(1)
    page.wait_for_final(1)


@pytest.mark.parametrize("message", ['{"shown": -5}', '{"shown": 0}', '{"shown": 123456789012345678901234567890}'])
def test_frames_that_never_were_may_be_called_shown(page: Page, message: str) -> None:
    page.send(message)
    page.ask(1)
    assert not [one for one in page.wait_for_final(1)[2] if "error" in one]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"rubbish",
        bytes(range(256)) * 40,
        file_of(Image.new("RGB", (64, 64)))[:-30],
        file_of(Image.new("RGB", (64, 64)), "JPEG")[:300],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["empty", "text", "bytes", "half a PNG", "half a JPEG", "SVG"],
)
def test_what_is_no_picture_is_said_when_it_is_to_be_repainted(page: Page, rubbish: bytes) -> None:
    page.send(rubbish)
    page.ask(1)
    page.wait_for_final(1)
    if not rubbish:  # nothing is no picture
        return
    page.ask(2, picture=True)
    told, _, _ = page.wait(lambda told: "error" in told)
    assert (told["input"], told["field"]) == (2, "picture") and told["error"].startswith("Picture is ")
    page.send(file_of(Image.new("RGB", (64, 64), "blue")))
    page.ask(3, picture=True)
    page.wait_for_final(3)


def any_json(dice: random.Random, depth: int = 0) -> Any:
    names = ["input", "shown", "keep", "warm", "prompt", "seed", "steps", "width", "picture", "x", ""]
    plain = [None, True, 0, -1, 7, 2**70, 0.5, float("nan"), "", "a fox", "\ud800", "\0"]
    kind = dice.randrange(4 if depth < 3 else 2)
    if kind < 2:
        return dice.choice(plain)
    count = dice.randrange(4)
    if kind == 2:
        return [any_json(dice, depth + 1) for _ in range(count)]
    return {dice.choice(names): any_json(dice, depth + 1) for _ in range(count)}


@pytest.mark.parametrize("seed", range(4))
def test_no_garbage_stops_a_stream(page: Page, seed: int) -> None:
    dice = random.Random(seed)
    for number in range(80):
        what = dice.randrange(4)
        if what == 0:
            page.send(dice.randbytes(dice.randrange(200)))
        elif what == 1:
            page.send(
                "".join(chr(dice.choice([34, 58, 91, 93, 123, 125, 48, 0x2603, 0x1F98A, 0])) for _ in range(dice.randrange(20)))
            )
        else:
            page.send(json.dumps(any_json(dice)))
        if number % 20 == 19:
            page.ask(10_000 + number)
            page.wait_for_final(10_000 + number)


def test_a_message_beyond_all_bounds_closes_its_own_stream_only(door: Door, page: Page) -> None:
    with door.open() as other:
        other.send(b"\0" * (17 * 2**20))
        with pytest.raises(ConnectionClosed):
            while True:
                other.read()
    page.ask(1)
    page.wait_for_final(1)


# ---------------------------------------------------------------- those who go, and those who do not listen


@pytest.mark.parametrize("way", ["close", "drop"])
@pytest.mark.parametrize("when", ["at once", "after asking", "in the middle of a walk", "while a picture comes"])
def test_whoever_leaves_leaves_nothing_behind(door: Door, turbo_app: App, way: str, when: str) -> None:
    with door.open() as page:
        until(lambda: turbo_app.live.viewers == 1)
        if when == "while a picture comes":
            page.send(b"\0" * (4 * 2**20))
        if when != "at once":
            page.ask(1, steps=4)
        if when == "in the middle of a walk":
            told, _, _ = page.wait(lambda told: "frame" in told)
            assert told["step"] == 1
        if way == "drop":
            page.drop()
        else:
            page.socket.close()
        until(lambda: turbo_app.live.viewers == 0)
    with door.open() as page:
        page.ask(2)
        page.wait_for_final(2)


def test_ten_pages_at_once_all_get_their_last_input(door: Door) -> None:
    def look(name: int) -> tuple[int, int]:
        with door.open() as page:
            for number in range(25):
                page.ask(number, seed=name, prompt=f"a fox {number}")
            told, _, before = page.wait_for_final(24)
            assert not [one for one in before if "error" in one]
            return name, int(told["seed"])

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(look, range(10))) == [(name, name) for name in range(10)]


def test_one_page_too_many_is_told_so_and_closed(door: Door, turbo_app: App) -> None:
    pages = [door.open() for _ in range(STREAMS)]
    for each in pages:
        each.__enter__()
    until(lambda: turbo_app.live.viewers == STREAMS)
    with door.open() as late, pytest.raises(ConnectionClosed) as told:
        late.read()
    assert told.value.rcvd is not None
    assert (told.value.rcvd.code, told.value.rcvd.reason) == (
        TOO_MANY,
        f"{STREAMS} live streams are open already. Close one of them first.",
    )
    for each in pages:
        each.__exit__(None, None, None)


class Deaf:
    """A viewer that speaks and does not listen, down to the last byte: RFC 6455 by hand."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.socket.connect(("127.0.0.1", port))
        lines = ("GET /api/v1/live HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Upgrade: websocket")
        lines += ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "")
        self.socket.sendall("\r\n".join(lines).encode())

    def flood(self, text: str, is_over: Callable[[], bool]) -> None:
        """Tell it again and again (at most 125 letters, under a mask of zeros), as far as the other end takes it in."""
        message, rest = bytes([0x81, 0x80 | len(text)]) + bytes(4) + text.encode(), b""
        self.socket.setblocking(False)
        while not is_over():
            rest = rest or message
            try:
                rest = rest[self.socket.send(rest) :]
            except BlockingIOError:
                time.sleep(0.002)

    def read_until(self, end: bytes) -> None:
        self.socket.settimeout(60)
        came = b""
        while end not in came:
            part = self.socket.recv(65536)
            assert part, "it was closed without that"
            came = came[-len(end) :] + part


@pytest.fixture
def deaf(door: Door, turbo_app: App) -> Iterator[Deaf]:
    """One whose stream was closed because it did not read."""
    made = Deaf(door.port)
    until(lambda: turbo_app.live.viewers == 1)
    made.flood('{"input": "' + "x" * 60 + '"}', is_over=lambda: turbo_app.live.viewers == 0)
    yield made
    made.socket.close()


def test_a_viewer_that_does_not_read_is_closed_and_hears_why_if_it_reads_in_the_end(deaf: Deaf, page: Page) -> None:
    page.ask(1)
    page.wait_for_final(1)
    deaf.read_until(struct.pack(">H", TOO_SLOW) + b"This stream was not read, so it was closed.")


def test_for_one_that_never_reads_the_server_does_not_wait(monkeypatch: pytest.MonkeyPatch, door: Door, request: Any) -> None:
    monkeypatch.setattr(live, "GOODBYE", 0.1)
    request.getfixturevalue("deaf")
    until(lambda: door.busy == 0)


# ---------------------------------------------------------------- who is let in


def test_a_login_is_needed_where_the_server_asks_for_one(turbo_app: App) -> None:
    with served(turbo_app, auth=f"ada:{PASSWORD}") as door:
        for headers in ({}, basic("ada", "guess"), {"Cookie": "webui=guess"}):
            with pytest.raises(InvalidStatus) as told, door.open(additional_headers=headers):
                pass
            assert told.value.response.status_code == 403
        assert turbo_app.live.viewers == 0
        with door.open(additional_headers=basic("ada", PASSWORD)) as page:
            page.ask(1)
            page.wait_for_final(1)


@pytest.mark.parametrize("origin", ["http://evil.com", "null", "http://localhost:3000", "https://127.0.0.1.evil.com"])
def test_a_page_of_another_site_is_refused_before_it_opens(door: Door, turbo_app: App, origin: str) -> None:
    with pytest.raises(InvalidStatus) as told, door.open(additional_headers={"Origin": origin}):
        pass
    assert told.value.response.status_code == 403 and turbo_app.live.viewers == 0


def test_our_own_page_is_let_in(door: Door) -> None:
    with door.open(additional_headers={"Origin": f"http://127.0.0.1:{door.port}"}) as page:
        page.ask(1)
        page.wait_for_final(1)


def test_a_server_that_ends_lets_its_viewers_go(turbo_app: App) -> None:
    with suppress(ConnectionClosed), served(turbo_app) as door, door.open() as page:
        page.ask(1, steps=4)
        page.wait(lambda told: "frame" in told)
    until(lambda: turbo_app.live.viewers == 0)
