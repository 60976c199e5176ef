"""Scripts through the queue: jobs of theirs are whole jobs, go on after a restart, and what they make is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from webui.contract.more_parts import ScriptPart
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.main import built_in
from webui.workspace.app import App, open_app
from webui.workspace.jobs import from_dict
from webui.workspace.paths import Paths
from webui.workspace.pictures import read_infotext

ASKED = GenerationRequest(
    prompt="a red cube", checkpoint="pocket", sampler="Euler", steps=1, width=64, height=64, seed=7, script="row",
    script_options={"pictures": 3},
)  # fmt: skip


def parts_with_row(drawn: list[int]) -> Parts:
    def row(request: GenerationRequest, *, pictures: int = 2) -> Iterator[Any]:
        made: list[Image.Image] = []
        for i in range(pictures):
            made += [picture.image for picture in (yield replace(request, seed=request.seed + i))]
            drawn.append(i)
        whole = Image.new("RGB", (64 * pictures, 64))
        for i, image in enumerate(made):
            whole.paste(image, (64 * i, 0))
        yield whole

    parts = built_in()[0]
    parts.scripts.add(ScriptPart("row", row, count=lambda request, pictures: 10), "theirs")
    return parts


def opened(folder: Path, drawn: list[int]) -> App:
    return open_app(Paths(folder), parts_with_row(drawn), checkpoint="pocket", cpu_only=True)


def test_a_job_of_a_script_tells_how_far_it_is_and_how_many_came(tmp_path: Path) -> None:
    app = opened(tmp_path, [])
    with app.queue.subscribe() as news:
        queued = app.queue.submit(ASKED)
        assert queued.pictures == 10
        fractions = []
        while (event := news.get(30)) is not None and event.kind != "finished":
            if event.kind == "progress" and event.job is not None:
                fractions.append(round(event.job.fraction, 6))
    job = app.queue.job(queued.id)
    assert fractions == [0.1, 0.2, 0.3]
    assert (job.state, job.fraction, job.pictures, len(job.images)) == ("finished", 1.0, 4, 4)
    assert [image.seed for image in job.images] == ["7", "8", "9", "7"]
    files = [tmp_path / "outputs" / image.path for image in job.images]
    assert [image.path.split("/")[0] for image in job.images] == ["txt2img-images"] * 3 + ["txt2img-grids"]
    assert [("Script: row" in read_infotext(file.read_bytes())) for file in files] == [False, False, False, True]
    assert from_dict(json.loads(json.dumps(job.to_dict()))) == job
    app.close()


def test_a_job_that_stopped_in_the_middle_goes_on_with_what_is_there(tmp_path: Path) -> None:
    first = opened(tmp_path, [])
    job = first.queue.wait(first.queue.submit(ASKED).id, 60)
    first.close()
    before = {image.index: (tmp_path / "outputs" / image.path) for image in job.images}
    grid = Image.open(before[3]).tobytes()
    for index in (2, 3):
        before[index].unlink()
    file = tmp_path / "state" / "jobs" / f"{job.id}.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "state": "running", "images": values["images"][:2], "attempts": 1}))
    times = [before[index].stat().st_mtime_ns for index in (0, 1)]

    ran: list[int] = []
    second = opened(tmp_path, ran)
    again = second.queue.wait(job.id, 60)
    second.close()
    assert again.state == "finished" and ran == [0, 1, 2], "the script runs from the beginning"
    assert [image.path for image in again.images[:2]] == [image.path for image in job.images[:2]]
    assert [before[index].stat().st_mtime_ns for index in (0, 1)] == times
    assert Image.open(tmp_path / "outputs" / again.images[3].path).tobytes() == grid
    assert len(list((tmp_path / "outputs").rglob("*.png"))) == 4


def test_a_file_that_is_gone_is_drawn_again(tmp_path: Path) -> None:
    first = opened(tmp_path, [])
    job = first.queue.wait(first.queue.submit(ASKED).id, 60)
    first.close()
    pictures = [Image.open(tmp_path / "outputs" / image.path).tobytes() for image in job.images]
    (tmp_path / "outputs" / job.images[1].path).unlink()
    file = tmp_path / "state" / "jobs" / f"{job.id}.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "state": "running", "attempts": 1}))
    second = opened(tmp_path, [])
    again = second.queue.wait(job.id, 60)
    second.close()
    assert [Image.open(tmp_path / "outputs" / image.path).tobytes() for image in again.images] == pictures
