"""Guiders and conditioners on request over HTTP and on the command line; pictures in their options."""

from __future__ import annotations

import base64
import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.api.small import BASE
from tests.api.test_progress import until
from tests.guiding import CONDITIONERS, GUIDERS, write_guiding
from webui.api.access import Access
from webui.api.server import build
from webui.commands import generate
from webui.contract.errors import FieldError
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest, pictures_of, request_from
from webui.flags import parse
from webui.main import find_parts
from webui.workspace.app import App, open_app
from webui.workspace.inputs import Inputs, names_in
from webui.workspace.paths import Paths

ASKED = {"prompt": "a red cube", "sampler": "Euler", "steps": 1, "seed": 9, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    data = tmp_path_factory.mktemp("own")
    (data / "models" / "Pushes").mkdir(parents=True)
    (data / "models" / "Pushes" / "double.pt").write_text("2")
    opened = open_app(Paths(data), parts_of(data), cpu_only=True)
    yield opened
    opened.close()


def parts_of(data: Path) -> Parts:
    write_guiding(data, GUIDERS, "guiding")
    write_guiding(data, CONDITIONERS.replace('"Raises"', '"Raises too"'), "conditioning")
    parts, extensions = find_parts(Paths(data, project=data))
    assert [one.error for one in extensions] == ["", ""]
    return parts


@pytest.fixture
def client(own: App) -> TestClient:
    return TestClient(build(own, Access.for_flags()), base_url=BASE)


def grey(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 5), (level, level, level)).save(file, "PNG")
    return file.getvalue()


def finished(client: TestClient, **values: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/jobs", json={**ASKED, **values})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    until(lambda: client.get(f"/api/v1/jobs/{job['id']}").json()["state"] in ("finished", "failed"))
    return client.get(f"/api/v1/jobs/{job['id']}").json()


def test_the_lists_tell_what_a_request_may_name(client: TestClient) -> None:
    guiders = {row["name"]: row for row in client.get("/api/v1/guiders").json()}
    assert guiders["Gain"]["aliases"] == ["Loud"]
    assert (guiders["Gain"]["options"][0]["kind"], guiders["Gain"]["options"][0]["high"]) == ("float", 2)
    conditioners = {row["name"]: row for row in client.get("/api/v1/conditioners").json()}
    assert {"Pushed", "Picture push"} < set(conditioners)
    assert not {"text", "CLIP text"} & set(conditioners), "a family's own are none on request"
    kinds = {one["name"]: (one["kind"], one["of"], one["default"]) for one in conditioners["Picture push"]["options"]}
    assert kinds == {
        "picture": ("picture", "", ""), "preprocessor": ("part", "preprocessors", ""), "model_file": ("file", "Pushes", ""),
    }  # fmt: skip
    assert [row["name"] for row in client.get("/api/v1/preprocessors").json()] == ["Inverted"]
    assert client.get("/api/v1/files/Pushes").json() == ["double.pt"]
    assert client.get("/api/v1/files/nothing").json() == client.get("/api/v1/files/Pushes/%2e%2e").json() == []


def test_the_requests_schema_has_them(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    schema = described["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    rows = {one.get("title"): one for one in schema["properties"]["conditioners"]["items"]["anyOf"]}
    assert rows["Pushed"]["properties"]["options"]["properties"]["by"]["maximum"] == 1
    assert rows["Picture push"]["properties"]["options"]["properties"]["picture"]["type"] == "string"
    assert "Gain" in json.dumps(schema["properties"]["guiders"])


def test_a_request_that_names_them_draws_with_them(client: TestClient) -> None:
    plain = finished(client)
    chosen = {"guiders": ["Gain", {"name": "Shift", "options": {"by": 0.5}}], "conditioners": [["Pushed", {"by": 0.5}]]}
    job = finished(client, **chosen)
    assert job["state"] == "finished", job["error"]
    assert [one["name"] for one in job["request"]["guiders"]] == ["Gain", "Shift"]
    assert job["request"]["conditioners"] == [{"name": "Pushed", "options": {"by": 0.5, "sides": "both"}}]
    texts = [one["images"][0]["infotext"] for one in (plain, job)]
    assert "Conditioners" not in texts[0] and r'Conditioners: "[[\"Pushed\", {\"by\": 0.5, ' in texts[1]
    addresses = [f"/api/v1/jobs/{one['id']}/images/0.png" for one in (plain, job)]
    assert client.get(addresses[0]).content != client.get(addresses[1]).content


def test_a_picture_in_an_option_comes_as_data_or_by_name(client: TestClient, own: App) -> None:
    data = base64.b64encode(grey(100)).decode()
    jobs = [
        finished(client, conditioners=[["Picture push", {"picture": f"data:image/png;base64,{data}", "model_file": "double"}]]),
        finished(client, conditioners=[["Pushed", {"by": 600 / 7650}]]),
    ]
    assert [job["error"] for job in jobs] == ["", ""]
    options = jobs[0]["request"]["conditioners"][0]["options"]
    assert options["model_file"] == "double.pt" and own.inputs.path(options["picture"]).read_bytes() == grey(100)
    again = finished(client, conditioners=[["Picture push", options]])
    found = [
        Image.open(io.BytesIO(client.get(f"/api/v1/jobs/{job['id']}/images/0.png").content)).tobytes() for job in (*jobs, again)
    ]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"guiders": ["Gian"]}, "No guider is called 'Gian'. Did you mean 'Gain'?"),
        ({"guiders": "Gain"}, "Guiders 'Gain' are not right. They must be a list of names, or of names with options."),
        ({"conditioners": [["Picture push", {"picture": "nonsense"}]]}, "The field 'conditioners' is not a picture."),
        (
            {"conditioners": ["Pushed", ["Picture push", {"picture": "0" * 64}]]},
            "Picture of conditioner 2 '0000000000000000' is not kept here (any more). Give the picture again.",
        ),
        ({"conditioners": [["Picture push", {"model_file": "triple"}]]}, "No file of models/Pushes is called 'triple'. There is"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(client: TestClient, values: dict[str, Any], words: str) -> None:
    answer = client.post("/api/v1/jobs", json={**ASKED, **values})
    assert answer.status_code == 422
    assert words in answer.text.replace('\\"', '"') and next(iter(values)) in answer.text


def test_a_bad_part_ends_its_job_alone(client: TestClient) -> None:
    job = finished(client, guiders=["Raises"])
    assert job["state"] == "failed" and "The extension guiding failed in its guider 'Raises'" in job["error"]
    assert finished(client)["state"] == "finished"


def test_a_picture_in_an_option_of_a_waiting_job_survives_a_restart(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    first = open_app(Paths(tmp_path), parts, cpu_only=True, takes_jobs=False)
    name = first.inputs.put(grey(200))
    lonely = first.inputs.put(grey(7))
    request = request_from({**ASKED, "conditioners": [["Picture push", {"picture": name}]]})
    job = first.queue.submit(request)
    first.close()
    for kept in (name, lonely):
        os.utime(first.inputs.path(kept), (time.time() - 30 * 86_400,) * 2)
    again = open_app(Paths(tmp_path), parts, cpu_only=True)
    try:
        until(lambda: again.queue.job(job.id).state in ("finished", "failed"))
        assert (again.queue.job(job.id).state, again.queue.job(job.id).error) == ("finished", "")
        assert again.inputs.has(name) and not again.inputs.has(lonely)
    finally:
        again.close()


def test_pictures_of_options_are_among_those_that_a_request_names(tmp_path: Path) -> None:
    kept = Inputs(tmp_path)
    name = kept.put(grey(3))
    request = GenerationRequest(
        conditioners=[["A", {"picture": name, "word": "0" * 63}]], guiders=[["B", {"other": name}]], script_options={"one": name}
    )  # type: ignore[arg-type]
    assert pictures_of(request) == {"conditioners.0.picture": name, "guiders.0.other": name, "script_options.one": name}
    assert names_in([request]) == {name}
    kept.check(request)
    kept.path(name).unlink()
    with pytest.raises(FieldError, match="Picture of conditioner 1 ") as raised:
        kept.check(request)
    assert raised.value.field == "conditioners"


def test_the_command_line_takes_them_with_pictures_by_path(own: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "grey.png").write_bytes(grey(100))

    def drawn(*more: str) -> bytes:
        words = ["generate", "a red cube", "--steps", "1", "--seed", "9", "-W", "64", "-H", "64", "--sampler", "Euler", *more]
        assert generate(parse([*words, "-o", str(tmp_path / "out.png")]), lambda: own) == 0
        with Image.open(tmp_path / "out.png") as image:
            return image.tobytes()

    by_path = json.dumps({"picture": str(tmp_path / "grey.png")})
    assert drawn("--conditioner", f"Picture push:{by_path}") == drawn("--conditioner", 'Pushed:{"by": 0.0392156862745098}')
    twice = drawn("--guider", "Gain", "--guider", 'Shift:{"by": 0.5}')
    assert twice == drawn("--guider", 'Shift:{"by": 0.5}') != drawn("--guider", "Gain")
    with pytest.raises(FieldError, match=r"There is no picture 'nowhere.png', which the options of conditioners name\."):
        drawn("--conditioner", 'Picture push:{"picture": "nowhere.png"}')
    with pytest.raises(SystemExit):
        parse(["generate", "a", "--guider", "Gain:{by}"])
    with pytest.raises(SystemExit):
        parse(["generate", "a", "--guider", " "])
    capsys.readouterr()
