"""The page in a real browser, with the real program behind it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from PIL import Image

from tests.ui.conftest import Server

pytestmark = pytest.mark.browser

LONG = 400
"""Steps that take longer than a test looks at them."""


def prompt(page: Any) -> Any:
    return page.locator("#txt2img_prompt textarea")


def set_steps(page: Any, steps: int) -> None:
    page.locator("#txt2img_steps input[type=number]").fill(str(steps))


def progress(page: Any) -> Any:
    return page.locator("#txt2img_progress")


def message(page: Any) -> Any:
    return page.locator("#txt2img_message")


def picture(page: Any) -> Any:
    """The picture that the stage shows, not its thumbs."""
    return page.locator("#txt2img_gallery .picture img")


def interrupt(page: Any) -> None:
    page.locator("#txt2img_interrupt").click()
    progress(page).wait_for(state="hidden")


def infotext_shown(page: Any, words: str) -> str:
    page.locator("#txt2img_infotext", has_text=words).wait_for()
    return page.locator("#txt2img_infotext .infotext").inner_text()


def test_a_prompt_becomes_a_file_that_carries_its_infotext(page: Any, server: Server) -> None:
    assert page.locator("#txt2img_gallery :is(img, canvas)").count() == 0
    assert page.locator("#txt2img_prompt textarea").count() == 1
    assert page.locator("#txt2img_infotext").is_hidden()
    before = server.pictures
    prompt(page).fill("a red sphere on a checkered floor")
    set_steps(page, 3)
    prompt(page).press("Control+Enter")
    shown = infotext_shown(page, "a red sphere on a checkered floor")
    page.wait_for_function("document.querySelector('#txt2img_gallery .picture img').src.endsWith('.png')")
    assert picture(page).evaluate("img => img.naturalWidth") == 128
    (file,) = [path for path in server.pictures if path not in before]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", file.parent.name)
    with Image.open(file) as saved:
        infotext = saved.text["parameters"]  # type: ignore[attr-defined]
    assert infotext.splitlines()[0] == "a red sphere on a checkered floor"
    assert infotext.splitlines()[-1] == shown.splitlines()[-1]
    assert "Steps: 3, " in infotext
    with page.expect_download() as download:
        page.get_by_label("Download PNG").click()
    assert download.value.path().read_bytes() == file.read_bytes()


def test_a_reload_in_mid_job_loses_neither_prompt_nor_job_nor_result(page: Any) -> None:
    prompt(page).fill("a green cone on ")
    set_steps(page, 4)
    page.locator("#txt2img_batch_count input").fill(str(LONG))
    page.locator("#txt2img_generate").click()
    page.locator("#txt2img_progress", has_text=re.compile(rf"picture [2-9] of {LONG}")).wait_for()
    page.locator("#txt2img_gallery .thumb img").first.wait_for()
    seed = page.locator("#txt2img_gallery .thumb").first.get_attribute("aria-label")
    prompt(page).press_sequentially("grass")  # typed, not left, right before the reload
    page.reload()
    page.locator("#txt2img_progress", has_text=re.compile(rf"Step \d of 4 · picture \d+ of {LONG}")).wait_for()
    assert prompt(page).input_value() == "a green cone on grass"
    assert page.locator("#txt2img_steps input[type=number]").input_value() == "4"
    assert page.locator("#txt2img_batch_count input").input_value() == str(LONG)
    assert page.locator("#txt2img_gallery .thumb").first.get_attribute("aria-label") == seed
    interrupt(page)
    page.reload()
    picture(page).wait_for()
    infotext_shown(page, "a green cone on")
    assert page.locator("#txt2img_gallery .thumb").first.get_attribute("aria-label") == seed


def test_interrupt_ends_the_job_within_a_step_and_the_next_one_runs(page: Any) -> None:
    prompt(page).fill("a blue ring")
    set_steps(page, LONG)
    page.locator("#txt2img_generate").click()
    page.locator("#txt2img_progress", has_text=re.compile(rf"Step \d+ of {LONG}")).wait_for()
    page.locator("#txt2img_preview img").wait_for()
    seen = int(re.findall(r"Step (\d+)", progress(page).inner_text())[0])
    page.keyboard.press("Escape")
    progress(page).wait_for(state="hidden")
    ended = int(re.findall(rf"Interrupted at step (\d+) of {LONG}", message(page).inner_text())[0])
    assert ended <= seen + 3  # steps go on between the look at the page and the key
    assert page.locator("#txt2img_interrupt").is_disabled()
    set_steps(page, 2)
    page.locator("#txt2img_generate").click()
    infotext_shown(page, "a blue ring")
    assert message(page).is_hidden()


def test_generate_queues_while_a_job_runs_and_a_waiting_job_can_be_removed(page: Any) -> None:
    set_steps(page, LONG)
    page.locator("#txt2img_width input").fill("256")  # too large to be drawn side by side on a processor
    page.locator("#txt2img_height input").fill("256")
    for name in ("first", "second"):
        prompt(page).fill(f"{name} <img src=x onerror=alert(1)>")
        page.locator("#txt2img_generate").click()
    page.locator("#queue_button", has_text="1 waiting").click()
    page.locator("#queue_list .waiting", has_text="second <img").get_by_role("button", name="Remove").click()
    page.locator("#queue_list .waiting").wait_for(state="detached")
    page.locator("#queue_list .running", has_text="first <img").get_by_role("button", name="Interrupt").click()
    page.locator("#queue_list .interrupted", has_text="first <img").wait_for()
    assert page.locator("#queue_list .running").count() == 0
    page.keyboard.press("Alt+1")
    prompt(page).wait_for()


WRONG = (
    ("#txt2img_sampler input", "Eulerr", "No sampler is called 'Eulerr'. Did you mean 'Euler'?", "Euler"),
    ("#txt2img_steps input[type=number]", "0", "Steps 0 is out of range.", "1"),
    ("#txt2img_seed input", "seven", "Seed 'seven' is not right.", "7"),
    ("#txt2img_width input", "99999", "Width 99999 is", "128"),
)
"""Control, a wrong value, the start of the sentence, a right value."""


def test_what_cannot_be_drawn_is_said_in_one_sentence_and_nothing_is_lost(page: Any) -> None:
    prompt(page).fill("a cube")
    for control, value, words, right in WRONG:
        page.locator(control).fill(value)
        page.keyboard.press("Tab")
        page.locator("#txt2img_generate").click()
        page.locator("#txt2img_message", has_text=words).wait_for()
        assert page.locator(control).input_value() == value
        page.locator(control).fill(right)
    assert message(page).get_attribute("role") == "alert"
    page.locator("#txt2img_generate").click()
    infotext_shown(page, "Seed: 7")
    message(page).wait_for(state="hidden")  # its answer may come after the picture


def test_the_negative_prompt_says_where_it_is_not_read(page: Any) -> None:
    negative = page.locator("#txt2img_neg_prompt textarea")
    negative.fill("blurry")
    for value, title in (("1", "Not read at guidance 0 or 1"), ("3", ""), ("0", "Not read at guidance 0 or 1")):
        page.locator("#txt2img_guidance input[type=number]").fill(value)
        page.wait_for_function("title => document.querySelector('#txt2img_neg_prompt textarea').title === title", arg=title)
    page.reload()
    page.wait_for_function("document.querySelector('#txt2img_neg_prompt textarea')?.title === 'Not read at guidance 0 or 1'")
    assert negative.input_value() == "blurry" and negative.is_editable()


def test_a_seed_of_19_digits_survives_picture_reuse_and_reload(page: Any) -> None:
    seed = str(2**63 - 3)
    page.locator("#txt2img_seed input").fill(seed)
    prompt(page).fill("a yellow cylinder")
    set_steps(page, 1)
    page.locator("#txt2img_batch_count input").fill("2")
    page.locator("#txt2img_generate").click()
    page.locator("#txt2img_infotext", has_text=f"Seed: {2**63 - 2}").wait_for()
    page.locator("#txt2img_random_seed").click()
    assert page.locator("#txt2img_seed input").input_value() == "-1"
    page.locator("#txt2img_gallery .thumb").first.click()
    infotext_shown(page, f"Seed: {seed}")
    page.locator("#txt2img_reuse_seed").click()
    page.wait_for_function("seed => document.querySelector('#txt2img_seed input').value === seed", arg=seed)
    page.locator("#txt2img_gallery .thumb").first.press("ArrowRight")
    infotext_shown(page, f"Seed: {2**63 - 2}")
    page.reload()
    page.wait_for_function("seed => document.querySelector('#txt2img_seed input')?.value === seed", arg=seed)


def test_a_second_page_shows_the_job_and_ends_it(page: Any, server: Server) -> None:
    prompt(page).fill("a purple cube")
    set_steps(page, LONG)
    page.locator("#txt2img_generate").click()
    other = page.context.new_page()
    other.goto(server.url)
    other.locator("#txt2img_progress", has_text=re.compile(rf"Step \d+ of {LONG}")).wait_for()
    interrupt(other)
    progress(page).wait_for(state="hidden")
    assert "Interrupted" in message(page).inner_text()


def test_controls_follow_the_checkpoint_until_they_are_changed_and_tokens_are_counted(page: Any) -> None:
    assert page.locator("#checkpoint input").input_value() == "pocket"
    assert [page.locator(f"#txt2img_{side} input").input_value() for side in ("width", "height")] == ["128", "128"]
    prompt(page).fill("a red sphere")
    page.locator("#txt2img_prompt_tokens", has_text="3 / 75").wait_for()
    prompt(page).evaluate("box => box.setSelectionRange(2, 5)")
    prompt(page).press("Control+ArrowUp")
    assert prompt(page).input_value() == "a (red:1.1) sphere"
    prompt(page).press("Control+ArrowDown")
    assert prompt(page).input_value() == "a red sphere"
    page.locator("#txt2img_aspect").get_by_label("3:2").check()
    page.wait_for_function("document.querySelector('#txt2img_width input').value === '160'")
    page.locator("#txt2img_swap").click()
    page.wait_for_function("document.querySelector('#txt2img_height input').value === '160'")
    page.reload()
    page.wait_for_function("document.querySelector('#txt2img_height input')?.value === '160'")


def test_no_width_makes_the_page_scroll_sideways_or_hides_generate(page: Any) -> None:
    for width in (390, 820, 2560):
        page.set_viewport_size({"width": width, "height": 844})
        page.locator("#txt2img_generate").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator("#txt2img_generate").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 844


def test_a_broken_checkpoint_is_named_and_the_old_one_stays(page: Any, server: Server) -> None:
    folder = server.data / "models" / "Stable-diffusion"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "broken.safetensors").write_bytes(b"not a checkpoint")
    try:
        page.reload()
        page.locator("#checkpoint input").click()
        page.get_by_role("option", name=re.compile("broken.safetensors")).click()
        page.locator("#txt2img_message", has_text="broken.safetensors").wait_for()
        page.wait_for_function("document.querySelector('#checkpoint input').value === 'pocket'")
    finally:
        (folder / "broken.safetensors").unlink()


@pytest.mark.parametrize("is_known", [True, False], ids=["by its style", "by script"])
def test_a_prompt_grows_with_its_words_by_six_lines_and_shrinks_again(page: Any, is_known: bool) -> None:
    if not is_known:  # a browser that does not know field-sizing
        page.add_init_script("CSS.supports = () => false")
        page.reload()
        page.add_style_tag(content="html body textarea { field-sizing: fixed !important; }")
    box = page.locator("#txt2img_prompt textarea")
    box.wait_for()

    def height(words: str) -> float:
        box.fill(words)
        return float(box.bounding_box()["height"])

    empty, line = height(""), box.evaluate("box => parseFloat(getComputedStyle(box).lineHeight)")
    lines = [round((height("\n".join("a" * count)) - empty) / line, 1) for count in (4, 5, 8, 40, 1)]
    assert lines == [0, 1, 4, 6, 0]


def test_the_prompts_are_high_enough_in_every_tab(page: Any) -> None:
    for tab, lines in {"txt2img": 4, "img2img": 3, "inpaint": 3, "depth": 3, "turbo": 4}.items():
        page.locator(f"#tab_{tab}-button").click()
        page.locator(f"#{tab}_prompt textarea").wait_for()  # a tab is built when it is first opened
        for name, rows in {"prompt": lines, "neg_prompt": 2}.items():
            box = page.locator(f"#{tab}_{name} textarea")
            if box.is_visible():
                at_least = box.evaluate("box => parseFloat(getComputedStyle(box).lineHeight)") * rows
                assert at_least <= box.bounding_box()["height"] <= at_least + 24, (tab, name)
