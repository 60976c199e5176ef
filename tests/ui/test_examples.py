"""An empty tab offers something to click, which leads to a picture, and never takes the place of what somebody typed."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints.test_knows import write_knows
from tests.conftest import POCKET
from tests.ui.conftest import Server, started, visiting
from tests.ui.test_following import choose
from webui.checkpoints.knows import Example, read_knows
from webui.ui import examples

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
