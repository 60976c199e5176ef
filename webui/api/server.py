"""Puts the HTTP side together: routes, errors, and what every answer passes through. The page is mounted by main."""

from __future__ import annotations

import time

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui import __version__
from webui.api import a1111, added, checkpoints, errors, extensions, files, installs, jobs, live, login, schema
from webui.api.access import Access
from webui.api.guard import Guard
from webui.workspace.app import App


class Timing:
    """Says in X-Process-Time how many seconds an answer took to begin."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = f"{time.perf_counter() - began:.4f}".encode()
                message = {**message, "headers": [*message.get("headers", ()), (b"x-process-time", seconds)]}
            await send(message)

        return await self.app(scope, receive, timed)


def build(app: App, access: Access) -> FastAPI:
    """The server without the page. /docs would load its scripts from elsewhere, so there is only /openapi.json."""
    server = FastAPI(title="Latent WebUI", version=__version__, docs_url=None, redoc_url=None)
    errors.install(server)
    server.include_router(login.router(access))
    server.include_router(jobs.router(app))
    server.include_router(checkpoints.router(app, access))
    server.include_router(files.router(app, access))
    server.include_router(extensions.router(app, access))
    server.include_router(installs.router(app, access))
    server.include_router(live.router(app))
    server.include_router(a1111.router(app, access))
    schema.install(server, app.parts)
    added.install(server, app, access)
    # The last one added is the outermost: Guard sees a request first.
    server.add_middleware(errors.Calm)
    server.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)
    server.add_middleware(Timing)
    server.add_middleware(Guard, access=access)
    return server
