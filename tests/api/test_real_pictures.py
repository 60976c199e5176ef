"""Through the HTTP door to the network and back."""

from __future__ import annotations

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from tests.api.small import BASE
from webui.api.access import Access
from webui.api.server import build
from webui.workspace.app import App


def levels(picture: str) -> np.ndarray:
    """(H, W, 3) of a picture in base64."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")).astype(int)


def test_two_clients_at_once_each_get_pictures_of_the_checkpoint_that_they_named(app: App) -> None:
    server = build(app, Access.for_flags())

    def ask(name: str) -> dict[str, Any]:
        body = {"prompt": "a red cube", "steps": 1, "width": 64, "height": 64, "seed": 7}
        override = {"override_settings": {"sd_model_checkpoint": name}} if name else {}
        response = TestClient(server, base_url=BASE).post("/sdapi/v1/txt2img", json=body | override)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer | {"info": json.loads(answer["info"])}

    with ThreadPoolExecutor(5) as clients:
        answers = list(clients.map(ask, ["apple", "pear", "", "pear", "apple"]))
    assert [answer["info"]["sd_model_name"] for answer in answers] == ["apple", "pear", "apple", "pear", "apple"]
    hashes = {name: app.checkpoints.find(name).hash for name in ("apple", "pear")}
    assert len(set(hashes.values())) == 2 and all(hashes.values())
    assert [answer["info"]["sd_model_hash"] for answer in answers] == [
        hashes[answer["info"]["sd_model_name"]] for answer in answers
    ]
    drawn = [(answer["info"]["sd_model_name"], levels(answer["images"][0])) for answer in answers]
    for name, picture in drawn:  # alike, not equal: jobs that share a call of the network differ by a rounding here and there
        for other, beside in drawn:
            assert (np.abs(picture - beside).mean() < 0.02) == (name == other)
    assert app.checkpoints.chosen == "apple"
    listed = {row["title"]: row["hash"] for row in TestClient(server, base_url=BASE).get("/sdapi/v1/sd-models").json()}
    assert listed["apple"] == hashes["apple"]
