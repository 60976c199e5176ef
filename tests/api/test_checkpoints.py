"""Checkpoints in the API: what there is, what lies beside, notes, settings, what is in memory; who may change it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.api.small import BASE
from tests.conftest import POCKET
from webui.api.access import Access
from webui.api.server import build
from webui.contract.parts import Parts
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

API = "/api/v1/checkpoints"


@pytest.fixture(scope="module")
def own(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A workspace of its own: two checkpoints, a broken one, a picture and words beside some of them."""
    data = tmp_path_factory.mktemp("own")
    place = data / "models" / "Stable-diffusion"
    shutil.copytree(POCKET, place / "sub" / "apple")
    shutil.copytree(POCKET, place / "pear")
    (place / "broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    (place / "broken.png").write_bytes(b"<html>")
    Image.new("RGB", (1200, 800), (200, 40, 40)).save(place / "sub" / "apple.preview.png")
    words = {"description": "Draws <ruins>", "notes": "", "activation text": "ruin"}
    (place / "sub" / "apple.json").write_text(json.dumps(words))
    opened = open_app(Paths(data, data), parts, cpu_only=True)
    opened.choose_checkpoint("pear")
    yield opened
    opened.close()


@pytest.fixture
def client(own: App) -> TestClient:
    return TestClient(build(own, Access.for_flags()), base_url=BASE)


def rows(client: TestClient) -> dict[str, dict[str, Any]]:
    return {row["title"]: row for row in client.get(API).json()}


def test_each_is_told_with_what_a_card_shows(client: TestClient) -> None:
    found = rows(client)
    assert set(found) == {"sub/apple", "pear", "broken.safetensors"}
    apple = found["sub/apple"]
    expected = {"name": "apple", "family": "Pocket", "precision": "fp16", "does": "txt2img", "is_known": True, "error": ""}
    assert {name: apple[name] for name in expected} == expected
    assert apple["size"] == sum(file.stat().st_size for file in POCKET.rglob("*") if file.is_file())
    assert found["pear"]["state"] == "in use" and found["pear"]["preview"] == ""
    assert "header" in found["broken.safetensors"]["error"] and found["broken.safetensors"]["defaults"] is None


def test_where_they_lie_on_the_disk_is_told_to_nobody(client: TestClient, own: App) -> None:
    text = client.get(API).text + client.get(f"{API}/details", params={"name": "sub/apple"}).text
    text += client.get(f"{API}/memory").text + client.get(f"{API}/preview", params={"name": "broken.safetensors"}).text
    assert str(own.paths.data) not in text and str(own.paths.data.parent.name) not in text


def test_a_picture_beside_a_checkpoint_comes_small_and_may_be_kept(client: TestClient, own: App) -> None:
    answer = client.get("/" + rows(client)["sub/apple"]["preview"])
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    picture = Image.open(BytesIO(answer.content))
    assert picture.size == (512, 341)
    assert max(abs(a - b) for a, b in zip(picture.convert("RGB").getpixel((9, 9)), (200, 40, 40), strict=True)) < 8  # type: ignore[arg-type]
    kept = list((own.paths.state / "previews").iterdir())
    assert client.get("/" + rows(client)["sub/apple"]["preview"]).content == answer.content == kept[0].read_bytes()


@pytest.mark.parametrize(
    "name, words", [("pear", "no picture beside it"), ("broken.safetensors", "no picture that can be opened")]
)
def test_a_picture_that_is_none_is_404(client: TestClient, name: str, words: str) -> None:
    answer = client.get(f"{API}/preview", params={"name": name})
    assert answer.status_code == 404 and words in answer.json()["detail"]


def test_details_say_what_lies_beside_and_where_each_setting_comes_from(client: TestClient) -> None:
    told = client.get(f"{API}/details", params={"name": "apple"}).json()
    assert told["beside"] == {"file": "apple.json", "text": "Draws <ruins>\nActivation text: ruin"}
    assert told["family_defaults"] == told["defaults"] and told["own_defaults"] == {}
    assert told["can_change"] and told["prediction"] == "eps"
    assert client.get(f"{API}/details", params={"name": "nobody"}).status_code == 404


def test_notes_and_settings_are_kept_in_the_state_and_never_in_a_folder_of_models(client: TestClient, own: App) -> None:
    before = sorted(own.paths.data.glob("models/**/*"))
    told = client.put(f"{API}/notes", json={"name": "sub/apple", "notes": " Fine for ruins "}).json()
    assert told["notes"] == "Fine for ruins"
    wish = {"sampler": "euler a", "schedule": "karras", "steps": 9, "guidance": None, "prompt": "ruin"}
    told = client.put(f"{API}/defaults", json={"name": "sub/apple", "defaults": wish}).json()
    try:
        assert told["own_defaults"] == {"sampler": "Euler a", "schedule": "Karras", "steps": 9, "prompt": "ruin"}
        assert told["defaults"] == told["family_defaults"] | told["own_defaults"]
        assert rows(client)["sub/apple"]["defaults"]["steps"] == 9 and rows(client)["pear"]["defaults"]["steps"] != 9
        assert own.checkpoints.defaults("sub/apple").prompt == "ruin"
        job = client.post("/api/v1/jobs", json={"prompt": "x", "checkpoint": "sub/apple", "save": False}).json()
        assert job["request"]["steps"] == own.checkpoints.family_defaults("sub/apple").steps, "a request has the family's"
        own.queue.interrupt(job["id"])
    finally:
        client.put(f"{API}/defaults", json={"name": "sub/apple", "defaults": {}})
    assert rows(client)["sub/apple"]["defaults"] == rows(client)["pear"]["defaults"]
    assert sorted(own.paths.data.glob("models/**/*")) == before


@pytest.mark.parametrize(
    "values, status, words",
    [
        ({"steps": 0}, 422, "Steps 0"),
        ({"sampler": "Eulr"}, 400, "No sampler is called 'Eulr'"),
        ({"schedule": "nothing"}, 422, "No schedule is called 'nothing'"),
        ({"seed": 3}, 422, "no default for 'seed'"),
        ({"width": 7}, 422, "Width 7"),
    ],
)
def test_settings_that_no_request_could_have_are_refused_and_change_nothing(
    client: TestClient, values: dict[str, Any], status: int, words: str
) -> None:
    answer = client.put(f"{API}/defaults", json={"name": "pear", "defaults": values})
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert client.get(f"{API}/details", params={"name": "pear"}).json()["own_defaults"] == {}


def test_one_is_loaded_pinned_and_unloaded_and_the_bars_say_so(client: TestClient, own: App) -> None:
    assert client.post(f"{API}/pin", json={"name": "sub/apple", "pinned": True}).status_code == 200
    (bar,) = client.post(f"{API}/load", json={"name": "sub/apple"}).json()["bars"]
    (held,) = [one for one in bar["held"] if one["title"] == "sub/apple"]
    assert bar["label"] == "Memory" and bar["used"] >= held["bytes"] > 1_000_000 and bar["limit"] > bar["used"]
    assert held["is_pinned"] and held["family_label"] == "Pocket"
    row = rows(client)["sub/apple"]
    assert row["state"] == "in memory" and row["pinned"] and own.checkpoints.chosen == "pear"
    client.post(f"{API}/pin", json={"name": "sub/apple", "pinned": False})
    (bar,) = client.post(f"{API}/unload", json={"name": "sub/apple"}).json()["bars"]
    assert "sub/apple" not in [one["title"] for one in bar["held"]]
    assert client.post(f"{API}/load", json={"name": "broken.safetensors"}).status_code == 422
    assert client.post(f"{API}/load", json={"name": "nobody"}).status_code == 404
    with own.checkpoints.use("pear"):
        answer = client.post(f"{API}/unload", json={"name": "pear"})
        assert answer.status_code == 409 and "drawing" in answer.json()["detail"]


def test_a_new_file_is_there_after_a_refresh_and_told_to_pages(client: TestClient, own: App) -> None:
    own.checkpoints.catalog.on_change(lambda: own.queue.announce("checkpoints"))
    new = own.paths.data / "models" / "Stable-diffusion" / "new.ckpt"
    with own.queue.subscribe() as listening:
        new.write_bytes(b"no weights")
        assert "new.ckpt" in {row["title"] for row in client.post(f"{API}/refresh").json()}
        kinds = [event.kind for _ in range(3) if (event := listening.get(1.0))]
    new.unlink()
    assert "checkpoints" in kinds
    assert "new.ckpt" not in {row["title"] for row in client.post(f"{API}/refresh").json()}


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("PUT", "notes", {"notes": "x"}), ("PUT", "defaults", {"defaults": {"steps": 3}}), ("POST", "load", {}),
        ("POST", "unload", {}),
        ("POST", "pin", {"pinned": True}), ("POST", "choose", {}), ("POST", "refresh", {}),
    ],
)  # fmt: skip
def test_a_visitor_who_may_change_nothing_changes_nothing(own: App, method: str, path: str, body: dict[str, Any]) -> None:
    with TestClient(build(own, Access.for_flags(listen=True, no_login=True)), base_url=BASE) as visitor:
        before = visitor.get(API).json(), visitor.get(f"{API}/memory").json()["bars"][0]["held"]
        answer = visitor.request(method, f"{API}/{path}", json={"name": "pear", **body})
        assert answer.status_code == 403 and "--auth" in answer.json()["detail"]
        assert (visitor.get(API).json(), visitor.get(f"{API}/memory").json()["bars"][0]["held"]) == before
        assert visitor.get(f"{API}/details", params={"name": "pear"}).json()["can_change"] is False


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "pear"}, {"name": "pear", "pinned": "no"}, [], "pear"])
def test_a_body_that_says_no_whole_wish_is_422(client: TestClient, body: Any) -> None:
    assert client.post(f"{API}/pin", json=body).status_code == 422


def test_words_of_other_programs_are_read_as_text(own: App, tmp_path: Path) -> None:
    from webui.workspace.sidecars import words

    place = own.paths.data / "models" / "Stable-diffusion"
    entry = own.checkpoints.find("pear")
    (place / "pear.civitai.info").write_text(
        '{"name": "v2", "model": {"name": "Pear"}, "description": "<p>A &amp; B</p>", "trainedWords": ["x"]}'
    )
    assert words(entry) == ("pear.civitai.info", "Pear v2\nA & B\nTrained words: x")
    (place / "pear.json").write_text("[1]")  # not what it is called
    assert words(entry)[0] == "pear.civitai.info"
    (place / "pear.civitai.info").unlink()
    (place / "pear.json").unlink()
    (place / "pear.txt").write_text("x" * 9000)
    assert words(entry) == ("pear.txt", "x" * 4000)
    (place / "pear.txt").unlink()
