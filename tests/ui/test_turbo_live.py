"""The turbo tab with the real program behind it: pictures that follow, are kept, and are refined."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from tests.ui.conftest import Server, visiting
from tests.ui.live_pipe import until

pytestmark = pytest.mark.browser
WORDS = "a fox on snow under a blue sky"


@pytest.fixture
def page(server: Server, browser: Any) -> Iterator[Any]:
    with visiting(server, browser) as opened:
        opened.locator("#tab_turbo-button").click()
        opened.locator("#turbo_model", has_text=re.compile(".")).wait_for()
        yield opened


def prompt(page: Any) -> Any:
    return page.locator("#turbo_prompt textarea")


def drawn(page: Any, words: str) -> None:
    page.locator(f'#turbo_image[aria-label="Live picture: {words}"]').wait_for()


def colours(page: Any) -> int:
    """How many there are in the picture shown: none was drawn where there is one."""
    script = """c => { const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height), seen = new Set();
      for (let i = 0; i < data.length; i += 4) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]); return seen.size; }"""
    return int(page.locator("#turbo_image").evaluate(script))


def jobs(server: Server) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server.url}/api/v1/jobs", timeout=30) as answer:
        return [job for job in json.load(answer) if job["tab"] == "turbo"]


def test_typing_draws_and_keep_saves_that_picture_with_its_infotext(page: Any, server: Server) -> None:
    prompt(page).press_sequentially(WORDS, delay=30)
    drawn(page, WORDS)
    assert colours(page) > 100
    assert page.evaluate("LW.turbo.counts().frames") > 1
    assert page.locator(".live-state").inner_text() == "Live"
    seed = page.evaluate("LW.turbo.shownSeed()")
    page.locator("#turbo_keep").click()
    thumb = page.locator("#turbo_gallery button.thumb")
    thumb.first.wait_for()
    page.wait_for_function("LW.jobs.values().some(job => job.tab === 'turbo' && job.images[0]?.path)")
    assert f"seed {seed}" in thumb.first.get_attribute("aria-label") and WORDS in thumb.first.get_attribute("aria-label")
    (job,) = jobs(server)
    with Image.open(server.data / "outputs" / job["images"][0]["path"]) as saved:
        infotext = saved.text["parameters"]  # type: ignore[attr-defined]
    assert infotext.splitlines()[0] == WORDS and f"Seed: {seed}," in infotext
    thumb.first.click()
    menu = page.locator("#turbo_kept_menu")
    menu.filter(has_text=f"Seed: {seed}").wait_for()
    assert page.locator("[data-part=kept-view]").is_visible()
    thumb.first.click()  # the same again takes it away
    page.locator("[data-part=kept-view]").wait_for(state="hidden")
    thumb.first.click()
    page.keyboard.press("Escape")
    page.locator("[data-part=kept-view]").wait_for(state="hidden")
    thumb.first.click()
    with page.expect_download() as download:
        menu.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes() == (server.data / "outputs" / job["images"][0]["path"]).read_bytes()
    menu.get_by_role("button", name="img2img").click()
    page.wait_for_function("LW.painter.state('img2img').hasImage")
    page.wait_for_function(f"document.querySelector('#img2img_seed input')?.value === '{seed}'")


def test_refine_takes_prompt_seed_and_size_to_txt2img_with_the_base_checkpoints_own_settings(page: Any) -> None:
    page.locator("#tab_txt2img-button").click()
    steps = page.locator("#txt2img_steps input[type=number]")
    usual = steps.input_value()
    steps.fill("3")
    page.locator("#tab_turbo-button").click()
    prompt(page).fill(WORDS)
    page.locator("#turbo_height input").fill("96")
    drawn(page, WORDS)
    page.wait_for_function("document.querySelector('#turbo_image').height === 96")
    seed = page.evaluate("LW.turbo.shownSeed()")
    page.locator("#turbo_refine").click()
    page.locator("#txt2img_generate").wait_for()
    page.wait_for_function(f"document.querySelector('#txt2img_seed input').value === '{seed}'")
    assert page.locator("#txt2img_prompt textarea").input_value() == WORDS
    assert [page.locator(f"#txt2img_{side} input").input_value() for side in ("width", "height")] == ["128", "96"]
    assert page.locator("#checkpoint input").input_value() == "pocket"
    assert steps.input_value() == usual


def test_a_job_goes_first_and_the_stream_goes_on_after_it(page: Any) -> None:
    prompt(page).fill(WORDS)
    drawn(page, WORDS)
    page.locator("#tab_txt2img-button").click()
    page.locator("#txt2img_prompt textarea").fill("a slow ring")
    page.locator("#txt2img_steps input[type=number]").fill("400")
    page.locator("#txt2img_generate").click()
    page.locator("#txt2img_progress", has_text=re.compile("Step [1-9]")).wait_for()
    page.locator("#tab_turbo-button").click()
    prompt(page).fill("a frog on grass")
    page.locator(".live-state", has_text="Waiting for a job").wait_for()
    assert WORDS in page.locator("#turbo_image").get_attribute("aria-label")
    page.evaluate("LW.actions.interrupt({ dataset: { tab: 'txt2img' } })")
    drawn(page, "a frog on grass")
    until(page, lambda: page.locator(".live-state").inner_text() == "Live")


def test_what_the_program_refuses_is_said_and_the_next_input_is_drawn(page: Any) -> None:
    prompt(page).fill(WORDS)
    page.locator("#turbo_width input").fill("99999")
    page.locator("#turbo_message", has_text="Width 99999").wait_for()
    page.locator("#turbo_width input").fill("64")
    page.wait_for_function("document.querySelector('#turbo_image').width === 64")
    page.locator("#turbo_message").wait_for(state="hidden")


def test_a_painted_picture_is_repainted(page: Any) -> None:
    prompt(page).fill(WORDS)
    drawn(page, WORDS)
    page.locator("#turbo_source input[value=paint]").check(force=True)
    page.locator("#turbo_strength input[type=number]").fill("0.3")
    page.locator("[data-do=ink][aria-label=Red]").click()
    page.locator("[data-part=size]").fill("160")
    box = page.locator("[data-part=canvas]").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 0.2 * box["height"])
    page.mouse.down()
    for share in (0.2, 0.5, 0.8, 0.5):
        page.mouse.move(box["x"] + box["width"] - 5, box["y"] + share * box["height"], steps=5)
        page.mouse.move(box["x"] + 5, box["y"] + share * box["height"], steps=5)
    page.mouse.up()
    script = """() => { const c = document.querySelector('#turbo_image'); let red = 0, blue = 0;
      const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
      for (let i = 0; i < data.length; i += 4) { red += data[i]; blue += data[i + 2]; }
      return red > 1.3 * blue; }"""
    page.wait_for_function(script)
