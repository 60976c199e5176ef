"""The stage of a tab: where its pictures are made and shown.

Python writes the frame once; assets/stage.js fills it from the queue's events. Parts that take each other's place
(empty words, preview, result) lie on the same cell of one grid, so nothing jumps.
"""

from __future__ import annotations

from html import escape
from typing import Any

from webui.ui import icons
from webui.ui.markup import button, html
from webui.ui.scenes import SCENES

EXAMPLES = (
    ("a red sphere on a checkered floor", "sphere"),
    ("a blue cube on a wooden floor in front of a white wall", "cube"),
    ("a green cone on a yellow floor at sunset", "cone"),
)


def stage(tab: str) -> Any:
    return html(frame(tab), elem_id=f"{tab}_stage", elem_classes="stage", js_on_load=f"LW.stage.mount(element, '{tab}')")


def frame(tab: str) -> str:
    """The stage before anything was made. TAB_gallery holds no img until there is a picture."""
    examples = "".join(
        f'<li><button type="button" class="example" data-do="example" data-tab="{tab}" data-text="{escape(text)}">'
        f"{SCENES[scene]}<span>{escape(text)}</span></button></li>"
        for text, scene in EXAMPLES
    )
    tools = (
        '<a class="btn ghost" data-part="download" download title="Download PNG" aria-label="Download PNG">'
        f"{icons.svg('save')}<span>Download</span></a>" + button("Copy infotext", "copy", data_do="copy", data_tab=tab)
    )
    fetch = button("Fetch it", "save", "soft", data_do="fetch", data_tab=tab, data_part="fetch", hidden="")
    return f"""
<section class="show" data-tab="{tab}" data-state="empty" aria-label="Pictures">
  <div id="{tab}_gallery" class="gallery" role="group" aria-label="Results"></div>
  <div class="empty-cell" data-part="empty"><div class="empty for-prompt"><h2>Describe a picture</h2>
    <p>Write a prompt and press <kbd>Ctrl</kbd> <kbd>Enter</kbd>. Pictures appear here and are kept in the outputs folder.</p>
    <ul class="examples" aria-label="Example prompts">{examples}</ul></div>
    <div class="empty without-prompt"><h2>Nothing drawn yet</h2>
    <p>This checkpoint reads no words. Choose what it shall draw and press <kbd>Ctrl</kbd> <kbd>Enter</kbd>.</p></div></div>
  <div id="{tab}_preview" class="viewer" data-part="preview" hidden></div>
  <div class="feet">
    <p id="{tab}_message" class="message" role="alert" hidden><span data-part="words"></span>{fetch}</p>
    <div id="{tab}_progress" class="progress" role="progressbar" aria-label="Progress"
      aria-valuemin="0" aria-valuemax="100" hidden>
      <div class="progress-text"><span data-part="step"></span><span data-part="left"></span></div>
      <div class="bar"><i></i></div></div>
    <p class="unseen" role="status" data-part="said"></p>
  </div>
  <div id="{tab}_infotext" class="info" hidden>
    <div class="tools"><span class="hint" data-part="which"></span><span class="spring"></span>{tools}</div>
    <div class="infotext" tabindex="0" role="group" aria-label="Infotext"
      ><p class="info-prompt"></p><p class="hint info-negative"></p><p class="info-values"></p></div></div>
</section>"""
