"""Both kinds of jobs through the real queue: what is kept, where it lands, and what the user is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from webui.contract.errors import FieldError, UnknownNameError
from webui.contract.parts import Parts
from webui.contract.request import EnlargeRequest, GenerationRequest
from webui.engine.canvas import NOTHING_MASKED
from webui.workspace import gallery
from webui.workspace.app import App, open_app
from webui.workspace.jobs import from_dict
from webui.workspace.paths import Paths
from webui.workspace.pictures import png_bytes, read_infotext

TEXT = "moth\nSteps: 3, Sampler: Euler, Seed: 9, Size: 20x10"


def test_an_enlarging_job_lands_in_extras_images_and_keeps_the_pictures_text(app: App) -> None:
    name = app.inputs.put(png_bytes(Image.new("RGB", (20, 10), "red"), TEXT))
    job = app.queue.wait(app.queue.submit(EnlargeRequest(image=name, scale=1.5), tab="upscale").id, 30)
    (image,) = job.images
    assert (job.state, job.fraction, image.width, image.height) == ("finished", 1.0, 30, 15)
    file = app.paths.outputs / image.path
    assert image.path.startswith("extras-images/") and file.stem.isdigit()
    assert read_infotext(file.read_bytes()).startswith(TEXT + ", Postprocess upscale by: 1.5")
    assert from_dict(job.to_dict()) == job


@pytest.mark.parametrize("tab", ["img2img", "inpaint", "depth"])
def test_repainted_pictures_lie_together(app: App, tab: str) -> None:
    name = app.inputs.put(Image.new("RGB", (64, 66), "red"))
    asked = GenerationRequest(image=name, strength=0.5, steps=1, seed=1)
    queued = app.queue.submit(replace(asked, steps=4), tab=tab)
    job = app.queue.wait(queued.id, 30)
    assert (queued.steps, job.steps, job.step) == (2, 2, 2)
    assert job.images[0].path.startswith("img2img-images/")
    cropped = "Drawn at 64 x 72, as the network needs, and cropped to 64 x 66."
    expected = (NOTHING_MASKED, cropped) if tab == "inpaint" else (cropped,)
    assert job.notes == job.images[0].notes == expected
    assert from_dict(job.to_dict()) == job


def test_what_cannot_be_enlarged_is_refused_before_it_is_queued(app: App) -> None:
    name, before = app.inputs.put(Image.new("RGB", (4000, 10))), len(app.queue.jobs())
    with pytest.raises(FieldError, match="There is nothing to enlarge"):
        app.queue.submit(EnlargeRequest(), tab="upscale")
    with pytest.raises(FieldError, match="32000 x 80 is too large"):
        app.queue.submit(EnlargeRequest(image=name, scale=8.0), tab="upscale")
    with pytest.raises(UnknownNameError, match=r"No upscaler is called .Lanczoz.\. Did you mean .Lanczos."):
        app.queue.submit(EnlargeRequest(image=name, upscaler="Lanczoz"), tab="upscale")
    with pytest.raises(FieldError, match="not kept here"):
        app.queue.submit(EnlargeRequest(image="0" * 64), tab="upscale")
    assert len(app.queue.jobs()) == before


def test_a_waiting_enlarging_job_goes_on_after_a_restart(parts: Parts, tmp_path: Path) -> None:
    first = open_app(Paths(tmp_path), parts, cpu_only=True)
    name = first.inputs.put(Image.new("RGB", (8, 8)))
    job = first.queue.submit(EnlargeRequest(image=name, upscaler="Nearest"), tab="upscale")
    first.queue.wait(job.id, 30)
    first.close()
    file = tmp_path / "state" / "jobs" / f"{job.id}.json"
    file.write_text(file.read_text().replace('"finished"', '"waiting"'))
    second = open_app(Paths(tmp_path), parts, cpu_only=True)
    again = second.queue.wait(job.id, 30)
    second.close()
    assert (again.state, again.request) == ("finished", job.request)


def test_sizes_are_told_by_the_functions_that_the_jobs_use(app: App) -> None:
    name = app.inputs.put(Image.new("RGB", (83, 61)))
    assert app.enlarged_size(EnlargeRequest(image=name, scale=1.4)) == (116, 85)
    assert app.enlarged_size(EnlargeRequest(image=name, width=100, height=100)) == (100, 100)
    assert app.hires_size(GenerationRequest(width=832, height=1216, hires_scale=1.4)) == (1165, 1702)


def test_upscalers_are_named_and_unfit_files_told(app: App) -> None:
    folder = app.paths.data / "models" / "ESRGAN"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "broken.pth").write_bytes(b"nothing")
    assert app.upscaler_names()[:3] == ["Lanczos", "None", "Nearest"] and "broken" not in app.upscaler_names()
    assert app.hires_upscaler_names()[0] == "Latent"
    (entry,) = [entry for entry in app.upscalers.entries() if entry.name == "broken"]
    assert entry.error
    with pytest.raises(UnknownNameError):
        app.queue.submit(EnlargeRequest(image=app.inputs.put(Image.new("RGB", (8, 8))), upscaler="4x-Nobody"), tab="upscale")


def test_a_picture_too_large_for_webp_is_saved_as_png(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "WEBP_MOST", 30)
    name = app.inputs.put(Image.new("RGB", (20, 10)))
    app.settings.change(image_format="webp")
    try:
        jobs = [app.queue.submit(EnlargeRequest(image=name, scale=scale), tab="upscale") for scale in (1.0, 2.0)]
        paths = [app.queue.wait(job.id, 30).images[0].path for job in jobs]
    finally:
        app.settings.change(image_format="png")
    assert [Path(path).suffix for path in paths] == [".webp", ".png"]
