"""How the page answers, in the browser's own clock: a click, strokes on a large picture, a finished picture, previews.

A browser that Playwright drives opens the very page, with the very program behind it in this process.
"""

from __future__ import annotations

import io
import shutil
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from PIL import Image

from webui.bench.table import Row
from webui.contract.errors import StartError, WebUIError
from webui.contract.request import GenerationRequest
from webui.workspace.app import App

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
CLICK = """async ([target, wanted]) => {
  const start = performance.now();
  document.querySelector(target).click();
  while (!document.querySelector(wanted)) await new Promise(requestAnimationFrame);
  return performance.now() - start;
}"""
STROKE = """async moves => {
  const area = document.querySelector('#inpaint_image [data-part=area]'), box = area.getBoundingClientRect();
  const fire = (kind, i) => area.dispatchEvent(new PointerEvent(kind, { bubbles: true, cancelable: true, pointerId: 1,
    pointerType: 'mouse', button: 0, buttons: 1, clientX: box.left + 60 + (box.width - 120) * Math.abs((i / 40) % 2 - 1),
    clientY: box.top + 60 + (box.height - 120) * i / moves }));
  area.setPointerCapture = () => {};
  fire('pointerdown', 0);
  const start = performance.now();
  for (let i = 1; i <= moves; i++) { fire('pointermove', i); await new Promise(done => setTimeout(done)); }
  await new Promise(requestAnimationFrame);
  const seconds = (performance.now() - start) / 1000;
  fire('pointerup', moves);
  return moves / seconds;
}"""
WATCH = """() => { window.shownAt = {}; new MutationObserver(() => {
  const img = document.querySelector('#txt2img_gallery .picture img');
  if (!img || window.shownAt[img.dataset.key]) return;
  const key = img.dataset.key;
  img.decode().then(() => requestAnimationFrame(() => { window.shownAt[key] ??= performance.timeOrigin + performance.now(); }));
}).observe(document.querySelector('#txt2img_stage'), { subtree: true, childList: true, attributes: true }); }"""


def bench(app: App, web: FastAPI, port: int, full: bool) -> list[Row]:
    """The promises of the page.

    Raises:
        StartError: no browser, or nothing that drives one.
    """
    server = uvicorn.Server(uvicorn.Config(web, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        with browser() as opened:
            page = opened_page(opened, port)
            rows = [_clicks(page), _letters(page), _strokes(page), _finished(page, app, 7 if full else 3)]
            page.close()
            return [*rows, _previews(opened, app, port, 7 if full else 3)]
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise StartError("Playwright is not installed. `pip install playwright` brings it; it drives a browser.") from None
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise StartError("There is no Chromium here to measure the page in. Install one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


def opened_page(browser: Any, port: int) -> Any:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    for _ in range(100):
        try:
            page.goto(f"http://localhost:{port}")
            break
        except Exception:  # noqa: BLE001 (Playwright's own kind, while the server starts)
            time.sleep(0.1)
    page.locator("#txt2img_generate").wait_for()
    page.wait_for_timeout(1500)  # all of Gradio's scripts
    return page


def _clicks(page: Any) -> Row:
    """The slowest of clicks that only the page answers: tabs, the board's switch, the theme."""
    names = ("inpaint", "img2img", "upscale", "txt2img")
    for name in names:  # a tab's first visit builds it
        page.locator(f"#tab_{name}-button").click()
        page.locator(f"#{name}_generate").wait_for()
    tabs = [(f"#tab_{name}-button", f"#tab_{name}-button[aria-selected=true]") for name in names]
    views = [
        (f"#inpaint_board [data-do=view][data-view={v}]", f"#inpaint_board .views[data-view={v}]") for v in ("result", "paint")
    ]
    theme = [("[data-do=theme]", ":root[data-theme=dark]"), ("[data-do=theme]", ":root[data-theme=light]")]
    slowest = max(page.evaluate(CLICK, list(pair)) for _ in range(3) for pair in [*tabs, *views, *theme])
    return Row("page", "a click is answered, the slowest of 24", slowest, "ms", at_most=100)


def _letters(page: Any) -> Row:
    """Of the page's main thread, without the painting; Gradio hears of a letter too, and what listens to it."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def busy() -> float:
        return float(
            next(one["value"] for one in session.send("Performance.getMetrics")["metrics"] if one["name"] == "TaskDuration")
        )

    words = "a red fox on grass under a blue sky"
    page.locator("#tab_txt2img-button").click()
    page.locator("#txt2img_prompt textarea").press_sequentially(words, delay=100)
    page.wait_for_timeout(1000)  # what the first words change: the examples go
    began = busy()
    page.locator("#txt2img_prompt textarea").press_sequentially(words, delay=100)
    return Row(
        "page", "a letter typed into a prompt, of the page's main thread", 1000 * (busy() - began) / len(words), "ms", at_most=50
    )


def _strokes(page: Any) -> Row:
    held = io.BytesIO()
    Image.radial_gradient("L").resize((2048, 2048)).convert("RGB").save(held, "PNG")
    page.locator("#tab_inpaint-button").click()
    given = {"name": "large.png", "mimeType": "image/png", "buffer": held.getvalue()}
    page.locator("#inpaint_image [data-part=file]").set_input_files(given)
    page.wait_for_function("LW.painter.state('inpaint').width === 2048")
    page.wait_for_timeout(500)
    rates = [page.evaluate(STROKE, 200) for _ in range(3)]
    return Row("page", "milliseconds for a move of a stroke on 2048 x 2048", 1000 / statistics.median(rates), "ms", at_most=20)


def _finished(page: Any, app: App, rounds: int) -> Row:
    """Both clocks are this machine's."""
    page.locator("#tab_txt2img-button").click()
    page.evaluate(WATCH)
    delays, ended = [], [0.0]
    with app.checkpoints.use() as model:
        handle = model.autoencoder.decoder.register_forward_hook(lambda *_: ended.__setitem__(0, time.time()))
        try:
            for number in range(rounds + 1):
                job = app.queue.submit(GenerationRequest(steps=1, guidance=1.0, width=1024, height=1024, seed=number))
                if app.queue.wait(job.id, 120).state != "finished":
                    raise WebUIError("The job for the measurement did not finish.")
                shown = page.wait_for_function("key => window.shownAt[key]", arg=f"{job.id}/0").json_value()
                if number:  # the first is the warm-up
                    delays.append(shown - ended[0] * 1000)
        finally:
            handle.remove()
    return Row("page", "a 1024 x 1024 picture, from decoded to on screen", statistics.median(delays), "ms", at_most=300)


def _previews(browser: Any, app: App, port: int, rounds: int) -> Row:
    """How much longer a job takes with the previews that an open page shows; pairs, one after the other."""

    def seconds(number: int, has_previews: bool) -> float:
        app.settings.change(show_preview=has_previews)
        job = app.queue.wait(app.queue.submit(GenerationRequest(steps=30, width=512, height=512, seed=number)).id, 300)
        return job.ended - job.started

    page = opened_page(browser, port)
    seconds(0, True)
    shares = [seconds(number, True) / seconds(number, False) - 1 for number in range(rounds)]
    page.close()
    return Row("page", "a job is slower for the previews that the page shows", statistics.median(shares) * 100, "%", at_most=3)
