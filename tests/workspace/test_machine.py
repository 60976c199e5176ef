"""One thread computes, whoever asks."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from webui.contract.request import GenerationRequest
from webui.workspace.app import App
from webui.workspace.machine import Machine


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


def test_all_is_done_in_one_thread_in_turn(machine: Machine) -> None:
    seen: list[tuple[int, int]] = []

    def note(number: int) -> int:
        seen.append((number, threading.get_ident()))
        return number

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: machine.do(lambda: note(number)), range(40)))
    assert answers == list(range(40))
    assert sorted(number for number, _ in seen) == answers
    assert {thread for _, thread in seen} == {machine.do(threading.get_ident)} != {threading.get_ident()}


def test_what_goes_wrong_is_raised_where_it_was_asked_and_the_next_is_done(machine: Machine) -> None:
    with pytest.raises(ZeroDivisionError):
        machine.do(lambda: 1 / 0)
    assert machine.do(lambda: 3) == 3


def test_a_task_may_ask_for_more(machine: Machine) -> None:
    assert machine.do(lambda: machine.do(lambda: 5)) == 5


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_task_is_kept(machine: Machine, fails: bool) -> None:
    class Large:
        pass

    large = Large()
    kept = weakref.ref(large)

    def hold(held: Large = large) -> None:
        if fails:
            raise ValueError(held)

    try:
        machine.do(hold)
    except ValueError:
        assert fails
    del large, hold
    gc.collect()
    assert kept() is None


def test_it_ends_when_it_is_closed() -> None:
    machine = Machine()
    done: list[int] = []
    machine.do(lambda: done.append(1))
    machine.close()
    machine._thread.join(10)
    assert not machine._thread.is_alive() and done == [1]


def test_a_job_and_a_look_at_it_are_drawn_there(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    from webui.engine import autoencoder

    threads: list[tuple[str, str]] = []
    for name in ("preview", "decode"):
        inner = getattr(autoencoder, name)

        def watched(*args: object, _inner: object = inner, _name: str = name, **more: object) -> object:
            threads.append((_name, threading.current_thread().name))
            return _inner(*args, **more)  # type: ignore[operator]

        monkeypatch.setattr(autoencoder, name, watched)
    with app.queue.subscribe() as events:
        job = app.queue.submit(GenerationRequest(prompt="a fox", steps=3, width=64, height=64), save=False)
        app.queue.wait(job.id, 60)
        app.queue.preview(job.id)
        assert events.get(1)
    assert {name for name, _ in threads} >= {"preview"}
    assert {thread for _, thread in threads} == {"machine"}
