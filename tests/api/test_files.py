"""Pictures handed in, names of classes, and files that are fetched only when asked."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.api.small import BASE
from tests.hub import Hub, hub
from webui.api.access import Access
from webui.api.server import build
from webui.checkpoints import download
from webui.checkpoints.download import EXTRAS, Extra, Part
from webui.engine.pictures import Limits
from webui.workspace import inputs
from webui.workspace.app import App

__all__ = ["hub"]
ASKED = {"prompt": "a red cube", "steps": 2, "width": 64, "height": 64, "seed": 1}


def png(size: tuple[int, int] = (64, 64), colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_an_uploaded_picture_has_a_name_and_comes_back_as_it_was(quick: TestClient) -> None:
    data = png((40, 30))
    by_body = quick.post("/api/v1/inputs", content=data, headers={"Content-Type": "image/png"})
    assert by_body.status_code == 201
    assert by_body.json() == {"name": hashlib.sha256(data).hexdigest(), "width": 40, "height": 30}
    assert quick.post("/api/v1/inputs", json={"picture": base64_of(data)}).json() == by_body.json()
    back = quick.get(f"/api/v1/inputs/{by_body.json()['name']}")
    assert (back.content, back.headers["content-type"]) == (data, "image/png")


@pytest.mark.parametrize("body", [b"", b"hello", b"<svg/>", b"\x89PNG\r\n\x1a\n", png()[:80]])
def test_what_is_no_picture_is_422_and_one_sentence(quick: TestClient, body: bytes) -> None:
    answer = quick.post("/api/v1/inputs", content=body)
    assert answer.status_code == 422 and answer.json()["field"] == "picture"
    assert answer.json()["detail"].startswith("Picture is ") and "\n" not in answer.json()["detail"]


@pytest.mark.parametrize("name", ["0" * 64, "x", "..%2f..%2fsettings.json"])
def test_a_picture_that_is_not_kept_is_404(quick: TestClient, name: str) -> None:
    assert quick.get(f"/api/v1/inputs/{name}").status_code == 404


@pytest.mark.parametrize("form", ["name", "data URI", "bare base64"])
def test_a_job_takes_a_picture_in_any_form_and_holds_its_name(quick: TestClient, paced: App, form: str) -> None:
    data = png()
    name = paced.inputs.put(data)
    sent = {"name": name, "data URI": f"data:image/png;base64,{base64_of(data)}", "bare base64": base64_of(data)}[form]
    answer = quick.post("/api/v1/jobs", json=ASKED | {"image": sent, "strength": 0.5})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["request"]["image"], job["request"]["strength"]) == (name, 0.5)
    ended = paced.queue.wait(job["id"], 30)
    assert f"Input image hash: {name}" in ended.images[0].infotext


@pytest.mark.parametrize(
    "value, words",
    [
        ("no picture", "The field 'image' is not a picture"),
        ("data:image/png;base64,AAAA", "The field 'image' is not a picture"),
        (base64_of(png()[:80]), "Image is damaged"),
        ("0" * 64, "is not kept here"),
        (7, "Image 7 is not right. It must be text."),
        ("https://example.org/a.png", "The field 'image' is not a picture"),
        ("/etc/passwd", "The field 'image' is not a picture"),
    ],
)
def test_a_wrong_picture_is_one_sentence_and_nothing_is_queued(quick: TestClient, paced: App, value: Any, words: str) -> None:
    answer = quick.post("/api/v1/jobs", json=ASKED | {"image": value})
    assert answer.status_code == 422 and answer.json()["field"] == "image"
    assert words in answer.json()["detail"]
    assert paced.queue.jobs() == []


def test_a_picture_of_too_many_pixels_is_refused(quick: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "LIMITS", Limits(pixels=100))
    answer = quick.post("/api/v1/jobs", json=ASKED | {"image": base64_of(png((20, 20), "blue"))})
    assert answer.status_code == 422 and "Image has 20 x 20 pixels. It can have 100" in answer.json()["detail"]


def test_a_picture_that_the_checkpoint_does_not_read_is_refused(quick: TestClient) -> None:
    answer = quick.post("/api/v1/jobs", json=ASKED | {"second_image": base64_of(png())})
    assert answer.status_code == 422 and answer.json()["field"] == "second_image"


def test_a_wrong_box_is_named(quick: TestClient) -> None:
    answer = quick.post("/api/v1/jobs", json=ASKED | {"boxes": [{"label": "1", "x": 0, "y": 0, "width": 0, "height": 1}]})
    assert answer.status_code == 422 and answer.json()["field"] == "boxes"
    assert answer.json()["detail"] == "Box 1: width 0 is not right. It must be a number above 0."


def test_the_names_of_classes_and_labels_stand_in_the_order_of_their_numbers(quick: TestClient) -> None:
    assert quick.get("/api/v1/labels/class").json()[1] == "goldfish"
    assert quick.get("/api/v1/labels/map").json()[168] == "tree"
    assert quick.get("/api/v1/labels/boxes").json() == []
    assert quick.get("/api/v1/labels/colours").status_code == 422


def test_what_is_not_bundled_is_listed_and_fetched_when_asked(
    quick: TestClient, paced: App, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = b"[PAD]\nword\n"
    row = EXTRAS["bert-vocabulary"]
    part = Part("vocab.txt", hashlib.sha256(words).hexdigest())
    changed = Extra(row.about, row.size, row.folder, row.repository, ((part,),))
    monkeypatch.setitem(download.EXTRAS, "bert-vocabulary", changed)  # type: ignore[arg-type]
    hub.files["google-bert/bert-base-uncased/vocab.txt"] = words
    (before,) = [extra for extra in quick.get("/api/v1/fetch").json() if extra["name"] == "bert-vocabulary"]
    assert not before["is_there"] and before["size"] == "232 kB"
    try:
        assert quick.post("/api/v1/fetch", json={"name": "bert-vocabulary"}).json() == {
            "name": "bert-vocabulary",
            "is_there": True,
        }
        path = paced.shelf.find("bert-vocabulary")
        assert path is not None and path.read_bytes() == words and path.is_relative_to(paced.paths.data)
        (after,) = [extra for extra in quick.get("/api/v1/fetch").json() if extra["name"] == "bert-vocabulary"]
        assert after["is_there"]
    finally:
        (paced.paths.data / "models" / "BERT" / "vocab.txt").unlink(missing_ok=True)


def test_without_a_network_fetching_answers_one_sentence(quick: TestClient, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    answer = quick.post("/api/v1/fetch", json={"name": "depth-estimator"})
    assert answer.status_code == 502 and "cannot be reached" in answer.json()["detail"]
    assert quick.post("/api/v1/fetch", json={"name": "nothing"}).status_code == 422


def test_a_page_that_is_open_to_all_fetches_nothing(paced: App) -> None:
    client = TestClient(build(paced, Access.for_flags(listen=True, no_login=True)), base_url=BASE)
    assert client.post("/api/v1/fetch", json={"name": "bert-vocabulary"}).status_code == 403
