"""Options of an extension's sampler over HTTP: listed, described, taken, refused, kept over a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.small import BASE
from tests.api.test_progress import until
from tests.pushing import pushing_parts
from webui.api.access import Access
from webui.api.server import build
from webui.commands import generate
from webui.contract.request import GenerationRequest, request_to_dict
from webui.flags import parse
from webui.workspace.app import App, open_app
from webui.workspace.jobs import from_dict
from webui.workspace.paths import Paths

ASKED = {"prompt": "a red cube", "sampler": "Pushed Euler", "steps": 2, "seed": 9, "schedule": "Bent"}


@pytest.fixture(scope="module")
def pushing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    data = tmp_path_factory.mktemp("pushing")
    opened = open_app(Paths(data), pushing_parts(data), cpu_only=True)
    yield opened
    opened.close()


@pytest.fixture
def client(pushing: App) -> TestClient:
    return TestClient(build(pushing, Access.for_flags()), base_url=BASE)


def test_the_lists_tell_each_parts_options(client: TestClient) -> None:
    samplers = {row["name"]: row for row in client.get("/api/v1/samplers").json()}
    schedules = {row["name"]: row for row in client.get("/api/v1/schedules").json()}
    assert samplers["Euler"]["options"] == []
    assert [one["name"] for one in samplers["Pushed Euler"]["options"]] == ["push", "tries", "gain", "keep_end", "side", "word"]
    push, side = samplers["Pushed Euler"]["options"][0], samplers["Pushed Euler"]["options"][4]
    assert (push["kind"], push["default"], push["low"], push["high"], push["label"]) == ("float", 1.0, 0, 2, "Push")
    assert (side["kind"], side["choices"]) == ("choice", ["left", "right"])
    assert schedules["Bent"]["options"][0]["name"] == "bend"


def test_the_requests_schema_has_them(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    schema = described["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["steps"]["anyOf"][0]["maximum"] == 1000
    ours = {one["title"]: one for one in schema["properties"]["sampler_options"]["anyOf"]}
    assert ours["Pushed Euler"]["properties"]["push"] == {
        "type": "number", "title": "Push", "default": 1.0, "minimum": 0, "maximum": 2, "description": "How far each step goes",
    }  # fmt: skip
    assert set(ours["Euler"]["properties"]) == {"s_churn", "s_tmin", "s_tmax", "s_noise"}
    assert "DPM++ 2M" not in ours
    assert {one["title"] for one in schema["properties"]["schedule_options"]["anyOf"]} >= {"Bent", "Karras"}
    assert "#/$defs" not in json.dumps(schema)


def finished(client: TestClient, **values: Any) -> dict[str, Any]:
    job = client.post("/api/v1/jobs", json={**ASKED, **values}).json()
    until(lambda: client.get(f"/api/v1/jobs/{job['id']}").json()["state"] in ("finished", "failed"))
    job = client.get(f"/api/v1/jobs/{job['id']}").json()
    assert job["state"] == "finished", job["error"]
    return job


def test_a_request_that_names_them_draws_with_them(client: TestClient) -> None:
    job = finished(client, sampler_options={"push": 1}, schedule_options={"bend": 2})
    assert job["request"]["sampler_options"]["push"] == 1.0
    assert job["request"]["schedule_options"] == {"bend": 2.0}
    assert r'Sampler options: "{\"push\": 1.0, \"tries\": 1,' in job["images"][0]["infotext"]
    assert r'Schedule options: "{\"bend\": 2.0}"' in job["images"][0]["infotext"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"push": 3}', "Option 'push' of Pushed Euler cannot be 3. It can be 0 to 2."),
        ('{"pull": 1}', "Pushed Euler has no option 'pull', which is one of Other Euler."),
        ('{"push": null}', "Option 'push' of Pushed Euler cannot be None."),
        ('{"push": 1e999}', "Option 'push' of Pushed Euler cannot be"),
    ],
)
def test_a_wrong_one_is_refused_at_once_with_its_field(client: TestClient, body: str, words: str) -> None:
    text = json.dumps({**ASKED, "sampler_options": "HERE"}).replace('"HERE"', body)
    answer = client.post("/api/v1/jobs", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert "sampler_options" in json.dumps(answer.json())


def test_the_other_convention_takes_them_too(client: TestClient) -> None:
    body = {"prompt": "a red cube", "sampler_name": "Pushed Euler", "scheduler": "Bent", "steps": 2, "seed": 9}
    answer = client.post("/sdapi/v1/txt2img", json={**body, "sampler_options": {"push": 0.5}, "schedule_options": {"bend": 3}})
    assert r'Sampler options: "{\"push\": 0.5,' in json.loads(answer.json()["info"])["infotexts"][0]
    assert r'Schedule options: "{\"bend\": 3.0}"' in json.loads(answer.json()["info"])["infotexts"][0]
    refused = client.post("/sdapi/v1/txt2img", json={**body, "sampler_options": {"push": 5}})
    assert refused.status_code == 422
    assert "It can be 0 to 2." in refused.text


def test_a_job_keeps_them_over_a_restart(pushing: App) -> None:
    job = pushing.queue.submit(pushing_request(push=0.25), tab="txt2img")
    stored = json.loads(json.dumps(job.to_dict()))
    assert from_dict(stored).request == job.request
    assert from_dict(stored).request.sampler_options["push"] == 0.25  # type: ignore[union-attr]
    del stored["request"]["schedule_options"]  # as it was written before there were any
    assert request_to_dict(from_dict(stored).request)["schedule_options"] == {}


def pushing_request(**options: Any) -> GenerationRequest:
    return GenerationRequest(**ASKED, sampler_options=options)  # type: ignore[arg-type]


def test_the_command_line_takes_them(pushing: App, tmp_path: Path) -> None:
    words = ["generate", "a red cube", "--sampler", "Pushed Euler", "--steps", "2", "--sampler-options", '{"push": 1.5}']
    drawn = tmp_path / "drawn.png"
    flags = parse([*words, "--schedule", "Bent", "--schedule-options", '{"bend": 0.5}', "-o", str(drawn)])
    assert flags.request["sampler_options"] == {"push": 1.5}
    with pytest.raises(SystemExit):
        parse(["generate", "x", "--sampler-options", "push=1"])
    assert flags.request["schedule_options"] == {"bend": 0.5}
    assert generate(flags, lambda: pushing) == 0
    assert b"push" in drawn.read_bytes() and b"1.5" in drawn.read_bytes()
