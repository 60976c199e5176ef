"""Routes of extensions: behind the same door as ours, an app of their own, and what they raise is one sentence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.api.small import BASE
from tests.api.test_extension_settings import client_of, opened
from tests.test_plugins import extension
from webui.workspace.app import App

ROUTES = """
from fastapi import APIRouter, HTTPException, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from webui.contract import hookimpl
from webui.contract.errors import FieldError

routes = APIRouter()
kept = {}

class Note(BaseModel):
    text: str

@routes.get("/notes")
def notes():
    return kept

@routes.put("/notes/{name}")
def put(name: str, note: Note):
    kept[name] = note.text
    return kept

@routes.delete("/notes/{name}")
async def delete(name: str):
    del kept[name]

@routes.get("/raises")
def raises():
    raise ValueError("of the extension")

@routes.get("/exits")
def exits():
    raise SystemExit(1)

@routes.get("/teapot")
def teapot():
    raise HTTPException(418, "It is a teapot.")

@routes.get("/field")
def field():
    raise FieldError("colour", "The colour is none.")

@routes.get("/half")
def half():
    def parts():
        yield b"half"
        raise ValueError("in the middle")
    return StreamingResponse(parts())

@routes.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()

@routes.websocket("/broken")
async def broken(socket: WebSocket):
    raise ValueError("before it is open")

@routes.on_event("startup")
def startup():
    raise SystemExit("never")

@hookimpl
def register_routes(register):
    register(routes)
"""
SHADOWS = """
from fastapi import APIRouter
from webui.contract import hookimpl

routes = APIRouter(prefix="/api/v1")

@routes.get("/jobs")
@routes.get("/../../../healthz")
def jobs():
    return "not the program's"

@hookimpl
def register_routes(register):
    register(routes)
"""
NO_ROUTE = SHADOWS.replace('prefix="/api/v1"', "").replace('"/jobs"', '""')


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    data = tmp_path_factory.mktemp("routes")
    extension(data, "Notes.1", ROUTES)
    extension(data, "shadows", SHADOWS)
    extension(data, "no-route", NO_ROUTE)
    made = opened(data)
    assert all(one.is_running for one in made.extensions)
    yield made
    made.close()


@pytest.fixture
def client(app: App) -> Iterator[TestClient]:
    with client_of(app) as made:
        yield made


HOST = {"host": "localhost:7860"}
NOTES = "/extensions/Notes.1/notes"


def test_routes_stand_below_the_extensions_name_and_work(client: TestClient) -> None:
    assert client.put(f"{NOTES}/a", json={"text": "x"}).json() == {"a": "x"}
    assert client.get(NOTES).json() == {"a": "x"}
    assert client.delete(f"{NOTES}/a").status_code == 200 and client.get(NOTES).json() == {}
    with client.websocket_connect("/extensions/Notes.1/echo", headers=HOST) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello"
    assert client.get(NOTES).headers["x-frame-options"] == "DENY"


def test_errors_have_the_programs_shape(client: TestClient) -> None:
    assert client.get("/extensions/Notes.1/teapot").json()["detail"] == "It is a teapot."
    field = client.get("/extensions/Notes.1/field")
    assert (field.status_code, field.json()["field"]) == (422, "colour")
    wrong = client.put(f"{NOTES}/a", json={"text": 3})
    assert (wrong.status_code, wrong.json()["detail"]) == (422, "text 3 is not right. It must be text.")
    assert client.get("/extensions/Notes.1/nothing").status_code == 404
    assert client.get("/extensions/nobody/notes").status_code == 404


@pytest.mark.parametrize(("path", "kind"), [("raises", "ValueError"), ("exits", "SystemExit")])
def test_what_a_route_raises_is_one_sentence_with_the_name_and_a_traceback_in_the_log(
    client: TestClient, app: App, path: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = client.get(f"/extensions/Notes.1/{path}")
    assert answer.status_code == 500
    assert answer.json()["detail"] == f"The extension Notes.1 failed in its routes ({kind}); the log of the program says where."
    assert kind in caplog.text and "extension.py" in caplog.text and "Traceback" in caplog.text
    assert client.get(NOTES).status_code == 200
    assert any(one.error.startswith(kind) for one in app.troubles.of("Notes.1"))


def test_half_an_answer_is_broken_off(client: TestClient) -> None:
    with pytest.raises(RuntimeError, match=r"Notes\.1 failed in the middle of an answer"):
        client.get("/extensions/Notes.1/half")
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/extensions/Notes.1/broken", headers=HOST):
        pass
    assert closed.value.code == 1011


def test_none_shadows_the_programs_routes(client: TestClient) -> None:
    assert client.get("/api/v1/jobs").json() == []
    assert client.get("/extensions/shadows/api/v1/jobs").json() == "not the program's"
    assert client.get("/healthz").json() != "not the program's"
    assert not [path for path in client.get("/openapi.json").json()["paths"] if path.startswith(("/notes", "/extensions/"))]
    assert "/notes/{name}" in client.get("/extensions/Notes.1/openapi.json").json()["paths"]


def test_a_router_that_fastapi_will_not_take_is_told(client: TestClient, app: App) -> None:
    answer = client.get("/extensions/no-route/x")
    assert answer.status_code == 500 and "routes of the extension no-route cannot be used" in answer.json()["detail"]
    (trouble,) = app.troubles.of("no-route")
    assert trouble.where == "its routes"


@contextmanager
def entering(app: App, **flags: Any) -> Iterator[TestClient]:
    with client_of(app, **flags) as made:
        yield made


def test_viewers_read_and_change_nothing(app: App) -> None:
    with entering(app, listen=True, no_login=True) as viewer:
        assert viewer.get(NOTES).status_code == 200
        for answer in (viewer.put(f"{NOTES}/b", json={"text": "x"}), viewer.delete(f"{NOTES}/b")):
            assert answer.status_code == 403 and "Nothing can be changed" in answer.json()["detail"]
        with pytest.raises(WebSocketDisconnect) as closed, viewer.websocket_connect("/extensions/Notes.1/echo", headers=HOST):
            pass
        assert closed.value.code == 4403


def test_strangers_and_foreign_pages_stay_outside(app: App) -> None:
    with entering(app, listen=True, auth="me:secret") as stranger:
        assert stranger.get(NOTES).status_code == 401
        assert stranger.get(NOTES, auth=("me", "secret")).status_code == 200
        assert stranger.put(f"{NOTES}/b", json={"text": "x"}, auth=("me", "secret")).status_code == 200
    with entering(app) as mine:
        assert mine.put(f"{NOTES}/b", json={"text": "y"}, headers={"origin": "http://evil.example"}).status_code == 403
        assert mine.get(NOTES, headers={"host": "evil.example"}).status_code == 421
        assert mine.get(NOTES).json() == {"b": "x"} and str(mine.base_url) == BASE


def test_there_are_no_routes_without_extensions(tmp_path: Path) -> None:
    made = opened(tmp_path)
    try:
        assert client_of(made).get("/extensions/Notes.1/notes").status_code == 404
    finally:
        made.close()
