"""Looking at a job while it runs, and ending it, through the interface that A1111's clients speak."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import Pace
from tests.api.small import BASE
from webui.workspace.app import App

ORDER = {"prompt": "a", "steps": 4, "width": 64, "height": 64, "n_iter": 2, "seed": 1}


def until(claim: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


def post_beside(client: TestClient, fields: dict[str, Any]) -> Future[Any]:
    """The waiting call in a thread of its own, as a client would have it."""
    beside = TestClient(client.app, base_url=BASE)
    return ThreadPoolExecutor(1).submit(beside.post, "/sdapi/v1/txt2img", json=ORDER | fields)


def assert_idle(client: TestClient) -> None:
    answer = client.get("/sdapi/v1/progress").json()
    assert answer["progress"] == 0 and answer["eta_relative"] == 0 and answer["current_image"] is None
    assert answer["state"]["job"] == "" and answer["state"]["job_count"] == 0 and answer["current_task"] is None


def test_progress_is_nothing_while_idle_rises_during_a_job_and_is_nothing_after(
    paced_client: TestClient, paced: App, pace: Pace
) -> None:
    assert_idle(paced_client)
    waits = post_beside(paced_client, {})
    seen = []
    for step in range(1, 8):
        pace.go(1)
        until(lambda step=step: paced.queue.running() is not None and paced.queue.running().fraction >= step / 8 - 1e-9)  # type: ignore[misc]
        paced_client.get("/sdapi/v1/options")  # looking never disturbs
        seen.append(paced_client.get("/sdapi/v1/progress").json())
    fractions = [answer["progress"] for answer in seen]
    assert fractions == sorted(fractions) and fractions[0] > 0 and fractions[-1] == pytest.approx(7 / 8)
    states = [answer["state"] for answer in seen]
    assert {state["job_count"] for state in states} == {2} and [state["job_no"] for state in states] == [0] * 4 + [1] * 3
    assert [state["sampling_step"] for state in states] == [1, 2, 3, 4, 1, 2, 3] and states[0]["sampling_steps"] == 4
    assert base64.b64decode(seen[0]["current_image"]).startswith(b"\xff\xd8")
    assert paced_client.get("/sdapi/v1/progress?skip_current_image=true").json()["current_image"] is None
    pace.go(1)
    assert len(waits.result(30).json()["images"]) == 2
    assert_idle(paced_client)


def test_interrupt_gives_the_waiting_call_the_pictures_that_are_finished(
    paced_client: TestClient, paced: App, pace: Pace
) -> None:
    waits = post_beside(paced_client, {})
    pace.go(6)
    until(lambda: bool(paced.queue.running() and paced.queue.running().images and paced.queue.running().step == 2))  # type: ignore[union-attr]
    assert paced_client.post("/sdapi/v1/interrupt").json() == {}
    response = waits.result(30)
    info = json.loads(response.json()["info"])
    assert response.status_code == 200 and len(response.json()["images"]) == len(info["infotexts"]) == len(info["all_seeds"]) == 1
    assert_idle(paced_client)


def test_interrupt_before_the_first_picture_gives_none_and_info_that_is_whole(
    paced_client: TestClient, paced: App, pace: Pace
) -> None:
    waits = post_beside(paced_client, {})
    until(lambda: paced.queue.running() is not None)
    paced_client.post("/sdapi/v1/interrupt")
    response = waits.result(30)
    info = json.loads(response.json()["info"])
    assert response.status_code == 200 and response.json()["images"] == [] and info["all_seeds"] == [] and info["infotexts"] == []
    assert info["seed"] == 1 and info["sd_model_name"] == "apple"


@pytest.mark.parametrize("call", ["interrupt", "skip"])
def test_ending_what_does_not_run_is_fine(paced_client: TestClient, call: str) -> None:
    assert paced_client.post(f"/sdapi/v1/{call}").status_code == 200


def test_interrupt_ends_the_running_job_and_not_the_one_behind_it(paced_client: TestClient, paced: App, pace: Pace) -> None:
    first = post_beside(paced_client, {"prompt": "first"})
    until(lambda: paced.queue.running() is not None)
    second = post_beside(paced_client, {"prompt": "second", "n_iter": 1})
    until(lambda: len(paced.queue.jobs()) == 2)
    paced_client.post("/sdapi/v1/interrupt")
    assert first.result(30).json()["images"] == []
    pace.run()
    assert len(second.result(30).json()["images"]) == 1


def test_skip_of_a_single_batch_is_an_interrupt_and_of_several_a_clear_answer(
    paced_client: TestClient, paced: App, pace: Pace
) -> None:
    waits = post_beside(paced_client, {})
    until(lambda: paced.queue.running() is not None)
    response = paced_client.post("/sdapi/v1/skip")
    assert response.status_code == 422 and "interrupt" in response.json()["detail"]
    paced_client.post("/sdapi/v1/interrupt")
    waits.result(30)
    waits = post_beside(paced_client, {"n_iter": 1})
    until(lambda: paced.queue.running() is not None)
    assert paced_client.post("/sdapi/v1/skip").status_code == 200
    assert waits.result(30).json()["images"] == []


def test_a_client_follows_its_own_task_by_the_name_it_gave(paced_client: TestClient, paced: App, pace: Pace) -> None:
    def ask(task: str, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = paced_client.post("/internal/progress", json={"id_task": task} | more).json()
        return answer

    first = post_beside(paced_client, {"force_task_id": "task(one)", "n_iter": 1})
    until(lambda: paced.queue.running() is not None)
    second = post_beside(paced_client, {"force_task_id": "task(two)", "n_iter": 1})
    until(lambda: ask("task(two)")["queued"])
    assert ask("task(two)")["textinfo"] == "In queue: 1/1"
    assert paced_client.get("/internal/pending-tasks").json() == {"size": 1, "tasks": ["task(two)"]}
    pace.go(1)
    until(lambda: ask("task(one)")["progress"] == 0.25)
    answer = ask("task(one)", id_live_preview=-1)
    assert answer["active"] and answer["live_preview"].startswith("data:image/jpeg;base64,") and answer["id_live_preview"] == 1
    assert ask("task(one)", id_live_preview=1)["live_preview"] is None
    assert paced_client.get("/sdapi/v1/progress").json()["current_task"] == "task(one)"
    pace.run()
    first.result(30), second.result(30)
    assert ask("task(one)")["completed"] and not ask("task(one)")["active"]
    assert ask("task(none)") | {"id_live_preview": -1} == {
        "active": False, "queued": False, "completed": False, "progress": None, "eta": None, "live_preview": None,
        "id_live_preview": -1, "textinfo": None,
    }  # fmt: skip
    assert paced_client.get("/internal/ping").status_code == 200
