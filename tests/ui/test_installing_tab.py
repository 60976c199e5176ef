"""Installing on the Extensions tab in a real browser: what it asks for stands there before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_installing import Home, committed, files_of, write
from tests.test_plugins import MY_EULER
from tests.ui.conftest import Server, started, visiting

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=\"window.hacked='markup'\">${window.hacked='template'}{{name}}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With one extension that was installed, and one that lies there by hand."""
    data = tmp_path_factory.mktemp("installing")
    committed(data / "repository", files_of("half-step", code=MY_EULER, description="Looks half a step ahead"))
    Home(data).install((data / "repository").as_uri())
    write(data / "extensions" / "by-hand", files_of("by-hand", code=MY_EULER.replace("My Euler", "By Hand")))
    with started(data) as opened:
        yield opened


@pytest.fixture
def tab(page: Any) -> Any:
    page.locator("#tab_extensions-button").click()
    page.locator("#extensions_list .extension").first.wait_for()
    page.locator(".install-line input").wait_for()
    return page


def card(page: Any, name: str) -> Any:
    named = page.locator(".extension-name strong").get_by_text(name, exact=True)
    return page.locator(".extension").filter(has=named)


def extensions(server: Server) -> list[str]:
    return sorted(path.name for path in (server.data / "extensions").iterdir() if not path.name.startswith("."))


def test_install_asks_first_then_update_roll_back_and_remove(tab: Any, server: Server, tmp_path: Path) -> None:
    more = {"description": EVIL, "permissions": [EVIL, "network"], "requirements": ["numpy>=1"]}
    source = write(tmp_path / "source", files_of("new-one", code=MY_EULER.replace("My Euler", "New One"), **more))
    line = tab.get_by_role("textbox", name="Install an extension from")
    line.fill(str(source))
    line.press("Enter")
    asks = tab.locator(".install-card")
    asks.get_by_text("Nothing of it has run yet").wait_for()
    said = dict(zip(asks.locator("dt").all_inner_texts(), asks.locator("dd").all_inner_texts(), strict=True))
    assert (
        said["Asks for"] == f"{EVIL}, network" and said["Needs"] == "numpy>=1" and said["From"].startswith(f"{source}, SHA-256")
    )
    assert asks.locator("[data-part=description]").inner_text() == EVIL
    asks.get_by_role("button", name="Cancel").click()
    tab.get_by_text("Nothing was installed.").wait_for()
    assert extensions(server) == ["by-hand", "half-step"]
    line.fill(str(source))
    tab.get_by_role("button", name="Install …").click()
    asks.get_by_role("button", name="Install", exact=True).click()
    tab.get_by_text("new-one 1.0 is installed. It runs when the program is restarted.").wait_for()
    assert extensions(server) == ["by-hand", "half-step", "new-one"]
    entry = card(tab, "new-one")
    entry.get_by_text("Installed. It runs when the program is restarted.").wait_for()
    entry.get_by_role("button", name="Remove").click()
    entry.get_by_text("Remove new-one? Its settings stay.").wait_for()
    entry.get_by_role("button", name="Keep it").click()
    assert entry.get_by_role("button", name="Update").evaluate("b => b === document.activeElement")
    entry.get_by_role("button", name="Remove").click()
    entry.get_by_role("button", name="Remove: new-one").click()
    tab.get_by_text("new-one is removed; its settings stay, and it can be brought back.").wait_for()
    assert extensions(server) == ["by-hand", "half-step"]
    assert tab.evaluate("window.hacked") is None and tab.locator(".install-card :is(img, script)").count() == 0


def test_an_installed_one_is_updated_and_rolled_back_in_its_card(tab: Any, server: Server) -> None:
    assert card(tab, "by-hand").locator(".install-tools button").count() == 0
    half = card(tab, "half-step")
    commit = json.loads((server.data / "extensions.lock").read_text())["extensions"][0]["commit"]
    source = f"{(server.data / 'repository').as_uri()}, commit {commit[:10]}"
    half.locator("dd").get_by_text(source, exact=True).wait_for()
    half.get_by_role("button", name="Update").click()
    tab.get_by_text("half-step 1.0 is the newest that file:").wait_for()
    committed(server.data / "repository", files_of("half-step", "2.0", code=MY_EULER, permissions=["network"]))
    half.get_by_role("button", name="Update").click()
    asks = tab.locator(".install-card")
    asks.get_by_text("1.0 → 2.0").wait_for()
    assert asks.locator("dd").first.inner_text() == "network (new)"
    asks.get_by_role("button", name="Update").click()
    half.get_by_text("Version 2.0 is installed. It runs when the program is restarted.").wait_for()
    half.get_by_role("button", name="Roll back to 1.0").click()
    half.get_by_text("Go back to version 1.0 of half-step?").wait_for()
    half.get_by_role("button", name="Go back: half-step").click()
    tab.get_by_text("half-step is back in version 1.0. It runs when the program is restarted.").wait_for()
    (row,) = json.loads((server.data / "extensions.lock").read_text())["extensions"]
    assert (row["name"], row["version"]) == ("half-step", "1.0")


def test_a_refusal_stands_under_the_line(server: Server, browser: Any) -> None:
    with visiting(server, browser, expected="/api/v1/extensions/changes") as page:
        page.locator("#tab_extensions-button").click()
        line = page.get_by_role("textbox", name="Install an extension from")
        line.fill("ext::sh -c id")
        line.press("Enter")
        page.get_by_role("alert").get_by_text("names a program for git to run").wait_for()
        assert line.input_value() == "ext::sh -c id"


@pytest.mark.parametrize("width", [390, 1000, 1440])
def test_nothing_is_wider_than_the_window(tab: Any, server: Server, tmp_path: Path, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 844})
    long = {"description": "word " * 60, "permissions": ["x" * 200, "y" * 200]}
    tab.get_by_role("textbox", name="Install an extension from").fill(str(write(tmp_path / "wide", files_of("w" * 64, **long))))
    tab.get_by_role("button", name="Install …").click()
    tab.locator(".install-card").get_by_text("Nothing of it has run yet").wait_for()
    card(tab, "half-step").get_by_role("button", name="Remove").click()
    for part in (".page", ".install-line", ".install-card", ".extension", ".install-tools"):
        for box in tab.locator(f"#tab_extensions {part}:visible").all():
            at = box.bounding_box()
            assert at["x"] >= 0 and at["x"] + at["width"] <= width, part
    assert tab.locator("#tab_extensions .page").evaluate("page => page.scrollWidth <= page.clientWidth")
    tab.locator(".install-card").get_by_role("button", name="Cancel").click()
    tab.get_by_text("Nothing was installed.").wait_for()


def test_where_others_can_reach_the_page_it_says_so_and_has_no_line(browser: Any, tmp_path: Path) -> None:
    write(tmp_path / "extensions" / "one", files_of("one", code=MY_EULER))
    with started(tmp_path, "--listen", "--no-login") as opened, visiting(opened, browser) as page:
        page.locator("#tab_extensions-button").click()
        page.get_by_text("no extension is installed or removed here").wait_for()
        assert page.locator(".install-line").is_hidden() and page.locator(".install-tools button").count() == 0
