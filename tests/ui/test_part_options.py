"""The options of an extension's sampler and schedule: from the page into the picture, its text, and back onto the page."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pushing import write_pushing
from tests.ui.conftest import Server, started, visiting
from webui.workspace.pictures import read_infotext

SAMPLER, SCHEDULE = "#txt2img_sampler input", "#txt2img_schedule input"
OWN = "#txt2img_own_options"


@pytest.fixture(scope="module")
def pushing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("pushing")
    write_pushing(data)
    with started(data) as server:
        yield server


def choose(page: Any, menu: str, name: str) -> None:
    page.locator(menu).click()
    page.get_by_role("option", name=name, exact=True).click()


def own(page: Any, option: str) -> Any:
    """The last control of an option: of a slider, its number."""
    return page.locator(f"{OWN} [data-option={option}] :is(input, select, textarea)").last


def options(page: Any) -> list[str]:
    return [row.get_attribute("data-option") for row in page.locator(f"{OWN} [data-option]").all()]


def drawn(page: Any, server: Server) -> Path:
    before = len(server.pictures)
    page.locator("#txt2img_generate").click()
    page.wait_for_function(f"document.querySelectorAll('#txt2img_gallery .picture img').length && {before} >= 0")
    for _ in range(600):
        if len(server.pictures) > before:
            return max(server.pictures, key=lambda file: file.stat().st_mtime_ns)
        page.wait_for_timeout(100)
    pytest.fail(page.locator("#txt2img_message").inner_text())


def values(page: Any) -> dict[str, str]:
    return {name: own(page, name).input_value() for name in options(page) if name != "keep_end"}


def test_options_go_from_the_page_into_the_picture_and_back(pushing: Server, browser: Any) -> None:
    with visiting(pushing, browser) as page:
        page.locator("#txt2img_prompt textarea").fill("a red cube")
        page.locator("#txt2img_steps input[type=number]").fill("2")
        assert options(page) == [] and not page.locator(OWN).is_visible(), "Euler has none, Automatic shows none"

        choose(page, SAMPLER, "Pushed Euler")
        own(page, "word").wait_for()
        assert options(page) == ["push", "tries", "gain", "keep_end", "side", "word"]
        assert values(page) == {"push": "1", "tries": "1", "gain": "1", "side": "left", "word": ""}
        assert page.get_by_label("Push", exact=True).get_attribute("max") == "2"
        own(page, "push").fill("0.5")
        own(page, "side").select_option("right")
        own(page, "keep_end").check()
        own(page, "word").fill('a "b", c: d')
        choose(page, SCHEDULE, "Bent")
        own(page, "bend").fill("2")

        choose(page, SAMPLER, "Euler")
        own(page, "push").wait_for(state="detached")
        assert options(page) == ["bend"]
        choose(page, SAMPLER, "Pushed Euler")
        own(page, "push").wait_for()
        assert values(page) == {"push": "0.5", "tries": "1", "gain": "1", "side": "right", "word": 'a "b", c: d', "bend": "2"}

        said = read_infotext(drawn(page, pushing).read_bytes())
        assert r"Sampler: Pushed Euler, Schedule type: Bent" in said
        assert r'Sampler options: "{\"push\": 0.5, \"tries\": 1, \"gain\": 1.0, \"keep_end\": true, \"side\": \"right\"' in said
        assert r'Schedule options: "{\"bend\": 2.0}"' in said

        page.reload()
        own(page, "bend").wait_for()
        page.wait_for_function(f"document.querySelector('{OWN} [data-option=push] input[type=number]')?.value === '0.5'")
        assert values(page)["side"] == "right" and own(page, "keep_end").is_checked()

        own(page, "push").fill("3")
        page.locator("#txt2img_generate").click()
        page.locator("#txt2img_message", has_text="Option 'push' of Pushed Euler cannot be 3. It can be 0 to 2.").wait_for()


def test_a_finished_picture_and_a_pasted_text_bring_them_back(pushing: Server, browser: Any) -> None:
    asked = {"prompt": "a cube", "steps": 2, "seed": 4, "sampler": "Pushed Euler", "sampler_options": {"push": 0.25, "tries": 3}}
    body = json.dumps({**asked, "schedule": "Bent", "schedule_options": {"bend": 1.5}}).encode()
    post = urllib.request.Request(f"{pushing.url}/api/v1/jobs", body, {"Content-Type": "application/json"})
    with visiting(pushing, browser) as page, urllib.request.urlopen(post, timeout=30):
        page.locator("#txt2img_infotext", has_text="0.25").wait_for()  # not the picture that another test left
        page.locator('#txt2img_infotext [data-do="send"][data-to="txt2img"]').click()
        own(page, "push").wait_for()
        page.wait_for_function(f"document.querySelector('{OWN} [data-option=push] input[type=number]').value === '0.25'")
        own(page, "bend").wait_for()
        assert values(page) | {"word": ""} == {
            "push": "0.25", "tries": "3", "gain": "1", "side": "left", "word": "", "bend": "1.5",
        }  # fmt: skip

        page.evaluate(
            """text => { const data = new DataTransfer(); data.setData('text/plain', text);
            document.querySelector('#txt2img_prompt textarea').dispatchEvent(
            new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })); }""",
            'a moth\nSteps: 5, Sampler: Pushed Euler, CFG scale: 2, Seed: 5, Size: 64x64, Sampler options: "{\\"push\\": 1.75}"',
        )
        page.locator("#txt2img_offer .offer").get_by_role("button", name="Take all").click()
        page.wait_for_function(f"document.querySelector('{OWN} [data-option=push] input[type=number]').value === '1.75'")
        assert values(page)["tries"] == "1", "what the text does not say is the option's own default"
