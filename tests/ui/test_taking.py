"""Settings of a picture that come onto a tab, as far as they are what extensions are asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from tests.building import GOOD, write
from webui.contract import infotext
from webui.contract.request import Chosen, GenerationRequest
from webui.contract.result import CheckpointName
from webui.testing import program
from webui.ui import page
from webui.ui.taking import offered
from webui.workspace.app import App

MADE = GenerationRequest(prompt="a cube", sampler="Euler", steps=3, guidance=2.0, seed=4, width=64, height=64)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with program(write(tmp_path_factory.mktemp("taking"), "good", GOOD)) as opened:
        folder = opened.paths.models[0] / "ControlNet"
        folder.mkdir(parents=True)
        (folder / "edges.safetensors").write_bytes(b"never opened")
        yield opened


@pytest.fixture(scope="module")
def built(app: App) -> Any:
    return page.build(app)


def text_of(request: GenerationRequest) -> str:
    return infotext.write(request, CheckpointName("pocket", "0123456789"))


def taken(built: Any, tab: str, values: dict[str, Any], before: str = "") -> tuple[dict[str, Any], str]:
    """(what stands in the tab's own text after these values, the message)."""
    (take,) = [one for one in built.fns.values() if one.fn and one.inputs and one.inputs[0].elem_id == f"{tab}_take"]
    answer = take.fn(json.dumps({"values": values}), before)
    place = [one.elem_id for one in take.outputs].index(f"{tab}_own")
    return json.loads(answer[place] or "{}") if isinstance(answer[place], str) else {"kept": True}, answer[0]["message"]


def test_a_picture_offers_its_parts_with_the_files_and_pictures_that_are_here(app: App) -> None:
    name = app.inputs.put(Image.new("RGB", (64, 64), "teal"))
    seen = Chosen("Seen", {"picture": name, "network": "edges.safetensors", "preprocessor": "Mirrored", "exact": False})
    made = replace(MADE, conditioners=(seen,), guiders=(Chosen("Plain"), Chosen("Scaled", {"scale": 0.5, "words": "a\nb"})))
    given = offered(app, text_of(replace(made, extras={"good": {"mood": "calm"}})))
    assert given["notes"] == []
    assert given["values"]["conditioners"] == [{"name": "Seen", "options": seen.options}]
    assert [one["name"] for one in given["values"]["guiders"]] == ["Plain", "Scaled"]
    assert given["values"]["extras"] == {"good": {"mood": "calm"}}


def test_what_is_not_here_is_left_out_and_said(app: App) -> None:
    gone = Chosen("Seen", {"network": "gone.safetensors"})
    given = offered(app, text_of(replace(MADE, conditioners=(gone,), guiders=(Chosen("Gone"),), extras={"strange": {"x": 1}})))
    notes = " ".join(given["notes"])
    assert "gone.safetensors" in notes and "'Gone'" in notes
    assert "The values of the panel of 'strange' are left out: that extension is not here." in notes
    assert given["values"]["guiders"] == []


def test_a_whole_picture_takes_the_place_of_all_that_was_chosen(built: Any) -> None:
    before = json.dumps({"guiders": [{"name": "Plain", "options": {}}], "script": "Seeds", "extras": {"good": {"mood": "loud"}}})
    own, _ = taken(built, "txt2img", {"sampler": "Euler", "steps": 3, "guiders": [{"name": "Scaled", "options": {}}]}, before)
    assert own == {"guiders": [{"name": "Scaled", "options": {}}]}
    own, _ = taken(built, "txt2img", {"sampler": "Euler", "steps": 3}, before)
    assert own == {}


def test_a_prompt_alone_changes_nothing_of_it(built: Any) -> None:
    assert taken(built, "txt2img", {"prompt": "a cube"}, '{"script": "Seeds"}') == ({"kept": True}, "")


def test_values_of_panels_that_a_tab_does_not_have_stay_away(built: Any) -> None:
    extras = {"good": {"mood": "calm", "gone": 1}, "strange": {"x": 1}}
    assert taken(built, "txt2img", {"extras": extras})[0] == {"extras": {"good": {"mood": "calm"}}}
    assert taken(built, "inpaint", {"extras": extras})[0] == {}


def test_what_cannot_be_is_said_and_nothing_is_taken(built: Any) -> None:
    own, message = taken(built, "txt2img", {"guiders": [{"nam": "x"}]})
    assert own == {"kept": True} and "Guiders: number 1" in message


def test_a_letter_in_a_prompt_sets_off_events_of_its_own_alone(built: Any) -> None:
    """For each input and each trigger of an event Gradio copies a component's state, at each letter."""
    config = built.get_config_file()
    prompts = {one["id"] for one in config["components"] if str(one["props"].get("elem_id", "")).endswith("_prompt")}
    heard = [
        one
        for one in config["dependencies"]
        if any(place in prompts and event in ("change", "input") for place, event in one["targets"])
    ]
    assert len(prompts) >= 15 and len(heard) >= len(prompts)
    assert all(len(one["targets"]) == 1 and one["inputs"] in ([], [one["targets"][0][0]]) for one in heard)
