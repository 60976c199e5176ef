"""Tabs and panels of extensions in a browser: what works, what fails in its place, and the boxes of the regional prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.building import BAD, GOOD, write
from tests.ui.conftest import Server, Trouble, started, visiting
from tests.ui.test_chosen_parts import kept, last_request

PANEL = "#txt2img_panel_regional-prompts"
AREA = f"{PANEL} .rp-area"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("built")
    write(data / "extensions", "good", GOOD)
    write(data / "extensions", "bad", BAD)
    with started(data) as server:
        yield server


def drag(page: Any, *way: tuple[float, float]) -> None:
    """Over the area, in shares of it."""
    box = page.locator(AREA).bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in way]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def regions(page: Any) -> list[str]:
    text = kept(page).get("extras", {}).get("regional-prompts", {}).get("regions", "")
    return str(text).splitlines()


def test_tabs_work_or_say_why_not_and_the_page_is_as_ever(built: Server, browser: Any) -> None:
    with visiting(built, browser) as page:
        page.get_by_role("tab", name="Lists").click()
        page.locator("#good-words textarea").fill("abc")
        page.get_by_role("button", name="Turn").click()
        page.wait_for_function("document.querySelector('#good-turned textarea').value === 'cba'")
        for name, words in (
            (
                "Raises",
                "The extension bad failed in its tab 'Raises' (ValueError: the list of <img src=x onerror=alert(1)> is not",
            ),
            ("Leaves", "The extension bad failed in its tab 'Leaves' (SystemExit: 3). Everything else works."),
            ("Takes", "The tab 'Takes' of the extension bad cannot be shown: elem_id='txt2img_prompt' is the id of another"),
        ):
            page.get_by_role("tab", name=name).click()
            place = page.locator(f"#ext_{name.lower()}_page")
            place.locator(".problem", has_text=words).wait_for()
            if name == "Raises":
                assert not place.locator("pre").is_visible()
                place.locator("summary").click()
                assert "in raises" in place.locator("pre").inner_text() and page.locator("#bad-button").count() == 0
        page.locator("#tab_txt2img-button").click()
        page.locator("#txt2img_prompt textarea").fill("a cube")
        page.locator("#txt2img_steps input[type=number]").fill("1")
        page.locator("#txt2img_generate").click()
        page.wait_for_function("document.querySelectorAll('#txt2img_gallery .picture img').length")


def test_an_event_that_fails_is_a_note_and_nothing_else(built: Server, browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trouble, "_console", lambda *_: None)  # Gradio writes the failed event there
    monkeypatch.setattr(Trouble, "_answer", lambda *_: None)
    with visiting(built, browser) as page:
        page.get_by_role("tab", name="Lists").click()
        page.get_by_role("button", name="Fail").click()
        note = page.get_by_test_id("toast-body")
        note.wait_for()
        assert "The extension good failed in its tab 'Lists'. KeyError: 'no such <b>word</b>'" in note.inner_text()
        page.locator("#good-words textarea").fill("abc")
        page.get_by_role("button", name="Turn").click()
        page.wait_for_function("document.querySelector('#good-turned textarea').value === 'cba'")


def test_a_panels_values_travel_with_the_request_and_outlive_a_reload(built: Server, browser: Any) -> None:
    with visiting(built, browser) as page:
        page.locator("#txt2img_panel_holds-a-file > button").click()
        page.locator("#txt2img_panel_holds-a-file .problem", has_text="(Image) holds files").wait_for()
        page.locator("#txt2img_panel_mood > button").click()
        page.locator("#good-txt2img-mood").wait_for()
        assert "extras" not in kept(page), "what a panel begins with is left out"
        page.get_by_label("Mood").fill('calm: "x",\ny')
        page.get_by_label("loud").check()
        page.get_by_label("loud").wait_for()
        page.wait_for_function("document.querySelector('#txt2img_own textarea').value.includes('loud')")
        values = {"good": {"mood": 'calm: "x",\ny', "kinds": ["loud"]}}
        assert kept(page)["extras"] == values
        page.locator("#txt2img_steps input[type=number]").fill("1")
        page.locator("#txt2img_generate").click()
        page.locator("#txt2img_infotext", has_text="Extensions:").wait_for()
        assert last_request(built)["extras"] == values

        page.reload()
        page.locator("#txt2img_panel_mood > button").click()
        page.wait_for_function("document.querySelector('#good-txt2img-mood textarea')?.value === 'calm: \"x\",\\ny'")
        assert page.get_by_label("loud").is_checked()
        page.get_by_label("Mood").fill("")
        page.get_by_label("loud").uncheck()
        page.wait_for_function("!document.querySelector('#txt2img_own textarea').value.includes('loud')")
        assert "extras" not in kept(page)

        page.locator('#txt2img_infotext [data-do="send"][data-to="txt2img"]').click()
        page.wait_for_function("document.querySelector('#good-txt2img-mood textarea').value === 'calm: \"x\",\\ny'")
        page.locator('#txt2img_infotext [data-do="send"][data-to="depth"]').click()
        page.locator("#depth_panel_mood > button").click()
        page.wait_for_function("document.querySelector('#good-depth-mood textarea')?.value === 'calm: \"x\",\\ny'")
        page.locator('#depth_board [data-do="view"][data-view="paint"]').wait_for(state="attached")


def test_what_a_component_cannot_hold_and_what_is_damaged_is_left_out(built: Server, browser: Any) -> None:
    with visiting(built, browser) as page:
        fields = [["a", "text", ""], ["a", "list", []], ["a", "any", None], ["a", "number", 2]]
        text = json.dumps({"extras": {"a": {"text": 5, "list": "x", "any": 1, "number": 3}}})
        assert page.evaluate("([fields, text]) => LW.panels.fill(fields, text)", [fields, text]) == ["", [], 1, 3]
        assert page.evaluate("LW.panels.fill([['a', 'text', 'x']], '[]')") == "x"
        page.evaluate("LW.setBox('txt2img_own', '{torn')")
        page.wait_for_function("document.querySelector('#txt2img_own textarea').value === ''")


def test_boxes_are_drawn_moved_named_and_taken_away_with_the_mouse_and_the_keys(built: Server, browser: Any) -> None:
    with visiting(built, browser) as page:
        page.locator("#txt2img_width input").fill("256")
        page.locator(f"{PANEL} > button").click()
        page.locator(AREA).scroll_into_view_if_needed()
        page.wait_for_timeout(200)
        box = page.locator(AREA).bounding_box()
        assert box["width"] / box["height"] == pytest.approx(2, rel=0.02), "the request's proportions"
        drag(page, (0.1, 0.2), (0.4, 0.8))
        page.keyboard.type("a red sphere")
        assert regions(page) == ["0.1 0.2 0.3 0.6: a red sphere"]
        drag(page, (0.2, 0.5), (0.5, 0.6))
        assert regions(page) == ["0.4 0.3 0.3 0.6: a red sphere"], "moved"
        drag(page, (0.695, 0.89), (0.895, 0.99))
        assert regions(page) == ["0.4 0.3 0.5 0.7: a red sphere"], "sized at its corner, within the picture"
        drag(page, (0.02, 0.02), (0.03, 0.03))
        assert len(regions(page)) == 1, "a click draws nothing"

        page.get_by_role("button", name="Add a box").press("Enter")
        page.keyboard.type("a blue cube")
        second = page.locator(f"{PANEL} .rp-box").nth(1)
        second.focus()
        for key in ("ArrowRight", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowUp"):
            page.keyboard.press(key)
        assert regions(page)[1] == "0.36 0.06 0.29 0.42: a blue cube"
        assert second.get_attribute("aria-label").startswith("Box 2, a blue cube: 36 % from the left, 6 % from the top")
        page.keyboard.press("Delete")
        assert regions(page) == ["0.4 0.3 0.5 0.7: a red sphere"]
        page.get_by_role("button", name="Take all away").click()
        assert kept(page) == {}


def test_what_boxes_say_is_no_markup(built: Server, browser: Any) -> None:
    evil = "<img src=x onerror=\"document.title='evil'\">"
    said = json.dumps({"extras": {"regional-prompts": {"regions": f"0 0 0.5 1: {evil}"}}, "guiders": [{"name": evil}]})
    with visiting(built, browser) as page:
        page.locator(f"{PANEL} > button").click()
        page.locator(AREA).wait_for()
        page.evaluate("said => LW.take.set('txt2img', { ...JSON.parse(said), steps: 1, sampler: 'Euler' })", said)
        page.locator(f"{PANEL} .rp-name", has_text=evil).wait_for()
        page.locator("#txt2img_chosen summary").click()
        page.locator("#txt2img_chosen [data-part=name]", has_text=evil).wait_for()
        assert page.locator(f"{PANEL} img, #txt2img_chosen .chosen img:not([hidden])").count() == 0
        assert page.title() != "evil"
