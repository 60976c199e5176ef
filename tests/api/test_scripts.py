"""Scripts through both interfaces: listed with their options, asked for by name, and wrong asking answered in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import pytest
from starlette.testclient import TestClient

from webui.api.access import Access
from webui.api.server import build
from webui.contract import Range
from webui.contract.more_parts import ScriptPart
from webui.contract.request import GenerationRequest
from webui.workspace.app import App

ASKED = {"prompt": "a red cube", "steps": 1, "width": 64, "height": 64, "seed": 7}


def seeds(request: GenerationRequest, *, pictures: Annotated[int, Range(1, 9)] = 2, apart: int = 1) -> Iterator[Any]:
    for i in range(pictures):
        yield replace(request, seed=request.seed + i * apart)


@pytest.fixture
def client(app: App) -> Iterator[TestClient]:
    app.parts.scripts.add(ScriptPart("Some seeds", seeds, count=lambda request, pictures, apart: pictures), "theirs")
    yield TestClient(build(app, Access.for_flags()), base_url="http://127.0.0.1:7860")
    app.parts.scripts.remove_owner("theirs")


def test_scripts_are_listed_with_their_options(client: TestClient) -> None:
    (row,) = client.get("/api/v1/scripts").json()
    assert row["name"] == "Some seeds" and [option["name"] for option in row["options"]] == ["pictures", "apart"]
    assert row["runs_unasked"] is False
    fields = client.get("/openapi.json").json()["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    (none, theirs) = fields["schema"]["properties"]["script_options"]["anyOf"]
    assert none["maxProperties"] == 0 and theirs["title"] == "Some seeds"
    assert theirs["properties"]["pictures"] == {"type": "integer", "title": "Pictures", "default": 2, "minimum": 1, "maximum": 9}
    assert client.get("/sdapi/v1/scripts").json() == {"txt2img": ["some seeds"], "img2img": ["some seeds"]}
    info = client.get("/sdapi/v1/script-info").json()
    assert [(one["name"], one["is_img2img"], one["is_alwayson"]) for one in info] == [
        ("some seeds", False, False), ("some seeds", True, False)]  # fmt: skip
    assert info[0]["args"][0] == {
        "label": "Pictures", "value": 2, "minimum": 1, "maximum": 9, "step": 1, "choices": None}  # fmt: skip


def test_a_job_names_a_script(client: TestClient, app: App) -> None:
    sent = ASKED | {"script": "some seeds", "script_options": {"apart": 5}}
    job = client.post("/api/v1/jobs", json=sent).json()
    assert job["pictures"] == 2 and job["request"]["script_options"] == {"pictures": 2, "apart": 5}
    assert [image.seed for image in app.queue.wait(job["id"], 60).images] == ["7", "12"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"script": "Sum seeds"}, "No script is called 'Sum seeds'. Did you mean 'Some seeds'?"),
        ({"script": "Some seeds", "script_options": {"pictures": 99}}, "It can be a whole number, 1 to 9."),
        ({"script": "Some seeds", "script_options": {"far": 1}}, "Some seeds has no option 'far'."),
        ({"script_options": {"far": 1}}, "no script is named"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_queues_nothing(wrong: dict[str, Any], words: str, client: TestClient, app: App) -> None:
    before = len(app.queue.jobs())
    answer = client.post("/api/v1/jobs", json=ASKED | wrong)
    assert answer.status_code == 422 and words in answer.json()["detail"]
    assert answer.json()["field"] == ("script" if wrong == {"script": "Sum seeds"} else "script_options")
    assert len(app.queue.jobs()) == before


@pytest.mark.parametrize("args", [[3, 5], {"apart": 5, "pictures": 3}])
def test_the_convention_names_it_and_its_arguments_in_order_or_by_name(args: Any, client: TestClient) -> None:
    answer = client.post("/sdapi/v1/txt2img", json=ASKED | {"script_name": "Some Seeds", "script_args": args}).json()
    assert len(answer["images"]) == 3 and '"all_seeds": [7, 12, 17]' in answer["info"]


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"script_name": "x/y/z plot"}, "script_name", "No script is called 'x/y/z plot'. Known: Some seeds."),
        (
            {"script_name": "some seeds", "script_args": [4, "7", 0, ""]},
            "script_args",
            "2 arguments (pictures, apart), and 4",
        ),
        ({"script_name": "some seeds", "script_args": [4, "7"]}, "script_args", "'apart' of Some seeds cannot be '7'"),
    ],
)
def test_the_convention_says_what_is_wrong(wrong: dict[str, Any], field: str, words: str, client: TestClient) -> None:
    answer = client.post("/sdapi/v1/txt2img", json=ASKED | wrong)
    assert answer.status_code == 422 and answer.json()["field"] == field and words in answer.json()["detail"]
