"""What extensions build on the page: shown where it stands, alone where it is wrong, and nothing is left of what failed."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from gradio.context import Context

from tests.building import BAD, GOOD, write
from webui.contract.errors import FieldError, PluginError
from webui.contract.more_parts import PanelPart
from webui.main import main
from webui.plugins.containing import Surroundings
from webui.testing import program
from webui.ui import page, panels
from webui.ui.panels import Panels
from webui.ui.quiet_gradio import gr, without_stubs
from webui.ui.strangers import Built, Problem, built, named


def built_alone(build: Callable[[], Any], limit: float = 5.0) -> tuple[Built[Any], list[str], int]:
    """(what came of it, what stands on the page in order, how many events it has) on a page of two other components."""
    with gr.Blocks(analytics_enabled=False) as demo:
        first = gr.Textbox(label="before", elem_id="taken")
        first.change(lambda: None)
        with gr.Column() as place:
            made = built("rude", "tab 'Rude'", build, Surroundings(), limit)
            assert Context.block is place and Context.root_block is demo
        gr.Textbox(label="after")
    labels = [one["props"].get("label") for one in demo.config["components"] if one["props"].get("label")]
    return made, labels, len(demo.config["dependencies"])


def raises() -> None:
    with gr.Row():
        gr.Button("Half").click(lambda: None)
        raise ValueError("not there")


def leaves() -> None:
    raise SystemExit(3)


def hangs() -> None:
    gr.Textbox(label="hanging")
    while True:
        time.sleep(0.01)


def stays_inside() -> None:
    gr.Row().__enter__()
    gr.Textbox(label="inside")
    raise KeyError("x")


def takes_an_id() -> None:
    gr.Textbox(label="twin", elem_id="taken")


def shows_what_cannot_be_shown() -> None:
    def get_config(cls: Any = None) -> dict[str, Any]:
        raise RuntimeError("no config")

    gr.Textbox(label="shown").get_config = get_config  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "build, limit, words",
    [
        (raises, 5, "failed in its tab 'Rude' (ValueError: not there)."),
        (leaves, 5, "(SystemExit: 3)"),
        (hangs, 0.3, "was not there after 0.3 seconds."),
        (stays_inside, 5, "(KeyError: 'x')"),
        (takes_an_id, 5, "elem_id='taken' is the id of another element of the page"),
        (shows_what_cannot_be_shown, 5, "(RuntimeError: no config)"),
    ],
)
def test_what_fails_is_told_and_leaves_nothing(build: Callable[[], None], limit: float, words: str) -> None:
    made, labels, events = built_alone(build, limit)
    assert made.answer is None and made.problem is not None
    assert "rude" in made.problem.words and words in made.problem.words
    has_more = build in (raises, leaves, stays_inside, shows_what_cannot_be_shown)
    assert ("test_strangers.py" in made.problem.details) is has_more, "a traceback that says more than the sentence"
    assert (labels, events) == (["before", "after"], 1)


def test_what_is_right_stays_where_it_is_and_the_surroundings_are_put_back(tmp_path: Path) -> None:
    before = os.getcwd(), dict(os.environ)

    def build() -> int:
        os.chdir(tmp_path)
        os.environ["RUDE"] = "1"
        gr.Textbox(label="mine").change(lambda: None)
        return 7

    made, labels, events = built_alone(build)
    assert (made.answer, made.problem, labels, events) == (7, None, ["before", "mine", "after"], 2)
    assert (os.getcwd(), dict(os.environ)) == before


def test_an_event_that_fails_says_whose_it_is() -> None:
    def plain(value: int) -> int:
        return 1 // value

    def several(value: int) -> Any:
        yield 1
        yield 1 // value

    async def later(value: int) -> int:
        return 1 // value

    async def several_later(value: int) -> Any:
        yield 1 // value

    async def first(values: Any) -> Any:
        return await anext(values)

    def run(coroutine: Any) -> Any:
        """In a thread of its own: a browser's test before this one leaves its loop running in this thread."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, coroutine).result()

    calls: list[Callable[[int], Any]] = [
        named(plain, "rude", "tab 'Rude'"),
        lambda value: list(named(several, "rude", "tab 'Rude'")(value)),
        lambda value: run(named(later, "rude", "tab 'Rude'")(value)),
        lambda value: run(first(named(several_later, "rude", "tab 'Rude'")(value))),
    ]
    assert [call(1) for call in calls] == [1, [1, 1], 1, 1]
    for call in calls:
        with pytest.raises(gr.Error, match=r"The extension rude failed in its tab 'Rude'. ZeroDivisionError: "):
            call(0)

    def refuses() -> None:
        raise FieldError("words", "Words are too many.")

    def tells() -> None:
        raise gr.Error("Its own words")

    for function, words in ((refuses, "Words are too many."), (tells, "Its own words")):
        with pytest.raises(gr.Error, match=words):
            named(function, "rude", "tab 'Rude'")()


with without_stubs():

    class Mute(gr.components.Component):
        """Without any event."""

        def preprocess(self, payload: Any = None) -> Any:
            return payload

        postprocess = example_payload = example_value = preprocess

        def api_info(self) -> dict[str, str]:
            return {"type": "string"}


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda: ["a"], "answers {field: component}, not list"),
        (lambda: {"": gr.Textbox()}, "the name of a field has 1 to 80 printable letters, not ''"),
        (lambda: {"x": "text"}, "its field 'x' must be a Gradio component on the page, not str"),
        (lambda: {"x": gr.State(1)}, "its field 'x' must be a Gradio component on the page, not State"),
        (lambda: {"x": Mute()}, "its field 'x' (Mute) never says that it changed"),
        (lambda: {"x": gr.Image()}, "its field 'x' (Image) holds files"),
        (lambda: {"x": gr.Gallery()}, "its field 'x' (Gallery) holds files"),
    ],
)
def test_a_panel_that_answers_no_plain_values_is_refused(answer: Callable[[], Any], words: str) -> None:
    with gr.Blocks(analytics_enabled=False), pytest.raises(PluginError) as told:
        panels._fields(answer())
    assert words in str(told.value)


def test_a_panel_may_have_no_values_or_any_plain_ones() -> None:
    with gr.Blocks(analytics_enabled=False):
        assert panels._fields(None) == {}
        made = {"a": gr.Textbox(), "b": gr.CheckboxGroup(["x"]), "c": gr.JSON(), "d": gr.HTML(), "e": gr.Dropdown(["x"])}
        assert panels._fields(made) == made
    known = Panels(None, {("one", "a"): None, ("two", "b"): None})
    assert known.known({"one": {"a": 1, "z": 2}, "two": 3, "three": {"a": 1}}) == {"one": {"a": 1}}


@pytest.mark.parametrize("tabs", ["('txt2img', 'upscale')", "()"])
def test_a_panel_for_a_tab_that_has_none_is_refused_at_start(tabs: str, tmp_path: Path) -> None:
    code = f"""
from webui.contract import hookimpl

@hookimpl
def register_panels(register):
    register("Mood", lambda app, tab: {{}}, tabs={tabs})
"""
    words = "but a panel stands on one or more of txt2img, img2img, inpaint, depth"
    with pytest.raises(PluginError, match=words), program(write(tmp_path, "good", code)):
        pass


def test_a_panel_that_hangs_is_waited_for_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def waits(app: Any, tab: str) -> None:
        asked.append(tab)
        while True:
            time.sleep(0.01)

    with program() as app:
        app.parts.panels.add(PanelPart("Waits", waits), "rude")
        late: Mapping[str, Problem] = {}
        with gr.Blocks(analytics_enabled=False) as demo, gr.Column():
            for tab in ("txt2img", "img2img", "depth"):
                late = panels.panel_groups(tab, app, gr.Textbox(), late, limit=0.2).late
    assert asked == ["txt2img"]
    assert json.dumps(demo.config).count("was not there after 0.2 seconds") == 2


def test_check_builds_tabs_and_panels_before_a_user_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def checked(name: str, code: str) -> tuple[int, str]:
        code = code.replace('elem_id="txt2img_prompt"', 'elem_id="bad-twice"')
        return main(["extensions", "check", str(write(tmp_path, name, code)), "--data-dir", str(tmp_path / "data")]), "".join(
            capsys.readouterr()
        )

    ended, said = checked("bad", BAD)
    assert ended == 1
    for words in (
        "failed in its tab 'Raises' (ValueError: ",
        "failed in its tab 'Leaves' (SystemExit: 3)",
        "(Image) holds files",
    ):
        assert words in said
    assert said.count("failed in") == 2, "and nothing of the tab that is right"
    ended, said = checked("good", GOOD)
    assert (ended, "good 1.0 is all right" in said) == (0, True), said


def test_the_page_is_complete_beside_an_extension_that_fails_everywhere(tmp_path: Path) -> None:
    with program(write(tmp_path, "bad", BAD), write(tmp_path, "good", GOOD)) as app:
        config = page.build(app).config
    text = json.dumps(config)
    labels = [one["props"]["label"] for one in config["components"] if one["type"] == "tabitem"]
    assert labels[-4:] == ["Raises", "Leaves", "Takes", "Lists"] and labels[:2] == ["txt2img", "img2img"]
    assert "bad-button" not in text and text.count('"elem_id": "txt2img_prompt"') == 1
    assert "the list of &lt;img src=x onerror=alert(1)&gt; is not there" in text
    assert [one["props"]["elem_id"] for one in config["components"] if one["props"].get("label") == "Mood"] == [
        "txt2img_panel_mood", "good-txt2img-mood", "depth_panel_mood", "good-depth-mood",
    ]  # fmt: skip
    assert text.count("(Image) holds files") == 2, "in txt2img and img2img"
    assert "BAD_WAS_HERE" not in os.environ
