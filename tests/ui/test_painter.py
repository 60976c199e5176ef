"""The painter in a real browser: a mouse, keys and fingers paint, and what is sent is what was painted."""

from __future__ import annotations

import base64
import io
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.shared import ROOT
from tests.ui.conftest import Trouble, wait_for

pytestmark = pytest.mark.browser
WIDTH, HEIGHT = 640, 480


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose page has nothing but painters."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("painter") / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.ui.painter_page", str(port)], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@dataclass
class Painter:
    """One painter on a page, as a person sees it."""

    page: Any
    address: str
    tab: str

    def part(self, name: str) -> Any:
        return self.page.locator(f"#{self.tab}_image [data-part={name}]")

    def press(self, act: str) -> None:
        self.page.locator(f"#{self.tab}_image [data-act={act}]:visible").first.click()

    def menu(self, label: str, act: str) -> None:
        self.page.locator(f"#{self.tab}_image [data-menu]", has_text=label).click()
        self.press(act)

    def open(self, file: bytes, name: str = "photo.png") -> None:
        self.part("file").set_input_files({"name": name, "mimeType": "image/png", "buffer": file})

    def opened(self, file: bytes, name: str = "photo.png") -> Painter:
        self.open(file, name)
        self.part("facts").filter(has_text=name).wait_for()
        return self

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the picture lies in the window."""
        box = self.part("area").bounding_box()
        root = self.page.locator(f"#{self.tab}_image .painter")
        left, top, scale = root.evaluate("root => { const v = root.painterView; return [v.x, v.y, v.scale] }")
        return box["x"] + left + (x + 0.5) * scale, box["y"] + top + (y + 0.5) * scale

    def stroke(self, *points: tuple[float, float], button: str = "left") -> None:
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down(button=button)
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=4)
        mouse.up(button=button)

    def size(self, pixels: int) -> None:
        field = self.page.locator(f"#{self.tab}_image [data-set=pixels]")
        field.fill(str(pixels))
        field.press("Tab")

    def keys(self, *keys: str) -> None:
        self.part("area").focus()
        for key in keys:
            self.page.keyboard.press(key)

    def state(self) -> dict[str, Any]:
        return self.page.evaluate(f"LW.painter.state('{self.tab}')")

    def collect(self) -> dict[str, Any]:
        return self.page.evaluate(f"LW.painter.collect('{self.tab}')")

    def sent(self, name: str) -> bytes:
        with urllib.request.urlopen(f"{self.address}/api/v1/inputs/{name}", timeout=20) as answer:
            return answer.read()

    def paint(self) -> np.ndarray:
        """(H, W) or (H, W, 4): what was painted, as the server has it."""
        collected = self.collect()
        if not collected["mask"]:
            return np.zeros((collected["height"], collected["width"]), np.uint8)
        with Image.open(io.BytesIO(self.sent(collected["mask"]))) as image:
            assert image.mode in ("L", "RGBA")
            return np.asarray(image)

    def said(self, words: str) -> None:
        self.part("said").filter(has_text=words).wait_for(state="attached")


@pytest.fixture
def page(address: str, browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 860}, has_touch=True, locale="en-GB")
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    context.set_default_timeout(30_000)
    opened = context.new_page()
    trouble = Trouble(address)
    trouble.watch(opened)
    opened.goto(address)
    yield opened
    context.close()
    assert not trouble.found


@pytest.fixture
def inpaint(page: Any, address: str) -> Painter:
    return ready(page, address, "inpaint")


def ready(page: Any, address: str, tab: str) -> Painter:
    page.locator(f"#tab_{tab}-button").click()
    page.wait_for_function(f"document.querySelector('#{tab}_image .painter')?.painterView")
    return Painter(page, address, tab)


def picture(width: int = WIDTH, height: int = HEIGHT, kind: str = "PNG", mode: str = "RGB", **more: Any) -> bytes:
    """A picture with some structure, different in each pixel's neighbourhood."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **more)
    return file.getvalue()


def test_a_mouse_paints_where_it_is_and_the_pictures_own_bytes_are_sent(inpaint: Painter) -> None:
    file = picture(kind="JPEG", quality=71)
    inpaint.opened(file, "photo.jpg")
    assert inpaint.collect()["mask"] == "", "nothing is painted yet"
    inpaint.size(40)
    inpaint.stroke((100, 100), (300, 100))
    mask = inpaint.paint()
    assert inpaint.sent(inpaint.state()["image"]) == file
    assert mask.shape == (HEIGHT, WIDTH)
    assert (mask[100, 100:300] == 255).all() and mask[100, 335] == 0 and mask[140, 200] == 0
    assert 38 <= (mask[:, 200] > 127).sum() <= 42
    inpaint.stroke((200, 60), (200, 140), button="right")
    assert inpaint.paint()[100, 200] == 0, "the other button erases"
    assert inpaint.paint()[100, 120] == 255


def test_every_tool_has_a_key_and_paints_what_it_says(inpaint: Painter) -> None:
    inpaint.opened(picture())
    inpaint.keys("r")
    inpaint.stroke((50, 60), (249, 159))
    mask = inpaint.paint()
    assert set(np.unique(mask)) == {0, 255}
    assert abs(int((mask > 0).sum()) - 199 * 99) < 600
    inpaint.keys("e")
    inpaint.stroke((100, 80), (150, 130))
    assert inpaint.paint()[100, 125] == 0
    inpaint.keys("e", "l")
    inpaint.stroke((400, 100), (500, 100), (500, 200), (400, 200))
    assert inpaint.paint()[150, 450] == 255
    before = inpaint.paint()
    inpaint.keys("i")
    assert (inpaint.paint() == 255 - before).all()
    inpaint.keys("f")
    assert (inpaint.paint() == 255).all()
    inpaint.keys("Delete")
    assert inpaint.state()["hasMask"] is False
    for _ in range(2):
        inpaint.keys("Control+z")
    assert (inpaint.paint() == 255 - before).all()
    inpaint.keys("b", "s", "]")
    assert inpaint.page.locator("#inpaint_image [data-act=soft]").get_attribute("aria-pressed") == "true"
    assert inpaint.state()["width"] == WIDTH


def test_sixty_strokes_can_be_taken_back_and_done_again(inpaint: Painter) -> None:
    inpaint.opened(picture())
    inpaint.size(7)
    for i in range(60):
        inpaint.stroke((10 + 10 * i, 30), (10 + 10 * i, 50))
    whole = inpaint.paint()
    for _ in range(60):
        inpaint.keys("Control+z")
    assert inpaint.state()["hasMask"] is False
    inpaint.keys("Control+z")
    inpaint.said("Nothing to undo")
    for _ in range(60):
        inpaint.keys("Control+Shift+Z")
    assert (inpaint.paint() == whole).all()


def test_a_soft_stroke_over_itself_gets_no_harder(inpaint: Painter) -> None:
    inpaint.opened(picture())
    inpaint.size(100)
    inpaint.keys("s")
    inpaint.stroke((200, 200), (400, 200))
    once = inpaint.paint()
    inpaint.stroke((200, 200), (400, 200), (200, 200))
    assert (inpaint.paint() == once).all()
    column = once[150:201, 300].astype(int)
    assert (np.diff(column) >= 0).all() and len(set(column)) > 30, "from 0 to 255 without a step"


def test_without_a_mouse_arrows_aim_and_space_and_enter_paint(inpaint: Painter) -> None:
    inpaint.opened(picture())
    inpaint.size(9)
    inpaint.keys("Home")
    assert inpaint.part("cross").get_attribute("hidden") is None
    inpaint.keys("Space")
    assert inpaint.paint()[HEIGHT // 2, WIDTH // 2] == 255
    inpaint.keys("Enter", *["Shift+ArrowRight"] * 5, *["ArrowDown"] * 3, "Enter")
    mask = inpaint.paint()
    assert (mask[HEIGHT // 2, WIDTH // 2 : WIDTH // 2 + 50] == 255).all() and mask[HEIGHT // 2, WIDTH // 2 + 60] == 0
    inpaint.keys("Control+z", "Control+z", "r", "Enter", *["Shift+ArrowRight"] * 2, *["Shift+ArrowDown"] * 2, "Enter")
    ys, xs = np.nonzero(inpaint.paint())
    assert (np.ptp(xs), np.ptp(ys)) == (19, 19)
    inpaint.keys("Enter", "Shift+ArrowLeft", "Escape")
    inpaint.said("Taken back")
    assert len(np.nonzero(inpaint.paint())[0]) == 400


def test_one_finger_paints_and_two_zoom_without_a_trace(inpaint: Painter) -> None:
    inpaint.opened(picture())
    inpaint.size(30)
    session = inpaint.page.context.new_cdp_session(inpaint.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    a, b = inpaint.at(200, 200), inpaint.at(300, 200)
    touch("touchStart", a)
    touch("touchMove", b)
    touch("touchEnd")
    mask = inpaint.paint()
    assert (mask[200, 200:300] == 255).all()
    zoom = inpaint.part("zoom").inner_text()
    touch("touchStart", a)
    touch("touchStart", a, b)
    touch("touchMove", (a[0] - 60, a[1]), (b[0] + 60, b[1]))
    touch("touchEnd", (b[0] + 60, b[1]))
    touch("touchEnd")
    inpaint.page.wait_for_function(
        "zoom => document.querySelector('#inpaint_image [data-part=zoom]').textContent !== zoom", arg=zoom
    )
    assert (inpaint.paint() == mask).all()
    assert inpaint.part("area").evaluate("area => getComputedStyle(area).touchAction") == "none"
    assert inpaint.page.locator(".pt-bar").first.evaluate("bar => getComputedStyle(bar).touchAction") == "auto"


def test_zoomed_panned_and_resized_it_still_paints_the_pixel_under_the_mouse(inpaint: Painter) -> None:
    inpaint.opened(picture())
    inpaint.size(3)
    inpaint.page.mouse.move(*inpaint.at(500, 100))
    for _ in range(6):
        inpaint.page.mouse.wheel(0, -240)
    inpaint.stroke((500, 100), (501, 100))
    inpaint.page.keyboard.down("Space")
    inpaint.stroke((500, 100), (510, 110))
    inpaint.page.keyboard.up("Space")
    inpaint.stroke((490, 95), (490, 96))
    inpaint.page.set_viewport_size({"width": 900, "height": 700})
    inpaint.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    inpaint.keys("0")
    inpaint.stroke((50, 400), (50, 401))
    ys, xs = np.nonzero(inpaint.paint())
    assert {(490, 95), (500, 100), (50, 400)} <= set(zip(xs.tolist(), ys.tolist(), strict=True))
    assert len(xs) < 60


def test_feather_is_seen_before_it_is_done_and_can_be_undone(inpaint: Painter) -> None:
    inpaint.opened(picture())
    inpaint.keys("r")
    inpaint.stroke((200, 200), (400, 300))
    hard = inpaint.paint()
    inpaint.page.locator("#inpaint_image [data-menu]", has_text="Mask").click()
    slider = inpaint.page.locator("#inpaint_image [data-set=feather]")
    slider.fill("20")
    inpaint.page.keyboard.press("Escape")
    assert (inpaint.paint() == hard).all(), "only looked at"
    inpaint.page.locator("#inpaint_image [data-menu]", has_text="Mask").click()
    slider.fill("20")
    inpaint.press("applyFeather")
    soft = inpaint.paint()
    left = int(np.nonzero(hard[250])[0][0])
    assert soft[250, left - 21] == 0 and soft[250, left + 21] == 255 and abs(int(soft[250, left]) - 128) < 12
    inpaint.keys("Control+z")
    assert (inpaint.paint() == hard).all()


def test_a_reload_in_mid_work_loses_nothing_and_nothing_is_sent_twice(inpaint: Painter) -> None:
    file = picture(kind="WEBP", quality=80)
    inpaint.opened(file, "photo.webp")
    inpaint.stroke((100, 100), (200, 200))
    first = inpaint.collect()
    mask = inpaint.paint()
    uploads: list[str] = []
    inpaint.page.on("request", lambda request: uploads.append(request.url) if request.method == "POST" else None)
    assert inpaint.collect() == first and not [url for url in uploads if "inputs" in url]
    inpaint.page.wait_for_timeout(600)
    inpaint.stroke((300, 100), (300, 110))  # right before the reload
    inpaint.page.reload()
    again = ready(inpaint.page, inpaint.address, "inpaint")
    again.part("facts").filter(has_text="photo.webp").wait_for()
    kept = again.paint()
    assert again.state()["image"] == first["image"]
    assert kept[105, 300] == 255 and (kept[mask > 0] == mask[mask > 0]).all()


def test_a_phone_photo_is_upright_and_so_is_its_mask(inpaint: Painter) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = picture(kind="JPEG", exif=exif)
    inpaint.opened(file, "phone.jpg")
    assert (inpaint.state()["width"], inpaint.state()["height"]) == (HEIGHT, WIDTH)
    inpaint.size(20)
    inpaint.stroke((100, 600), (110, 600))
    mask = inpaint.paint()
    assert mask.shape == (WIDTH, HEIGHT) and mask[600, 105] == 255
    assert inpaint.sent(inpaint.state()["image"]) == file


def giant() -> bytes:
    """A PNG whose header promises 200 megapixels."""
    small = bytearray(picture(8, 8))
    small[16:24] = (20_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big")
    return bytes(small)


REFUSED = {
    "notes.png": (b"this is no picture at all, but a text of some length", "not a picture"),
    "giant.png": (giant(), "has 20,000 x 10,000 pixels"),
    "cut.jpg": (picture(kind="JPEG")[:200], "not a picture"),
    "page.svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>', "not a picture"),
    "empty.png": (b"", "not a picture"),
}


def test_what_is_no_picture_is_said_in_one_sentence_and_the_old_one_stays(inpaint: Painter) -> None:
    inpaint.opened(picture(), "good.png")
    inpaint.stroke((100, 100), (200, 200))
    before = inpaint.paint()
    for name, (file, words) in REFUSED.items():
        inpaint.open(file, name)
        inpaint.part("message").filter(has_text=f"{name} ").filter(has_text=words).wait_for()
        assert "good.png" in inpaint.part("facts").inner_text()
    assert (inpaint.paint() == before).all()
    inpaint.opened(picture(100, 50), "next.png")
    assert inpaint.part("message").is_hidden() and inpaint.state()["hasMask"] is False


def moving() -> bytes:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=80)
    return file.getvalue()


def test_pictures_of_odd_kinds_are_shown_and_sent(inpaint: Painter) -> None:
    deep = Image.fromarray((np.arange(64 * 48, dtype=np.uint16) * 20).reshape(48, 64))
    file = io.BytesIO()
    deep.save(file, "PNG")
    for name, data in {
        "cmyk.jpg": picture(64, 48, "JPEG", "CMYK"),
        "deep.png": file.getvalue(),
        "one.png": picture(64, 48, mode="1"),
    }.items():
        inpaint.opened(data, name)
        assert inpaint.sent(inpaint.collect()["image"]) == data
        assert inpaint.part("message").is_hidden()
    inpaint.opened(moving(), "moving.gif")
    inpaint.part("note").filter(has_text="Only its first frame is used").wait_for()
    with Image.open(io.BytesIO(inpaint.sent(inpaint.collect()["image"]))) as first:
        assert (first.format, first.size) == ("PNG", (64, 48))
        assert first.convert("RGB").getpixel((5, 5)) == (255, 0, 0)
    inpaint.opened(picture(64, 48, "BMP"), "old.bmp")
    assert inpaint.collect()["image"]


def test_transparency_is_offered_as_the_mask(inpaint: Painter) -> None:
    pixels = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    pixels[100:200, 300:400, 3] = 0
    pixels[300:310, :, 3] = 100
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    inpaint.opened(file.getvalue(), "cut-out.png")
    inpaint.part("offer").get_by_role("button", name="Use them as the mask").click()
    assert (inpaint.paint() == 255 - pixels[..., 3]).all()
    assert inpaint.sent(inpaint.state()["image"]) == file.getvalue()
    inpaint.part("offer").wait_for(state="hidden")


def test_a_mask_is_saved_and_opened_again_also_in_another_size(inpaint: Painter) -> None:
    inpaint.opened(picture())
    inpaint.keys("s")
    inpaint.stroke((100, 100), (300, 200))
    mask = inpaint.paint()
    with inpaint.page.expect_download() as download:
        inpaint.menu("Mask", "saveMask")
    assert download.value.suggested_filename == "photo-mask.png"
    saved = Path(download.value.path()).read_bytes()
    with Image.open(io.BytesIO(saved)) as image:
        assert image.mode == "L" and (np.asarray(image) == mask).all()
    inpaint.keys("Delete")
    inpaint.part("mask-file").set_input_files({"name": "mask.png", "mimeType": "image/png", "buffer": saved})
    inpaint.page.wait_for_function("LW.painter.state('inpaint').hasMask")
    assert (inpaint.paint() == mask).all()
    clear = Image.new("RGBA", (WIDTH // 2, HEIGHT // 2), (255, 255, 255, 0))
    clear.paste((255, 255, 255, 128), (0, 0, 160, 240))
    file = io.BytesIO()
    clear.save(file, "PNG")
    inpaint.part("mask-file").set_input_files({"name": "soft.png", "mimeType": "image/png", "buffer": file.getvalue()})
    inpaint.part("note").filter(has_text="stretched to the picture's 640 x 480").wait_for()
    opened = inpaint.paint()
    assert abs(int(opened[240, 100]) - 128) <= 1 and opened[240, 500] == 0, "clear is not painted, soft stays soft"


def test_pictures_are_dropped_pasted_replaced_and_removed(inpaint: Painter) -> None:
    page, data = inpaint.page, base64.b64encode(picture(80, 60)).decode()
    give = """([kind, data, name]) => {
      const file = new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name, { type: 'image/png' });
      const transfer = new DataTransfer();
      transfer.items.add(file);
      const area = document.querySelector('#inpaint_image [data-part=area]');
      for (const name of kind === 'drop' ? ['dragenter', 'dragover', 'drop'] : ['paste'])
        area.dispatchEvent(kind === 'drop' ? new DragEvent(name, { dataTransfer: transfer, bubbles: true, cancelable: true })
          : new ClipboardEvent(name, { clipboardData: transfer, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(give, ["drop", data, "dropped.png"])
    inpaint.part("facts").filter(has_text="dropped.png · 80 x 60").wait_for()
    page.evaluate(give, ["paste", data, "pasted.png"])
    inpaint.part("facts").filter(has_text="pasted.png").wait_for()
    inpaint.menu("Picture", "remove")
    inpaint.part("empty").wait_for()
    assert inpaint.state() == {"image": "", "mask": "", "width": 0, "height": 0, "hasImage": False, "hasMask": False}
    page.wait_for_timeout(500)
    page.reload()
    assert ready(page, inpaint.address, "inpaint").part("empty").is_visible()


def test_a_sketch_is_a_layer_of_its_own_in_the_chosen_colours(page: Any, address: str) -> None:
    sketch = ready(page, address, "img2img")
    sketch.opened(picture())
    page.locator("#img2img_image [data-act=colour][data-value='#2f9e57']").click()
    sketch.size(40)
    sketch.stroke((100, 100), (200, 100))
    layer = sketch.paint()
    assert layer.shape == (HEIGHT, WIDTH, 4)
    assert tuple(layer[100, 150]) == (0x2F, 0x9E, 0x57, 255) and tuple(layer[300, 300]) == (0, 0, 0, 0)
    sketch.press("picking")
    sketch.stroke((320, 240))
    own = page.locator("#img2img_image [data-set=colour]").input_value()
    assert own == f"#{320 * 255 // WIDTH:02x}{240 * 255 // HEIGHT:02x}{(320 + 240) % 256:02x}"
    sketch.keys("e")
    sketch.stroke((150, 80), (150, 120))
    assert sketch.paint()[100, 150, 3] == 0
    sketch.menu("Picture", "remove")
    sketch.press("blank")
    sketch.part("facts").filter(has_text="512 x 512").wait_for()


def test_a_depth_map_is_brought_nearer_and_moved_away(page: Any, address: str) -> None:
    depth = ready(page, address, "depth")
    ramp = np.tile(np.linspace(40, 200, WIDTH).astype(np.uint8), (HEIGHT, 1))
    names = []
    for data in (picture(), _png(ramp)):
        post = urllib.request.Request(f"{address}/api/v1/inputs", data)
        with urllib.request.urlopen(post, timeout=20) as answer:
            names.append(answer.read().decode().split('"')[3])
    given = {"imageUrl": f"{address}/api/v1/inputs/{names[0]}", "maskUrl": f"{address}/api/v1/inputs/{names[1]}"}
    page.evaluate("given => LW.painter.set('depth', given)", given)
    assert depth.state()["image"] == names[0], "its name is known: it isn't sent again"
    assert (depth.paint() == ramp).all()
    depth.size(60)
    depth.stroke((100, 200), (500, 200))
    nearer = depth.paint().astype(int)
    assert (nearer[200, 120:480] - ramp[200, 120:480] == 64).all()  # a quarter of 255
    page.locator("#depth_image [data-act=ink][data-value=far]").click()
    depth.stroke((100, 400), (500, 400))
    assert (ramp[400, 320] - depth.paint().astype(int)[400, 320]) == 64
    depth.keys("Delete")
    assert (depth.paint() == ramp).all(), "starts again from the map that was given"


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_buttons_have_names_and_say_what_is_chosen(inpaint: Painter) -> None:
    inpaint.opened(picture())
    page = inpaint.page
    bar = page.locator("#inpaint_image").get_by_role("toolbar", name="Painting tools")
    bar.get_by_role("button", name="Lasso").click()
    assert bar.get_by_role("button", name="Lasso").get_attribute("aria-pressed") == "true"
    assert bar.get_by_role("button", name="Brush").get_attribute("aria-pressed") == "false"
    inpaint.said("Lasso")
    nameless = page.evaluate(
        "[...document.querySelectorAll('#inpaint_image :is(button, input:not([hidden]))')].filter(b => "
        "!(b.textContent.trim() || b.getAttribute('aria-label') || b.labels?.length)).length"
    )
    assert nameless == 0
    inpaint.keys("m")
    inpaint.said("Only the mask is shown")
    assert page.locator("#inpaint_image [data-act=undo]").get_attribute("aria-disabled") == "true"


@pytest.mark.parametrize("width", [390, 820, 2560])
def test_no_width_makes_the_page_scroll_sideways(inpaint: Painter, width: int) -> None:
    inpaint.page.set_viewport_size({"width": width, "height": 844})
    inpaint.opened(picture())
    assert inpaint.page.evaluate("document.documentElement.scrollWidth") <= width
    for label in ("Mask", "View", "Picture"):
        inpaint.page.locator("#inpaint_image [data-menu]", has_text=label).click()
        box = inpaint.page.locator("#inpaint_image .pt-sheet:visible").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
