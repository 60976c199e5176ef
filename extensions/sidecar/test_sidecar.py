"""The text beside a picture. Run with the program's Python: python -m pytest extensions/sidecar"""

import json
import time
from pathlib import Path

import pytest
from PIL import Image

from webui.contract import infotext
from webui.contract.request import EnlargeRequest, GenerationRequest
from webui.testing import program

REQUEST = GenerationRequest(prompt="a red cube,\n at night", negative_prompt="blur", checkpoint="pocket", steps=1, seed=7)


@pytest.fixture(scope="module")
def app():
    with program(Path(__file__).parent, takes_jobs=True) as opened:
        yield opened


def drawn(app, request=REQUEST, tab="txt2img"):
    """The file of a picture that was drawn, once the extension has been told of it and of all before."""
    job = app.queue.wait(app.queue.submit(request, tab=tab).id, 60)
    assert job.state == "finished", job.error
    return app.paths.outputs / job.images[0].path


def content(path):
    """Of a file that is written behind the picture."""
    until = time.monotonic() + 20
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    return path.read_text("utf-8")


def test_nothing_is_written_until_it_is_switched_on(app):
    first = drawn(app)
    app.owns("sidecar").change(write_texts=True)
    content(drawn(app).with_suffix(".txt"))  # told after the first one
    assert not first.with_suffix(".txt").exists()


@pytest.mark.parametrize("image_format", ["png", "jpg", "webp"])
def test_the_text_is_that_of_the_picture(app, image_format):
    app.owns("sidecar").change(write_texts=True, format="infotext")
    app.settings.change(image_format=image_format)
    picture = drawn(app)
    assert picture.suffix == f".{image_format}"
    text = content(picture.with_suffix(".txt"))
    assert text == app.infotext_of(picture.read_bytes()) + "\n"
    assert infotext.read(text).prompt == REQUEST.prompt and "Seed: 7" in text


def test_the_other_formats(app):
    app.owns("sidecar").change(write_texts=True, format="prompt")
    assert content(drawn(app).with_suffix(".txt")) == "a red cube, at night\n"
    app.owns("sidecar").change(format="json")
    values = json.loads(content(drawn(app).with_suffix(".json")))
    assert values["negative_prompt"] == "blur" and values["Seed"] == "7" and values["Steps"] == "1"


def test_an_enlarged_picture_gets_one_too_and_a_file_that_is_there_stays(app):
    app.owns("sidecar").change(write_texts=True, format="infotext")
    image = app.inputs.put(Image.new("RGB", (8, 8), "red"))
    picture = drawn(app, EnlargeRequest(image=image, scale=2.0), "upscale")
    assert "Postprocess upscale by: 2" in content(picture.with_suffix(".txt"))
    mine = picture.parent / f"{int(picture.stem) + 1:05}.txt"
    mine.write_text("my notes")
    following = drawn(app, EnlargeRequest(image=image, scale=3.0), "upscale")
    content(drawn(app, EnlargeRequest(image=image, scale=4.0), "upscale").with_suffix(".txt"))
    assert mine.read_text() == "my notes" and following.parent == mine.parent
    assert app.troubles.of("sidecar") == ()
