"""The whole server without the page: every route behind the door, no secret in any answer, and a real socket."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient

from tests.api.conftest import Pace
from tests.api.small import BASE, basic
from tests.api.test_progress import until
from webui.api.access import Access
from webui.api.server import build
from webui.workspace.app import App

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
PASSWORD = "correct-horse-battery"


def routes(app: App, access: Access) -> list[tuple[str, str]]:
    """Every path with every method that it has, from the description that the server gives of itself, and the hidden ones."""
    server = build(app, access)
    described = [(path, method.upper()) for path, item in server.openapi()["paths"].items() for method in item]
    return [*described, ("/openapi.json", "GET"), ("/logout", "POST"), ("/nothing", "GET")]


def test_a_stranger_gets_401_on_every_route_that_there_is(app: App) -> None:
    access = Access.for_flags(listen=True, auth=f"ada:{PASSWORD}")
    stranger, walked = TestClient(build(app, access), base_url=BASE), routes(app, access)
    assert len(walked) > 40
    for path, _ in walked:
        for method in METHODS:
            response = stranger.request(method, path.replace("{id}", "x").replace("{index}", "0"))
            assert response.status_code == 401, f"{method} {path}"
            assert PASSWORD not in response.text
    assert stranger.get("/healthz").status_code == 200


def test_no_answer_holds_the_password_or_a_path_of_this_machine(app: App) -> None:
    access = Access.for_flags(listen=True, auth=f"ada:{PASSWORD}")
    owner = TestClient(build(app, access), base_url=BASE, headers=basic("ada", PASSWORD))
    for path, method in routes(app, access):
        if method == "GET" and "{" not in path and path != "/api/v1/events":
            response = owner.get(path)
            assert response.status_code in (200, 404), path
            assert PASSWORD not in response.text and str(app.paths.data) not in response.text, path


def test_without_a_login_but_open_to_others_nothing_can_be_changed(paced: App, pace: Pace) -> None:
    pace.run()
    guest = TestClient(build(paced, Access.for_flags(listen=True, no_login=True)), base_url="http://192.168.1.5:7860")
    for path, body in (
        ("/sdapi/v1/options", {"samples_format": "webp"}),
        ("/api/v1/checkpoints/choose", {"name": "pear"}),
        ("/api/v1/checkpoints/refresh", None),
        ("/sdapi/v1/refresh-checkpoints", None),
    ):
        response = guest.post(path, json=body)
        assert response.status_code == 403 and "--auth" in response.json()["detail"], path
    assert guest.get("/sdapi/v1/options").status_code == 200
    drawn = guest.post("/sdapi/v1/txt2img", json={"steps": 1, "width": 64, "height": 64})
    assert drawn.status_code == 200 and paced.checkpoints.chosen == "apple"


def test_the_description_of_the_api_is_there_and_nothing_loads_from_elsewhere(quick: TestClient) -> None:
    paths = quick.get("/openapi.json").json()["paths"]
    assert {"/sdapi/v1/txt2img", "/sdapi/v1/progress", "/sdapi/v1/interrupt", "/api/v1/jobs", "/api/v1/events"} <= set(paths)
    assert quick.get("/docs").status_code == quick.get("/redoc").status_code == 404


def test_long_answers_are_packed_and_pictures_are_not(quick: TestClient) -> None:
    assert quick.get("/openapi.json", headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"


@pytest.fixture
def address(paced: App) -> Iterator[str]:
    """The server on a real socket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    access = Access.for_flags(auth=f"ada:{PASSWORD}", port=port)
    config = uvicorn.Config(
        build(paced, access), host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1, proxy_headers=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def test_events_reach_a_listener_at_once_over_a_real_socket(address: str, pace: Pace) -> None:
    pace.run()
    login = ("ada", PASSWORD)
    kinds: list[str] = []
    with httpx.Client(base_url=address, auth=login, timeout=30, trust_env=False) as client:
        with client.stream("GET", "/api/v1/events", headers={"Accept-Encoding": "gzip"}) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream") and "content-encoding" not in stream.headers
            for line in stream.iter_lines():
                if not line.startswith("data: "):
                    continue
                kinds.append(json.loads(line.removeprefix("data: "))["kind"])
                if kinds[-1] == "snapshot":
                    body = {"prompt": "a", "steps": 2, "width": 64, "height": 64, "save": False}
                    taken = httpx.post(f"{address}/api/v1/jobs", json=body, auth=login, trust_env=False)
                    assert taken.status_code == 202
                if kinds[-1] == "finished":
                    break
        assert httpx.get(f"{address}/api/v1/jobs", trust_env=False).status_code == 401
    assert kinds[0] == "snapshot" and kinds[-1] == "finished" and "image" in kinds


def test_a_client_that_goes_away_ends_nothing(address: str, paced: App, pace: Pace) -> None:
    body = {"prompt": "a", "steps": 2, "width": 64, "height": 64}
    with pytest.raises(httpx.ReadTimeout):
        timeout = httpx.Timeout(30, read=0.3)
        httpx.post(f"{address}/sdapi/v1/txt2img", json=body, auth=("ada", PASSWORD), timeout=timeout, trust_env=False)
    until(lambda: len(paced.queue.jobs()) == 1)
    pace.run()
    assert paced.queue.wait(paced.queue.jobs()[0].id, 30).state == "finished"


def test_a_socket_from_elsewhere_is_closed_before_it_opens(address: str) -> None:
    response = httpx.get(
        address,
        headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "http://evil.com",
        },
        trust_env=False,
    )  # fmt: skip
    assert response.status_code == 403
