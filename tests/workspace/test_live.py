"""Live streams: only the newest input is drawn, jobs go first, and nothing that a viewer does is left behind."""

from __future__ import annotations

import gc
import io
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.turbo import write_pocket, write_turbo
from webui.contract import infotext
from webui.contract.errors import FieldError, RequestError
from webui.contract.live import LiveInput
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest, Request, request_from
from webui.contract.result import Kept, Result
from webui.engine.traced import OFTEN
from webui.engine.watch import Observer
from webui.workspace import drawing, live
from webui.workspace.app import App, open_app
from webui.workspace.live import REMEMBERED, STREAMS, UNSHOWN, Cold, Live, Viewer
from webui.workspace.paths import Paths
from webui.workspace.pictures import read_infotext
from webui.workspace.queue import JobQueue

SECONDS = 60
"""After which something that a test waits for will not come any more."""


def wish(number: int, **more: Any) -> LiveInput:
    fields: dict[str, Any] = {"prompt": "a fox on grass", "checkpoint": "swift", "seed": 5, "width": 64, "height": 64}
    return LiveInput(input=number, **fields | more)


class Page:
    """A viewer's side of a stream: what it was told, in order. It says of each frame that it was shown, unless it is idle.

    Args:
        hold: for which frames the drawing thread is held up in the middle of its walk, until `go` is set.
    """

    def __init__(self, live: Live, hold: Callable[[dict[str, Any]], bool] = lambda told: False, is_idle: bool = False) -> None:
        self.told: list[dict[str, Any]] = []
        self.pictures: list[bytes] = []
        self.there, self.go, self._hold, self._is_idle = threading.Event(), threading.Event(), hold, is_idle
        self._changed = threading.Condition()
        self.viewer: Viewer = live.open(self._tell)

    def _tell(self, told: dict[str, Any], jpeg: bytes) -> None:
        with self._changed:
            self.told.append(told)
            self.pictures += [jpeg] if jpeg else []
            self._changed.notify_all()
        if "frame" in told and not self._is_idle:
            self.viewer.shown(told["frame"])
        if self._hold(told) and not self.go.is_set():
            self.there.set()
            assert self.go.wait(SECONDS)

    def ask(self, number: int, **more: Any) -> None:
        self.viewer.ask(wish(number, **more))

    def wait(self, claim: Callable[[list[dict[str, Any]]], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: claim(self.told), SECONDS), self.told[-5:]

    def wait_for_final(self, number: int) -> dict[str, Any]:
        self.wait(lambda told: any(one.get("input") == number and one.get("final") for one in told))
        return next(one for one in self.frames if one["input"] == number and one["final"])

    def wait_for(self, kind: str, count: int = 1) -> dict[str, Any]:
        self.wait(lambda told: sum(kind in one for one in told) >= count)
        return [one for one in self.told if kind in one][-1]

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [one for one in self.told if "frame" in one]

    @property
    def inputs(self) -> list[int]:
        """Of its frames."""
        return [one["input"] for one in self.frames]

    @property
    def states(self) -> list[str]:
        return [one["state"] for one in self.told if "state" in one]

    @property
    def picture(self) -> np.ndarray:
        return pixels(self.pictures[-1])


def pixels(file: bytes | Path) -> np.ndarray:
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def file_of(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def painting(side: int = 64) -> Image.Image:
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    rows = ramp[None].repeat(side, 0)
    return Image.fromarray(np.stack([rows, rows.T, 255 - rows], -1))


def far(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance of two pictures, in levels."""
    return float(np.abs(one - other).mean())


def until(claim: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not claim():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


class Room:
    """Streams and a queue beside them, over the checkpoints of the session's workspace. A job waits at its door where the
    test has closed it."""

    def __init__(self, app: App, folder: Path) -> None:
        self.app, self.door = app, threading.Event()
        self.door.set()
        self.at_the_door = threading.Event()
        self.queue = JobQueue(
            lambda request, tab: drawing.prepared(request, tab, app.checkpoints, app.parts, app.inputs),
            self._draw,
            app.gallery,
            app.settings,
            folder / "jobs",
        )
        self.live = Live(app.checkpoints, app.parts, self.queue, app.inputs)
        self.before_job: Callable[[], None] = lambda: None

    def _draw(self, request: Request, observer: Observer, kept: Kept) -> Iterator[tuple[int, Result]]:
        self.at_the_door.set()
        assert self.door.wait(SECONDS)
        self.before_job()
        yield from drawing.draw(request, self.app.checkpoints, self.app.parts, self.app.inputs, observer, kept)

    def submit(self, prompt: str = "a cat") -> str:
        request = GenerationRequest(prompt=prompt, checkpoint="swift", width=64, height=64, seed=1)
        return self.queue.submit(request, save=False).id

    def page(self, *args: Any, **named: Any) -> Page:
        return Page(self.live, *args, **named)

    def settle(self) -> None:
        """Everybody who asked before, and who can be drawn for, has had a turn: who comes new goes first, but not again."""
        last = self.page()
        for number in (1, 2):
            last.ask(number)
            last.wait_for_final(number)
        last.viewer.close()

    def close(self) -> None:
        self.door.set()
        self.live.close()
        self.queue.close()


@pytest.fixture
def room(turbo_app: App, tmp_path: Path) -> Iterator[Room]:
    made = Room(turbo_app, tmp_path)
    yield made
    made.close()


@pytest.fixture
def calls(turbo_app: App) -> Iterator[list[int]]:
    """Grows with each call of the turbo's network."""
    seen: list[int] = []
    with turbo_app.checkpoints.use("swift") as model:
        assert model.unet is not None
        hook = model.unet.register_forward_pre_hook(lambda *_: seen.append(1))
        yield seen
        hook.remove()


# ---------------------------------------------------------------- the newest input


def test_what_came_while_a_frame_was_drawn_is_skipped_but_for_the_newest(room: Room, calls: list[int]) -> None:
    page = room.page(hold=lambda told: told.get("input") == 1)
    page.ask(1)
    assert page.there.wait(SECONDS)
    for number in range(2, 40):
        page.ask(number, prompt=f"a fox {number}")
    page.go.set()
    page.wait_for_final(39)
    room.settle()
    assert page.inputs == [1, 39] and len(calls) == 2 + 2


@pytest.mark.parametrize("smooth", [0.0, 0.05])
def test_the_last_inputs_last_frame_comes_last(room: Room, smooth: float) -> None:
    page = room.page()
    for number in range(60):
        page.ask(number, steps=1 + number % 4, prompt=f"a fox {number}", seed=number // 10, smooth=smooth)
        if number % 7 == 0:
            page.wait(lambda told, number=number: any(one.get("input") == number for one in told))
    last = page.wait_for_final(59)
    room.settle()
    assert page.frames[-1] is last
    assert page.inputs == sorted(page.inputs), "an older input was drawn after a newer one"
    assert [one["frame"] for one in page.frames] == list(range(1, len(page.frames) + 1))


def test_a_size_that_is_drawn_often_is_traced_and_its_pictures_stay_the_same(room: Room, calls: list[int]) -> None:
    page = room.page()

    def drawn(number: int) -> np.ndarray:
        page.ask(number, steps=1, seed=number % 2, smooth=0.0)
        page.wait_for_final(number)
        return page.picture

    before = [drawn(number) for number in range(OFTEN)]
    until(lambda: bool(len(calls) > OFTEN and not room.live.is_compiling))
    drawn(OFTEN)  # the first that may be the trace's
    count = len(calls)
    after = [drawn(number) for number in range(10 * OFTEN, 11 * OFTEN)]
    assert len(calls) == count, "the network was called beside its trace"
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_walk_for_an_outdated_input_stops_before_the_next_call(room: Room, calls: list[int]) -> None:
    page = room.page(hold=lambda told: told.get("input") == 1 and told.get("step") == 2)
    page.ask(1, steps=4)
    assert page.there.wait(SECONDS)
    assert len(calls) == 2
    page.ask(2, steps=1)
    page.go.set()
    page.wait_for_final(2)
    assert [(one["input"], one["step"], one["final"]) for one in page.frames] == [(1, 1, False), (1, 2, False), (2, 1, True)]
    assert len(calls) == 3


def test_a_frame_says_what_it_is(room: Room) -> None:
    page = room.page()
    page.ask(17, steps=2, width=128, height=72)
    page.wait_for_final(17)
    for step, told in enumerate(page.frames, 1):
        assert set(told) == {
            "frame", "input", "step", "steps", "final", "ms", "network_ms", "width", "height", "seed", "checkpoint",
        }  # fmt: skip
        assert told | {"ms": 0, "network_ms": 0} == {
            "frame": step, "input": 17, "step": step, "steps": 2, "final": step == 2, "ms": 0, "network_ms": 0,
            "width": 128, "height": 72, "seed": "5", "checkpoint": "swift",
        }  # fmt: skip
        assert 0 < told["network_ms"] <= told["ms"]
    for file in page.pictures:
        with Image.open(io.BytesIO(file)) as opened:
            assert (opened.format, opened.size) == ("JPEG", (128, 72))


def test_a_smooth_change_of_words_is_drawn_until_it_has_arrived(room: Room) -> None:
    page = room.page()
    page.ask(1, prompt="a fox")
    page.wait_for_final(1)
    before = len(page.frames)
    page.ask(2, prompt="a blue cube", smooth=0.3)
    page.wait_for_final(2)
    room.settle()
    shown = page.frames[before:]
    assert len(shown) > 1 and [one["final"] for one in shown] == [False] * (len(shown) - 1) + [True]


# ---------------------------------------------------------------- back-pressure


def test_no_more_frames_are_on_their_way_than_the_viewer_shows(room: Room) -> None:
    page = room.page(is_idle=True)
    for number in range(1, UNSHOWN + 1):
        page.ask(number)
        page.wait_for_final(number)
    page.ask(10)
    room.settle()
    page.ask(11)
    room.settle()
    assert page.inputs == list(range(1, UNSHOWN + 1)) and room.live.behind == 1 + UNSHOWN
    page.viewer.shown(1)
    page.wait_for_final(11)
    room.settle()
    assert page.inputs == [*range(1, UNSHOWN + 1), 11]


def test_a_frame_that_was_shown_speaks_for_those_before_it(room: Room) -> None:
    page = room.page(is_idle=True)
    page.ask(1, steps=UNSHOWN)
    page.wait_for_final(1)
    assert room.live.behind >= UNSHOWN
    page.viewer.shown(UNSHOWN)
    room.settle()
    assert room.live.behind == 0


def test_steps_on_the_way_are_left_out_for_a_viewer_who_is_behind_but_never_the_last_one(room: Room, calls: list[int]) -> None:
    page = room.page(is_idle=True)
    page.ask(1, steps=4)
    page.wait_for_final(1)
    assert [one["step"] for one in page.frames] == [*range(1, UNSHOWN + 1), 4] and len(calls) == 4
    assert len(page.viewer.unshown) <= UNSHOWN


def test_a_viewer_who_never_says_what_was_shown_is_not_left_waiting_for_ever(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PATIENCE", 0.001)
    page = room.page(is_idle=True)
    for number in range(20):
        page.ask(number)
        page.wait_for_final(number)
    assert len(page.viewer.unshown) <= UNSHOWN


@pytest.mark.parametrize("frame", [-1, 0, 10**30])
def test_frames_that_never_were_may_be_called_shown(room: Room, frame: int) -> None:
    page = room.page()
    page.viewer.shown(frame)
    page.ask(1)
    page.viewer.shown(frame)
    page.wait_for_final(1)


# ---------------------------------------------------------------- beside the queue


def test_a_job_goes_first_and_the_stream_goes_on_after_it(room: Room, calls: list[int]) -> None:
    room.door.clear()
    job = room.submit()
    assert room.at_the_door.wait(SECONDS)
    page, drawn = room.page(), list[int]()
    room.before_job = lambda: drawn.append(len(page.frames))
    page.ask(1)
    assert page.wait_for("state")["state"] == "waiting"
    page.ask(2)
    room.door.set()
    page.wait_for_final(2)
    assert room.queue.wait(job, SECONDS).state == "finished"
    assert drawn == [0] and page.inputs == [2]
    assert page.states[0] == "waiting" and page.states[-1] == "live"


def test_a_job_that_comes_in_the_middle_of_a_walk_stops_it_before_the_next_call(room: Room, calls: list[int]) -> None:
    page = room.page(hold=lambda told: told.get("step") == 1)
    drawn: list[tuple[int, int]] = []
    room.before_job = lambda: drawn.append((len(calls), len(page.frames)))
    page.ask(1, steps=4)
    assert page.there.wait(SECONDS)
    job = room.submit()
    page.go.set()
    page.wait_for_final(1)
    assert room.queue.wait(job, SECONDS).state == "finished"
    assert drawn == [(1, 1)], "the walk went on before the job"
    assert [one["step"] for one in page.frames] == [1, 1, 2, 3, 4]
    assert page.states == ["live", "waiting", "live"]
    assert len(calls) == 1 + 1 + 4


def test_a_page_that_opens_during_a_job_hears_so_and_may_leave(room: Room) -> None:
    """Warming up waits for the job, and nobody waits for the warming up."""
    room.door.clear()
    room.submit()
    assert room.at_the_door.wait(SECONDS)
    page, other = room.page(), room.page()
    for each in (page, other):
        each.viewer.warm(Cold(""))
        assert each.wait_for("state")["state"] == "waiting"
    other.viewer.close()
    room.door.set()
    assert page.wait_for("model")["model"]["checkpoint"] == "swift"
    page.wait(lambda told: told[-1] == {"state": "live", "words": ""})
    room.settle()
    assert not any("model" in one for one in other.told) and not page.frames


def test_warming_up_tells_of_the_checkpoint_and_an_input_need_not(room: Room) -> None:
    room.app.checkpoints.unload("swift")
    page = room.page()
    page.viewer.warm(Cold("swift", 64, 64))
    page.wait_for("model")
    page.ask(1)
    page.wait_for_final(1)
    assert sum("model" in one for one in page.told) == 1
    assert page.states == ["loading", "warming", "live"]


# ---------------------------------------------------------------- errors


def boom(*_: Any) -> None:
    raise ValueError("not for the viewer's eyes")


@pytest.mark.parametrize(
    "bad, words, of",
    [
        ({"checkpoint": "nosuch"}, "No checkpoint is called 'nosuch'", ""),
        ({"picture": True}, "Picture is not a picture that can be read here. Send a PNG, JPEG or WebP.", "picture"),
    ],
)
def test_what_is_wrong_with_one_input_is_said_and_the_next_one_is_drawn(
    room: Room, bad: dict[str, Any], words: str, of: str
) -> None:
    page = room.page()
    page.viewer.show(b"\x89PNG and then nothing of the kind")
    page.ask(1, **bad)
    told = page.wait_for("error")
    assert told["error"].startswith(words) and (told["input"], told["field"]) == (1, of)
    page.ask(2)
    page.wait_for_final(2)
    assert sum("error" in one for one in page.told) == 1 and page.inputs == [2]


def test_whatever_goes_wrong_in_the_network_ends_one_input_only(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    page = room.page()
    with room.app.checkpoints.use("swift") as model:
        assert model.unet is not None
        hook = model.unet.register_forward_pre_hook(boom)
        page.ask(1)
        told = page.wait_for("error")
        hook.remove()
    assert told["error"] == "Something went wrong inside the program (ValueError). Its log says more."
    assert "not for the viewer's eyes" in caplog.text
    page.ask(2)
    page.wait_for_final(2)
    assert page.inputs == [2]


def test_an_error_leaves_no_state_behind_that_never_ends(room: Room) -> None:
    room.app.checkpoints.unload("swift")
    page = room.page()
    with room.app.checkpoints.use("pocket") as model:
        assert model.unet is not None
        hook = model.unet.register_forward_pre_hook(boom)
        page.ask(1, checkpoint="pocket")
        page.wait_for("error")
        hook.remove()
    page.ask(2)
    page.wait_for_final(2)
    assert page.states[-1] == "live"


def test_errors_of_one_viewer_are_told_to_that_one_only(room: Room) -> None:
    page, other = room.page(), room.page()
    page.ask(1, checkpoint="nosuch")
    other.ask(1)
    other.wait_for_final(1)
    page.wait_for("error")
    assert not any("error" in one for one in other.told) and not page.frames


# ---------------------------------------------------------------- several viewers


def test_viewers_take_turns(room: Room) -> None:
    order: list[str] = []

    class Eager(Page):
        """Asks for the next picture as soon as one is there."""

        name = ""

        def _tell(self, told: dict[str, Any], jpeg: bytes) -> None:
            super()._tell(told, jpeg)
            if "frame" in told and told["input"] < 12:
                order.append(self.name)
                self.ask(told["input"] + 1)

    door = room.page(hold=lambda told: "frame" in told)
    door.ask(1)
    assert door.there.wait(SECONDS)
    pages = [Eager(room.live) for _ in range(3)]
    for page, name in zip(pages, "abc", strict=True):
        page.name = name
        page.ask(0)
    door.go.set()
    for page in pages:
        page.wait_for_final(12)
    assert {frozenset(order[i : i + 3]) for i in range(0, len(order), 3)} == {frozenset("abc")}, order


def test_too_many_viewers_are_refused_in_a_sentence_until_one_leaves(room: Room) -> None:
    pages = [room.page() for _ in range(STREAMS)]
    with pytest.raises(RequestError, match=rf"^{STREAMS} live streams are open already\. Close one of them first\.$"):
        room.page()
    pages[3].viewer.close()
    late = room.page()
    late.ask(1)
    late.wait_for_final(1)
    assert room.live.viewers == STREAMS


# ---------------------------------------------------------------- keeping


def kept(room: Room, page: Page, frame: int) -> tuple[np.ndarray, GenerationRequest, str]:
    """The saved picture of a frame, the request that its infotext tells, and its path below the outputs."""
    job = room.queue.wait(page.viewer.keep(frame), SECONDS)
    assert (job.state, job.tab, len(job.images)) == ("finished", "turbo", 1), job.error
    path = room.app.gallery.find(job.images[0].path)
    assert path is not None
    text = read_infotext(path.read_bytes())
    assert text == job.images[0].infotext
    told = infotext.read(text)
    values, notes = infotext.to_request(
        told, room.app.parts.samplers.names(), room.app.parts.schedules.names(), room.app.inputs.has
    )
    assert not notes
    return pixels(path), request_from(values | {"checkpoint": told.checkpoint.name}), job.images[0].path


def drawn(room: Room, request: GenerationRequest) -> np.ndarray:
    (made,) = room.app.generate(request)
    return np.asarray(made.image).astype(int)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_kept_frame_is_saved_with_what_makes_it_again(room: Room, steps: int) -> None:
    page = room.page()
    page.ask(1, steps=steps, seed=2**53 + 1, negative_prompt="blurry", width=72)
    frame = page.wait_for_final(1)
    picture, request, path = kept(room, page, frame["frame"])
    assert np.array_equal(drawn(room, request), picture)
    assert (request.prompt, request.seed, request.steps, request.width) == ("a fox on grass", 2**53 + 1, steps, 72)
    assert path.startswith("turbo"), path
    other = drawn(room, replace(request, seed=9))
    assert far(picture, page.picture) < far(picture, other) / 2, "another picture than the one that was seen"


@pytest.mark.parametrize("steps, strength", [(1, 0.5), (2, 0.3), (3, 0.9)])
@pytest.mark.parametrize("kind", ["RGB", "RGBA", "P"])
def test_a_kept_frame_of_a_picture_remembers_the_picture(room: Room, steps: int, strength: float, kind: str) -> None:
    page, given = room.page(), painting(80)
    if kind == "RGBA":
        given.putalpha(Image.linear_gradient("L").resize(given.size))
    page.viewer.show(file_of(given if kind == "RGBA" else given.convert(kind)))
    page.ask(1, picture=True, strength=strength, steps=steps, prompt="a blue sphere")
    frame = page.wait_for_final(1)
    assert (frame["step"], frame["steps"]) == (steps, steps)
    page.viewer.show(file_of(painting().rotate(90)))  # meant for later inputs
    picture, request, _ = kept(room, page, frame["frame"])
    assert room.app.inputs.has(request.image)
    assert np.array_equal(drawn(room, request), picture)
    other = drawn(room, replace(request, image=room.app.inputs.put(painting().rotate(90)), seed=9))
    assert far(picture, page.picture) < far(picture, other) / 2


def test_a_picture_of_other_proportions_is_cropped_not_stretched(room: Room) -> None:
    page, wide = room.page(), Image.new("RGB", (128, 64), "red")
    wide.paste("lime", (32, 0, 96, 64))
    page.viewer.show(file_of(wide))
    page.ask(1, picture=True, strength=0.05)
    page.wait_for_final(1)
    red, green, _ = page.picture.mean(0).T
    assert (green > 2 * red).all()


def test_a_frame_is_kept_by_the_checkpoint_that_drew_it(opened: Callable[..., App], tmp_path: Path) -> None:
    app = opened("swift", "brisk", chosen="swift")
    room = Room(app, tmp_path)
    page = room.page()
    page.ask(1, checkpoint="")
    frame = page.wait_for_final(1)
    app.checkpoints.choose("brisk")
    assert room.queue.job(page.viewer.keep(frame["frame"])).request.checkpoint == frame["checkpoint"] == "swift"
    page.ask(2, checkpoint="")
    assert page.wait_for_final(2)["checkpoint"] == "brisk"
    room.close()


def test_a_frame_that_no_picture_was_sent_for_can_be_kept(room: Room) -> None:
    page = room.page()
    page.ask(1, picture=True)
    _, request, _ = kept(room, page, page.wait_for_final(1)["frame"])
    assert not request.image


def test_a_frame_that_never_was_or_is_long_gone_is_not_kept(room: Room) -> None:
    page = room.page()
    for number in range(1, REMEMBERED + 2):
        page.ask(number)
        page.wait_for_final(number)
    for frame in (-1, 0, 1, REMEMBERED + 2, 10**30):
        with pytest.raises(RequestError, match=r"^That picture is no longer at hand\. Keep the one that is shown now\.$"):
            page.viewer.keep(frame)
    for frame in (2, REMEMBERED + 1):
        assert room.queue.wait(page.viewer.keep(frame), SECONDS).state == "finished"
    page.viewer.close()
    with pytest.raises(RequestError):
        page.viewer.keep(REMEMBERED + 1)


# ---------------------------------------------------------------- which checkpoint


@pytest.fixture
def opened(parts: Parts, turbo_app: App, tmp_path: Path) -> Iterator[Callable[..., App]]:
    """Opens a workspace with some checkpoints: those whose names do not begin with pocket are turbos."""
    apps: list[App] = []

    def opened(*names: str, chosen: str = "") -> App:
        for name in names:
            write_pocket(tmp_path / "models", name) if name.startswith("pocket") else write_turbo(tmp_path / "models", name)
        known = turbo_app.paths.state / "arithmetic.json"
        if known.exists():  # what is quickest here takes seconds to find out
            (tmp_path / "state").mkdir(exist_ok=True)
            shutil.copyfile(known, tmp_path / "state" / known.name)
        paths = Paths(tmp_path, tmp_path)
        apps.append(open_app(paths, parts, checkpoint=chosen, cpu_only=True, takes_jobs=False))
        return apps[-1]

    yield opened
    for app in apps:
        app.close()


@pytest.mark.parametrize(
    "names, chosen, drawing",
    [
        (("pocket", "swift"), "pocket", "swift"),
        (("pocket", "swift", "brisk"), "swift", "swift"),
        (("pocket", "swift", "brisk"), "brisk", "brisk"),
        (("pocket",), "pocket", "pocket"),
        (("pocket-inpainting", "swift"), "pocket-inpainting", "swift"),
    ],
)
def test_the_server_chooses_the_checkpoint_in_use_or_else_one_made_for_few_steps(
    opened: Callable[..., App], names: tuple[str, ...], chosen: str, drawing: str
) -> None:
    app = opened(*names, chosen=chosen)
    assert app.live._wishes.entry("").title == drawing


def test_of_two_turbos_the_one_in_memory_is_chosen(opened: Callable[..., App]) -> None:
    app = opened("pocket", "swift", "brisk", chosen="pocket")
    for name in ("swift", "brisk"):
        with app.checkpoints.use(name):
            pass
        assert app.live._wishes.entry("").title == name
        app.checkpoints.unload(name)


def test_what_draws_from_more_than_words_is_refused(opened: Callable[..., App]) -> None:
    app = opened("pocket-inpainting", "pocket-depth")
    for name in ("", "pocket-inpainting", "pocket-depth"):
        with pytest.raises(FieldError, match=r"does not draw from words alone\. Choose another checkpoint\.") as told:
            app.live._wishes.entry(name)
        assert told.value.field == "checkpoint"


def test_a_checkpoint_that_is_no_turbo_works_and_says_what_would_serve(room: Room, calls: list[int]) -> None:
    page = room.page()
    page.ask(1, checkpoint="pocket")
    frame = page.wait_for_final(1)
    model = page.wait_for("model")["model"]
    assert frame["steps"] == model["steps"] > 1 and frame["checkpoint"] == "pocket" and not calls
    assert (model["checkpoint"], model["is_turbo"], model["base"]) == ("pocket", False, "")
    assert (
        model["note"]
        == f"pocket was not made for few steps: a sketch takes it {model['steps']}. swift draws one in a single step."
    )
    page.ask(2, checkpoint="")
    page.wait_for_final(2)
    page.ask(3, checkpoint="swift")
    page.wait_for_final(3)
    assert [one["model"]["checkpoint"] for one in page.told if "model" in one] == ["pocket", "swift"]
    model = page.wait_for("model")["model"]
    assert model == {
        "checkpoint": "swift", "label": "Pocket Turbo", "is_turbo": True, "steps": 1, "base": "pocket", "width": 128,
        "height": 128, "repaints": True, "note": "",
    }  # fmt: skip


def test_a_named_checkpoint_is_told_of_whatever_else_is_in_use(opened: Callable[..., App]) -> None:
    app = opened("pocket", "pocket-inpainting", chosen="pocket-inpainting")
    wishes = app.live._wishes
    about = wishes.about(wishes.entry("pocket"))
    assert about["note"].endswith("SD-Turbo or SDXL-Turbo in models/Stable-diffusion would draw one in a single step.")


# ---------------------------------------------------------------- what is left behind


def threads() -> int:
    return sum(one.name in ("live", "walk") for one in threading.enumerate())


@pytest.mark.parametrize("doing", ["nothing", "a walk", "waiting for a job", "waiting for its viewer"])
def test_closing_the_program_ends_the_thread(turbo_app: App, tmp_path: Path, doing: str) -> None:
    before = threads()
    room = Room(turbo_app, tmp_path)
    page = room.page(hold=lambda told: doing == "a walk" and told.get("step") == 1, is_idle=True)
    if doing == "a walk":
        page.ask(1, steps=4)
        assert page.there.wait(SECONDS)
    elif doing == "waiting for a job":
        room.door.clear()
        room.submit()
        page.ask(1)
        page.wait_for("state")
    elif doing == "waiting for its viewer":
        for number in range(UNSHOWN + 2):
            page.ask(number)
            page.wait(lambda told, number=number: len(page.frames) >= min(number + 1, UNSHOWN))
    assert threads() == before + 1
    closing = threading.Thread(target=room.live.close)
    closing.start()
    page.go.set()
    closing.join(SECONDS)
    assert threads() == before
    assert len(page.frames) == {"a walk": 1, "waiting for its viewer": UNSHOWN}.get(doing, 0)
    with pytest.raises(RequestError):
        room.page()
    room.close()


def test_a_viewer_that_leaves_in_the_middle_of_a_walk_ends_it(room: Room, calls: list[int]) -> None:
    page = room.page(hold=lambda told: told.get("step") == 1)
    page.ask(1, steps=4)
    assert page.there.wait(SECONDS)
    page.viewer.close()
    page.viewer.close()
    page.go.set()
    room.settle()
    assert len(calls) == 1 + 2 and room.live.viewers == 0 and len(page.frames) == 1


def test_nothing_grows_with_inputs_and_with_viewers_that_come_and_go(room: Room) -> None:
    before = threads()
    left: list[weakref.ref[Viewer]] = []
    for _ in range(12):
        page = room.page()
        page.viewer.show(file_of(painting()))
        for number in range(5):
            page.ask(number, seed=number, steps=1 + number % 3, picture=number % 2 == 0)
        page.wait_for_final(4)
        left.append(weakref.ref(page.viewer))
        page.viewer.close()
        page.ask(9)  # too late: nobody listens
    page = room.page()
    for number in range(REMEMBERED + 10):
        page.ask(number)
        page.wait_for_final(number)
    viewer = page.viewer
    room.settle()
    assert (len(viewer.kept), len(viewer.unshown), room.live.viewers, room.live.behind) == (REMEMBERED, 0, 1, 0)
    assert threads() == before + 1
    left.append(weakref.ref(viewer))
    viewer.close()
    room.settle()
    del page, viewer
    until(lambda: gc.collect() >= 0 and all(one() is None for one in left))


def test_with_the_last_viewer_the_recorded_network_goes(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LINGER", 0.2)
    room.live._captures._record = lambda call, inputs: lambda: call(inputs)
    one, other = room.page(), room.page()
    for page in (one, other):
        page.ask(1)
        page.wait_for_final(1)
    recorded = weakref.ref(room.live._captures._unet)  # type: ignore[type-var]
    assert recorded() is not None
    one.viewer.close()
    other.ask(2)
    other.wait_for_final(2)
    assert recorded() is not None, "somebody is looking yet"
    other.viewer.close()
    assert recorded() is not None, "the page may only be loaded again"
    until(lambda: gc.collect() >= 0 and recorded() is None)


def test_a_job_that_wants_the_memory_of_a_recorded_network_has_it(room: Room) -> None:
    room.live._captures._record = lambda call, inputs: lambda: call(inputs)
    page = room.page()
    page.ask(1)
    page.wait_for_final(1)
    recorded = weakref.ref(room.live._captures._unet)  # type: ignore[type-var]
    page.viewer.close()
    until(lambda: room.live.viewers == 0)
    assert recorded() is not None
    room.submit()
    until(lambda: gc.collect() >= 0 and recorded() is None)


@pytest.mark.parametrize("behind", [False, True], ids=["in turn", "behind"])
def test_pictures_are_told_in_order_whoever_encodes_them(room: Room, behind: bool) -> None:
    """Behind: as on a graphics card, which draws the next one meanwhile."""
    room.live._is_on_card = behind
    page = room.page()
    for number in range(1, 8):
        page.ask(number, seed=number)
        page.wait_for_final(number)
    assert page.inputs == list(range(1, 8)) and [one["frame"] for one in page.frames] == list(range(1, 8))


def test_a_picture_that_cannot_be_encoded_is_said_once_and_the_stream_goes_on(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind, as on a graphics card: what went wrong with one picture is heard of when the next one is there."""
    room.live._is_on_card = True
    page, inner, fails = room.page(), room.live._tell, iter([True])

    def tell(*args: Any) -> None:
        if next(fails, False):
            raise RuntimeError("the card is gone")
        inner(*args)

    monkeypatch.setattr(room.live, "_tell", tell)
    for number in range(1, 5):
        page.ask(number, seed=number)
        until(lambda number=number: room.live.behind == 0 or number in page.inputs)  # type: ignore[misc]
    page.ask(9, seed=9)
    page.wait_for_final(9)
    assert sum("error" in one for one in page.told) == 1
