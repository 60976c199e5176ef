"""An empty tab offers something to click, which leads to a picture, and never takes the place of what somebody typed."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.checkpoints.test_knows import write_knows
from tests.conftest import POCKET
from tests.ui import example_pictures
from tests.ui.conftest import Server, started, visiting
from tests.ui.test_following import choose
from webui.checkpoints.build import Identity
from webui.checkpoints.catalog import Entry
from webui.checkpoints.knows import Example, Knows, read_knows
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest, enlarge_request_from, request_from
from webui.ui import examples
from webui.ui.look import ASSETS
from webui.workspace.app import App

EXAMPLES = [{"prompt": "a fox on grass", "seed": 3}, {"prompt": "a <b>red</b> sphere", "seed": 2**31}]
PROMPTS = [str(each["prompt"]) for each in EXAMPLES]


def telling(folder: Path) -> Path:
    """The pocket's weights in a folder that says what it knows."""
    folder.mkdir()
    for piece in POCKET.iterdir():
        if piece.name != "knows.json":
            (folder / piece.name).symlink_to(piece)
    return write_knows(folder, examples=EXAMPLES)


def test_examples_are_those_of_the_checkpoint_else_a_plain_list_without_seeds(tmp_path: Path) -> None:
    knows = read_knows(write_knows(tmp_path, examples=EXAMPLES))
    assert examples.prompts(knows) == [{**each, "seed": str(each["seed"]), "picture": ""} for each in EXAMPLES]
    plain = examples.prompts(None)
    assert len(plain) > 2 and all(each["prompt"] and not each["seed"] and not each["picture"] for each in plain)
    assert examples.prompts(read_knows(write_knows(tmp_path, examples=[]))) == plain


def test_a_thumbnail_has_the_name_of_its_prompt_and_seed() -> None:
    assert examples.file(Example("A fox, on ../grass!", 3)) == "examples/a-fox-on-grass-3.webp"
    assert examples.file(Example("狐", 3)) == "examples/-3.webp"
    assert len(examples.file(Example("fox " * 5000, 3))) < 120


def test_each_example_of_the_pocket_has_a_thumbnail_that_shows_what_is_drawn(app: App) -> None:
    found = example_pictures.examples_of(app)
    assert len(found) >= 6
    pictures = {name: Image.open(ASSETS / name) for name in found}
    assert all(max(picture.size) <= example_pictures.LARGEST and picture.format == "WEBP" for picture in pictures.values())
    for name, (checkpoint, example) in list(found.items())[:2]:
        asked = GenerationRequest(prompt=example.prompt, seed=example.seed, checkpoint=checkpoint)
        image = example_pictures.thumbnail(example_pictures.draw(app, asked))
        off = np.abs(np.asarray(image, np.float32) - np.asarray(pictures[name].convert("RGB"), np.float32)).mean()
        assert off < 6, f"{name} shows something else: python -m tests.ui.example_pictures draws all of them again"


def entry(name: str, family: str, parts: Parts, knows: Knows | None) -> Entry:
    return Entry(name, name, Path(name), 1, Identity(parts.families[family]), knows=knows)


def test_a_picture_to_try_is_drawn_by_what_came_with_the_program_as_far_as_it_is_there(tmp_path: Path, parts: Parts) -> None:
    knows = read_knows(write_knows(tmp_path))
    small, filling, deep, larger = (
        entry(name, family, parts, knows)
        for name, family in (("small", "sd1"), ("filling", "sd1-inpaint"), ("deep", "sd2-depth"), ("larger", "sd-x4"))
    )
    others = [entry(f"real-{family}", family, parts, None) for family in ("sd1", "sd1-inpaint", "sd2-depth", "sd-x4")]

    def drawers(chosen: Entry, *entries: Entry) -> dict[str, str]:
        found = {tab: examples.drawer(tab, chosen, [*others, *entries]) for tab in examples.DOES}
        return {tab: found_one.name for tab, found_one in found.items() if found_one}

    assert drawers(small, small) == {"img2img": "small", "inpaint": "small"}
    assert drawers(small, small, filling, deep, larger) == {
        "img2img": "small", "inpaint": "filling", "depth": "deep", "upscale": "larger",
    }  # fmt: skip
    assert drawers(small, small, replace(filling, error="broken"))["inpaint"] == "small"
    assert drawers(others[0], small, filling, deep, larger) == {}
    upscale = next(one for one in examples.TRIES if one.tab == "upscale")
    assert examples.values(upscale, larger)["upscaler"] == "larger" and examples.values(upscale, larger)["scale"] == 4.0
    assert examples.values(upscale, None) == {"upscaler": "Lanczos", "scale": 4.0}


def test_every_control_that_a_try_sets_is_one_of_its_tab_and_takes_the_value(parts: Parts, tmp_path: Path) -> None:
    small = entry("small", "sd1", parts, read_knows(write_knows(tmp_path)))
    for one in examples.TRIES:
        if one.tab == "upscale":
            assert enlarge_request_from(examples.values(one, None)).scale == 4
        else:
            assert request_from(examples.values(one, small)).prompt == one.prompt
    assert [one.tab for one in examples.TRIES] == list(examples.DOES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a checkpoint that says what it knows, and one that doesn't."""
    folder = tmp_path_factory.mktemp("kinds")
    telling(folder / "telling")
    (telling(folder / "silent") / "knows.json").unlink()
    with started(tmp_path_factory.mktemp("data"), "--ckpt-dir", str(folder)) as opened:
        yield opened


@pytest.fixture
def page(server: Server, browser: Any) -> Iterator[Any]:
    with visiting(server, browser) as opened:
        yield opened


def last_job(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/api/v1/jobs", timeout=30) as answer:
        return json.load(answer)[-1]


def drawn(page: Any, tab: str, words: str) -> str:
    page.locator(f"#{tab}_infotext", has_text=words).wait_for(timeout=240_000)
    page.locator(f"#{tab}_progress").wait_for(state="hidden", timeout=240_000)
    return page.locator(f"#{tab}_infotext .infotext").inner_text()


def offered(page: Any, prompts: list[str]) -> Any:
    """The cards, when they are these."""
    script = """wanted => JSON.stringify([...document.querySelectorAll('#txt2img_stage .example')].map(card => card.innerText))
      === JSON.stringify(wanted)"""
    page.wait_for_function(script, arg=prompts)
    return page.locator("#txt2img_stage .example")


@pytest.mark.browser
def test_a_click_on_an_example_draws_it_with_its_seed_and_the_next_picture_has_its_own(page: Any, server: Server) -> None:
    choose(page, "telling", "Pocket")
    cards = offered(page, PROMPTS)
    page.locator("#txt2img_steps input[type=number]").fill("2")
    cards.nth(1).click()
    assert f"Seed: {2**31}, " in drawn(page, "txt2img", "a <b>red</b> sphere")
    assert page.locator("#txt2img_prompt textarea").input_value() == "a <b>red</b> sphere"
    assert page.locator("#txt2img_seed input").input_value() == "-1"
    page.locator("#txt2img_generate").click()
    page.locator("#txt2img_infotext", has_text=re.compile(rf"Seed: (?!{2**31},)\d+")).wait_for(timeout=240_000)
    assert last_job(server)["request"]["prompt"] == "a <b>red</b> sphere"


@pytest.mark.browser
def test_examples_give_way_to_what_is_typed_and_follow_the_checkpoint(server: Server, browser: Any) -> None:
    for job in json.load(urllib.request.urlopen(f"{server.url}/api/v1/jobs", timeout=30)):
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/api/v1/jobs/{job['id']}", method="DELETE"), timeout=30)
    with visiting(server, browser) as page:
        choose(page, "silent", "Pocket")
        offered(page, list(examples.PLAIN))
        choose(page, "telling", "Pocket")
        cards = offered(page, PROMPTS)
        box = page.locator("#txt2img_prompt textarea")
        box.fill("my own words")
        cards.first.wait_for(state="hidden")
        page.reload()
        page.wait_for_function("document.querySelector('#txt2img_prompt textarea')?.value === 'my own words'")
        assert cards.first.is_hidden()
        box.fill("")
        cards.first.wait_for(state="visible")
        cards.first.focus()
        page.keyboard.press("Enter")
        drawn(page, "txt2img", "a fox on grass")


@pytest.mark.browser
def test_a_prompt_of_unknown_words_is_drawn_and_the_page_says_what_the_checkpoint_knows(page: Any) -> None:
    choose(page, "telling", "Pocket")
    page.locator("#txt2img_prompt textarea").fill("a lighthouse")
    page.locator("#txt2img_steps input[type=number]").fill("1")
    page.locator("#txt2img_generate").click()
    page.locator("#txt2img_notes", has_text='does not know "lighthouse"').wait_for(timeout=240_000)
    page.locator("#txt2img_prompt textarea").fill("a fox in a lighthouse")
    page.locator("#txt2img_generate").click()
    drawn(page, "txt2img", "a fox in a lighthouse")
    assert page.locator("#txt2img_notes").is_hidden()


@pytest.mark.browser
@pytest.mark.parametrize("one", examples.TRIES, ids=lambda one: one.tab)
def test_one_click_opens_a_picture_and_leads_to_a_result_that_can_be_compared(page: Any, server: Server, one: Any) -> None:
    choose(page, "telling", "Pocket")
    offered(page, PROMPTS)
    page.locator(f"#tab_{one.tab}-button").click()
    card = page.locator(f"#{one.tab}_image .try", has_text=one.words)
    card.wait_for()
    assert card.locator("img").evaluate_all("all => all.map(img => img.complete && img.naturalWidth > 0)") == [True, True]
    if one.tab != "upscale":
        page.locator(f"#{one.tab}_steps input[type=number]").fill("2")
    card.click()
    drawn(page, one.tab, one.prompt if one.tab != "upscale" else "Postprocess upscale by: 4")
    sent = last_job(server)["request"]
    assert sent["image"] and bool(sent.get("mask")) == bool(one.mask)
    if one.tab != "upscale":
        assert (sent["prompt"], sent["seed"], sent["steps"], sent["width"]) == (one.prompt, str(one.seed), 2, 128)
        assert page.locator(f"#{one.tab}_prompt textarea").input_value() == one.prompt
        assert page.locator(f"#{one.tab}_seed input").input_value() == "-1"
        assert sent["checkpoint"] == {"img2img": "telling", "inpaint": "pocket-inpainting", "depth": "pocket-depth"}[one.tab]
    state = page.evaluate(f"LW.painter.state('{one.tab}')")
    assert state["image"] == sent["image"] and state["hasMask"] == bool(one.mask)
    page.locator(f"#{one.tab}_stage").get_by_role("button", name="Compare").wait_for()
    page.locator(f"#{one.tab}_board [data-view=paint]").first.click()
    assert card.is_hidden()


@pytest.mark.browser
def test_a_try_is_only_offered_where_nothing_was_typed_and_the_checkpoint_came_with_the_program(page: Any) -> None:
    choose(page, "telling", "Pocket")
    offered(page, PROMPTS)
    page.locator("#tab_inpaint-button").click()
    card = page.locator("#inpaint_image .try")
    card.wait_for()
    page.locator("#inpaint_prompt textarea").fill("mine")
    card.wait_for(state="hidden")
    page.locator("#inpaint_prompt textarea").fill("")
    card.wait_for()
    choose(page, "silent", "Pocket")
    card.wait_for(state="hidden")
