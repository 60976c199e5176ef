"""The page's own scripts, and its style for the first paint, in the document itself.

Gradio adds a `head` from its script, when its components are already coming to life: their code then calls a script that
may not be there, and scripts that are added so run in any order. Written into the document they run first, in order, and
the page is never seen without its style.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MARK = b"<head>"


class HeadFirst:
    """Writes HTML behind <head> of the page at "/".

    Args:
        app: the server.
        head: HTML.
    """

    def __init__(self, app: ASGIApp, head: str) -> None:
        self._app = app
        self._head = head.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or scope["method"] != "GET" or path not in ("", "/"):
            await self._app(scope, receive, send)
            return
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        started: list[Message] = []
        body = bytearray()

        async def changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.append(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            headers = MutableHeaders(scope=started[0])
            whole = bytes(body)
            if headers.get("content-type", "").startswith("text/html"):
                whole = whole.replace(MARK, MARK + self._head, 1)
                headers["content-length"] = str(len(whole))
            await send(started[0])
            await send({"type": "http.response.body", "body": whole})

        await self._app({**scope, "headers": plain}, receive, changed)
