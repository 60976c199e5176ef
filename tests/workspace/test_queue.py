"""A job lives in the queue, is on the disk before it is acknowledged, and goes on after a restart."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from webui.contract.errors import FieldError, Interrupted, RequestError, UnknownJobError
from webui.contract.request import GenerationRequest, Request
from webui.contract.result import CheckpointName, GeneratedImage, Kept, Progress
from webui.engine.watch import Observer
from webui.workspace.drawing import Prepared
from webui.workspace.gallery import Gallery
from webui.workspace.queue import Draw, JobQueue
from webui.workspace.settings import SettingsStore

Step = Callable[[GenerationRequest, int], None]


def prepared(request: Request, tab: str) -> Prepared:
    assert isinstance(request, GenerationRequest)
    if request.sampler == "nonsense":
        raise FieldError("sampler", "No sampler is called 'nonsense'.")
    complete = replace(request, steps=request.steps or 3, width=64, height=64, seed=max(request.seed, 0))
    return Prepared(complete, (f"from {tab}",), complete.pictures)


def drawing(
    before_step: Step = lambda request, step: None,
) -> Draw:
    """An engine without networks: flat pictures, real steps, a real observer. Only the journey counts here."""

    def draw(request: Request, observer: Observer, kept: Kept) -> Iterator[tuple[int, GeneratedImage]]:
        assert isinstance(request, GenerationRequest)
        for number in range(request.pictures):
            if kept(number) is not None:
                continue
            for step in range(1, (request.steps or 0) + 1):
                before_step(request, step)
                if observer.should_stop():
                    raise Interrupted
                fraction = (number + step / (request.steps or 1)) / request.pictures
                observer.progress(
                    Progress(
                        number + 1,
                        request.pictures,
                        step,
                        request.steps or 0,
                        fraction,
                        lambda: Image.new("RGB", (32, 32), "red"),
                    )
                )
            exact = replace(request, seed=request.seed + number, batch_size=1, batch_count=1)
            text = f"{request.prompt}\nSteps: 3, Seed: {exact.seed}, Size: 64x64"
            yield number, GeneratedImage(Image.new("RGB", (64, 64), (number, 0, 0)), exact, CheckpointName("flat"), text)

    return draw


def open_queue(folder: Path, before_step: Step = lambda request, step: None) -> JobQueue:
    return JobQueue(
        prepared, drawing(before_step), Gallery(folder / "outputs"), SettingsStore(folder / "settings.json"), folder / "jobs"
    )


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    made = open_queue(tmp_path)
    yield made
    made.close()


class Gate:
    """Lets a drawing thread come to a step, and holds it there until the test says go."""

    def __init__(self, prompt: str = "held", step: int = 2) -> None:
        self.there, self.go = threading.Event(), threading.Event()
        self._prompt, self._step = prompt, step

    def __call__(self, request: GenerationRequest, step: int) -> None:
        if request.prompt == self._prompt and step == self._step:
            self.there.set()
            assert self.go.wait(10)


def test_a_job_is_on_the_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    gate = Gate()
    queue = open_queue(tmp_path, gate)
    job = queue.submit(GenerationRequest(prompt="held"))
    assert json.loads((tmp_path / "jobs" / f"{job.id}.json").read_text())["request"]["prompt"] == "held"
    gate.go.set()
    queue.close()


def test_a_finished_job_has_its_pictures_on_the_disk(queue: JobQueue, tmp_path: Path) -> None:
    job = queue.wait(queue.submit(GenerationRequest(prompt="a fox", batch_size=2, seed=7)).id, 10)
    assert job.state == "finished"
    assert job.fraction == 1
    assert [image.seed for image in job.images] == ["7", "8"]
    for image in job.images:
        with Image.open(tmp_path / "outputs" / image.path) as opened:
            assert opened.text["parameters"] == image.infotext  # type: ignore[attr-defined]
    assert queue.jpeg(job.id, 1)


def test_what_is_wrong_is_refused_before_it_is_queued(queue: JobQueue) -> None:
    with pytest.raises(FieldError, match="nonsense"):
        queue.submit(GenerationRequest(sampler="nonsense"))
    assert queue.jobs() == []


def test_interrupting_a_running_job_keeps_its_finished_pictures_and_the_next_job(tmp_path: Path) -> None:
    seen = 0
    gate = threading.Event()

    def before(request: GenerationRequest, step: int) -> None:
        nonlocal seen
        seen += request.prompt == "long"
        if request.prompt == "long" and seen == 5:  # in the second picture
            gate.set()
            threading.Event().wait(0.2)

    queue = open_queue(tmp_path, before)
    long = queue.submit(GenerationRequest(prompt="long", batch_count=50))
    after = queue.submit(GenerationRequest(prompt="after"))
    assert gate.wait(10)
    assert queue.interrupt(long.id)
    ended = queue.wait(long.id, 10)
    assert ended.state == "interrupted"
    assert len(ended.images) == 1
    assert ended.images[0].path
    assert queue.wait(after.id, 10).state == "finished"
    queue.close()


def test_cancelling_a_waiting_job_leaves_the_running_one_alone(tmp_path: Path) -> None:
    gate = Gate()
    queue = open_queue(tmp_path, gate)
    running = queue.submit(GenerationRequest(prompt="held"))
    waiting = queue.submit(GenerationRequest(prompt="never"))
    assert gate.there.wait(10)
    assert queue.interrupt(waiting.id)
    assert queue.job(waiting.id).state == "interrupted"
    gate.go.set()
    assert queue.wait(running.id, 10).state == "finished"
    queue.close()


def test_interrupting_with_nothing_running_is_no_error(queue: JobQueue) -> None:
    assert queue.interrupt() is False


def test_a_job_that_fails_is_told_and_the_next_one_is_drawn(tmp_path: Path) -> None:
    def before(request: GenerationRequest, step: int) -> None:
        if request.prompt == "bad":
            raise ZeroDivisionError("by nothing")

    queue = open_queue(tmp_path, before)
    bad, good = (queue.submit(GenerationRequest(prompt=text)) for text in ("bad", "good"))
    assert queue.wait(bad.id, 10).state == "failed"
    assert "ZeroDivisionError" in queue.job(bad.id).error
    assert queue.wait(good.id, 10).state == "finished"
    queue.close()


def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    count = 0
    gate = threading.Event()

    def before(request: GenerationRequest, step: int) -> None:
        nonlocal count
        count += 1
        if count == 5:
            gate.set()
            threading.Event().wait(0.3)

    first = open_queue(tmp_path, before)
    running = first.submit(GenerationRequest(prompt="a", batch_count=3, seed=10))
    waiting = first.submit(GenerationRequest(prompt="b"))
    assert gate.wait(10)
    first.close()
    assert len(first.job(running.id).images) == 1

    second = open_queue(tmp_path)
    assert second.wait(running.id, 10).state == "finished"
    assert [image.seed for image in second.job(running.id).images] == ["10", "11", "12"]
    assert second.wait(waiting.id, 10).state == "finished"
    second.close()
    saved = sorted(path.name for path in (tmp_path / "outputs").rglob("*.png"))
    assert len(saved) == 4, "the picture that was there is not drawn again"


def test_a_job_that_ends_the_program_twice_is_set_aside(tmp_path: Path) -> None:
    gate = Gate()
    queue = open_queue(tmp_path, gate)
    job = queue.submit(GenerationRequest(prompt="held"))
    assert gate.there.wait(10)
    path = tmp_path / "jobs" / f"{job.id}.json"
    crashed = json.loads(path.read_text())
    gate.go.set()
    queue.close()
    path.write_text(json.dumps({**crashed, "attempts": 2}))
    again = open_queue(tmp_path)
    assert again.job(job.id).state == "failed"
    assert "set aside" in again.job(job.id).error
    again.close()


def test_a_damaged_job_file_does_not_hide_the_others(tmp_path: Path) -> None:
    first = open_queue(tmp_path)
    job = first.wait(first.submit(GenerationRequest(prompt="kept")).id, 10)
    first.close()
    (tmp_path / "jobs" / "broken.json").write_text('{"id": "x"')
    second = open_queue(tmp_path)
    assert [one.id for one in second.jobs()] == [job.id]
    second.close()


def test_a_picture_that_cannot_be_saved_is_still_shown_and_the_reason_said(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file where the folder should be")
    queue = open_queue(tmp_path)
    job = queue.wait(queue.submit(GenerationRequest(prompt="a")).id, 10)
    assert job.state == "finished"
    assert "could not be saved" in job.images[0].error
    assert queue.jpeg(job.id, 0)
    queue.close()


def test_a_listener_gets_a_snapshot_first_and_then_everything_in_order(tmp_path: Path) -> None:
    gate = Gate()
    queue = open_queue(tmp_path, gate)
    job = queue.submit(GenerationRequest(prompt="held"))
    assert gate.there.wait(10)
    with queue.subscribe() as events:
        first = events.get(5)
        assert first is not None and first.kind == "snapshot" and first.jobs[0].state == "running"
        assert queue.preview(job.id)
        gate.go.set()
        kinds = []
        while not kinds or kinds[-1] != "finished":
            event = events.get(5)
            assert event is not None
            kinds.append(event.kind)
    assert [kind for kind in kinds if kind != "progress"] == ["image", "saved", "finished"]
    queue.close()


def test_progress_never_falls(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    with queue.subscribe() as events:
        job = queue.submit(GenerationRequest(prompt="a", batch_count=3))
        seen = []
        while (event := events.get(5)) is not None:
            if event.job:
                seen.append(event.job.fraction)
            if event.kind == "finished":
                break
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert queue.job(job.id).seconds_left is None
    queue.close()


def test_a_job_nobody_knows_is_said_to_be_unknown(queue: JobQueue) -> None:
    with pytest.raises(UnknownJobError):
        queue.job("nothing")


def test_a_running_job_is_interrupted_not_removed(tmp_path: Path) -> None:
    gate = Gate()
    queue = open_queue(tmp_path, gate)
    job = queue.submit(GenerationRequest(prompt="held"))
    assert gate.there.wait(10)
    with pytest.raises(RequestError, match="Interrupt it first"):
        queue.remove(job.id)
    gate.go.set()
    queue.wait(job.id, 10)
    queue.remove(job.id)
    assert queue.jobs() == []
    queue.close()


def test_pictures_that_are_not_saved_stay_until_their_job_has_ended(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    many = queue.wait(queue.submit(GenerationRequest(batch_count=80, steps=1), save=False).id, 20)
    assert all(queue.picture(many.id, i) is not None for i in range(80))
    saved = queue.wait(queue.submit(GenerationRequest(batch_count=70, steps=1)).id, 20)
    assert queue.picture(many.id, 0) is None, "memory is bounded once they have been given out"
    assert queue.picture(saved.id, 69) is not None
    assert queue.jpeg(saved.id, 0), "from its file"
    queue.close()
