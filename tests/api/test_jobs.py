"""Our own interface: jobs, their pictures, their events, checkpoints and tokens."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import Pace
from tests.api.test_progress import until
from webui.api import jobs as jobs_module
from webui.workspace.app import App
from webui.workspace.pictures import read_infotext

ASKED = {"prompt": "a red cube", "steps": 2, "width": 64, "height": 64, "seed": "9223372036854775806"}


def ended(client: TestClient, app: App, **fields: Any) -> dict[str, Any]:
    response = client.post("/api/v1/jobs", json=ASKED | fields)
    assert response.status_code == 202, response.text
    app.queue.wait(response.json()["id"], 30)
    job: dict[str, Any] = client.get(f"/api/v1/jobs/{response.json()['id']}").json()
    return job


def test_a_job_is_taken_at_once_and_goes_on_by_itself(paced_client: TestClient, paced: App, pace: Pace) -> None:
    response = paced_client.post("/api/v1/jobs", json=ASKED)
    assert (
        response.status_code == 202 and response.json()["state"] in ("waiting", "running") and response.json()["tab"] == "txt2img"
    )
    pace.run()
    job = ended(paced_client, paced, tab="img2img", save=False)
    assert job["state"] == "finished" and job["tab"] == "img2img" and job["fraction"] == 1
    assert [each["id"] for each in paced_client.get("/api/v1/jobs").json()] == [response.json()["id"], job["id"]]


def test_large_seeds_survive_digit_for_digit(quick: TestClient, paced: App) -> None:
    job = ended(quick, paced)
    assert job["request"]["seed"] == job["images"][0]["seed"] == "9223372036854775806"
    assert ended(quick, paced, seed=7)["request"]["seed"] == "7"
    assert int(ended(quick, paced, seed="-1")["request"]["seed"]) >= 0


def test_pictures_come_as_jpeg_and_png_with_their_infotext(quick: TestClient, paced: App) -> None:
    for save in (True, False):
        job = ended(quick, paced, save=save)
        for kind, start in (("jpg", b"\xff\xd8"), ("png", b"\x89PNG")):
            response = quick.get(f"/api/v1/jobs/{job['id']}/images/0.{kind}")
            assert response.status_code == 200 and response.content.startswith(start)
            assert read_infotext(response.content) == job["images"][0]["infotext"]
            assert response.headers["cache-control"].startswith("private") and "content-encoding" not in response.headers
    saved = ended(quick, paced)
    until(lambda: bool(paced.queue.job(saved["id"]).images[0].path))
    file = paced.paths.outputs / paced.queue.job(saved["id"]).images[0].path
    assert quick.get(f"/api/v1/jobs/{saved['id']}/images/0.png").content == file.read_bytes()


def test_what_is_not_there_is_404(quick: TestClient, paced: App) -> None:
    job = ended(quick, paced)["id"]
    for path in (f"{job}/images/1.jpg", f"{job}/images/1.png", "nobody", "nobody/images/0.jpg",
                 "nobody/images/0.png", "nobody/preview.jpg", "..%2f..%2fsettings.json", f"{job}/images/0.gif"):  # fmt: skip
        response = quick.get(f"/api/v1/jobs/{path}")
        assert response.status_code == 404 and set(response.json()) >= {"error", "detail"}, path
    assert quick.post("/api/v1/jobs/nobody/interrupt").status_code == 404
    assert quick.delete("/api/v1/jobs/nobody").status_code == 404
    assert quick.get(f"/api/v1/jobs/{job}/images/-1.jpg").status_code in (404, 422)


@pytest.mark.parametrize(
    "fields, status, field",
    [
        ({"steps": 0}, 422, "steps"),
        ({"width": 63}, 422, "width"),
        ({"guidance": "7"}, 422, "guidance"),
        ({"seed": "12x"}, 422, "seed"),
        ({"seed": "9" * 30}, 422, "seed"),
        ({"seed": "9223372036854775808"}, 422, "seed"),
        ({"cfg_scale": 7}, 422, "cfg_scale"),
        ({"tab": "../etc"}, 422, "tab"),
        ({"tab": ["txt2img"]}, 422, "tab"),
        ({"save": "yes"}, 422, "save"),
        ({"sampler": "Eular"}, 400, ""),
        ({"schedule": "xyz"}, 422, ""),
        ({"checkpoint": "nobody"}, 404, ""),
        ({"checkpoint": "broken"}, 422, ""),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_queued(
    quick: TestClient, paced: App, fields: dict[str, Any], status: int, field: str
) -> None:
    response = quick.post("/api/v1/jobs", json=ASKED | fields)
    assert response.status_code == status and response.json().get("field", "") == field, response.text
    assert paced.queue.jobs() == []


def test_only_the_job_that_is_named_ends(paced_client: TestClient, paced: App, pace: Pace) -> None:
    first, second, third = (paced_client.post("/api/v1/jobs", json=ASKED).json()["id"] for _ in range(3))
    until(lambda: paced.queue.job(first).state == "running")
    assert paced_client.delete(f"/api/v1/jobs/{first}").status_code == 409
    assert paced_client.post(f"/api/v1/jobs/{second}/interrupt").json()["state"] == "interrupted"
    assert paced_client.delete(f"/api/v1/jobs/{third}").status_code == 200
    assert paced_client.get(f"/api/v1/jobs/{third}").status_code == 404
    assert paced.queue.job(first).state == "running"
    assert paced_client.post(f"/api/v1/jobs/{first}/interrupt").status_code == 200
    assert paced.queue.wait(first, 30).state == "interrupted"
    assert paced_client.post(f"/api/v1/jobs/{first}/interrupt").json()["state"] == "interrupted"


def test_the_preview_of_a_running_job_can_be_fetched(paced_client: TestClient, paced: App, pace: Pace) -> None:
    job = paced_client.post("/api/v1/jobs", json=ASKED).json()["id"]
    pace.go(1)
    until(lambda: paced.queue.job(job).preview == 1)
    response = paced_client.get(f"/api/v1/jobs/{job}/preview.jpg?n=1")
    assert response.content.startswith(b"\xff\xd8") and response.headers["cache-control"] == "no-store"


def test_a_job_that_has_ended_has_no_preview_and_that_is_no_error(quick: TestClient, paced: App) -> None:
    assert quick.get(f"/api/v1/jobs/{ended(quick, paced)['id']}/preview.jpg?n=3").status_code == 204


def test_events_begin_with_what_there_is_and_tell_what_happens(paced: App, pace: Pace) -> None:
    async def listen() -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []
        async for text in jobs_module.stream(paced):
            lines = text.strip().split("\n")
            assert lines[0].startswith("id: ") and lines[1].startswith("data: ") and text.endswith("\n\n")
            heard.append(json.loads(lines[1].removeprefix("data: ")))
            if heard[-1]["kind"] == "snapshot":
                pace.run()
                await asyncio.to_thread(paced.queue.submit, jobs_module.request_from({**ASKED, "seed": 1}), save=False)
            if heard[-1]["kind"] == "finished":
                break
        return heard

    heard = asyncio.run(listen())
    kinds = [event["kind"] for event in heard]
    assert kinds[0] == "snapshot" and heard[0]["jobs"] == []
    assert [kind for kind in kinds if kind != "progress"] == ["snapshot", "queued", "started", "image", "finished"]
    assert [event["seq"] for event in heard] == sorted(event["seq"] for event in heard)
    assert heard[-1]["job"]["images"][0]["seed"] == "1"


def test_a_quiet_stream_says_that_it_is_alive(paced: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "SECONDS_BETWEEN_SIGNS", 0.05)
    monkeypatch.setattr(jobs_module, "SECONDS_TO_LISTEN", 0.02)

    async def listen() -> list[str]:
        heard = []
        async for text in jobs_module.stream(paced):
            heard.append(text)
            if len(heard) == 3:
                break
        return heard

    assert asyncio.run(listen())[1:] == [": still here\n\n"] * 2


def test_tokens_are_counted_without_weights(quick: TestClient, app: App) -> None:
    assert quick.get("/api/v1/tokens", params={"text": ""}).json() == {"used": 0, "room": 75}
    assert quick.get("/api/v1/tokens", params={"text": "a red sphere"}).json() == {"used": 3, "room": 75}
    assert quick.get("/api/v1/tokens", params={"text": "sphere " * 80}).json()["room"] == 150


def test_checkpoints_are_listed_with_state_and_defaults_and_one_is_chosen(quick: TestClient, app: App) -> None:
    rows = {row["name"]: row for row in quick.get("/api/v1/checkpoints").json()}
    assert rows["apple"]["state"] == "in use" and rows["apple"]["defaults"]["width"] == app.checkpoints.defaults("apple").width
    assert "prompt" in rows["apple"]["reads"] and (rows["apple"]["needs"], rows["apple"]["does"]) == ([], "txt2img")
    assert rows["broken"]["error"] and rows["broken"]["defaults"] is None and rows["pear"]["state"] != "in use"
    try:
        assert quick.post("/api/v1/checkpoints/choose", json={"name": "pear"}).json()["state"] == "in use"
        assert app.checkpoints.chosen == "pear" == app.settings.now.checkpoint
    finally:
        quick.post("/api/v1/checkpoints/choose", json={"name": "apple"})
    assert quick.post("/api/v1/checkpoints/choose", json={"name": "nobody"}).status_code == 404
    assert quick.post("/api/v1/checkpoints/choose", json={"name": "broken"}).status_code == 422
    assert quick.post("/api/v1/checkpoints/choose", json={}).json()["field"] == "name"
    assert app.checkpoints.chosen == "apple"


def test_waiting_clients_leave_room_for_short_questions(paced_client: TestClient, paced: App, pace: Pace) -> None:
    """More clients wait than the server has threads for short calls (40)."""

    async def crowd() -> int:
        transport = httpx.ASGITransport(app=paced_client.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:7860", timeout=60) as client:
            body = {"prompt": "a", "steps": 1, "width": 64, "height": 64, "send_images": False}
            waits = [asyncio.create_task(client.post("/sdapi/v1/txt2img", json=body)) for _ in range(60)]
            while len(paced.queue.jobs()) < 60:
                await asyncio.sleep(0.01)
            assert (await client.get("/sdapi/v1/progress")).status_code == 200
            pace.run()
            return [wait.status_code for wait in await asyncio.gather(*waits)].count(200)

    assert asyncio.run(crowd()) == 60
