"""The routes of extensions: each extension's below /extensions/NAME, an app of its own, so that nothing of it meets ours.

It stands behind the same door as everything (webui.api.guard): login, foreign pages, size of a body. What changes something is
closed to viewers here, and what a route raises becomes one sentence with the extension's name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.api import errors
from webui.api.access import Access
from webui.api.guard import READ_ONLY, REFUSED_SOCKET
from webui.contract.errors import PluginError
from webui.contract.more_parts import RoutesPart
from webui.contract.parts import Parts
from webui.workspace.app import App
from webui.workspace.troubles import Troubles

_log = logging.getLogger(__name__)
READING = ("GET", "HEAD", "OPTIONS")
FAILED_SOCKET = 1011
WHERE = "its routes"


def install(server: FastAPI, app: App, access: Access) -> None:
    """Mount the routes of all extensions. A router that FastAPI will not take answers every request with a sentence."""
    for part in app.parts.routes:
        server.mount(f"/extensions/{part.name}", Door(_app_of(part, app.troubles), part.name, access))


def _app_of(part: RoutesPart, troubles: Troubles) -> ASGIApp | None:
    """Without pages of documentation, which would load scripts from elsewhere; its openapi.json is its own.

    Start-up and shutdown functions of the router are not run: the program is up when it is asked first.
    """
    made = FastAPI(title=part.name, docs_url=None, redoc_url=None)
    errors.install(made)
    made.add_middleware(Told, name=part.name, troubles=troubles)
    try:
        made.include_router(part.function)
    except Exception as error:  # noqa: BLE001 (the router is a stranger's, and is told)
        troubles.add(part.name, WHERE, error)
        return None
    return made


def faults(parts: Parts, owner: str) -> Iterator[PluginError]:
    """What is wrong with the routes of a plugin: a router that FastAPI will not take."""
    troubles = Troubles()
    for part in parts.routes:
        if part.name == owner and _app_of(part, troubles) is None:
            yield PluginError(f"FastAPI cannot use the routes of {owner}: {troubles.of(owner)[0].error}")


class Door:
    """ASGI: who may come in."""

    def __init__(self, routes: ASGIApp | None, name: str, access: Access) -> None:
        self.routes = routes
        self.name = name
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_socket = scope["type"] == "websocket"
        if self.access.is_read_only and (is_socket or scope["method"] not in READING):
            if is_socket:  # nobody can tell what it would do
                return await send({"type": "websocket.close", "code": REFUSED_SOCKET})
            return await errors.answer(403, "Forbidden", READ_ONLY)(scope, receive, send)
        if self.routes is None:
            sentence = f"The routes of the extension {self.name} cannot be used; the Extensions tab says why."
            return await _refuse(sentence, scope, receive, send)
        return await self.routes(scope, receive, send)


class Told:
    """ASGI middleware: what the routes raise is told with the extension's name, and kept for the Extensions tab."""

    def __init__(self, app: ASGIApp, name: str, troubles: Troubles) -> None:
        self.app = app
        self.name = name
        self.troubles = troubles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watched(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] != "http.response.body"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except (Exception, SystemExit) as error:  # the latter would end the whole program
            self.troubles.add(self.name, WHERE, error)
            _log.error("%s %s failed", scope.get("method", "WebSocket"), scope["path"])
            if has_started:  # half an answer is out: only breaking off tells the caller that it is not whole
                raise RuntimeError(f"the extension {self.name} failed in the middle of an answer") from error
            sentence = (
                f"The extension {self.name} failed in its routes ({type(error).__name__}); the log of the program says where."
            )
            await _refuse(sentence, scope, receive, send)


async def _refuse(sentence: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": FAILED_SOCKET})
    return await errors.answer(500, "PluginError", sentence)(scope, receive, send)
