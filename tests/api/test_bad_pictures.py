"""What people hand in: handled or refused in one sentence at every door, and the program goes on drawing."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.api.test_img2img import opened, photo

SMALL = {"prompt": "a cube", "steps": 1, "seed": 1, "denoising_strength": 0.5, "width": 64, "height": 64}


def file_of(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def head_of_a_png(width: int, height: int) -> bytes:
    """A file that says it is so large, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def animated() -> bytes:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue")]
    return file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file_of(photo(64, 96), "JPEG", exif=exif, quality=95)


def with_index_transparent() -> bytes:
    image = Image.new("P", (64, 64), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (0, 0, 32, 64))
    return file_of(image, transparency=0)


FINE = {
    "animated GIF": animated(),
    "CMYK": file_of(photo(64, 64).convert("CMYK"), "JPEG"),
    "CMYK TIFF": file_of(photo(64, 64).convert("CMYK"), "TIFF"),
    "16-bit grey": file_of(Image.fromarray(np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16))),
    "transparent": file_of(photo(64, 64, "RGBA")),
    "transparent palette": with_index_transparent(),
    "grey with alpha": file_of(photo(64, 64, "RGBA").convert("LA")),
    "one bit": file_of(photo(64, 64).convert("1")),
    "a phone's photo": turned(6),
    "BMP": file_of(photo(64, 64), "BMP"),
    "WebP": file_of(photo(64, 64, "RGBA"), "WEBP"),
    "a pixel": file_of(Image.new("RGB", (1, 1), "red")),
    "a line": file_of(Image.new("RGB", (300, 20), "red")),
}
REFUSED = {
    "200 megapixels": head_of_a_png(20_000, 10_000),
    "90 megapixels": head_of_a_png(10_000, 9_000),
    "text named .png": b"this is not a picture at all\n" * 10,
    "half a picture": file_of(photo(64, 64))[:2000],
    "nothing but a head": head_of_a_png(64, 64)[:40],
    "a script": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
}


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def still_draws(client: TestClient) -> None:
    answer = client.post("/sdapi/v1/img2img", json=SMALL | {"init_images": [coded(file_of(photo(64, 64)))]})
    assert answer.status_code == 200


@pytest.mark.parametrize("name", FINE)
def test_a_strange_picture_is_repainted_masked_and_enlarged(client: TestClient, name: str) -> None:
    code = coded(FINE[name])
    answer = client.post("/sdapi/v1/img2img", json=SMALL | {"init_images": [code]})
    assert answer.status_code == 200, answer.text
    assert opened(answer.json()["images"][0]).size == (64, 64)
    own = client.post("/api/v1/inputs", content=FINE[name]).json()
    masked = SMALL | {"init_images": [own["name"]], "mask": code, "width": None, "height": None, "inpaint_full_res": False}
    if own["width"] * own["height"] > 64:
        answer = client.post("/sdapi/v1/img2img", json=masked)
        assert answer.status_code == 200, answer.text
    answer = client.post("/sdapi/v1/extra-single-image", json={"image": code, "upscaler_1": "Lanczos", "upscaling_resize": 2})
    assert opened(answer.json()["image"]).size == (2 * own["width"], 2 * own["height"])


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_opened_is_one_sentence_at_every_door(client: TestClient, name: str) -> None:
    code, fine = coded(REFUSED[name]), coded(file_of(photo(64, 64)))
    answers = {
        "picture": client.post("/api/v1/inputs", content=REFUSED[name]),
        "init_images": client.post("/sdapi/v1/img2img", json=SMALL | {"init_images": [code]}),
        "mask": client.post("/sdapi/v1/img2img", json=SMALL | {"init_images": [fine], "mask": code}),
        "image": client.post("/sdapi/v1/extra-single-image", json={"image": code, "upscaler_1": "Lanczos"}),
    }
    for field, answer in answers.items():
        assert answer.status_code == 422 and answer.json()["field"] == field, answer.text
        assert answer.json()["detail"].count("\n") == 0 and len(answer.json()["detail"]) < 200
    still_draws(client)


def test_a_mask_of_another_size_is_refused_in_one_sentence(client: TestClient) -> None:
    body = SMALL | {"init_images": [coded(file_of(photo(64, 64)))], "mask": coded(file_of(Image.new("L", (100, 30), 255)))}
    answer = client.post("/sdapi/v1/img2img", json=body)
    assert answer.status_code == 422 and "The mask has 100 x 30 pixels, the image 64 x 64" in answer.json()["detail"]
    still_draws(client)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_comes_back_upright_and_its_mask_lies_where_it_was_painted(client: TestClient, orientation: int) -> None:
    kept = client.post("/api/v1/inputs", content=turned(orientation)).json()
    size = (kept["width"], kept["height"])
    assert size == ((96, 64) if orientation >= 5 else (64, 96))
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, 16, 16))
    body = SMALL | {"init_images": [kept["name"]], "mask": coded(file_of(mask)), "mask_blur": 0, "width": None, "height": None}
    answer = client.post("/sdapi/v1/img2img", json=body | {"inpaint_full_res": False, "inpainting_fill": 1})
    made = opened(answer.json()["images"][0])
    still = opened(client.post("/sdapi/v1/img2img", json=body | {"denoising_strength": 0}).json()["images"][0])
    assert made.size == still.size == size and made.getexif().get(0x0112, 1) == 1
    changed = np.argwhere((np.asarray(made) != np.asarray(still)).any(-1))
    assert len(changed) and changed.max() < 16


def test_a_16_bit_picture_is_scaled_not_clipped(client: TestClient) -> None:
    body = {"image": coded(FINE["16-bit grey"]), "upscaler_1": "None"}
    values = np.asarray(opened(client.post("/sdapi/v1/extra-single-image", json=body).json()["image"]))
    assert values.min() == 0 and values.max() == 255 and 126 <= values.mean() <= 129


def test_transparency_survives_enlarging(client: TestClient) -> None:
    body = {"image": coded(with_index_transparent()), "upscaler_1": "Nearest", "upscaling_resize": 2}
    made = opened(client.post("/sdapi/v1/extra-single-image", json=body).json()["image"])
    assert made.mode == "RGBA" and made.getpixel((10, 10)) == (0, 255, 0, 255) and made.getpixel((100, 10))[3] == 0
