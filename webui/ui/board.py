"""The board of a tab that a picture goes into: the painter, and the stage of what came out.

They lie on one place, with a switch above, so that each has all of it; on a wide screen they stand side by side.
"""

from __future__ import annotations

from webui.ui import stage
from webui.ui.markup import html
from webui.ui.painter import Mode, painter
from webui.ui.quiet_gradio import gr

PICTURE = {"mask": "Picture and mask", "colour": "Picture", "depth": "Picture and depth", "view": "Picture"}


def board(tab: str, mode: Mode, blank: str = "") -> None:
    """Answers nothing: script reads the painter when Generate is pressed (LW.board.collect)."""
    with gr.Column(elem_classes="board", elem_id=f"{tab}_board", min_width=0):
        html(_switch(tab, mode), elem_classes="views-block", js_on_load=f"LW.board.mount(element, '{tab}')")
        painter(tab, mode, blank=blank)
        stage.stage(tab, has_picture=True)


def _switch(tab: str, mode: Mode) -> str:
    sides = {"paint": PICTURE[mode], "result": "Result"}
    buttons = "".join(
        f'<button type="button" class="btn" data-do="view" data-tab="{tab}" data-view="{view}" '
        f'aria-pressed="{"true" if view == "paint" else "false"}"><span>{label}</span></button>'
        for view, label in sides.items()
    )
    return f'<div class="views" data-tab="{tab}" data-view="paint" role="group" aria-label="What is shown">{buttons}</div>'
