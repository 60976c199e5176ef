"""The stage of the turbo tab: what goes in beside what comes out, the readout, and the strip of what was kept.

Python writes the frame once; assets/turbo*.js fill it.
"""

from __future__ import annotations

from webui.ui import icons
from webui.ui.markup import button
from webui.ui.painter import COLOURS
from webui.ui.stage import sends

SWATCHES = ("Black", "White", "Red", "Orange", "Yellow", "Green", "Blue", "Brown")
"""Of the painter's colours; any other is one click farther."""


def frame() -> str:
    return f"""
<section class="live" data-state="empty" data-source="none" aria-label="Live picture">
  <div class="live-view"><div class="live-pair">
    {_input()}
    <figure class="live-out" data-part="out"><canvas id="turbo_image" role="img" aria-label="No picture yet"></canvas>
      <img data-part="kept-view" alt="" hidden></figure>
  </div>
  <div class="empty-cell" data-part="empty"><div class="empty"><h2>The picture follows as you type</h2>
    <p>Write a prompt, or take one of these. Each letter, slider and stroke changes the picture at once.</p>
    <ul class="live-examples" aria-label="Example prompts"></ul></div></div></div>
  <div class="feet"><p id="turbo_message" class="message" role="alert" hidden><span data-part="words"></span></p></div>
  {_readout()}
  <div class="live-kept" id="turbo_gallery"><p class="hint" data-part="kept-hint">Pictures you keep line up here.</p>
    <div class="strip" data-part="kept" role="group" aria-label="Kept pictures" hidden></div>{_menu()}</div>
</section>"""


def _input() -> str:
    """Where the picture that goes in is opened, painted or filmed. Script shows what its kind needs."""
    choose = (
        '<label class="btn soft live-open"><input type="file" class="unseen" accept="image/*" data-part="file">'
        f"{icons.svg('folder')}<span>Open a picture</span></label>"
    )
    start = button("Start the camera", "camera", "soft", data_do="camera", data_part="start")
    return f"""<figure class="live-in" data-part="in" aria-label="Picture that is repainted" hidden>
      <div class="live-surface"><canvas data-part="canvas" role="img" aria-label="Nothing opened yet"></canvas>
        <span class="live-ring" data-part="ring" hidden></span>
        <div class="live-blank" data-part="blank"><p data-part="blank-words"></p>{choose}{start}</div></div>
      <figcaption class="live-bar">{_brush()}{_camera()}</figcaption></figure>"""


def _brush() -> str:
    colours = "".join(
        f'<button type="button" class="live-swatch" style="--swatch:{COLOURS[name]}" data-do="ink" data-value="{COLOURS[name]}" '
        f'aria-pressed="{"true" if name == "Black" else "false"}" aria-label="{name}" title="{name}"></button>'
        for name in SWATCHES
    )
    return (
        f'<div class="live-colours for-paint" role="group" aria-label="Colour">{colours}'
        '<input type="color" value="#2aa5a0" data-part="colour" aria-label="Any other colour" title="Any other colour"></div>'
        '<label class="live-size for-paint"><span class="unseen">Brush size</span>'
        '<input type="range" min="2" max="160" value="32" title="Brush size ([ and ])" data-part="size"></label>'
        '<div class="live-acts">'
        + button("", "undo", title="Undo (Ctrl Z)", data_do="unpaint", data_part="undo")
        + button("Open another", "folder", title="Open another picture", data_do="open", data_part="open")
        + button("Paint on it", "inpaint", data_do="brush", data_part="brush")
        + button("Clear", "blank", title="Clear", data_do="blank", data_part="clear")
        + "</div>"
    )


def _camera() -> str:
    return button("Stop", "stop", data_do="camera", data_part="stop")


def _readout() -> str:
    return (
        '<div class="live-foot"><div class="readout" role="group" aria-label="Speed">'
        '<div data-part="latency-box"><strong data-part="latency">–</strong><span>ms latency</span></div>'
        '<div><strong data-part="rate">0</strong><span>pictures/s</span></div>'
        '<svg class="spark" viewBox="0 0 120 28" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<polyline points=""/></svg>'
        '<span class="live-state" role="status" data-part="state" data-state="connecting">Connecting</span></div>'
        '<div class="live-tools">'
        + button("Keep", "plus", id="turbo_keep", title="Save this picture (Ctrl Enter)", data_do="keep", disabled="")
        + button("Refine", "hires", id="turbo_refine", data_do="refine", disabled="")
        + "</div></div>"
    )


def _menu() -> str:
    """Of a kept picture: how it was made, and where it can go."""
    save = f'<a class="btn ghost" data-part="download" download>{icons.svg("save")}<span>Download</span></a>' + button(
        "Copy infotext", "copy", data_do="copykept", data_part="copy"
    )
    return (
        '<div popover class="lw-menu live-menu" id="turbo_kept_menu" role="group" aria-label="Kept picture">'
        '<p data-part="prompt"></p><p class="hint" data-part="values"></p>'
        f'<div class="live-menu-tools">{save}{sends("")}</div></div>'
    )
