"""The tabs with pictures in a real browser, with the real program behind it: what a person does on each of them."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.ui.conftest import Server, started, visiting
from tests.ui.test_following import choose
from tests.ui.test_painter import Painter

pytestmark = pytest.mark.browser
SECONDS_TO_DRAW = 240
WIDTH, HEIGHT = 96, 80


@pytest.fixture(scope="module")
def server(reference_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With tiny checkpoints that read depth, and that enlarge."""
    folder = tmp_path_factory.mktemp("kinds")
    for case in ("sd2-depth-a", "sd-x4-a", "sd1-inpaint-a"):
        (folder / case).symlink_to(reference_checkpoints / case)
    with started(tmp_path_factory.mktemp("data"), "--ckpt-dir", str(folder)) as opened:
        yield opened


@pytest.fixture
def page(server: Server, browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    with visiting(server, browser, getattr(request, "param", "")) as opened:
        yield opened


def photo(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return image


def file(image: Image.Image) -> bytes:
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


def opened(page: Any, server: Server, tab: str, image: Image.Image | None = None) -> Painter:
    page.locator(f"#tab_{tab}-button").click()
    page.locator(f"#{tab}_generate").wait_for()
    painter = Painter(page, server.url, tab)
    return painter.opened(file(image or photo())) if image is not None else painter


def value(page: Any, element: str) -> str:
    return str(page.locator(f"#{element} textarea, #{element} input").first.input_value())


def number(page: Any, element: str, wanted: float) -> None:
    field = page.locator(f"#{element} input[type=number]")
    field.fill(str(wanted))
    field.press("Tab")


def is_shown(page: Any, element: str, wanted: str) -> None:
    script = "([id, wanted]) => document.querySelector(`#${id} textarea, #${id} input`)?.value === wanted"
    page.wait_for_function(script, arg=[element, wanted])


def made(page: Any, tab: str, words: Any = re.compile(".")) -> Image.Image:
    """The finished picture, as its file has it."""
    page.locator(f"#{tab}_infotext", has_text=words).wait_for(timeout=SECONDS_TO_DRAW * 1000)
    script = f"document.querySelector('#{tab}_gallery .picture img')?.src.endsWith('.png')"
    page.wait_for_function(script, timeout=SECONDS_TO_DRAW * 1000)
    page.locator(f"#{tab}_progress").wait_for(state="hidden", timeout=SECONDS_TO_DRAW * 1000)
    address = page.locator(f"#{tab}_gallery .picture img").first.get_attribute("src")
    with urllib.request.urlopen(address, timeout=30) as answer:
        return Image.open(io.BytesIO(answer.read())).convert("RGB")


def generate(page: Any, tab: str, words: str, steps: int = 2) -> Image.Image:
    page.locator(f"#{tab}_prompt textarea").fill(words)
    number(page, f"{tab}_steps", steps)
    page.locator(f"#{tab}_generate").click()
    return made(page, tab, words)


def last_request(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/api/v1/jobs", timeout=30) as answer:
        return json.load(answer)[-1]["request"]


def line_of(page: Any, tab: str) -> float:
    """Where the line between before and after stands, in percent."""
    style = page.locator(f"#{tab}_gallery .picture").evaluate("figure => figure.style.getPropertyValue('--at')")
    return float(style.removesuffix("%"))


def test_img2img_takes_a_picture_a_sketch_and_a_strength_and_the_result_is_the_next_input(page: Any, server: Server) -> None:
    painter = opened(page, server, "img2img")
    page.locator("#img2img_generate").click()
    page.locator("#img2img_message", has_text="Open a picture first").wait_for()
    painter.opened(file(photo()), "first.png")
    is_shown(page, "img2img_width", str(WIDTH))
    is_shown(page, "img2img_height", str(HEIGHT))
    painter.size(10)
    painter.stroke((20, 20), (40, 20))
    number(page, "img2img_strength", 0)
    drawn = generate(page, "img2img", "unchanged")
    assert drawn.size == (WIDTH, HEIGHT)  # strength 0 gives back what was handed in: the picture with its sketch
    pixels = np.asarray(drawn)
    assert tuple(pixels[20, 30]) == (0xE0, 0x24, 0x5E) and tuple(pixels[70, 90]) == (0, 0, 255)
    page.locator("#img2img_board [data-view=paint]", has_text="Picture").click()
    painter.keys("Delete")
    number(page, "img2img_strength", 0.6)
    drawn = generate(page, "img2img", "a green cone", 4)
    assert drawn.size == (WIDTH, HEIGHT)
    sent = last_request(server)
    assert sent["strength"] == 0.6 and (sent["width"], sent["height"]) == (WIDTH, HEIGHT)
    page.get_by_role("button", name="Use as input").click()
    painter.part("facts").filter(has_text=f"{WIDTH} x {HEIGHT}").wait_for()
    page.wait_for_function("LW.painter.state('img2img').hasImage")
    number(page, "img2img_strength", 0)
    assert np.array_equal(np.asarray(generate(page, "img2img", "once more")), np.asarray(drawn))


def test_inpainting_leaves_every_byte_outside_the_mask_and_a_reload_in_mid_work_loses_nothing(page: Any, server: Server) -> None:
    painter = opened(page, server, "inpaint", photo())
    painter.size(16)
    painter.stroke((24, 30), (40, 30))  # mouse
    painter.keys("Home", "Enter", "ArrowDown", "ArrowDown", "Enter")  # keys, in the middle
    page.locator("#inpaint_prompt textarea").fill("a yellow ring")
    number(page, "inpaint_mask_blur", 0)
    painted = painter.paint()
    page.wait_for_timeout(400)
    page.reload()
    page.locator("#txt2img_generate").wait_for()
    painter = opened(page, server, "inpaint")
    page.wait_for_function("LW.painter.state('inpaint').hasMask")
    assert np.array_equal(painter.paint(), painted)
    is_shown(page, "inpaint_prompt", "a yellow ring")
    is_shown(page, "inpaint_width", str(WIDTH))
    drawn = np.asarray(generate(page, "inpaint", "a yellow ring", 4))
    before = np.asarray(photo())
    assert np.array_equal(drawn[painted == 0], before[painted == 0])
    assert not np.array_equal(drawn[painted > 0], before[painted > 0])
    page.locator("#inpaint_board [data-view=paint]", has_text="Picture and mask").click()
    painter.menu("Picture", "remove")
    assert not painter.state()["hasImage"]


def test_without_a_mask_the_whole_picture_is_repainted_and_that_is_said(page: Any, server: Server) -> None:
    opened(page, server, "inpaint", photo())
    generate(page, "inpaint", "a purple cube")
    page.locator("#inpaint_notes", has_text=re.compile("whole picture", re.I)).wait_for()


def test_outpainting_keeps_the_picture_and_an_inpainting_checkpoint_takes_the_same_mask(page: Any, server: Server) -> None:
    painter = opened(page, server, "inpaint", photo(64, 64))
    page.locator("#inpaint_extend button").first.click()
    page.locator("#inpaint_extend_right :is(textarea, input)").fill("24")
    number(page, "inpaint_mask_blur", 0)
    drawn = generate(page, "inpaint", "a wider room", 3)
    assert drawn.size == (88, 64)
    assert np.array_equal(np.asarray(drawn)[:, :64], np.asarray(photo(64, 64)))
    page.locator("#inpaint_extend_right :is(textarea, input)").fill("")
    choose(page, "sd1-inpaint-a", "SD 1 inpainting")
    page.locator("#inpaint_board [data-view=paint]", has_text="Picture and mask").click()
    painter.size(20)
    painter.stroke((10, 10), (20, 20))
    is_shown(page, "inpaint_extend_right", "")
    painted = painter.paint()
    drawn = generate(page, "inpaint", "nine channels", 2)
    assert np.array_equal(np.asarray(drawn)[painted == 0], np.asarray(photo(64, 64))[painted == 0])
    choose(page, "pocket", "Pocket")


def test_depth_is_drawn_by_a_checkpoint_that_reads_it_and_that_is_said(page: Any, server: Server) -> None:
    painter = opened(page, server, "depth", photo(64, 64))
    ramp = Image.linear_gradient("L").resize((64, 64))
    painter.part("mask-file").set_input_files({"name": "depth.png", "mimeType": "image/png", "buffer": file(ramp)})
    page.wait_for_function("LW.painter.state('depth').hasMask")
    painter.size(12)
    painter.stroke((10, 50), (30, 50))
    own = painter.paint()
    assert own[50, 20] > np.asarray(ramp)[50, 20]  # brought nearer
    drawn = generate(page, "depth", "a room", 2)
    assert drawn.size == (64, 64)
    page.locator("#depth_notes", has_text="reads no depth").wait_for()
    sent = last_request(server)
    assert sent["depth_guided"] and sent["depth"] == painter.collect()["mask"]


def test_upscaling_opens_on_lanczos_announces_the_size_and_compares_by_mouse_keys_and_touch(page: Any, server: Server) -> None:
    opened(page, server, "upscale", photo())
    is_shown(page, "upscale_upscaler", "Lanczos")
    page.locator("#upscale_size", has_text=f"{WIDTH * 2} × {HEIGHT * 2}").wait_for()
    number(page, "upscale_scale", 1.5)
    page.locator("#upscale_size", has_text="144 × 120").wait_for()
    page.locator("#upscale_generate").click()
    drawn = made(page, "upscale", "Postprocess upscaler: Lanczos")
    assert drawn.size == (144, 120)
    expected = np.asarray(photo().resize((144, 120), Image.Resampling.LANCZOS), np.int16)
    assert np.abs(np.asarray(drawn, np.int16) - expected).max() <= 1
    figure = page.locator("#upscale_gallery .picture.comparing")
    box = figure.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert abs(line_of(page, "upscale") - 80) < 1
    page.keyboard.press("ArrowLeft")
    assert abs(line_of(page, "upscale") - 79) < 1
    session = page.context.new_cdp_session(page)
    for kind, share in (("touchStart", 0.5), ("touchMove", 0.3), ("touchEnd", None)):
        points = [] if share is None else [{"x": box["x"] + box["width"] * share, "y": box["y"] + box["height"] / 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert abs(line_of(page, "upscale") - 30) < 1
    page.get_by_role("button", name="Compare").click()
    assert page.locator("#upscale_gallery .before").count() == 0


def test_a_drawing_upscaler_brings_its_prompt_and_several_pictures_are_a_job_each(
    page: Any, server: Server, tmp_path: Path
) -> None:
    opened(page, server, "upscale")
    assert page.locator("#upscale_prompt").count() == 0
    page.locator("#upscale_upscaler input").click()
    page.get_by_role("option", name=re.compile("sd-x4-a")).click()
    page.locator("#upscale_prompt textarea").wait_for()
    page.locator("#upscale_upscaler input").fill("Nearest")
    page.keyboard.press("Tab")
    page.locator("#upscale_prompt").wait_for(state="detached")
    for name in ("b.png", "a.png"):
        photo(32, 24 if name == "a.png" else 40).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    page.locator("#upscale_folder button").first.click()
    page.locator("#upscale_folder [data-part=folder-file]").set_input_files(tmp_path)
    page.locator("#upscale_folder", has_text="2 pictures: Generate makes a job of each.").wait_for()
    page.locator("#upscale_generate").click()
    drawn = made(page, "upscale", "Postprocess upscaler: Nearest")
    page.locator("#queue_button").click()
    page.locator("#queue_list .finished", has_text="Upscale").nth(1).wait_for()
    assert drawn.size in ((64, 48), (64, 80))


def test_a_picture_goes_to_every_tab_with_its_settings_and_hires_draws_it_larger(page: Any, server: Server) -> None:
    page.locator("#txt2img_width input").fill("72")
    page.locator("#txt2img_seed :is(textarea, input)").fill(str(2**63 - 9))
    generate(page, "txt2img", "a sent sphere", 3)
    for tab, label in (("img2img", "img2img"), ("inpaint", "Inpaint"), ("depth", "Depth"), ("upscale", "Upscale")):
        page.locator("#tab_txt2img-button").click()
        page.locator("#txt2img_infotext").get_by_role("button", name=label, exact=True).click()
        page.locator(f"#{tab}_generate").wait_for()
        page.wait_for_function(f"LW.painter.state('{tab}').hasImage")
        if tab != "upscale":
            is_shown(page, f"{tab}_prompt", "a sent sphere")
            is_shown(page, f"{tab}_seed", str(2**63 - 9))
            is_shown(page, f"{tab}_width", "72")
            assert page.locator(f"#{tab}_steps input[type=number]").input_value() == "3"
    page.locator("#upscale_size", has_text="144 × 256").wait_for()  # by the factor, not its own size again
    page.locator("#tab_txt2img-button").click()
    page.locator("#txt2img_infotext").get_by_role("button", name="Hires").click()
    drawn = made(page, "txt2img", "Hires upscale: 2")
    assert drawn.size == (144, 256) or drawn.size[0] == 144
    sent = last_request(server)
    assert sent["seed"] == str(2**63 - 9) and sent["hires_scale"] == 2


def test_a_picture_dropped_on_a_prompt_offers_its_settings_and_nothing_changes_before_they_are_taken(
    page: Any, server: Server
) -> None:
    page.locator("#txt2img_seed :is(textarea, input)").fill("77")
    generate(page, "txt2img", "a dropped cube", 3)
    script = """async ([to, kind]) => {
      const src = document.querySelector('#txt2img_gallery .picture img').src, data = new DataTransfer();
      const blob = kind === 'file' ? await (await fetch(src)).blob() : new Blob(['nothing']);
      data.items.add(new File([blob], 'made.png', { type: 'image/png' }));
      document.querySelector(to).dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    page.locator("#txt2img_prompt textarea").fill("something else")
    number(page, "txt2img_steps", 9)
    page.evaluate(script, ["#txt2img_prompt textarea", "file"])
    offer = page.locator("#txt2img_offer .offer")
    offer.filter(has_text="a dropped cube").wait_for()
    is_shown(page, "txt2img_prompt", "something else")
    offer.get_by_role("button", name="Only the prompt").click()
    is_shown(page, "txt2img_prompt", "a dropped cube")
    assert page.locator("#txt2img_steps input[type=number]").input_value() == "9"
    page.evaluate(script, ["#txt2img_neg_prompt textarea", "file"])
    offer.get_by_role("button", name="Take all").click()
    page.wait_for_function("document.querySelector('#txt2img_steps input[type=number]').value === '3'")
    is_shown(page, "txt2img_seed", "77")
    offer.wait_for(state="hidden")
    text = "pasted words\nNegative prompt: blur\nSteps: 5, Sampler: Euler, CFG scale: 2, Seed: 5, Size: 64x64"
    paste = """text => { const data = new DataTransfer(); data.setData('text/plain', text);
      document.querySelector('#txt2img_prompt textarea').dispatchEvent(
        new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })); }"""
    page.evaluate(paste, text)
    offer.filter(has_text="pasted words").get_by_role("button", name="Take all").click()
    is_shown(page, "txt2img_neg_prompt", "blur")
    is_shown(page, "txt2img_sampler", "Euler")


@pytest.mark.parametrize("tab", ["img2img", "inpaint", "depth", "upscale"])
def test_no_width_makes_a_tab_scroll_sideways_or_hides_generate(page: Any, server: Server, tab: str) -> None:
    opened(page, server, tab, photo())
    for width in (390, 820, 1440, 2560):
        page.set_viewport_size({"width": width, "height": 844})
        page.locator(f"#{tab}_generate").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator(f"#{tab}_generate").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 844
