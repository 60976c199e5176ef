"""Repainting, inpainting and enlarging over HTTP: by the convention, and by our own interface; drawn for real, small."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
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
from webui.workspace.pictures import png_bytes, read_infotext

SMALL = {"prompt": "a red cube", "steps": 2, "seed": 3, "denoising_strength": 0.5}


def photo(width: int = 90, height: int = 66, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(7).integers(0, 256, (height // 6 + 1, width // 6 + 1, len(mode)), dtype=np.uint8)
    return Image.fromarray(values, mode).resize((width, height), Image.Resampling.BICUBIC)


def in_base64(image: Image.Image, text: str = "") -> str:
    return base64.b64encode(png_bytes(image, text)).decode()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


def box(size: tuple[int, int], place: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, place)
    return mask


def repainted(client: TestClient, **fields: Any) -> dict[str, Any]:
    body = SMALL | {"init_images": [in_base64(photo())]} | fields
    response = client.post("/sdapi/v1/img2img", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer | {"info": json.loads(answer["info"]), "pictures": [opened(text) for text in answer["images"]]}


def test_a_picture_is_repainted_at_its_own_size_and_not_echoed(client: TestClient) -> None:
    answer = repainted(client)
    assert [picture.size for picture in answer["pictures"]] == [(90, 66)]
    assert answer["parameters"]["init_images"] is None and answer["parameters"]["denoising_strength"] == 0.5
    assert (answer["info"]["denoising_strength"], answer["info"]["all_seeds"]) == (0.5, [3])
    assert "Denoising strength: 0.5" in answer["info"]["infotexts"][0]
    assert any("cropped to 90 x 66" in note for note in answer["info"]["notes"])


def test_it_may_be_a_data_uri_and_is_sent_back_where_that_is_asked(client: TestClient) -> None:
    code = "data:image/png;base64," + in_base64(photo())
    answer = repainted(client, init_images=[code], include_init_images=True, width=64, height=72, resize_mode=2)
    assert answer["parameters"]["init_images"] == [code] and answer["pictures"][0].size == (64, 72)


def test_strength_0_gives_the_pictures_bytes(client: TestClient) -> None:
    answer = repainted(client, denoising_strength=0)
    assert answer["pictures"][0].tobytes() == photo().tobytes()


@pytest.mark.parametrize("fields", [{"inpaint_full_res": False}, {"inpaint_full_res": True, "inpaint_full_res_padding": 4}])
@pytest.mark.parametrize("is_inverted", [0, 1])
def test_what_is_not_masked_keeps_its_bytes(client: TestClient, fields: dict[str, Any], is_inverted: int) -> None:
    mask = box((90, 66), (30, 20, 60, 44))
    sent = {"mask": in_base64(mask), "mask_blur": 0, "inpainting_mask_invert": is_inverted, "inpainting_fill": 1}
    answer = repainted(client, width=90, height=66, **sent, **fields)
    before, after = np.array(photo()), np.array(answer["pictures"][0])
    is_painted = (np.array(mask) > 0) != bool(is_inverted)
    assert (before[~is_painted] == after[~is_painted]).all() and (before[is_painted] != after[is_painted]).any()


def test_several_pictures_each_get_the_next_seed(client: TestClient) -> None:
    first, second = photo(), photo(64, 64)
    answer = repainted(client, init_images=[in_base64(first), in_base64(second)])
    assert answer["info"]["all_seeds"] == [3, 4] and [picture.size for picture in answer["pictures"]] == [(90, 66), (64, 64)]


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"init_images": []}, 404, ""),
    ({"init_images": ["string"]}, 422, "init_images"),
    ({"init_images": [base64.b64encode(b"\x89PNG\r\n\x1a\nhello").decode()]}, 422, "init_images"),
    ({"mask": "####"}, 422, "mask"),
    ({"mask": in_base64(Image.new("L", (20, 60)))}, 422, "mask"),
    ({"resize_mode": 4}, 422, "resize_mode"),
    ({"denoising_strength": 1.5}, 422, "denoising_strength"),
    ({"latent_mask": "x"}, 422, "latent_mask"),
    ({"initial_noise_multiplier": 1.1}, 422, "initial_noise_multiplier"),
]


@pytest.mark.parametrize("fields, status, field", WRONG)
def test_what_cannot_be_repainted_is_one_sentence(client: TestClient, fields: dict[str, Any], status: int, field: str) -> None:
    response = client.post("/sdapi/v1/img2img", json=SMALL | {"init_images": [in_base64(photo())]} | fields)
    assert response.status_code == status, response.text
    assert response.json().get("field", "") == field and "\n" not in response.json()["detail"]


def test_hires_fix_makes_the_size_that_was_asked(client: TestClient) -> None:
    body = {
        "prompt": "a red cube",
        "steps": 2,
        "seed": 3,
        "width": 64,
        "height": 72,
        "enable_hr": True,
        "denoising_strength": 0.5,
    }
    for more, size in (
        ({"hr_scale": 1.5}, (96, 108)),
        ({"hr_resize_x": 100, "hr_resize_y": 100, "hr_upscaler": "Lanczos"}, (100, 100)),
    ):
        response = client.post("/sdapi/v1/txt2img", json=body | more)
        assert response.status_code == 200, response.text
        info = json.loads(response.json()["info"])
        assert opened(response.json()["images"][0]).size == size
        assert info["denoising_strength"] == 0.5 and "Hires upscaler" in info["extra_generation_params"]
        assert "Denoising strength: 0.5" in info["infotexts"][0]


# ---- enlarging


def test_a_picture_is_enlarged_and_keeps_its_text_and_its_transparency(client: TestClient) -> None:
    text = "moth\nSteps: 3, Sampler: Euler, Seed: 9, Size: 31x17"
    image = photo(31, 17, "RGBA")
    body = {"image": in_base64(image, text), "upscaler_1": "Lanczos", "upscaling_resize": 2.5}
    answer = client.post("/sdapi/v1/extra-single-image", json=body).json()
    made = opened(answer["image"])
    assert (made.size, made.mode) == ((78, 43), "RGBA")
    said = read_infotext(base64.b64decode(answer["image"]))
    assert said.startswith(text) and "Postprocess upscale by: 2.5, Postprocess upscaler: Lanczos" in said


def test_without_an_upscaler_the_picture_stays_as_it_is(client: TestClient) -> None:
    answer = client.post("/sdapi/v1/extra-single-image", json={"image": in_base64(photo())}).json()
    assert opened(answer["image"]).tobytes() == photo().tobytes()


def test_pictures_are_enlarged_to_a_size_in_a_batch(client: TestClient) -> None:
    files = [{"data": in_base64(photo()), "name": "a.png"}, {"data": in_base64(photo(40, 80)), "name": "b.png"}]
    body = {"imageList": files, "resize_mode": 1, "upscaling_resize_w": 120, "upscaling_resize_h": 120, "upscaler_1": "Nearest"}
    answer = client.post("/sdapi/v1/extra-batch-images", json=body).json()
    assert [opened(text).size for text in answer["images"]] == [(120, 120)] * 2 and "Postprocess" in answer["html_info"]


def test_what_cannot_be_enlarged_is_one_sentence(client: TestClient) -> None:
    for body, field in (
        ({"image": "string"}, "image"),
        ({"image": in_base64(photo()), "upscaler_1": "Lanczos", "upscaling_resize": 9}, "upscaling_resize"),
        ({"image": in_base64(photo()), "upscaler_1": "4x-Nobody"}, None),
        ({"image": in_base64(photo()), "gfpgan_visibility": 1}, "gfpgan_visibility"),
    ):
        response = client.post("/sdapi/v1/extra-single-image", json=body)
        assert response.status_code == 422 and response.json().get("field") == field, response.text
    assert client.post("/sdapi/v1/extra-batch-images", json={}).json()["field"] == "imageList"


def test_upscalers_are_listed(client: TestClient) -> None:
    rows = client.get("/sdapi/v1/upscalers").json()
    assert [row["name"] for row in rows[:2]] == ["None", "Lanczos"] and {"scale", "model_path"} <= set(rows[0])
    assert "Latent (bicubic antialiased)" in [row["name"] for row in client.get("/sdapi/v1/latent-upscale-modes").json()]


# ---- our own interface


def test_an_enlarging_job_is_one_of_the_queue(client: TestClient, app: App) -> None:
    sent = {"image": in_base64(photo()), "scale": 2.0, "save": True}
    job = client.post("/api/v1/enlarge", json=sent).json()
    ended = app.queue.wait(job["id"], 30)
    assert (ended.state, job["kind"], job["tab"], job["request"]["upscaler"]) == ("finished", "enlarge", "upscale", "Lanczos")
    (image,) = ended.images
    assert (image.width, image.height) == (180, 132) and image.path.startswith("extras-images/")
    assert client.get(f"/api/v1/jobs/{job['id']}/images/0.png").status_code == 200
    assert client.post("/api/v1/enlarge", json={"scale": 2}).json()["field"] == "image"


def test_an_inpainting_job_without_a_mask_says_that_all_is_painted(client: TestClient, app: App) -> None:
    sent = {"prompt": "a cube", "steps": 1, "seed": 1, "image": in_base64(photo(64, 64)), "strength": 0.5, "tab": "inpaint"}
    job = client.post("/api/v1/jobs", json=sent | {"save": False}).json()
    assert job["notes"] == ["Nothing is masked, so the whole picture is painted anew."]
    empty = in_base64(Image.new("L", (64, 64)))
    second = client.post("/api/v1/jobs", json=sent | {"mask": empty, "save": False}).json()
    assert app.queue.wait(second["id"], 30).notes == ("Nothing is masked, so the whole picture is painted anew.",)


def test_depth_without_a_checkpoint_that_reads_it_is_one_sentence(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "pocket").symlink_to(POCKET)
    alone = open_app(Paths(tmp_path, project=tmp_path), parts, cpu_only=True, takes_jobs=False)
    client = TestClient(build(alone, Access.for_flags()), base_url=BASE)
    response = client.post("/api/v1/depth", json={"image": in_base64(photo())})
    assert response.status_code == 422 and "no checkpoint here does" in response.json()["detail"]
    alone.close()


def test_a_tiff_is_shown_as_png(client: TestClient) -> None:
    file = io.BytesIO()
    photo(8, 8).save(file, "TIFF")
    name = client.post("/api/v1/inputs", content=file.getvalue()).json()["name"]
    answer = client.get(f"/api/v1/inputs/{name}")
    assert answer.headers["content-type"] == "image/png" and Image.open(io.BytesIO(answer.content)).size == (8, 8)
