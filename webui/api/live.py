"""Live streams over a WebSocket: the state of the controls comes in, frames go out, and neither side gets ahead of the other.

In: text with a JSON object, one of {"input": ...}, {"shown": frame}, {"keep": frame}, {"warm": {"checkpoint": ...}}; or the
file of a picture, which is repainted from the next input on. Out: text with a JSON object, {"state"}, {"model"}, {"error"} or
{"kept"}; or a frame: four bytes with the length of a JSON object, that object, a JPEG. See webui.contract.live.
"""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect

from webui.api.errors import CALM
from webui.contract.errors import FieldError, RequestError, WebUIError
from webui.contract.live import live_input_from
from webui.workspace.app import App
from webui.workspace.live import Cold, Viewer

_log = logging.getLogger(__name__)
PICTURE_BYTES = 8 * 2**20
TEXT_LETTERS = 300_000
UNREAD = 100
"""Messages that a viewer may leave unread before its stream is closed."""
GOODBYE = 5.0
"""Seconds in which such a viewer can still hear why."""
TOO_MANY, TOO_SLOW = 4429, 4408


def router(app: App) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["live"])

    @routes.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        outbox = Outbox(socket)
        try:
            viewer = app.live.open(outbox.tell)
        except RequestError as error:
            return await socket.close(TOO_MANY, str(error))
        sending = asyncio.create_task(outbox.send())
        try:
            has_left = await _listen(socket, viewer, outbox)
        finally:
            viewer.close()
            sending.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await sending
        if not has_left:  # what is unread lies in the way, maybe for ever
            with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
                await asyncio.wait_for(socket.close(TOO_SLOW, "This stream was not read, so it was closed."), GOODBYE)

    return routes


class Outbox:
    """What is on its way to a viewer. `tell` may be called from any thread."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket, self._loop = socket, asyncio.get_running_loop()
        self._waiting: asyncio.Queue[tuple[dict[str, Any], bytes]] = asyncio.Queue()

    def tell(self, told: dict[str, Any], frame: bytes = b"") -> None:
        with suppress(RuntimeError):  # the program is closing, and its loop has closed before
            self._loop.call_soon_threadsafe(self._waiting.put_nowait, (told, frame))

    async def send(self) -> None:
        """Until it is cancelled, or the viewer is gone."""
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                told, frame = await self._waiting.get()
                text = json.dumps(told)  # in ASCII: half a surrogate pair, which JSON can bring in, has no other bytes
                if frame:
                    head = text.encode()
                    await self._socket.send_bytes(b"".join((struct.pack(">I", len(head)), head, frame)))
                else:
                    await self._socket.send_text(text)

    @property
    def is_full(self) -> bool:
        return self._waiting.qsize() > UNREAD


async def _listen(socket: WebSocket, viewer: Viewer, outbox: Outbox) -> bool:
    """Until the viewer goes (True) or does not read what it is told. Whatever it sends, one sentence says what was wrong with
    it, and the stream goes on."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return True
        if outbox.is_full:
            return False
        number: int | None = None
        try:
            if (data := message.get("bytes")) is not None:
                _picture(viewer, data)
                continue
            asked = _object(message.get("text") or "")
            number = asked["input"] if type(asked.get("input")) is int else None
            await _answer(viewer, asked, outbox)
        except WebUIError as error:
            outbox.tell({"error": str(error), "input": number, "field": getattr(error, "field", "")})
        except Exception:  # noqa: BLE001 (whatever one message does, the next one is read)
            _log.exception("a live message failed")
            outbox.tell({"error": CALM, "input": number, "field": ""})


def _picture(viewer: Viewer, data: bytes) -> None:
    if len(data) > PICTURE_BYTES:
        raise FieldError("picture", f"The picture is larger than {PICTURE_BYTES // 2**20} MB. Send a smaller one.")
    viewer.show(data)


def _object(text: str) -> dict[str, Any]:
    if len(text) > TEXT_LETTERS:
        raise RequestError("The message is too long. Send the state of the controls only.")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise RequestError('The message is no JSON object. Send {"input": 1, "prompt": "..."}.')
    return values


async def _answer(viewer: Viewer, asked: dict[str, Any], outbox: Outbox) -> None:
    if "input" in asked:
        viewer.ask(live_input_from(asked))
    elif "shown" in asked:
        viewer.shown(_whole(asked, "shown"))
    elif "keep" in asked:
        frame = _whole(asked, "keep")
        job = await run_in_threadpool(viewer.keep, frame)
        outbox.tell({"kept": job, "frame": frame})
    elif "warm" in asked:
        if not isinstance(asked["warm"], dict):
            raise FieldError("warm", "Warm must be an object with checkpoint, width and height.")
        wish = live_input_from({"input": 0, **asked["warm"]})
        width, height = (getattr(wish, side) if side in asked["warm"] else None for side in ("width", "height"))
        viewer.warm(Cold(wish.checkpoint, width, height))
    else:
        raise RequestError("The message asks for nothing. It can hold input, shown, keep or warm.")


def _whole(asked: dict[str, Any], name: str) -> int:
    value = asked[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise FieldError(name, f"{name.capitalize()} must be the number of a frame.")
    return value
