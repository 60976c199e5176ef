"""The stage of a tab: where its pictures are made and shown.

Python writes the frame once; assets/stage.js fills it from the queue's events. Parts that take each other's place
(empty words, preview, result) lie on the same cell of one grid, so nothing jumps.
"""

from __future__ import annotations

from typing import Any

from webui.ui import icons
from webui.ui.markup import button, html

SENDS = (("txt2img", "txt2img"), ("img2img", "img2img"), ("inpaint", "Inpaint"), ("depth", "Depth"), ("upscale", "Upscale"))
"""The tabs that a finished picture can go to; to txt2img go its settings."""


def stage(tab: str, has_picture: bool = False) -> Any:
    """
    Args:
        has_picture: whether a picture goes in on this tab: before and after can be compared.
    """
    script = f"LW.stage.mount(element, '{tab}'); LW.examples.draw()"
    return html(frame(tab, has_picture), elem_id=f"{tab}_stage", elem_classes="stage", js_on_load=script)


def sends(tab: str) -> str:
    """The buttons that take the picture shown to a tab."""
    titles = {tab: "Use as input", "txt2img": "Use settings" if tab == "txt2img" else "txt2img"}
    return "".join(
        button(titles.get(name, label), name, data_do="send", data_tab=tab, data_to=name, data_part=f"to-{name}")
        for name, label in SENDS
    )


def frame(tab: str, has_picture: bool = False) -> str:
    """The stage before anything was made. TAB_gallery holds no img until there is a picture."""
    more = button("Compare", "compare", data_do="compare", data_tab=tab, data_part="compare", aria_pressed="false", hidden="")
    if tab == "txt2img":
        more += button("Hires", "hires", title="Draw it larger, with the hires pass", data_do="hires", data_tab=tab)
    tools = (
        '<a class="btn ghost" data-part="download" download title="Download PNG" aria-label="Download PNG">'
        f"{icons.svg('save')}<span>Download</span></a>" + button("Copy infotext", "copy", data_do="copy", data_tab=tab)
    )
    fetch = button("Fetch it", "save", "soft", data_do="fetch", data_tab=tab, data_part="fetch", hidden="")
    words = _EMPTY_RESULT if has_picture else _EMPTY
    return f"""
<section class="show" data-tab="{tab}" data-state="empty" aria-label="Pictures">
  <div id="{tab}_gallery" class="gallery" role="group" aria-label="Results"></div>
  <div class="empty-cell" data-part="empty">{words}</div>
  <div id="{tab}_preview" class="viewer" data-part="preview" hidden></div>
  <div class="feet">
    <p id="{tab}_message" class="message" role="alert" hidden><span data-part="words"></span>{fetch}</p>
    <p id="{tab}_notes" class="notes" role="status" hidden></p>
    <div id="{tab}_progress" class="progress" role="progressbar" aria-label="Progress"
      aria-valuemin="0" aria-valuemax="100" hidden>
      <div class="progress-text"><span data-part="step"></span><span data-part="left"></span></div>
      <div class="bar"><i></i></div></div>
    <p class="unseen" role="status" data-part="said"></p>
  </div>
  <div id="{tab}_infotext" class="info" hidden>
    <div class="tools"><span class="hint" data-part="which"></span><span class="spring"></span>{more}{tools}</div>
    <div class="infotext" tabindex="0" role="group" aria-label="Infotext"
      ><p class="info-prompt"></p><p class="hint info-negative"></p><p class="info-values"></p></div>
    <div class="tools sends" role="group" aria-label="Send to"><span class="hint">Send to</span>{sends(tab)}</div></div>
</section>"""


_EMPTY = """<div class="empty for-prompt"><h2>Describe a picture</h2>
    <p>Write a prompt and press <kbd>Ctrl</kbd> <kbd>Enter</kbd>. Pictures appear here and are kept in the outputs folder.</p>
    <ul class="examples" aria-label="Example prompts"></ul></div>
    <div class="empty without-prompt"><h2>Nothing drawn yet</h2>
    <p>This checkpoint reads no words. Choose what it shall draw and press <kbd>Ctrl</kbd> <kbd>Enter</kbd>.</p></div>"""
_EMPTY_RESULT = """<div class="empty"><h2>Nothing drawn yet</h2>
    <p>Open a picture, then press <kbd>Ctrl</kbd> <kbd>Enter</kbd>. What comes of it stands here, to be compared.</p></div>"""
