"""Conditioners, guiders and a script are chosen on the page: into the request, over a reload, and back from a picture."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.building import GOOD, write
from tests.ui.conftest import Server, started, visiting

GROUP = "#txt2img_chosen"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("good")
    write(data / "extensions", "good", GOOD)
    (data / "models" / "ControlNet").mkdir(parents=True)
    (data / "models" / "ControlNet" / "edges.safetensors").write_bytes(b"never opened")
    with started(data) as server:
        yield server


def kept(page: Any, tab: str = "txt2img") -> dict[str, Any]:
    page.wait_for_timeout(150)  # Gradio takes a moment to tell of what was typed
    found: dict[str, Any] = json.loads(page.locator(f"#{tab}_own textarea").input_value() or "{}")
    return found


def cards(page: Any) -> list[str]:
    return [name.inner_text() for name in page.locator(f"{GROUP} .chosen [data-part=name]").all()]


def last_request(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/api/v1/jobs", timeout=30) as answer:
        request: dict[str, Any] = max(json.load(answer), key=lambda job: job["created"])["request"]
    return request


def control(page: Any, option: str) -> Any:
    return page.locator(f"{GROUP} [data-option={option}] :is(input, select, textarea)").last


def test_parts_are_chosen_ordered_switched_off_and_kept(good: Server, browser: Any, tmp_path: Path) -> None:
    Image.new("RGB", (32, 24), "teal").save(tmp_path / "teal.png")
    with visiting(good, browser) as page:
        page.locator("#txt2img_prompt textarea").fill("a cube")
        page.locator("#txt2img_steps input[type=number]").fill("1")
        page.locator(f"{GROUP} summary").click()
        add = page.locator("#txt2img_guiders_add")
        for name in ("Scaled", "Plain", "Scaled"):
            add.select_option(name)
        assert cards(page) == ["Scaled", "Plain", "Scaled"]
        page.locator(f"{GROUP} [data-option=scale] input[type=number]").first.fill("0.9")
        page.locator(f"{GROUP} [data-option=words] textarea").first.fill("one\ntwo")
        page.locator(f"{GROUP} .chosen").nth(0).get_by_role("button", name="Move down").press("Enter")
        assert cards(page) == ["Plain", "Scaled", "Scaled"]
        assert page.evaluate("document.activeElement.closest('.chosen').dataset.number") == "1", "the focus moves along"
        page.locator(f"{GROUP} .chosen").nth(2).get_by_role("switch").click()
        page.locator(f"{GROUP} .chosen").nth(0).get_by_role("button", name="Remove").click()

        page.locator("#txt2img_conditioners_add").select_option("Seen")
        assert control(page, "network").locator("option").all_inner_texts() == ["None", "edges.safetensors"]
        assert "Mirrored" in control(page, "preprocessor").locator("option").all_inner_texts()
        control(page, "network").select_option("edges.safetensors")
        control(page, "preprocessor").select_option("Mirrored")
        control(page, "exact").uncheck()
        control(page, "picture").set_input_files(tmp_path / "teal.png")
        page.locator(f"{GROUP} .picture-line[data-has=true] img").wait_for()
        page.locator("#txt2img_script_add").select_option("Seeds")
        control(page, "order").select_option("down")

        said = kept(page)
        picture = said["conditioners"][0]["options"].pop("picture")
        assert len(picture) == 64
        scaled = {"scale": 0.9, "words": "one\ntwo"}
        expected = {
            "guiders": [{"name": "Scaled", "options": scaled}, {"name": "Scaled", "options": {}, "off": True}],
            "conditioners": [
                {"name": "Seen", "options": {"network": "edges.safetensors", "preprocessor": "Mirrored", "exact": False}}
            ],
            "script": "Seeds",
            "scripts": {"Seeds": {"order": "down"}},
        }
        assert said == expected
        assert page.locator(f"{GROUP} [data-part=count]").inner_text() == "3"

        page.reload()
        page.locator(f"{GROUP} summary").click()
        page.wait_for_function("document.querySelectorAll('#txt2img_chosen .chosen').length === 3")
        assert control(page, "order").input_value() == "down" and not control(page, "exact").is_checked()
        assert page.locator(f"{GROUP} .picture-line img").get_attribute("src").endswith(picture)
        page.get_by_role("button", name="Take away: Picture").click()
        assert "picture" not in {name for name, value in kept(page)["conditioners"][0]["options"].items() if value}

        page.locator("#txt2img_generate").click()
        page.wait_for_function("document.querySelectorAll('#txt2img_gallery .picture img').length")
        asked = last_request(good)
        assert asked["guiders"] == [{"name": "Scaled", "options": scaled}], "what is off is not asked for"
        assert (asked["script"], asked["script_options"]["order"]) == ("Seeds", "down")
        assert asked["conditioners"][0]["options"]["network"] == "edges.safetensors"


def test_a_picture_brings_its_parts_and_takes_others_away(good: Server, browser: Any) -> None:
    chosen = [{"name": "Scaled", "options": {"scale": 0.5}}, {"name": "Plain", "options": {}}]
    body = json.dumps(
        {"prompt": "a fox", "steps": 1, "seed": 4, "guiders": chosen, "extras": {"good": {"mood": "calm"}}}
    ).encode()
    post = urllib.request.Request(f"{good.url}/api/v1/jobs", body, {"Content-Type": "application/json"})
    with visiting(good, browser) as page, urllib.request.urlopen(post, timeout=30):
        page.locator("#txt2img_infotext", has_text="calm").wait_for()
        page.locator(f"{GROUP} summary").click()
        page.locator("#txt2img_conditioners_add").select_option("Seen")
        text = page.locator("#txt2img_infotext .infotext").inner_text()
        page.locator('#txt2img_infotext [data-do="send"][data-to="txt2img"]').click()
        page.wait_for_function("document.querySelectorAll('#txt2img_chosen .chosen').length === 2")
        assert cards(page) == ["Scaled", "Plain"] and control(page, "scale").input_value() == "0.5"
        assert kept(page)["extras"] == {"good": {"mood": "calm"}}

        page.evaluate("LW.ownBox.change('txt2img', () => ({}))")
        page.evaluate(
            """text => { const data = new DataTransfer(); data.setData('text/plain', text);
            document.querySelector('#txt2img_prompt textarea').dispatchEvent(
            new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })); }""",
            text,
        )
        page.locator("#txt2img_offer .offer").get_by_role("button", name="Take all").click()
        page.wait_for_function("document.querySelectorAll('#txt2img_chosen .chosen').length === 2")
        assert control(page, "scale").input_value() == "0.5"

        page.evaluate("LW.ownBox.change('txt2img', own => ({ ...own, guiders: [{ name: 'Gone' }] }))")
        page.locator(f"{GROUP} .chosen", has_text="Not here: the extension that offers it is off or gone").wait_for()
        page.locator("#txt2img_generate").click()
        page.locator("#txt2img_message", has_text="No guider is called 'Gone'").wait_for()
