"""The page in a real browser: controls follow the checkpoint, pictures are handed in, a tab says what it needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.ui.conftest import Server, started, visiting

pytestmark = pytest.mark.browser
SECONDS_TO_DRAW = 240


@pytest.fixture(scope="module")
def server(reference_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a tiny checkpoint of each kind that these tests choose."""
    folder = tmp_path_factory.mktemp("kinds")
    for case in (
        "ldm-class-a",
        "sd1-inpaint-a",
        "autoencoder-kl-f8-a",
        "sdxl-base-refiner-a",
        "ldm-layout-a",
        "ldm-text-a",
        "unclip-h-a",
    ):
        (folder / case).symlink_to(reference_checkpoints / case)
    with started(tmp_path_factory.mktemp("data"), "--ckpt-dir", str(folder)) as opened:
        yield opened


@pytest.fixture
def page(server: Server, browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of a newcomer; a test names by its parameter the path whose refusal it is about."""
    with visiting(server, browser, getattr(request, "param", "")) as opened:
        yield opened


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    image = Image.new("RGB", (96, 64), "red")
    image.paste("blue", (0, 0, 48, 64))
    image.save(path)
    return path


def pick(page: Any, words: str) -> None:
    """Choose a checkpoint in the menu."""
    page.locator("#checkpoint input").click()
    page.locator("#checkpoint input").fill(words)
    page.get_by_role("option", name=words).first.click()


def choose(page: Any, words: str, family: str) -> None:
    """Choose a checkpoint, and wait until all controls have followed: the badge is there before the last of them."""
    page.wait_for_function("() => !LW.isFollowing()")
    pick(page, words)
    page.locator("#family", has_text=family).wait_for()
    page.wait_for_function("() => !LW.isFollowing()")


def box(page: Any, name: str, tab: str = "txt2img") -> Any:
    return page.locator(f"#{tab}_{name} textarea, #{tab}_{name} input").first


def hand_in(page: Any, tab: str, name: str, path: Path) -> str:
    page.locator(f"[data-picture={tab}_{name}] input").set_input_files(path)
    page.locator(f"[data-picture={tab}_{name}] img").wait_for()
    return str(box(page, name, tab).input_value())


def draw(page: Any, steps: int, size: int = 0) -> None:
    page.locator("#txt2img_steps input[type=number]").fill(str(steps))
    for side in ("width", "height") if size else ():
        box(page, side).fill(str(size))
    page.locator("#txt2img_generate").click()


def drawn(page: Any, words: Any) -> None:
    """Waits for a picture whose infotext has these words; a checkpoint is loaded and measured before its first one."""
    page.locator("#txt2img_infotext", has_text=words).wait_for(timeout=SECONDS_TO_DRAW * 1000)


def test_controls_are_those_of_the_checkpoint_and_their_values_survive_a_switch_and_a_reload(page: Any, picture: Path) -> None:
    page.locator("#txt2img_prompt textarea").fill("a cat")
    assert not page.locator("#txt2img_class").is_visible()
    choose(page, "ldm-class-a", "LDM class")
    page.locator("#txt2img_class input").click()
    assert page.locator("#txt2img_prompt").is_hidden()
    page.locator("#txt2img_class input").fill("goldf")
    page.get_by_role("option", name="goldfish").click()
    choose(page, "unclip-h-a", "unCLIP H")
    page.get_by_text("varies a picture, and needs one.").wait_for()
    page.get_by_role("button", name="Open img2img").click()
    name = hand_in(page, "img2img", "second_image", picture)
    assert len(name) == 64
    assert page.locator("#img2img_strength").is_hidden()  # it varies, it does not repaint
    choose(page, "ldm-class-a", "LDM class")
    assert page.locator("[data-picture=img2img_second_image]").is_hidden()
    page.locator("#tab_txt2img-button").click()
    page.reload()
    page.locator("#family", has_text="LDM class").wait_for()
    page.wait_for_function("document.querySelector('#txt2img_class input').value === 'goldfish'")
    choose(page, "unclip-h-a", "unCLIP H")
    page.get_by_role("button", name="Open img2img").click()
    page.locator("[data-picture=img2img_second_image] img").wait_for()
    assert box(page, "second_image", "img2img").input_value() == name
    page.get_by_role("button", name="Take away: Second image").click()
    page.wait_for_function("document.querySelector('[data-picture=img2img_second_image] img').hidden")
    assert box(page, "second_image", "img2img").input_value() == ""


def test_a_class_is_drawn_and_a_name_that_is_none_is_answered_with_the_nearest(page: Any) -> None:
    choose(page, "ldm-class-a", "LDM class")
    page.locator("#txt2img_class input").fill("goldfsh")
    page.keyboard.press("Tab")
    draw(page, 1, 64)
    page.locator("#txt2img_message", has_text="Did you mean 'goldfish' (1)?").wait_for()
    assert page.locator("#txt2img_class .options").is_hidden()  # Gradio leaves its list open where nothing in it fits
    page.locator("#txt2img_class input").fill("tench")
    page.keyboard.press("Tab")
    draw(page, 1, 64)
    drawn(page, re.compile("Class: (0|tench),"))


def test_a_job_that_fails_before_generate_is_answered_still_says_why(page: Any) -> None:
    """The events and the answer come on two ways, and either may be the first."""
    page.evaluate("() => { window.answered = LW.stage.answered; LW.stage.answered = (...came) => { window.held = came; }; }")
    choose(page, "ldm-class-a", "LDM class")
    page.locator("#txt2img_class input").fill("goldfsh")
    page.keyboard.press("Tab")
    draw(page, 1, 64)
    message = page.locator("#txt2img_message", has_text="Did you mean 'goldfish' (1)?")
    message.wait_for()
    page.wait_for_function("() => window.held")
    page.evaluate("() => window.answered(...window.held)")
    assert message.is_visible()


@pytest.mark.parametrize("page", ["/api/v1/inputs"], indirect=True)
def test_what_is_no_picture_is_said_on_the_stage(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    choose(page, "unclip-h-a", "unCLIP H")
    page.locator("#tab_img2img-button").click()
    trouble = page.locator("#img2img_message", has_text="Second image is not a picture that can be read here")
    with page.expect_response("**/api/v1/inputs") as answer:
        page.locator("[data-picture=img2img_second_image] input").set_input_files(tmp_path / "notes.png")
    assert answer.value.status == 422
    trouble.wait_for()


def test_a_layout_is_written_in_lines(page: Any) -> None:
    choose(page, "ldm-layout-a", "LDM layout")
    page.locator("#txt2img_boxes textarea").fill("17 0.1 0.2 0.3 0.4\n5 0 0 wide 1")
    draw(page, 1, 64)
    page.locator("#txt2img_message", has_text="Box 2: width 'wide' is not right. It must be a number above 0.").wait_for()
    page.locator("#txt2img_boxes textarea").fill("17 0.1 0.2 0.3 0.4")
    draw(page, 1, 64)
    drawn(page, "Boxes: ")


def test_sdxl_has_its_sizes_and_its_refiner(page: Any) -> None:
    choose(page, "sdxl-base-refiner-a/base", "SDXL")
    page.locator("#txt2img_preset input").click()
    page.get_by_role("option", name="1152 × 896", exact=True).click()
    page.wait_for_function("document.querySelector('#txt2img_width input').value === '1152'")
    box(page, "width").fill("128")
    box(page, "height").fill("64")
    page.wait_for_function("document.querySelector('#txt2img_preset input').value === '128 × 64'")
    page.locator("#txt2img_refiner input").click()
    page.get_by_role("option", name="refiner.safetensors").click()
    page.locator("#txt2img_told button").first.click()
    box(page, "original_width").fill("512")
    draw(page, 2)
    drawn(page, re.compile("Refiner: .*refiner.safetensors, .*Original size: 512x0|Original size: 512x0.*Refiner: "))


class Held:
    """The page's questions of the program that have some words in them, held back until they are let go. The first `free` of
    them are not."""

    def __init__(self, page: Any, words: str, free: int = 0) -> None:
        self.page, self.words, self.free = page, words, free
        self.routes: list[Any] = []
        self.count = 0
        page.route("**/gradio_api/run/predict", self._came)

    def _came(self, route: Any) -> None:
        if self.words not in (route.request.post_data or ""):
            return route.fallback()
        self.count += 1
        return route.continue_() if self.count <= self.free else self.routes.append(route)

    def until(self, count: int) -> None:
        while len(self.routes) < count:
            self.page.wait_for_timeout(20)

    def let_go(self, index: int = 0) -> None:
        route = self.routes[index]
        with self.page.expect_response(lambda answer: answer.request == route.request):
            route.continue_()


def test_what_is_set_while_a_checkpoint_is_asked_for_stays(page: Any) -> None:
    choose(page, "pocket", "Pocket")
    held = Held(page, "sdxl-base-refiner-a/base")
    pick(page, "sdxl-base-refiner-a/base")
    held.until(1)
    box(page, "width").fill("72")
    page.locator("#txt2img_steps input[type=number]").fill("3")
    before = box(page, "height").input_value()
    held.let_go()
    page.locator("#family", has_text="SDXL").wait_for()
    page.wait_for_function(f"document.querySelector('#txt2img_height input').value !== '{before}'")
    assert box(page, "width").input_value() == "72"
    assert page.locator("#txt2img_steps input[type=number]").input_value() == "3"


def test_a_choice_is_asked_for_once_and_leaving_the_menu_asks_nothing(page: Any) -> None:
    choose(page, "pocket", "Pocket")
    held = Held(page, "ldm-class-a", free=100)
    choose(page, "ldm-class-a", "LDM class")
    page.locator("#checkpoint input").click()
    page.keyboard.press("Tab")
    choose(page, "pocket", "Pocket")
    assert held.count == 1


def test_of_two_choices_the_newer_counts_whichever_is_answered_first(page: Any, server: Server) -> None:
    choose(page, "pocket", "Pocket")
    held = Held(page, "ldm-")
    pick(page, "ldm-class-a")
    held.until(1)
    pick(page, "ldm-layout-a")
    held.let_go()
    held.until(2)
    assert page.locator("#checkpoint input").input_value().startswith("ldm-layout-a")
    held.let_go(1)
    page.locator("#family", has_text="LDM layout").wait_for()
    assert page.locator("#checkpoint input").input_value().startswith("ldm-layout-a")
    chosen = json.loads((server.data / "settings.json").read_text())["checkpoint"]
    assert chosen.startswith("ldm-layout-a")


@pytest.mark.parametrize("page", ["/gradio_api/run/predict"], indirect=True)
def test_a_choice_that_the_program_does_not_answer_is_told_and_taken_back(page: Any) -> None:
    choose(page, "pocket", "Pocket")
    page.route("**/gradio_api/run/predict", lambda route: route.fulfill(status=502, body="{}"))
    pick(page, "ldm-class-a")
    page.locator("#lw-note", has_text="The checkpoint was not changed").wait_for()
    page.wait_for_function("document.querySelector('#checkpoint input').value === 'pocket'")
    page.unroute_all()
    choose(page, "ldm-class-a", "LDM class")


def test_a_tab_says_what_kind_of_checkpoint_it_needs_and_switches_to_one(page: Any) -> None:
    choose(page, "autoencoder-kl-f8-a", "Autoencoder")
    page.get_by_text("This tab needs a checkpoint that draws.").wait_for()
    assert page.locator("#txt2img_generate").is_hidden()
    page.get_by_role("button", name="Use pocket").click()
    page.locator("#family", has_text="Pocket").wait_for()
    page.locator("#txt2img_generate").wait_for()
    assert page.locator("#checkpoint input").input_value() == "pocket"


@pytest.mark.parametrize("page", ["/api/v1/fetch"], indirect=True)
def test_a_missing_file_is_offered_to_be_fetched_and_without_a_network_that_is_said(page: Any) -> None:
    choose(page, "ldm-text-a", "LDM text")
    page.locator("#txt2img_prompt textarea").fill("a cat")
    draw(page, 1, 64)
    page.locator("#txt2img_message", has_text="`webui fetch bert-vocabulary`").wait_for()
    with page.expect_response("**/api/v1/fetch") as answer:
        page.get_by_role("button", name="Fetch it").click()
    assert answer.value.status == 502
    page.locator("#txt2img_message", has_text="bert-vocabulary was not fetched").wait_for()
