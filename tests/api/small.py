"""A small real app behind the real guard, for the tests of the door."""

from __future__ import annotations

import base64

from fastapi import FastAPI, Request, WebSocket
from fastapi.testclient import TestClient

from webui.api import errors, guard, login
from webui.api.access import Access

BASE = "http://localhost:7860"


def small_app(access: Access, body_bytes_at_most: int = guard.BODY_BYTES_AT_MOST) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(login.router(access))
    errors.install(app)

    @app.get("/")
    def page() -> str:
        return "the page of the app"

    @app.get("/who")
    def who(request: Request) -> str:
        return guard.user_of(request)

    @app.api_route("/thing", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    async def thing(request: Request) -> dict[str, object]:
        return {"bytes": len(await request.body()), "url": str(request.url), "headers": dict(request.headers)}

    @app.get("/gradio_api/{rest:path}")
    def gradio(rest: str) -> str:
        return "served " + rest

    @app.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    app.add_middleware(errors.Calm)
    app.add_middleware(guard.Guard, access=access, body_bytes_at_most=body_bytes_at_most)
    return app


def client(access: Access, base_url: str = BASE, **options: object) -> TestClient:
    return TestClient(small_app(access), base_url=base_url, follow_redirects=False, **options)  # type: ignore[arg-type]


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
