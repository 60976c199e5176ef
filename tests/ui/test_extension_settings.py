"""An extension's settings in its card: drawn, kept as they are changed, refused in one sentence; and what it failed in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.test_extension_settings import OTHER, SETS
from tests.test_plugins import extension
from tests.ui.conftest import Server, started, visiting

pytestmark = pytest.mark.browser
FAILS = "\n@hookimpl\ndef settings_changed(event):\n    raise ValueError('<img src=x onerror=window.hacked=1>')\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("set")
    extension(data, "sets", SETS + FAILS)
    extension(data, "other", OTHER)
    with started(data) as opened:
        yield opened


def card(page: Any, name: str) -> Any:
    named = page.locator(".extension-name strong").get_by_text(name, exact=True)
    return page.locator("#extensions_list .extension").filter(has=named)


def open_settings(page: Any) -> Any:
    page.locator("#tab_extensions-button").click()
    mine = card(page, "sets")
    mine.locator("summary", has_text="Settings").click()
    return mine


def kept(server: Server) -> Any:
    file = server.data / "state" / "extensions" / "sets" / "settings.json"
    return json.loads(file.read_text()) if file.exists() else {}


def test_settings_are_drawn_changed_and_there_again(page: Any, server: Server) -> None:
    mine = open_settings(page)
    labels = mine.locator("[data-part='form'] label").all_inner_texts()
    assert labels == ["Strength", "Way", "Token", "Is on"]
    assert mine.locator("[data-option='strength']").get_attribute("title") == "How much of it"
    mine.get_by_label("Strength, number").fill("1.25")
    mine.get_by_label("Way").select_option("down")
    mine.get_by_label("Is on").uncheck()
    mine.locator("[data-part='saved']", has_text="Saved.").wait_for()
    page.reload()
    mine = open_settings(page)
    assert mine.get_by_label("Strength, number").input_value() == "1.25" and mine.get_by_label("Way").input_value() == "down"
    assert not mine.get_by_label("Is on").is_checked()
    assert kept(server) == {"strength": 1.25, "way": "down", "is_on": False}
    assert card(page, "other").get_by_label("Strength").input_value() == "3", "one's settings are not another's"


def test_a_wrong_value_is_told_and_the_kept_one_stays(server: Server, browser: Any) -> None:
    with visiting(server, browser, expected="/api/v1/extensions/sets/settings") as page:
        mine = open_settings(page)
        before = kept(server).get("strength")
        mine.get_by_label("Strength, number").fill("7")
        mine.locator("[data-part='saved'].bad").wait_for()
        told = mine.locator("[data-part='saved']").inner_text()
        assert told == "Setting 'strength' of the extension sets cannot be 7. It can be 0 to 2."
        assert kept(server).get("strength") == before
        mine.get_by_label("Strength, number").fill("1")
        mine.locator("[data-part='saved']:not(.bad)", has_text="Saved.").wait_for()


def test_what_it_failed_in_stands_in_its_card_as_words(page: Any, server: Server) -> None:
    page.evaluate("""() => fetch('sdapi/v1/options', { method: 'POST', body: '{"samples_format": "webp"}',
        headers: { 'Content-Type': 'application/json' } })""")
    page.reload()
    page.locator("#tab_extensions-button").click()
    told = card(page, "sets").locator("[data-part='troubles'] summary")
    told.wait_for()
    assert told.inner_text() == "settings_changed: ValueError: <img src=x onerror=window.hacked=1>"
    told.click()
    assert "Traceback" in card(page, "sets").locator("[data-part='troubles'] pre").inner_text()
    assert page.evaluate("() => window.hacked") is None
