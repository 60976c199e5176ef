"""Extensions are told what happens: each in its own thread, in order, and nobody waits for it."""

from __future__ import annotations

import logging
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.workspace.test_queue import drawing, prepared
from webui.contract import hookimpl
from webui.contract.errors import SaveError
from webui.contract.happenings import ImageSaved, JobStarted, StepFinished
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.plugins import manager
from webui.workspace import telling as told_by
from webui.workspace.gallery import Gallery
from webui.workspace.own import Owns
from webui.workspace.queue import JobQueue
from webui.workspace.settings import SettingsStore
from webui.workspace.telling import Telling
from webui.workspace.troubles import Troubles

REQUEST = GenerationRequest(prompt="a red cube", batch_count=2, seed=4)


@dataclass
class Program:
    """The queue, the settings and the extensions, without networks."""

    folder: Path
    plugins: dict[str, Any]
    before_step: Callable[[GenerationRequest, int], None] = lambda request, step: None
    troubles: Troubles = field(default_factory=Troubles)

    def __post_init__(self) -> None:
        found = manager()
        for name, plugin in self.plugins.items():
            found.register(plugin, name=name)
        self.telling = Telling(found, Owns(self.folder / "own", Parts()), self.troubles, self.folder / "outputs")
        self.settings = SettingsStore(self.folder / "settings.json", self.telling.of_settings)
        self.queue = JobQueue(
            prepared, drawing(self.before_step), Gallery(self.folder / "outputs"), self.settings, self.folder / "jobs",
            heard=self.telling.of_queue,
        )  # fmt: skip

    def draw(self, **more: Any) -> str:
        job = self.queue.wait(self.queue.submit(REQUEST, **more).id, 20)
        assert job.state == "finished"
        return job.id

    def close(self) -> None:
        self.queue.close()
        self.telling.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    made: list[Program] = []

    def start(**plugins: Any) -> Program:
        made.append(Program(tmp_path, plugins))
        return made[-1]

    yield start
    for one in made:
        one.close()


class Listens:
    """A class with all handlers; takes what it wants."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.owns: set[str] = set()
        self.threads: set[str] = set()

    @hookimpl
    def job_started(self, event: Any, own: Any) -> None:
        self.told.append(event)
        self.owns.add(own.name)
        self.threads.add(threading.current_thread().name)

    @hookimpl
    def step_finished(self, event: Any) -> None:
        self.told.append(event)

    @hookimpl
    def image_finished(self, event: Any) -> None:
        self.told.append(event)

    @hookimpl
    def image_saved(self, own: Any, event: Any) -> None:
        self.told.append(event)

    @hookimpl
    def settings_changed(self) -> None:
        self.told.append("settings")

    def kinds(self) -> list[str]:
        return [type(one).__name__ for one in self.told]


def test_a_job_is_told_in_order_in_a_thread_of_the_extensions_own(started: Callable[..., Program]) -> None:
    listens = Listens()
    program = started(mine=listens)
    job = program.draw()
    program.close()
    kinds = listens.kinds()
    assert kinds[0] == "JobStarted" and kinds.count("StepFinished") == 6
    assert kinds.count("ImageFinished") == kinds.count("ImageSaved") == 2
    for one in ("ImageFinished", "ImageSaved"):
        assert [event.index for event in listens.told if type(event).__name__ == one] == [0, 1]
    first = listens.told[0]
    assert (first.job, first.tab, first.pictures, first.request.prompt) == (job, "txt2img", 2, "a red cube")
    steps = [event for event in listens.told if isinstance(event, StepFinished)]
    assert [(one.step, one.steps, one.picture) for one in steps] == [
        (1, 3, 1),
        (2, 3, 1),
        (3, 3, 1),
        (1, 3, 2),
        (2, 3, 2),
        (3, 3, 2),
    ]
    saved = [event for event in listens.told if isinstance(event, ImageSaved)]
    assert all(event.path.is_file() and event.path.parent.parent.parent == program.folder / "outputs" for event in saved)
    assert "Seed: 5" in saved[1].infotext and saved[0].path != saved[1].path
    assert listens.owns == {"mine"} and listens.threads == {"events of mine"}


def test_a_picture_that_is_not_saved_is_finished_but_not_saved(started: Callable[..., Program]) -> None:
    listens = Listens()
    program = started(mine=listens)
    program.draw(save=False)
    program.close()
    assert listens.kinds().count("ImageFinished") == 2 and "ImageSaved" not in listens.kinds()


def test_a_module_that_handles_one_thing_hears_of_nothing_else(started: Callable[..., Program]) -> None:
    module, told = types.ModuleType("listening"), list[Any]()

    def settings_changed(event: Any) -> None:
        told.append((event.before["image_format"], event.now["image_format"]))

    module.settings_changed = hookimpl(settings_changed)  # type: ignore[attr-defined]
    program = started(mine=module)
    program.draw()
    program.settings.change(image_format="webp")
    program.settings.change(image_format="webp")  # nothing is other than before
    program.close()
    assert told == [("png", "webp")]


def test_who_has_no_handler_costs_no_thread(started: Callable[..., Program]) -> None:
    program = started(mine=types.ModuleType("mute"))
    assert program.telling.listeners == ()
    assert not any(thread.name == "events of mine" for thread in threading.enumerate())


def test_what_a_handler_raises_ends_nothing_and_is_told_once_a_kind(
    started: Callable[..., Program], caplog: pytest.LogCaptureFixture
) -> None:
    class Breaks:
        @hookimpl
        def step_finished(self, event: Any) -> None:
            raise ValueError(f"step {event.step}") if event.step < 3 else SystemExit(3)

    listens = Listens()
    program = started(broken=Breaks(), mine=listens)
    with caplog.at_level(logging.ERROR):
        program.draw()
        program.close()
    assert len(listens.told) == 11
    troubles = {trouble.error: trouble for trouble in program.troubles.of("broken")}
    assert [(one.where, one.times) for one in troubles.values()] == [("step_finished", 4), ("step_finished", 2)]
    assert set(troubles) == {"ValueError: step 2", "SystemExit: 3"}, "as it was the last time"
    assert "test_telling.py" in troubles["ValueError: step 2"].details
    said = [record.getMessage() for record in caplog.records if "extension broken" in record.getMessage()]
    assert said == [
        "extension broken failed in step_finished: ValueError: step 1", "extension broken failed in step_finished: SystemExit: 3"
    ]  # fmt: skip
    assert program.troubles.of("mine") == ()


def test_one_that_hangs_holds_up_neither_the_picture_nor_the_others_nor_the_end(
    started: Callable[..., Program], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()

    class Hangs:
        @hookimpl
        def job_started(self) -> None:
            go_on.wait(600)

    listens = Listens()
    program = started(hanging=Hangs(), mine=listens)
    program.draw()
    monkeypatch.setattr(told_by, "MOMENT", 0.2)
    program.close()
    assert len(listens.told) == 11 and not go_on.is_set()
    assert "hanging was still busy" in caplog.text
    go_on.set()


def test_one_that_is_behind_is_told_of_fewer_steps_and_of_nothing_else_less(
    started: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told_by, "BEHIND", 3)
    go_on, listens = threading.Event(), Listens()

    class Slow(Listens):
        @hookimpl
        def job_started(self, event: Any) -> None:
            go_on.wait(600)
            self.told.append(event)

    slow = Slow()
    program = started(slow=slow, mine=listens)
    for _ in range(3):
        program.draw()
    go_on.set()
    program.close()
    kinds = slow.kinds()
    assert kinds.count("JobStarted") == 3 and kinds.count("ImageFinished") == kinds.count("ImageSaved") == 6
    assert 0 < kinds.count("StepFinished") < 18
    assert next(one.fraction for one in slow.told if isinstance(one, StepFinished)) == pytest.approx(1 / 6)


def test_one_that_never_listens_is_told_no_more_and_its_memory_given_back(
    started: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told_by, "MOST", 4)
    go_on, hangs_now = threading.Event(), threading.Event()

    class Hangs(Listens):
        @hookimpl
        def job_started(self, event: Any) -> None:
            hangs_now.set()
            go_on.wait(600)

    hangs = Hangs()
    program = started(hanging=hangs)
    program.telling.tell(JobStarted("0", "txt2img", REQUEST, 1))
    assert hangs_now.wait(60)
    for _ in range(3):
        program.draw()
    (listener,) = program.telling.listeners
    (trouble,) = program.troubles.of("hanging")
    assert "has not kept up" in trouble.error and trouble.times == 1
    assert len(listener._waiting) == 1, "only the end"
    go_on.set()
    program.close()
    assert hangs.told == []


def test_letters_count_too(started: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told_by, "LETTERS", 2000)
    go_on = threading.Event()

    class Hangs(Listens):
        @hookimpl
        def job_started(self, event: Any) -> None:
            go_on.wait(600)

    program = started(hanging=Hangs())
    job = program.queue.submit(GenerationRequest(prompt="x" * 3000, seed=1))
    assert program.queue.wait(job.id, 20).state == "finished"
    assert "has not kept up" in program.troubles.of("hanging")[0].error
    go_on.set()


def test_pictures_of_an_earlier_run_are_not_told_again(tmp_path: Path) -> None:
    """The program stops in the middle of a job; the next start goes on with it."""
    gate, second_begins, steps = threading.Event(), threading.Event(), list[int]()

    def hold(request: GenerationRequest, step: int) -> None:
        steps.append(step)
        if len(steps) == 4:
            second_begins.set()
            gate.wait(20)

    first = Program(tmp_path, {}, hold)
    job = first.queue.submit(REQUEST)
    with first.queue.subscribe() as events:
        assert second_begins.wait(20)
        while not first.queue.job(job.id).images[0].path:
            events.get(20)
    threading.Timer(0.2, gate.set).start()
    first.close()
    listens = Listens()
    second = Program(tmp_path, {"mine": listens})
    assert second.queue.wait(job.id, 20).state == "finished"
    second.close()
    assert [one.index for one in listens.told if isinstance(one, ImageSaved)] == [1]


def test_an_error_that_cannot_be_written_is_told_all_the_same() -> None:
    class Strange(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    troubles = Troubles()
    for number in range(60):
        troubles.add("mine", f"place {number}", Strange())
    assert len(troubles.of("mine")) == 20 and troubles.of("mine")[0].error == "Strange"
    troubles.add("other", "x", SaveError("The disk is\nfull."))
    assert troubles.of("other")[0].error == "SaveError: The disk is full."
