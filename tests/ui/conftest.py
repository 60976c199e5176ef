"""A real program, a real browser: one server a session, one fresh browser context a test, which watches what goes wrong."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.shared import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
START_SECONDS = 600
"""A machine with much else to do took over two minutes for the first picture."""


@dataclass(frozen=True)
class Server:
    url: str
    data: Path

    @property
    def pictures(self) -> list[Path]:
        return sorted(self.data.glob("outputs/txt2img-images/*/*.png"))


SEEN = """() => [...document.querySelectorAll(':is(#family, [id$=_message], [id$=_notes], [id$=_progress], [id$=_infotext])')]
  .filter(place => place.offsetParent && place.innerText.trim()).map(place => `${place.id}: ${place.innerText}`).join('\\n')
  + '\\njobs: ' + JSON.stringify([...LW.jobs.values()].slice(-3))"""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a test that failed: what its page said, for whoever reads the log of a machine that is gone."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if call.when == "call" and report.failed and page is not None:
        from playwright.sync_api import Error

        try:
            report.sections.append(("the page", page.evaluate(SEEN)))
        except Error as error:  # the page may be what failed
            report.sections.append(("the page", f"cannot be asked: {error}"))
    return report


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program as users start it, with a data folder of its own."""
    with started(tmp_path_factory.mktemp("data")) as opened:
        yield opened


@contextmanager
def started(data: Path, *flags: str) -> Iterator[Server]:
    """The program with some flags, drawing already."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "webui", "--port", str(port), "--data-dir", str(data), "--cpu", *flags]
    log = data / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/healthz", process, log)
        warm_up(url)
        yield Server(url, data)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def warm_up(url: str) -> None:
    """Load the checkpoint and choose its arithmetic before a test waits for a picture; one that isn't saved isn't shown."""
    asked = json.dumps({"prompt": "", "steps": 1, "save": False}).encode()
    post = urllib.request.Request(f"{url}/api/v1/jobs", asked, {"Content-Type": "application/json"})
    with urllib.request.urlopen(post, timeout=30) as answer:
        job = json.load(answer)
    end = time.monotonic() + START_SECONDS
    while job["state"] in ("waiting", "running"):
        if time.monotonic() > end:
            pytest.fail(f"the first picture took more than {START_SECONDS} seconds")
        time.sleep(0.2)
        with urllib.request.urlopen(f"{url}/api/v1/jobs/{job['id']}", timeout=30) as answer:
            job = json.load(answer)
    assert job["state"] == "finished", job["error"]


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(f"the program ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the program did not answer:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the extra 'test' brings it)")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@dataclass
class Trouble:
    """What a page must never do: ask another machine, log an error, throw, get an answer of the server's failure."""

    url: str
    expected: str = ""
    """A path that the test makes refuse; its answers are no trouble."""
    found: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        page.on("request", lambda request: self._request(request.url))
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note(True, f"page error: {error}"))
        page.on("response", lambda response: self._answer(response.status, response.url))

    def _console(self, message: Any) -> None:
        is_expected = self.expected and message.location["url"] == self.url + self.expected
        self._note(message.type == "error" and not is_expected, f"console: {message.text}")

    def _answer(self, status: int, url: str) -> None:
        self._note(status >= 400 and url != self.url + self.expected, f"{status} {url}")

    def _request(self, url: str) -> None:
        parts = urlsplit(url)
        self._note(parts.scheme not in ("data", "blob") and not url.startswith(self.url), f"request to {url}")

    def _note(self, is_trouble: bool, text: str) -> None:
        if is_trouble:
            self.found.append(text)


@pytest.fixture
def page(server: Server, browser: Any) -> Iterator[Any]:
    """A page of a newcomer, open on txt2img. Fails the test at the end when something went wrong in it."""
    with visiting(server, browser) as opened:
        yield opened


@contextmanager
def visiting(server: Server, browser: Any, expected: str = "") -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(60_000)
    opened = context.new_page()
    trouble = Trouble(server.url, expected)
    trouble.watch(opened)
    opened.goto(server.url)
    opened.locator("#family", has_text=re.compile(r"\w")).wait_for()
    opened.locator("#txt2img_generate").wait_for(state="attached")  # not shown where the checkpoint needs a picture
    yield opened
    context.close()
    assert not trouble.found
