"""The empty surface of the tabs with pictures: a person must see where a picture goes."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("tab", ["img2img", "inpaint", "depth", "upscale"])
def test_an_empty_surface_fills_its_place_and_shows_how_to_open_a_picture(page: Any, tab: str):
    page.locator(f"#tab_{tab}-button").click()
    button = page.locator(f"#{tab}_image").get_by_role("button", name="Open a picture")
    button.wait_for()
    board, surface, place = (
        page.locator(where).bounding_box() for where in (f"#{tab}_board", f"#{tab}_image .pt-area", f"#{tab}_image")
    )
    assert surface["height"] > 0.75 * place["height"] > 0.5 * board["height"]
    at = button.bounding_box()
    assert surface["y"] + 0.25 * surface["height"] < at["y"] < surface["y"] + 0.75 * surface["height"]
