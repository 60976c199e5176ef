"""Jobs that wait for one checkpoint are drawn side by side, and each is what it would have been alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from webui.contract.parts import Parts
from webui.contract.request import EnlargeRequest, GenerationRequest, Request
from webui.workspace import drawing
from webui.workspace.app import App, open_app
from webui.workspace.events import Subscription
from webui.workspace.jobs import Job
from webui.workspace.paths import Paths

BASE = GenerationRequest(checkpoint="pocket", width=64, height=64, prompt="a red cube", seed=1, steps=12)
REQUESTS = (
    BASE,
    replace(BASE, prompt="a blue sphere", seed=2, steps=9, sampler="Euler"),
    replace(BASE, prompt="a green cone", seed=3, steps=6, sampler="DPM++ 2M", guidance=5.0),
)


@pytest.fixture
def app(tmp_path: Path, parts: Parts) -> Iterator[App]:
    made = open_app(Paths(tmp_path), parts, cpu_only=True)
    yield made
    made.close()


def drawn(app: App, requests: tuple[Request, ...]) -> list[Job]:
    """All of them submitted before the first may begin."""
    with app.queue.paused():
        ids = [app.queue.submit(one).id for one in requests]
    return [app.queue.wait(job, 120) for job in ids]


def picture(app: App, job: Job) -> np.ndarray:
    path = app.gallery.find(job.images[0].path)
    assert path is not None
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"), np.int16)


def kinds(listening: Subscription) -> list[tuple[str, int]]:
    """What happened to which job, by its seed."""
    seen = []
    while (event := listening.get(0.2)) is not None:
        if event.job is not None and event.kind in ("started", "finished"):
            assert isinstance(event.job.request, GenerationRequest)
            seen.append((event.kind, event.job.request.seed))
    return seen


def test_jobs_go_on_side_by_side_and_are_what_they_would_have_been_alone(app: App) -> None:
    with app.queue.subscribe() as listening:
        together = drawn(app, REQUESTS)
        seen = kinds(listening)
    assert [job.state for job in together] == ["finished"] * 3
    assert sorted(seen[:3]) == [("started", 1), ("started", 2), ("started", 3)], "all began before one had ended"
    for job, request in zip(together, REQUESTS, strict=True):
        (alone,) = drawn(app, (request,))
        assert alone.images[0].infotext == job.images[0].infotext
        assert np.abs(picture(app, alone) - picture(app, job)).max() <= 1, "the last bit, where rounding turns over"


def test_alone_or_with_sharing_off_a_picture_is_the_same_bytes(app: App) -> None:
    (once,) = drawn(app, REQUESTS[:1])
    app.settings.change(share_steps=False)
    with app.queue.subscribe() as listening:
        again = drawn(app, REQUESTS)
        seen = kinds(listening)
    assert seen == [(kind, seed) for seed in (1, 2, 3) for kind in ("started", "finished")]
    assert np.array_equal(picture(app, once), picture(app, again[0]))


def test_interrupting_one_lets_the_others_go_on(app: App) -> None:
    long = replace(BASE, steps=400, seed=9)
    with app.queue.paused():
        first, second = app.queue.submit(long), app.queue.submit(REQUESTS[2])
    assert app.queue.wait(second.id, 120).state == "finished"
    assert not app.queue.job(first.id).has_ended, "the longer one is still on its way"
    assert app.queue.interrupt(first.id)
    assert app.queue.wait(first.id, 30).state == "interrupted"


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        (BASE, BASE, True),
        (BASE, replace(BASE, checkpoint="pocket-turbo"), False),
        (BASE, replace(BASE, hires_scale=2.0), False),
        (BASE, replace(BASE, script="X/Y/Z plot"), False),
        (replace(BASE, width=512, height=512), BASE, False),
        (BASE, EnlargeRequest(), False),
    ],
)
def test_which_jobs_may_share(app: App, one: Request, other: Request, may: bool) -> None:
    assert drawing.may_share(one, [other], app.checkpoints) is may
