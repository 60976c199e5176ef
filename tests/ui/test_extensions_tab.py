"""The Extensions tab in a real browser: what a person sees and switches, and that a stranger's words stay words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.shared import ROOT
from tests.test_plugins import MY_EULER, extension
from tests.ui.conftest import Server, started, visiting

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=\"window.hacked='markup'\"><script>window.hacked='script'</script>${window.hacked='template'}{{name}}"
RAISES = f"def inner():\n    raise ValueError({EVIL!r} + 'error')\ninner()\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With one that runs, one that fails, one that is disabled, and a folder whose very name is markup."""
    data = tmp_path_factory.mktemp("extended")
    extension(data, "a-good", MY_EULER)
    extension(data, "b-broken", RAISES)
    extension(data, "c-off", MY_EULER.replace("My Euler", "Off Euler"))
    extension(data, "d-good", MY_EULER.replace("My Euler", "Other Euler"))
    with (data / "extensions" / "a-good" / "extension.toml").open("a") as manifest:
        words = json.dumps(EVIL)
        manifest.write(f"description = {words}\nrequirements = [{words}]\npermissions = [{words}]\n")
    folder = data / "extensions" / "<img src=x onerror=window.hacked='name'>"
    folder.mkdir()
    (folder / "extension.py").write_text("")
    (data / "state").mkdir()
    (data / "state" / "extensions.json").write_text('{"disabled": ["c-off"]}')
    with started(data) as opened:
        yield opened


@pytest.fixture
def tab(page: Any) -> Any:
    """The page, open on the tab."""
    page.locator("#tab_extensions-button").click()
    page.locator("#extensions_list .extension").first.wait_for()
    return page


def row(page: Any, name: str) -> Any:
    named = page.locator(".extension-name strong").get_by_text(name, exact=True)
    return page.locator("#extensions_list .extension").filter(has=named)


def kept(server: Server) -> list[str]:
    return list(json.loads((server.data / "state" / "extensions.json").read_text())["disabled"])


def test_the_broken_stand_first_with_reason_and_traceback_and_no_word_of_theirs_runs(tab: Any) -> None:
    names = tab.locator("#extensions_list .extension-name strong").all_inner_texts()
    ours = {place.name for place in (ROOT / "extensions").iterdir()}  # those that come with the program run, too
    assert [name for name in names if name not in ours] == [
        "<img src=x onerror=window.hacked='name'>", "b-broken", "a-good", "d-good", "c-off"
    ]  # fmt: skip
    assert tab.locator("#extensions_list h3").all_inner_texts() == ["Did not start", "Running", "Off"]
    broken = row(tab, "b-broken")
    assert broken.locator("[data-part=error]").inner_text() == f"ValueError: {EVIL}error"
    trace = broken.locator("pre")
    assert trace.is_hidden()
    broken.locator("[data-part=trace] > summary").press("Enter")
    trace.wait_for()
    assert trace.inner_text().startswith("Traceback") and f"ValueError: {EVIL}error" in trace.inner_text()
    good = row(tab, "a-good")
    assert good.locator("[data-part=description]").inner_text() == EVIL
    said = dict(zip(good.locator("dt").all_inner_texts(), good.locator("dd").all_inner_texts(), strict=True))
    assert said == {"Adds": "sampler My Euler", "Needs": EVIL, "Asks for": EVIL, "From": "extensions/a-good, in the data folder"}
    tab.wait_for_timeout(300)  # what would run, runs late: an image's error
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("#extensions_list :is(img, script)").count() == 0


def test_a_switch_is_turned_by_key_remembered_and_says_that_it_waits_for_a_restart(tab: Any, server: Server) -> None:
    switch = tab.get_by_role("switch", name="d-good", exact=True)
    assert switch.get_attribute("aria-checked") == "true"
    switch.focus()
    tab.keyboard.press("Space")
    note = row(tab, "d-good").locator("[data-part=note]")
    note.get_by_text("Disabled. It goes on running until the program is restarted.").wait_for()
    assert switch.get_attribute("aria-checked") == "false" and kept(server) == ["c-off", "d-good"]
    assert switch.evaluate("b => b === document.activeElement"), "the focus stays where it was"
    assert switch.evaluate("b => document.getElementById(b.getAttribute('aria-describedby')).textContent").startswith("Disabled")
    tab.reload()
    tab.locator("#tab_extensions-button").click()
    note.get_by_text("until the program is restarted").wait_for()
    switch.click()
    tab.wait_for_function("document.querySelectorAll('#extensions_list .extension-note:not(:empty)').length === 0")
    assert switch.get_attribute("aria-checked") == "true" and kept(server) == ["c-off"]


def test_a_switch_that_fails_says_why_and_stays(server: Server, browser: Any) -> None:
    path = "/api/v1/extensions/c-off/enabled"
    with visiting(server, browser, expected=path) as page:
        page.locator("#tab_extensions-button").click()
        switch = page.get_by_role("switch", name="c-off", exact=True)
        refusal = {"status": 507, "content_type": "application/json", "body": '{"detail": "The disk is full."}'}
        page.route(f"**{path}", lambda route: route.fulfill(**refusal))
        switch.click()
        row(page, "c-off").get_by_text("The disk is full.").wait_for()
        assert switch.get_attribute("aria-checked") == "false" and kept(server) == ["c-off"]


@pytest.mark.parametrize("width", [390, 1000, 1440])
def test_nothing_is_wider_than_the_window(tab: Any, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 844})
    row(tab, "b-broken").locator("[data-part=trace] > summary").click()
    for part in (".page", ".extension", ".extension pre"):
        for box in tab.locator(f"#tab_extensions {part}:visible").all():
            at = box.bounding_box()
            assert at["x"] >= 0 and at["x"] + at["width"] <= width, part
    assert tab.locator("#tab_extensions .page").evaluate("page => page.scrollWidth <= page.clientWidth")


def test_a_list_without_any_says_how_to_make_one(tab: Any) -> None:
    tab.route("**/api/v1/extensions", lambda route: route.fulfill(content_type="application/json", body="[]"))
    tab.reload()
    tab.locator("#tab_extensions-button").click()
    empty = tab.locator("#extensions_list .empty")
    empty.wait_for()
    assert "webui extensions new NAME" in empty.inner_text() and "extensions/" in empty.inner_text()
