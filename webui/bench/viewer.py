"""A viewer of the live stream in a process of its own, as a browser is: `python -m webui.bench.viewer PORT KIND SECONDS SIDE`.

Kinds: "typing", each input with new words, one after the other; "stream", each with another seed, the next one asked while one
is drawn; "steady", 20 inputs a second whatever comes back. Prints one line of JSON: for each frame when it came, for which
input, and how long that one took; all in seconds of time.perf_counter.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import time
from typing import Any

from websockets.sync.client import ClientConnection, connect

WORDS = "a small red fox with a hat on green grass in front of a white wall and a blue sphere on snow at sunset"
A_SECOND = 20
BEGUN = 0.001
"""Seconds after which an input is drawn where none was: a newer one does not take its place any more."""


def main(port: int, kind: str, seconds: float, side: int, checkpoint: str = "") -> dict[str, Any]:
    sent: dict[int, float] = {}
    frames: list[tuple[float, int, float]] = []
    with connect(f"ws://127.0.0.1:{port}/api/v1/live", max_size=None) as socket:

        def ask(number: int) -> None:
            words = (
                " ".join(WORDS.split()[: 2 + number % 20]) + (" again" if number // 20 % 2 else "")
                if kind == "typing"
                else "a red fox"
            )
            seed = 1 if kind == "typing" else number
            sent[number] = time.perf_counter()
            wish = {"input": number, "prompt": f"{words} {number // 40 if kind == 'typing' else ''}", "seed": seed}
            socket.send(json.dumps({**wish, "checkpoint": checkpoint, "width": side, "height": side}))

        socket.send(json.dumps({"warm": {"checkpoint": checkpoint, "width": side, "height": side}}))
        while "model" not in json.loads(_text(socket)):
            pass
        number = 0
        for _ in range(5):
            number += 1
            ask(number)
            _next(socket)
        sent.clear()
        ends = time.perf_counter() + seconds
        if kind == "steady":
            number = _steadily(socket, ask, number, ends, frames)
        else:
            ahead = 1 if kind == "stream" else 0
            came = {"input": number}
            while time.perf_counter() < ends:
                while number - came["input"] <= ahead:
                    number += 1
                    ask(number)
                    if number - came["input"] <= ahead:
                        time.sleep(BEGUN)
                came = _next(socket)
                frames.append((time.perf_counter(), came["input"], came["network_ms"] / 1000))
    told = [{"at": at, "input": of, "after": at - sent[of], "network": network} for at, of, network in frames if of in sent]
    return {"frames": told, "last": number}


def _steadily(socket: ClientConnection, ask: Any, number: int, ends: float, frames: list[tuple[float, int, float]]) -> int:
    """The last input that was sent; all that comes is read in another thread, until nothing more comes."""

    def read() -> None:
        while True:
            try:
                came = _next(socket, 3)
            except TimeoutError:
                return
            frames.append((time.perf_counter(), came["input"], came["network_ms"] / 1000))

    reader = threading.Thread(target=read)
    reader.start()
    due = time.perf_counter()
    while due < ends:
        number += 1
        ask(number)
        due += 1 / A_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
    reader.join()
    return number


def _text(socket: ClientConnection) -> str:
    while True:
        message = socket.recv(600)
        if isinstance(message, str):
            return message


def _next(socket: ClientConnection, timeout: float = 60) -> dict[str, Any]:
    """The next frame's head; it is said to be shown at once."""
    while True:
        message = socket.recv(timeout)
        if isinstance(message, str):
            told = json.loads(message)
            if told.get("error"):
                raise SystemExit(told["error"])
            continue
        (length,) = struct.unpack(">I", message[:4])
        head: dict[str, Any] = json.loads(message[4 : 4 + length])
        socket.send(json.dumps({"shown": head["frame"]}))
        return head


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:6])))
