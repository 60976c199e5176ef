"""The Checkpoints tab in a real browser: what a person finds, loads, chooses and writes down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import POCKET
from tests.ui.conftest import Server, started, visiting

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=window.hacked='name'>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With two copies of the pocket under one name, one of them with a picture, and one whose very name is markup."""
    data = tmp_path_factory.mktemp("checkpoints")
    place = data / "models" / "Stable-diffusion"
    for name in ("apple", "sub/apple"):
        shutil.copytree(POCKET, place / name)
    Image.new("RGB", (640, 360), (40, 120, 200)).save(place / "apple.preview.png")
    (place / f"{EVIL}.safetensors").write_bytes(b"<!doctype html>")
    (place / "apple.txt").write_text(EVIL)
    with started(data, "--no-hashing") as opened:
        yield opened


@pytest.fixture
def tab(page: Any) -> Any:
    """The page, open on the tab."""
    page.locator("#tab_checkpoints-button").click()
    page.locator("#checkpoints_list .card").first.wait_for()
    return page


def card(page: Any, title: str) -> Any:
    return page.locator(f'#checkpoints_list .card[data-title="{title}"]')


def names(page: Any) -> list[str]:
    return list(page.locator("#checkpoints_list .card-name").all_inner_texts())


def wait_for_names(page: Any, wanted: list[str]) -> None:
    read = "[...document.querySelectorAll('#checkpoints_list .card-name')].map(b => b.textContent)"
    script = f"wanted => JSON.stringify({read}) === wanted"
    page.wait_for_function(script, arg=json.dumps(wanted, separators=(",", ":")))


def test_each_says_what_it_is_and_no_word_of_a_file_runs(tab: Any) -> None:
    found = names(tab)
    assert found[:2] == ["apple", "sub/apple"] and found[-1] == EVIL, "what does not open stands last"
    apple = card(tab, "apple")
    assert apple.locator("[data-part=family]").inner_text() == "Pocket"
    assert "fp16" in apple.locator("[data-part=facts]").inner_text()
    apple.locator("img").wait_for()
    assert apple.locator("img").evaluate("async img => { await img.decode(); return img.naturalWidth; }") == 512
    assert card(tab, "sub/apple").locator("img").is_hidden()
    evil = tab.locator("#checkpoints_list .card").last
    assert "web page" in evil.locator("[data-part=error]").inner_text()
    assert evil.get_by_role("button").count() == 1, "it can be looked at, and no more"
    apple.locator(".card-name").click()
    details = tab.locator("#checkpoint_details")
    details.locator(".beside", has_text="onerror").wait_for()
    assert details.locator(".beside").inner_text() == EVIL
    tab.keyboard.press("Escape")
    tab.wait_for_timeout(300)
    assert tab.evaluate("window.hacked") is None


def test_words_and_families_narrow_the_list(tab: Any) -> None:
    everything = names(tab)
    search = tab.get_by_role("searchbox", name="Search names and notes")
    search.fill("sub APPLE")
    wait_for_names(tab, ["sub/apple"])
    assert tab.locator("#checkpoints_list [data-part=count]").inner_text() == f"1 of {len(everything)} checkpoints"
    search.fill("nothing like it")
    tab.get_by_text("No checkpoint matches").wait_for()
    search.fill("")
    tab.get_by_label("Family").select_option("Pocket depth")
    wait_for_names(tab, ["pocket-depth"])
    tab.get_by_label("Family").select_option("!")
    wait_for_names(tab, [EVIL])


def test_one_is_loaded_kept_and_taken_out_and_the_bar_says_so(tab: Any) -> None:
    one, legend = card(tab, "sub/apple"), tab.locator("#checkpoints_list .legend")
    one.get_by_role("button", name="Load into memory").click()
    one.locator('[data-state="in memory"]').wait_for()
    legend.get_by_text("sub/apple").wait_for()
    pin = one.locator("[data-part=pin]")
    pin.click()
    legend.get_by_text("kept").wait_for()
    assert pin.get_attribute("aria-pressed") == "true"
    pin.click()
    one.get_by_role("button", name="Take out of memory").click()
    one.locator('[data-state="on disk"]').wait_for()
    assert legend.get_by_text("sub/apple").count() == 0


def test_settings_of_a_checkpoint_reach_the_controls_and_go_again(tab: Any, server: Server) -> None:
    card(tab, "sub/apple").get_by_role("button", name="Use").click()
    card(tab, "sub/apple").locator('[data-state="in use"]').wait_for()
    menu = tab.locator("#checkpoint input")
    tab.wait_for_function("document.querySelector('#checkpoint input').value === 'sub/apple'")
    details = tab.locator("#checkpoint_details")

    def write(steps: str, negative: str, notes: str) -> None:
        card(tab, "sub/apple").locator(".card-name").click()
        details.get_by_label("Notes").fill(notes)
        details.get_by_label("Steps").fill(steps)
        details.get_by_label("Added to the negative").fill(negative)
        details.get_by_role("button", name="Save").click()
        details.get_by_text("Saved").wait_for()
        details.get_by_role("button", name="Close").click()

    steps = tab.locator("#txt2img_steps input[type=number]")
    prompt = tab.locator("#txt2img_neg_prompt textarea")
    before = steps.input_value()
    write("7", "blurry", "Good for ruins.")
    tab.wait_for_function("document.querySelector('#txt2img_steps input[type=number]').value === '7'")
    tab.wait_for_function("document.querySelector('#txt2img_neg_prompt textarea').value === 'blurry'")
    card(tab, "sub/apple").get_by_text("Good for ruins.").wait_for()
    kept = json.loads((server.data / "state" / "checkpoints.json").read_text())
    assert [page["defaults"] for page in kept.values()] == [{"steps": 7, "negative_prompt": "blurry"}]
    tab.reload()
    tab.locator("#tab_checkpoints-button").click()
    assert (steps.input_value(), prompt.input_value()) == ("7", "blurry"), "once, not twice"
    write("", "", "")
    tab.wait_for_function("before => document.querySelector('#txt2img_steps input[type=number]').value === before", arg=before)
    tab.wait_for_function("document.querySelector('#txt2img_neg_prompt textarea').value === ''")
    card(tab, "apple").get_by_role("button", name="Use").click()
    tab.wait_for_function("document.querySelector('#checkpoint input').value === 'apple'")
    assert menu.is_visible()


def test_a_number_out_of_range_is_said_in_the_dialog(server: Server, browser: Any) -> None:
    with visiting(server, browser, expected="/api/v1/checkpoints/defaults") as page:
        page.locator("#tab_checkpoints-button").click()
        card(page, "apple").locator(".card-name").click()
        details = page.locator("#checkpoint_details")
        details.get_by_label("Steps").fill("0")
        details.get_by_role("button", name="Save").click()
        details.get_by_text("Steps 0 is out of range. It can be 1 to 1000.").wait_for()


def test_a_file_that_is_put_there_appears_in_cards_and_menu_and_goes(tab: Any, server: Server) -> None:
    pytest.importorskip("watchfiles")
    place: Path = server.data / "models" / "Stable-diffusion" / "plum"
    before = names(tab)
    shutil.copytree(POCKET, place)
    card(tab, "plum").wait_for()
    tab.locator("#checkpoint input").click()
    tab.get_by_role("option", name="plum", exact=True).wait_for()
    tab.keyboard.press("Escape")
    shutil.rmtree(place)
    card(tab, "plum").wait_for(state="detached")
    wait_for_names(tab, before)


@pytest.mark.parametrize("width", [390, 1000, 1440])
def test_nothing_is_wider_than_the_window(tab: Any, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 844})
    for part in (".page", ".card", ".memory-card", ".filters"):
        for box in tab.locator(f"#tab_checkpoints {part}:visible").all():
            at = box.bounding_box()
            assert at["x"] >= 0 and at["x"] + at["width"] <= width + 0.5, part
    card(tab, "apple").locator(".card-name").click()
    tab.locator("#checkpoint_details").wait_for()
    at = tab.locator("#checkpoint_details").bounding_box()
    assert at["x"] >= 0 and at["x"] + at["width"] <= width + 0.5
    assert tab.locator(".details-body").evaluate("body => body.scrollWidth <= body.clientWidth")


def test_a_visitor_who_may_change_nothing_chooses_for_the_own_page_alone(server: Server, browser: Any) -> None:
    with started(server.data, "--no-hashing", "--listen", "--no-login") as shared, visiting(shared, browser) as page:
        page.locator("#tab_checkpoints-button").click()
        one = card(page, "sub/apple")
        one.wait_for()
        assert one.get_by_role("button").count() == 2, "the name and Use"
        assert page.get_by_role("button", name="Look again").count() == 0
        one.get_by_role("button", name="Use").click()
        page.wait_for_function("document.querySelector('#checkpoint input').value === 'sub/apple'")
        one.locator('[data-state="in use"]').wait_for()
        one.locator(".card-name").click()
        details = page.locator("#checkpoint_details")
        details.wait_for()
        assert details.get_by_label("Notes").is_disabled() and details.get_by_role("button", name="Save").count() == 0
    assert '"sub/apple"' not in (server.data / "settings.json").read_text()
