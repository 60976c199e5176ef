"""Jobs that need no other checkpoint may go first, but nobody waits for ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.workspace.test_queue import Gate, drawing, prepared
from webui.contract.request import EnlargeRequest, GenerationRequest
from webui.workspace.gallery import Gallery
from webui.workspace.jobs import Job
from webui.workspace.queue import JobQueue
from webui.workspace.settings import SettingsStore
from webui.workspace.turns import OVERTAKERS, SECONDS, checkpoints_of, next_of


def asked(names: str, seconds_apart: float = 0.001) -> list[Job]:
    """A job for each letter, which names its checkpoint, all in one moment."""
    return [
        Job(id=f"{i}{name}", tab="txt2img", request=GenerationRequest(checkpoint=name), created=1000 + i * seconds_apart)
        for i, name in enumerate(names)
    ]


def drawn(names: str, loaded: str = " ") -> tuple[str, int]:
    """The order in which jobs are drawn where some checkpoints are loaded and no more fit, and how often one had to be loaded."""
    jobs, now, loads, order = asked(names), 2000.0, 0, ""
    while (job := next_of(jobs, loaded.__contains__, now)) is not None:
        (name,) = checkpoints_of(job.request)
        if name not in loaded:
            loaded, loads = loaded[1:] + name, loads + 1
        order += name
        jobs[jobs.index(job)] = replace(job, state="finished", started=now)
        now += 1
    return order, loads


def test_in_order_where_nothing_has_to_be_loaded() -> None:
    assert drawn("abcabcabc", loaded="abc") == ("abcabcabc", 0)


def test_jobs_of_one_checkpoint_are_drawn_behind_each_other() -> None:
    assert drawn("ababab") == ("aaabbb", 2)


def test_swaps_are_rare_in_a_long_mixed_queue() -> None:
    order, loads = drawn("ab" * 20)
    assert sorted(order) == sorted("ab" * 20)
    assert loads <= 40 / OVERTAKERS


@pytest.mark.parametrize("names", ["b" + "a" * 30, "ba" * 15, "bac" * 10, "cab" * 3 + "a" * 20])
def test_no_job_is_overtaken_more_often_than_is_allowed(names: str) -> None:
    jobs, now, loaded = asked(names), 2000.0, "a"
    while (job := next_of(jobs, loaded.__eq__, now)) is not None:
        (loaded,) = checkpoints_of(job.request)
        jobs[jobs.index(job)] = replace(job, state="finished", started=now)
        now += 1
    for i, job in enumerate(jobs):
        assert sum(later.started < job.started for later in jobs[i + 1 :]) <= OVERTAKERS


def test_a_job_waits_no_longer_than_the_bound_for_slow_ones() -> None:
    jobs = asked("baaa")
    jobs[1] = replace(jobs[1], state="finished", started=2000.0)
    is_ready = "a".__eq__
    assert next_of(jobs, is_ready, 2000 + SECONDS - 1) is jobs[2]
    assert next_of(jobs, is_ready, 2000 + SECONDS + 1) is jobs[0]


def test_jobs_that_came_while_a_checkpoint_was_drawn_do_not_starve_another_one() -> None:
    """Somebody asks for one picture of a after the other, each as soon as the last one began."""
    jobs, now, waited = asked("ab"), 2000.0, 0
    while (job := next_of(jobs, "a".__eq__, now)) is not None and checkpoints_of(job.request) == ("a",):
        jobs[jobs.index(job)] = replace(job, state="finished", started=now)
        jobs.append(replace(asked("a")[0], id=str(now), created=now))
        now, waited = now + 1, waited + 1
    assert waited == 1 + OVERTAKERS


def test_every_checkpoint_of_a_job_counts_and_filters_need_none() -> None:
    request = GenerationRequest(checkpoint="base", refiner="refiner", hires_checkpoint="other")
    assert checkpoints_of(request) == ("base", "refiner", "other")
    assert checkpoints_of(EnlargeRequest()) == ()
    jobs = asked("b") + [Job(id="x", tab="extras", request=EnlargeRequest(), created=1001.0)]
    assert next_of(jobs, lambda _: False, 2000.0) is jobs[1]


def test_nobody_waits() -> None:
    assert next_of([], lambda _: True, 0.0) is None
    assert next_of([replace(asked("a")[0], state="finished")], lambda _: True, 0.0) is None


def test_the_queue_draws_by_turns(tmp_path: Path) -> None:
    gate, loaded = Gate(), ["a"]

    def step(request: GenerationRequest, number: int) -> None:
        loaded[0] = request.checkpoint
        gate(request, number)

    queue = JobQueue(
        prepared,
        drawing(step),
        Gallery(tmp_path / "outputs"),
        SettingsStore(tmp_path / "settings.json"),
        tmp_path / "jobs",
        is_ready=lambda title: title == loaded[0],
    )
    jobs = [queue.submit(GenerationRequest(prompt="held", checkpoint="a"))]
    assert gate.there.wait(10)
    jobs += [queue.submit(GenerationRequest(checkpoint=name)) for name in "baba"]
    gate.go.set()
    ended = [queue.wait(job.id, 10) for job in jobs]
    queue.close()
    by_start = sorted(ended, key=lambda job: job.started)
    assert "".join(checkpoints_of(job.request)[0] for job in by_start) == "aaabb"
