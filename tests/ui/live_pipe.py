"""A pipe of the test's own in the place of the program's: it remembers what the page sends, and answers as it is told to."""

from __future__ import annotations

import io
import json
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

ADDRESS = re.compile(r"/api/v1/live$")
MODEL = {
    "checkpoint": "quick", "label": "Quick Turbo", "is_turbo": True, "steps": 1, "base": "pocket", "width": 96, "height": 64,
    "repaints": True, "note": "",
}  # fmt: skip
COLOURS = ("#d02020", "#20a020", "#2020d0", "#d0d020")


def colour(number: int) -> tuple[int, int, int]:
    """Of the frame that answers that input."""
    digits = COLOURS[number % len(COLOURS)]
    return int(digits[1:3], 16), int(digits[3:5], 16), int(digits[5:7], 16)


@dataclass
class Pipe:
    """`page.route_web_socket(ADDRESS, pipe.open)`, before the tab is opened."""

    model: dict[str, Any] = field(default_factory=lambda: dict(MODEL))
    is_answering: bool = True
    """Whether a frame comes for each input."""
    closes: int = 0
    """Connections that are still to be closed as soon as they are opened."""
    sockets: list[Any] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    """All messages; {"file": bytes} for a binary one."""
    frames: int = 0

    def open(self, socket: Any) -> None:
        self.sockets.append(socket)
        self.opened.append(time.monotonic())
        socket.on_message(self._take)
        if self.closes:
            self.closes -= 1
            socket.close()

    def _take(self, message: str | bytes) -> None:
        said = {"file": message} if isinstance(message, bytes) else json.loads(message)
        self.said.append(said)
        if "warm" in said:
            self.tell(model=self.model)
        if "input" in said and self.is_answering:
            self.answer(said)
        if "keep" in said:
            self.tell(kept="job", frame=said["keep"])

    def tell(self, **message: Any) -> None:
        self.sockets[-1].send(json.dumps(message))

    def answer(self, asked: dict[str, Any], jpeg: bytes = b"") -> int:
        """A frame of one colour; its number."""
        self.frames += 1
        size = {name: asked[name] for name in ("width", "height")}
        told = {
            "frame": self.frames, "input": asked["input"], "step": 1, "steps": 1, "final": True, "ms": 21.4, "network_ms": 18.0,
            **size, "seed": str(asked["seed"]), "checkpoint": "quick",
        }  # fmt: skip
        held = io.BytesIO()
        Image.new("RGB", (size["width"], size["height"]), colour(asked["input"])).save(held, "JPEG")
        head = json.dumps(told).encode()
        self.sockets[-1].send(struct.pack(">I", len(head)) + head + (jpeg or held.getvalue()))
        return self.frames

    def all(self, name: str) -> list[Any]:
        return [said[name] for said in self.said if name in said]

    @property
    def inputs(self) -> list[dict[str, Any]]:
        return [said for said in self.said if "input" in said]

    @property
    def last(self) -> dict[str, Any]:
        return self.inputs[-1]


def until(page: Any, is_so: Callable[[], Any], seconds: float = 20) -> None:
    """Waits while the page goes on."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come"
        page.wait_for_timeout(20)


def settled(page: Any, pipe: Pipe, milliseconds: int = 300) -> None:
    """Until the page has said nothing for a while."""
    count = -1
    while count != len(pipe.said):
        count = len(pipe.said)
        page.wait_for_timeout(milliseconds)
