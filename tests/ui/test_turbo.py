"""The turbo tab with a pipe of the test's own: what the page sends and when, and what it makes of the answers."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from tests.ui.conftest import Server, visiting
from tests.ui.live_pipe import ADDRESS, Pipe, colour, settled, until

pytestmark = pytest.mark.browser
WORDS = "a fox on snow"


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


@pytest.fixture
def page(server: Server, browser: Any, pipe: Pipe) -> Iterator[Any]:
    """Open on the turbo tab, warmed up."""
    with visiting(server, browser) as opened:
        opened.route_web_socket(ADDRESS, pipe.open)
        opened.reload()
        enter(opened, pipe)
        yield opened


def enter(page: Any, pipe: Pipe) -> None:
    warmed = len(pipe.all("warm"))
    page.locator("#tab_turbo-button").click()
    page.locator("#turbo_stage .live").wait_for()
    until(page, lambda: len(pipe.all("warm")) > warmed)
    page.locator("#turbo_model", has_text=pipe.model["note"] or "quick").wait_for()


def prompt(page: Any) -> Any:
    return page.locator("#turbo_prompt textarea")


def state(page: Any) -> str:
    return str(page.locator(".live-state").inner_text())


def wait_state(page: Any, words: str) -> None:
    page.locator(".live-state", has_text=re.compile(f"^{words}")).wait_for()


def middle(page: Any) -> tuple[int, ...]:
    """The colour in the middle of the stage's picture."""
    script = "c => [...c.getContext('2d').getImageData(c.width >> 1, c.height >> 1, 1, 1).data].slice(0, 3)"
    return tuple(page.locator("#turbo_image").evaluate(script))


def is_near(seen: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(seen, wanted, strict=True)) < 12


def choose(page: Any, name: str, value: str) -> None:
    page.locator(f"#turbo_{name} input[value='{value}']").check(force=True)


def slide(page: Any, name: str, value: float) -> None:
    page.locator(f"#turbo_{name} input[type=number]").fill(str(value))


def stroke(page: Any, *points: tuple[float, float]) -> None:
    """In shares of the surface."""
    box = page.locator("[data-part=canvas]").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def pixel(data: bytes, x: float, y: float) -> Any:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return image.getpixel((round(x * image.width), round(y * image.height)))


def test_each_letter_sends_the_whole_state_and_the_newest_answer_is_on_the_screen(page: Any, pipe: Pipe) -> None:
    assert pipe.inputs == []  # nothing is asked without words
    prompt(page).press_sequentially(WORDS, delay=40)
    settled(page, pipe)
    said = pipe.last
    assert {name: said[name] for name in ("prompt", "negative_prompt", "checkpoint", "steps", "width", "height")} == {
        "prompt": WORDS, "negative_prompt": "", "checkpoint": "", "steps": 1, "width": 96, "height": 64
    }  # fmt: skip
    assert (said["strength"], said["smooth"], said["picture"]) == (0.6, 0.3, False)
    prompts = [each["prompt"] for each in pipe.inputs]
    assert len(prompts) > 5 and all(WORDS.startswith(each) for each in prompts)
    assert prompts == sorted(set(prompts), key=len)  # the same is not asked twice
    assert [each["input"] for each in pipe.inputs] == list(range(1, len(prompts) + 1))
    assert pipe.all("shown") == sorted(pipe.all("shown")) and pipe.all("shown")[-1] == pipe.frames
    assert is_near(middle(page), colour(said["input"]))
    assert WORDS in page.locator("#turbo_image").get_attribute("aria-label")
    assert state(page) == "Live"
    assert float(page.locator("[data-part=latency]").inner_text()) >= 0
    counts = page.evaluate("LW.turbo.counts()")
    assert len(pipe.all("shown")) == counts["frames"] >= len(counts["latencies"]) > 0 and counts["seconds"] > 0


def test_many_changes_in_one_picture_of_the_screen_are_one_message(page: Any, pipe: Pipe) -> None:
    script = """() => { const box = document.querySelector('#turbo_prompt textarea');
      for (let i = 0; i < 50; i++) { box.value = 'a fox ' + i; box.dispatchEvent(new Event('input', { bubbles: true })); } }"""
    page.evaluate(script)
    settled(page, pipe)
    assert [each["prompt"] for each in pipe.inputs] == ["a fox 49"]


def test_of_frames_that_come_faster_than_the_screen_only_the_newest_is_drawn_and_acknowledged(page: Any, pipe: Pipe) -> None:
    pipe.is_answering = False
    prompt(page).fill(WORDS)
    until(page, lambda: pipe.inputs)
    for number in range(1, 61):
        pipe.answer({**pipe.last, "input": number})
    until(page, lambda: 60 in pipe.all("shown"))
    assert len(pipe.all("shown")) < 60 and pipe.all("shown") == sorted(pipe.all("shown"))
    assert is_near(middle(page), colour(60))
    number = pipe.answer(pipe.last, jpeg=b"damaged")
    until(page, lambda: number in pipe.all("shown"))  # else the stream would wait for it


def test_nothing_is_sent_while_the_tab_is_not_seen_and_the_newest_state_when_it_is_again(page: Any, pipe: Pipe) -> None:
    prompt(page).fill(WORDS)
    settled(page, pipe)
    page.locator("#tab_txt2img-button").click()
    page.locator("#txt2img_generate").wait_for()
    page.wait_for_timeout(200)
    before = len(pipe.said)
    page.evaluate("LW.setBox('turbo_take', JSON.stringify({ values: { prompt: 'a taken frog' }, n: 1 }))")
    number = pipe.answer(pipe.last)
    page.wait_for_timeout(800)
    assert len(pipe.said) == before
    page.locator("#tab_turbo-button").click()
    until(page, lambda: pipe.last["prompt"] == "a taken frog")
    until(page, lambda: max(pipe.all("shown")) >= number)
    assert len(pipe.sockets) == 1


def test_the_seed_stays_for_the_session_until_the_dice_is_thrown_and_keeps_all_its_digits(page: Any, pipe: Pipe) -> None:
    prompt(page).press_sequentially("a fox", delay=30)
    settled(page, pipe)
    (first,) = {each["seed"] for each in pipe.inputs}
    page.reload()
    enter(page, pipe)
    until(page, lambda: pipe.last["input"] == 1 and pipe.last["prompt"] == "a fox")
    assert pipe.last["seed"] == first
    page.locator("#turbo_random_seed").click()
    until(page, lambda: pipe.last["seed"] != first)
    settled(page, pipe)
    page.locator("#turbo_reuse_seed").click()
    page.wait_for_function(f"document.querySelector('#turbo_seed input').value === '{pipe.last['seed']}'")
    large = 2**63 - 3
    page.locator("#turbo_seed input").fill(str(large))
    until(page, lambda: pipe.last["seed"] == large)
    page.locator("#turbo_seed input").fill("seven")
    page.locator("#turbo_message", has_text="Seed seven is not right").wait_for()
    assert pipe.last["seed"] == large


def test_sliders_sizes_and_steps_are_sent_and_outlive_a_reload(page: Any, pipe: Pipe) -> None:
    prompt(page).fill(WORDS)
    choose(page, "steps", "4")
    slide(page, "smooth", 0)
    until(page, lambda: (pipe.last["steps"], pipe.last["smooth"]) == (4, 0))
    page.locator("#turbo_aspect").get_by_label("16:9").check(force=True)
    until(page, lambda: pipe.last["width"] > 1.6 * pipe.last["height"])
    wide = pipe.last["width"], pipe.last["height"]
    page.locator("#turbo_swap").click()
    until(page, lambda: (pipe.last["height"], pipe.last["width"]) == wide)
    page.reload()
    enter(page, pipe)
    until(page, lambda: pipe.last["input"] == 1 and pipe.last["steps"] == 4)
    assert (pipe.last["height"], pipe.last["width"], pipe.last["smooth"], pipe.last["prompt"]) == (*wide, 0, WORDS)


TYPED = """(field, digits) => { for (let i = 1; i <= digits.length; i++) {
  field.value = digits.slice(0, i);
  field.dispatchEvent(new Event('input', { bubbles: true }));
} }"""
"""As quick as one may type, however busy the machine is."""


def test_a_size_that_is_left_empty_follows_the_checkpoint_and_half_a_number_is_no_size(page: Any, pipe: Pipe) -> None:
    prompt(page).fill(WORDS)
    until(page, lambda: pipe.inputs and pipe.last["width"] == 96)
    pipe.tell(model={**pipe.model, "checkpoint": "other", "width": 160, "height": 160})
    until(page, lambda: pipe.last["width"] == pipe.last["height"] == 160)
    page.locator("#turbo_width input").evaluate(TYPED, "128")
    until(page, lambda: pipe.last["width"] == 128)
    assert not {1, 12} & {each["width"] for each in pipe.inputs}


def test_what_is_wrong_stands_beside_the_stage_until_the_next_frame(page: Any, pipe: Pipe) -> None:
    prompt(page).fill(WORDS)
    settled(page, pipe)
    pipe.is_answering = False
    page.locator("#turbo_height input").fill("9999")
    until(page, lambda: pipe.last["height"] == 9999)
    message = page.locator("#turbo_message")
    pipe.tell(error="An old one.", input=pipe.last["input"] - 1, field="width")
    page.wait_for_timeout(200)
    assert message.is_hidden()  # what was asked since may be right
    pipe.tell(error="Height 9999 is <b>too large</b>.", input=pipe.last["input"], field="height")
    message.filter(has_text="Height 9999 is <b>too large</b>.").wait_for()
    assert message.get_attribute("role") == "alert"
    assert page.locator("#turbo_height input").get_attribute("aria-invalid") == "true"
    pipe.is_answering = True
    page.locator("#turbo_height input").fill("80")
    message.wait_for(state="hidden")
    assert page.locator("#turbo_height input").get_attribute("aria-invalid") is None


def test_a_lost_connection_comes_back_by_itself_with_a_growing_pause_and_everything_is_sent_again(page: Any, pipe: Pipe) -> None:
    prompt(page).fill(WORDS)
    choose(page, "source", "paint")
    stroke(page, (0.2, 0.5), (0.8, 0.5))
    settled(page, pipe)
    assert page.locator("#turbo_keep").is_enabled()
    pipe.closes, before = 2, len(pipe.said)
    pipe.sockets[-1].close()
    wait_state(page, "Connecting")
    assert page.locator("#turbo_keep").is_disabled()  # its frame is not known to the next stream
    wait_state(page, "Not connected")
    until(page, lambda: len(pipe.sockets) == 4)
    second, third = pipe.opened[2] - pipe.opened[1], pipe.opened[3] - pipe.opened[2]
    assert third > 1.5 * second > 0
    until(page, lambda: any("input" in each for each in pipe.said[before:]))
    kinds = [next(iter(each)) for each in pipe.said[before:]]
    assert kinds.index("warm") < kinds.index("file") < kinds.index("input")
    assert pipe.last["prompt"] == WORDS and pipe.last["picture"] is True
    wait_state(page, "Live")
    page.wait_for_function("!document.querySelector('#turbo_keep').disabled")


def test_too_many_streams_are_said_in_the_servers_words(page: Any, pipe: Pipe) -> None:
    pipe.sockets[-1].close(code=4429, reason="16 live streams are open already. Close one of them first.")
    page.locator("#turbo_message", has_text="16 live streams are open already.").wait_for()
    wait_state(page, "Not connected")


def test_a_job_of_another_tab_and_a_checkpoint_on_its_way_are_said_in_words(page: Any, pipe: Pipe) -> None:
    pipe.is_answering = False
    prompt(page).fill(WORDS)
    until(page, lambda: pipe.inputs)
    pipe.tell(state="waiting", words="A job is drawn first.")
    wait_state(page, "Waiting for a job")
    pipe.tell(state="loading", words="Loading quick.")
    wait_state(page, "Loading quick")
    pipe.answer(pipe.last)
    wait_state(page, "Live")


def test_a_checkpoint_that_is_no_turbo_says_what_would_serve(page: Any, pipe: Pipe) -> None:
    assert page.locator("#turbo_neg_prompt").is_hidden() and page.locator("#turbo_steps").is_visible()
    pipe.model |= {"checkpoint": "pocket", "is_turbo": False, "base": "", "note": "pocket was not made for few steps."}
    page.locator("#turbo_checkpoint input").click()
    page.get_by_role("option", name=re.compile("^pocket$")).click()
    page.locator("#turbo_model", has_text="pocket was not made for few steps.").wait_for()
    assert pipe.all("warm")[-1]["checkpoint"] == "pocket"
    page.locator("#turbo_neg_prompt textarea").fill("blur")
    prompt(page).fill(WORDS)
    until(page, lambda: pipe.inputs and pipe.last["prompt"] == WORDS)
    assert (pipe.last["checkpoint"], pipe.last["negative_prompt"]) == ("pocket", "blur")
    assert page.locator("#turbo_steps").is_hidden()


def test_an_empty_prompt_offers_examples_and_a_click_draws_one(page: Any, pipe: Pipe) -> None:
    examples = page.locator(".live-examples button")
    pipe.model |= {"checkpoint": "pocket"}
    pipe.tell(model=pipe.model)
    examples.filter(has_text="a fox on snow under a blue sky").click()
    until(page, lambda: pipe.inputs and pipe.last["prompt"] == "a fox on snow under a blue sky")
    page.locator("#turbo_stage [data-part=empty]").wait_for(state="hidden")
    prompt(page).fill("")
    page.locator("#turbo_stage [data-part=empty]").wait_for()
    assert page.locator("#turbo_image").is_hidden()


def test_a_brush_stroke_sends_the_picture_while_it_is_painted_one_at_a_time(page: Any, pipe: Pipe) -> None:
    prompt(page).fill(WORDS)
    choose(page, "source", "paint")
    settled(page, pipe)
    pipe.is_answering, before = False, len(pipe.said)
    assert pipe.last["picture"] is False and page.locator("#turbo_strength").is_visible()
    page.locator("[data-do=ink][aria-label=Red]").click()
    stroke(page, (0.2, 0.2), (0.8, 0.2), (0.8, 0.8))
    settled(page, pipe)
    assert len(pipe.all("file")) == 1  # the others wait until it is answered
    kinds = [next(iter(each)) for each in pipe.said[before:]]
    assert kinds.index("file") < kinds.index("input")
    assert pipe.last["picture"] is True
    pipe.answer(pipe.last)
    until(page, lambda: len(pipe.all("file")) == 2)
    newest = pipe.all("file")[-1]
    assert Image.open(io.BytesIO(newest)).size == (96, 64)
    assert is_near(pixel(newest, 0.8, 0.5), (0xE0, 0x24, 0x5E)) and is_near(pixel(newest, 0.3, 0.7), (255, 255, 255))
    pipe.is_answering = True
    pipe.answer(pipe.last)
    settled(page, pipe)
    page.locator("[data-part=canvas]").hover()
    page.locator("[data-part=undo]").focus()
    page.keyboard.press("Control+z")
    until(page, lambda: len(pipe.all("file")) == 3)
    assert is_near(pixel(pipe.all("file")[-1], 0.8, 0.5), (255, 255, 255))
    stroke(page, (0.5, 0.5), (0.6, 0.5))
    settled(page, pipe)
    page.locator("[data-part=clear]").click()
    until(page, lambda: pipe.last["picture"] is False)


def photo() -> bytes:
    """Red on the left, blue on the right, twice as wide as it is high."""
    image = Image.new("RGB", (200, 100), "red")
    image.paste("blue", (100, 0, 200, 100))
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


HAND_IN = """([bytes, name, kind]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/png' }));
  const init = { bubbles: true, cancelable: true };
  if (kind === 'paste') document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, ...init }));
  else document.querySelector('#turbo_stage .live').dispatchEvent(new DragEvent('drop', { dataTransfer: data, ...init }));
}"""


@pytest.mark.parametrize("way", ["open", "paste", "drop"])
def test_a_picture_that_is_opened_pasted_or_dropped_is_repainted_and_outlives_a_reload(page: Any, pipe: Pipe, way: str) -> None:
    prompt(page).fill(WORDS)
    if way == "open":
        choose(page, "source", "file")
        page.locator("[data-part=file]").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": photo()})
    else:
        page.evaluate(HAND_IN, [list(photo()), "a.png", way])
    until(page, lambda: pipe.inputs and pipe.last["picture"])
    (sent,) = pipe.all("file")
    assert is_near(pixel(sent, 0.1, 0.5), (254, 0, 0)) and is_near(pixel(sent, 0.9, 0.5), (0, 0, 254))
    assert page.locator("#turbo_source input[value=file]").is_checked()
    slide(page, "strength", 0.25)
    until(page, lambda: pipe.last["strength"] == 0.25)
    assert len(pipe.all("file")) == 1  # a slider moves without sending the picture again
    page.reload()
    enter(page, pipe)
    until(page, lambda: len(pipe.all("file")) == 2 and pipe.last["picture"])
    assert is_near(pixel(pipe.all("file")[-1], 0.9, 0.5), (0, 0, 254))


def test_a_file_that_is_no_picture_is_refused_in_one_sentence(page: Any, pipe: Pipe) -> None:
    page.evaluate(HAND_IN, [[1, 2, 3], "notes.png", "drop"])
    page.locator("#turbo_message", has_text="notes.png cannot be opened as a picture.").wait_for()
    assert pipe.all("file") == []


def test_a_change_of_shape_cuts_nothing_off_for_good(page: Any, pipe: Pipe) -> None:
    page.evaluate(HAND_IN, [list(photo()), "a.png", "drop"])
    until(page, lambda: len(pipe.all("file")) == 1)
    page.locator("#turbo_height input").fill("192")
    until(page, lambda: pipe.last["height"] == 192 and len(pipe.all("file")) > 1)
    page.locator("#turbo_height input").fill("")
    until(page, lambda: pipe.last["height"] == 64)
    settled(page, pipe)
    sent = pipe.all("file")[-1]
    assert is_near(pixel(sent, 0.05, 0.5), (254, 0, 0)) and is_near(pixel(sent, 0.95, 0.5), (0, 0, 254))


CAMERA = """() => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 }), pen = canvas.getContext('2d');
  setInterval(() => { pen.fillStyle = '#00c000'; pen.fillRect(0, 0, 64, 48); pen.fillStyle = '#c00000'; pen.fillRect(0, 0, 16, 48); }, 30);
  window.tracks = [];
  navigator.mediaDevices.getUserMedia = async () => { const s = canvas.captureStream(); window.tracks.push(...s.getTracks()); return s; };
}"""  # noqa: E501


def test_the_camera_is_mirrored_sends_one_picture_at_a_time_and_is_off_while_nobody_looks(page: Any, pipe: Pipe) -> None:
    page.evaluate(CAMERA)
    prompt(page).fill(WORDS)
    settled(page, pipe)
    pipe.is_answering = False
    choose(page, "source", "camera")
    until(page, lambda: pipe.all("file"))
    page.wait_for_timeout(400)
    assert len(pipe.all("file")) == 1
    pipe.is_answering = True
    pipe.answer(pipe.last)
    until(page, lambda: len(pipe.all("file")) > 3)
    sent = pipe.all("file")[-1]
    assert is_near(pixel(sent, 0.95, 0.5), (0xC0, 0, 0)) and is_near(pixel(sent, 0.3, 0.5), (0, 0xC0, 0))
    page.locator("#tab_txt2img-button").click()
    page.wait_for_function("tracks.every(track => track.readyState === 'ended')")
    page.locator("#tab_turbo-button").click()
    page.wait_for_function("tracks.at(-1).readyState === 'live'")
    choose(page, "source", "none")
    page.wait_for_function("tracks.every(track => track.readyState === 'ended')")
    until(page, lambda: pipe.last["picture"] is False)


REFUSALS = {
    "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })": "only to pages of this machine or over https",
    "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') }": "does not allow the",
    "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError') }": "No camera was found",
}


@pytest.mark.parametrize("script", REFUSALS)
def test_a_camera_that_is_refused_is_said_in_one_sentence(page: Any, script: str) -> None:
    page.evaluate(f"() => {{ {script} }}")
    choose(page, "source", "camera")
    page.locator("#turbo_message", has_text=REFUSALS[script]).wait_for()
    assert page.get_by_role("button", name="Start the camera").is_visible()


def test_a_page_that_opens_does_not_start_the_camera_by_itself(page: Any, pipe: Pipe) -> None:
    page.evaluate(CAMERA)
    choose(page, "source", "camera")
    page.wait_for_function("tracks.length === 1")
    page.reload()
    page.evaluate(CAMERA)
    enter(page, pipe)
    page.get_by_role("button", name="Start the camera").wait_for()
    page.wait_for_timeout(300)
    assert page.evaluate("tracks.length") == 0


def test_keep_and_ctrl_enter_ask_for_the_frame_that_is_shown(page: Any, pipe: Pipe) -> None:
    assert page.locator("#turbo_keep").is_disabled()
    prompt(page).fill(WORDS)
    settled(page, pipe)
    page.locator("#turbo_keep").click()
    until(page, lambda: pipe.all("keep") == [pipe.frames])
    prompt(page).press("Control+Enter")
    until(page, lambda: pipe.all("keep") == [pipe.frames] * 2)
    pipe.tell(error="That picture is no longer at hand.", input=None, field="")
    page.locator("#turbo_message", has_text="no longer at hand").wait_for()


def test_every_part_has_a_name_and_no_width_scrolls_sideways(page: Any, pipe: Pipe) -> None:
    prompt(page).fill(WORDS)
    choose(page, "source", "paint")
    stroke(page, (0.2, 0.2), (0.8, 0.8))
    settled(page, pipe)
    for width in (390, 820, 1000, 1440, 2560):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        inside = "e => [e.scrollWidth - e.clientWidth, e.scrollHeight - e.clientHeight]"
        across, down = page.locator("#turbo_stage .live-view").evaluate(inside)
        assert across <= 1 and (width < 720 or down <= 1), width
        for part in ("#turbo_image", "[data-part=canvas]"):
            box = page.locator(part).bounding_box()
            assert box["width"] >= 200 and abs(box["width"] / box["height"] - 1.5) < 0.02, (part, width)
        bar = page.locator(".live-bar").bounding_box()
        assert bar["x"] >= 0 and bar["x"] + bar["width"] <= width + 1
    nameless = """() => [...document.querySelectorAll('#turbo_studio :is(button, input, textarea, canvas)')].filter(e => e.offsetParent
      && !(e.ariaLabel || e.title || e.textContent.trim() || e.labels?.length || e.closest('label')?.textContent.trim())).map(e => e.outerHTML)"""  # noqa: E501
    assert page.evaluate(nameless) == []
