"""What extensions add around the picture: upscalers, readers of pictures, routes, commands. And what happens when those break."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.test_plugins import extension
from webui.api.access import Access
from webui.api.server import build
from webui.contract.errors import PluginError, UnknownNameError
from webui.contract.request import EnlargeRequest, GenerationRequest
from webui.main import main
from webui.testing import program
from webui.workspace import readers
from webui.workspace.app import App
from webui.workspace.jobs import Job
from webui.workspace.pictures import LONGEST

HEAD = "from webui.contract import hookimpl\nfrom PIL import Image\n\n"


@contextmanager
def extended(folder: Path, code: str, takes_jobs: bool = True) -> Iterator[App]:
    """The program with an extension of that code."""
    extension(folder, "mine", HEAD + code)
    with program(folder / "extensions" / "mine", takes_jobs=takes_jobs) as app:
        yield app


# ---------------------------------------------------------------- upscalers

UPSCALERS = """
scales = []

@hookimpl
def register_upscalers(register):
    register("Mirror", mirror, aliases=("mirrored",))
    register("Twice", lambda image, scale: image.resize((image.width * 2, image.height * 2), 0))
    register("Raises", lambda image, scale: 1 / 0)
    register("Text", lambda image, scale: "done")
    register("Small", lambda image, scale: image.resize((3, 3)))
    register("Large", lambda image, scale: image.resize((image.width * 5, image.height * 5)))
    register("Grey", lambda image, scale: image.convert("L").resize((image.width * 2, image.height * 2)))
    register("Paints", paints)

def mirror(image, scale):
    scales.append((image.mode, image.size, scale))
    return image.resize((round(image.width * scale), round(image.height * scale)), 0).transpose(0)

def paints(image, scale):
    image.paste("black", (0, 0, *image.size))
    return image.resize((image.width * 2, image.height * 2))
"""


@pytest.fixture(scope="module")
def upscaling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with extended(tmp_path_factory.mktemp("upscaling"), UPSCALERS) as app:
        yield app


def scales(app: App) -> list[Any]:
    return app.parts.upscalers["Mirror"].function.__globals__["scales"]


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, len(mode)), dtype=np.uint8)
    return Image.fromarray(values, mode)


def enlarged(app: App, image: Image.Image, **fields: Any) -> Job:
    asked = EnlargeRequest(image=app.inputs.put(image), **fields)
    return app.queue.wait(app.queue.submit(asked, tab="upscale").id, 60)


def picture(app: App, job: Job) -> Image.Image:
    assert job.state == "finished", job.error
    return Image.open(app.paths.outputs / job.images[0].path)


def test_an_upscaler_stands_in_every_menu_and_enlarges(upscaling: App) -> None:
    assert upscaling.upscaler_names()[:4] == ["Lanczos", "None", "Nearest", "Mirror"]
    assert "Mirror" in upscaling.hires_upscaler_names()
    image = noise(20, 10)
    job = enlarged(upscaling, image, upscaler="MIRRORED", scale=2.0)
    assert (np.array(picture(upscaling, job)) == np.array(image.resize((40, 20), 0).transpose(0))).all()
    assert job.request.upscaler == "Mirror" and "Postprocess upscaler: Mirror" in job.images[0].infotext  # type: ignore[union-attr]


def test_a_large_factor_is_asked_for_in_turns_and_a_small_one_not_at_all(upscaling: App) -> None:
    scales(upscaling).clear()
    assert picture(upscaling, enlarged(upscaling, noise(10, 7), upscaler="Mirror", width=200, height=140)).size == (
        200,
        140,
    )
    assert scales(upscaling) == [("RGB", (10, 7), 8.0), ("RGB", (80, 56), 2.5)]
    scales(upscaling).clear()
    assert picture(upscaling, enlarged(upscaling, noise(10, 8), upscaler="Mirror", width=5, height=4)).size == (5, 4)
    assert scales(upscaling) == []


def test_one_that_knows_only_twice_comes_to_the_asked_size(upscaling: App) -> None:
    assert picture(upscaling, enlarged(upscaling, noise(10, 7), upscaler="Twice", scale=3.0)).size == (30, 21)
    assert picture(upscaling, enlarged(upscaling, noise(10, 7), upscaler="Grey", scale=2.0)).mode == "RGB"


def test_transparency_stays(upscaling: App) -> None:
    image = noise(8, 8, "RGBA")
    image.putalpha(Image.new("L", (8, 8), 77))
    made = picture(upscaling, enlarged(upscaling, image, upscaler="Twice", scale=2.0))
    assert made.mode == "RGBA" and made.getchannel("A").getextrema() == (77, 77)


def test_two_can_be_mixed(upscaling: App) -> None:
    image = noise(8, 8)
    job = enlarged(upscaling, image, upscaler="Nearest", second_upscaler="Mirror", second_share=1.0, scale=2.0)
    assert (np.array(picture(upscaling, job)) == np.array(image.resize((16, 16), 0).transpose(0))).all()


def test_the_picture_that_it_is_given_is_its_own(upscaling: App) -> None:
    """Painting it black leaves the user's picture, and what a second upscaler sees, as they were."""
    image = noise(8, 8)
    job = enlarged(upscaling, image, upscaler="Paints", second_upscaler="Nearest", second_share=1.0, scale=2.0)
    assert (np.array(picture(upscaling, job)) == np.array(image.resize((16, 16), 0))).all()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Raises", "The extension mine failed in its upscaler 'Raises' (ZeroDivisionError: division by zero). Choose another"),
        ("Text", "The extension mine answered a str in its upscaler 'Text', where a picture of about 20 x 16 is due."),
        ("Small", "answered a picture of 3 x 3 in its upscaler 'Small'"),
        ("Large", "answered a picture of 50 x 40 in its upscaler 'Large'"),
    ],
)
def test_what_goes_wrong_in_one_ends_that_job_with_the_extensions_name(upscaling: App, name: str, says: str) -> None:
    job = enlarged(upscaling, noise(10, 8), upscaler=name, scale=2.0)
    assert (job.state, job.error_kind) == ("failed", "PluginError") and says in job.error
    assert enlarged(upscaling, noise(10, 8), scale=2.0).state == "finished"


def test_hires_fix_repaints_what_it_enlarged(upscaling: App) -> None:
    scales(upscaling).clear()
    asked = GenerationRequest(prompt="a red cube", checkpoint="pocket", steps=2, seed=1)
    request = replace(asked, hires_upscaler="Mirror", hires_scale=1.5, hires_steps=1)
    job = upscaling.queue.wait(upscaling.queue.submit(request).id, 60)
    assert picture(upscaling, job).size == (192, 192) and "Hires upscaler: Mirror" in job.images[0].infotext
    assert scales(upscaling) == [("RGB", (128, 128), 1.5)]


@pytest.mark.parametrize("name", ["Lanczos", "none", "Latent (nearest)"])
def test_the_names_of_the_programs_own_are_taken(tmp_path: Path, name: str) -> None:
    code = f"@hookimpl\ndef register_upscalers(register):\n    register({name!r}, lambda image, scale: image)\n"
    with pytest.raises(PluginError, match="is one of the program's own"), extended(tmp_path, code):
        pass


def test_an_upscaler_that_is_gone_is_told(upscaling: App) -> None:
    with pytest.raises(UnknownNameError, match=r"No upscaler is called 'Miror'\. Did you mean 'Mirror'"):
        enlarged(upscaling, noise(4, 4), upscaler="Miror")


# ---------------------------------------------------------------- readers of pictures

READERS = """
asked = []

@hookimpl
def register_metadata_readers(register):
    register("Raises", lambda image: 1 / 0)
    register("Number", lambda image: 7)
    register("Hangs", hangs)
    register("Ours too", ours)
    register("Closes", lambda image: image.close() or image.load() or "")
    register("Title", title)
    register("Long", lambda image: "x" * 10**8 if image.info.get("Long") else "")

def hangs(image):
    while image.info.get("Hang"):
        pass
    return ""

def ours(image):
    asked.append(image.format)
    return ""

def title(image):
    text = image.info.get("Title", "")
    return f"{text}\\nSteps: 7, Sampler: Euler, Seed: 3, Size: 64x64" if text else ""
"""


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with extended(tmp_path_factory.mktemp("reading"), READERS) as app:
        yield app


def png(size: tuple[int, int] = (8, 8), **texts: str) -> bytes:
    info, file = PngInfo(), io.BytesIO()
    for key, value in texts.items():
        info.add_text(key, value)
    Image.new("RGB", size).save(file, "PNG", pnginfo=info)
    return file.getvalue()


TITLED = "a moth\nSteps: 7, Sampler: Euler, Seed: 3, Size: 64x64"


def test_a_reader_is_asked_only_where_ours_finds_nothing(reading: App) -> None:
    asked = reading.parts.readers["Ours too"].function.__globals__["asked"]
    asked.clear()
    assert reading.infotext_of(png(parameters="ours", Title="a moth")) == "ours" and asked == []
    assert reading.infotext_of(png(Title="a moth")) == TITLED and asked == ["PNG"]
    assert reading.infotext_of(png()) == ""


def test_what_one_raises_or_answers_wrongly_counts_as_nothing_and_is_told(reading: App) -> None:
    reading.infotext_of(png(Title="a moth"))
    troubles = {one.where: one.error for one in reading.troubles.of("mine")}
    assert troubles["reader Raises"] == "ZeroDivisionError: division by zero"
    assert troubles["reader Number"] == "It answered a int, where text is due."
    assert "reader Title" not in troubles


def test_one_that_hangs_is_left_behind(reading: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "SECONDS", 0.3)
    assert reading.infotext_of(png(Hang="yes", Title="a moth")) == TITLED
    assert "reader Hangs" in {one.where for one in reading.troubles.of("mine")}


def test_pictures_of_strangers_neither_raise_nor_flood(reading: App) -> None:
    assert len(reading.infotext_of(png(Long="yes"))) == LONGEST
    whole = png(Title="a moth", Comment="x" * 300)
    for end in range(0, len(whole), 7):
        assert reading.infotext_of(whole[:end]) in ("", TITLED)
    bomb = png()
    bomb = bomb[:16] + (10**6).to_bytes(4, "big") * 2 + bomb[24:]
    bomb = bomb[:29] + zlib.crc32(bomb[12:29]).to_bytes(4, "big") + bomb[33:]
    assert reading.infotext_of(bomb) == reading.infotext_of(b"") == reading.infotext_of(b"%PDF-1.4") == ""


def test_it_is_asked_for_png_info_and_for_a_picture_that_is_enlarged(reading: App) -> None:
    with TestClient(build(reading, Access.for_flags()), base_url="http://localhost:7860") as client:
        told = client.post("/sdapi/v1/png-info", json={"image": base64.b64encode(png(Title="a moth")).decode()}).json()
    assert told["info"] == TITLED and told["parameters"]["Seed"] == "3" and told["parameters"]["Prompt"] == "a moth"
    asked = EnlargeRequest(image=reading.inputs.put(png(Title="a moth")), scale=2.0)
    job = reading.queue.wait(reading.queue.submit(asked, tab="upscale").id, 60)
    assert job.images[0].infotext.startswith(TITLED + ", Postprocess")
    assert reading.enlarge(asked).infotext == job.images[0].infotext


# ---------------------------------------------------------------- events of the whole program

TOLD = """
@hookimpl
def checkpoint_loaded(event, own):
    with (own.folder / "loaded.txt").open("a") as file:
        file.write(f"{event.title} {event.family} {event.path.is_dir()}\\n")

@hookimpl
def settings_changed(event, own):
    (own.folder / "settings.txt").write_text(f"{event.before['image_quality']} {event.now['image_quality']}")
"""


def test_a_checkpoint_that_comes_into_memory_and_settings_are_told_once(tmp_path: Path) -> None:
    with extended(tmp_path, TOLD, takes_jobs=False) as app:
        for _ in range(2):
            with app.checkpoints.use("pocket"):
                pass
        app.settings.change(image_quality=77)
        app.close()
        folder = app.owns("mine").folder
        assert (folder / "loaded.txt").read_text() == "pocket pocket True\n"
        assert (folder / "settings.txt").read_text() == "90 77"


def test_upscalers_are_in_the_lists_of_both_interfaces(upscaling: App) -> None:
    with TestClient(build(upscaling, Access.for_flags()), base_url="http://localhost:7860") as client:
        rows = {row["name"]: row for row in client.get("/sdapi/v1/upscalers").json()}
        assert rows["Mirror"] == {"name": "Mirror", "model_name": None, "model_path": None, "model_url": None, "scale": 4}
        image = noise(8, 8)
        file = io.BytesIO()
        image.save(file, "PNG")
        asked = {"image": base64.b64encode(file.getvalue()).decode(), "upscaler_1": "Mirror", "upscaling_resize": 2}
        answer = client.post("/sdapi/v1/extra-single-image", json=asked)
    made = Image.open(io.BytesIO(base64.b64decode(answer.json()["image"])))
    assert (np.array(made) == np.array(image.resize((16, 16), 0).transpose(0))).all()


def test_the_command_line_enlarges_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extension(tmp_path, "mine", HEAD + UPSCALERS)
    image = noise(9, 5)
    image.save(tmp_path / "small.png")
    words = [
        "--data-dir",
        str(tmp_path),
        "--cpu",
        "upscale",
        str(tmp_path / "small.png"),
        "--scale",
        "2",
        "-o",
        str(tmp_path / "large.png"),
    ]
    assert main([*words, "--upscaler", "twice"]) == 0
    assert (np.array(Image.open(tmp_path / "large.png")) == np.array(image).repeat(2, 0).repeat(2, 1)).all()
    assert main([*words, "--upscaler", "Raises"]) == 2
    assert "The extension mine failed in its upscaler 'Raises'" in capsys.readouterr().err
