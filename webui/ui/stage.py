"""The stage of a tab: where its pictures are made and shown.

Python writes the frame once; assets/stage.js fills it from the queue's events. Parts that take each other's place
(empty words, preview, result) lie on the same cell of one grid, so nothing jumps.
"""

from __future__ import annotations

from html import escape
from typing import Any

from webui.ui import icons
from webui.ui.controls import html

EXAMPLES = (
    ("a red sphere on a checkered floor", "sphere"),
    ("a blue cube on a wooden floor in front of a white wall", "cube"),
    ("a green cone on sand under an orange sky", "cone"),
)


def button(label: str, icon: str, kind: str = "ghost", **attributes: str) -> str:
    """A button of ours. A label of "" makes an icon alone, which needs title=."""
    said = {"aria-label": attributes["title"], **attributes} if not label else attributes
    written = "".join(f' {name.replace("_", "-")}="{escape(value)}"' for name, value in said.items())
    return f'<button type="button" class="btn {kind}"{written}>{icons.svg(icon)}{f"<span>{escape(label)}</span>" if label else ""}</button>'


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
    return f"""
<section class="show" data-tab="{tab}" data-state="empty" aria-label="Pictures">
  <div id="{tab}_gallery" class="gallery" role="group" aria-label="Results"></div>
  <div class="empty-cell" data-part="empty"><div class="empty"><h2>Describe a picture</h2>
    <p>Write a prompt and press <kbd>Ctrl</kbd> <kbd>Enter</kbd>. Pictures appear here and are kept in the outputs folder.</p>
    <ul class="examples" aria-label="Example prompts">{examples}</ul></div></div>
  <div id="{tab}_preview" class="viewer" data-part="preview" hidden></div>
  <div class="feet">
    <p id="{tab}_message" class="message" role="alert" hidden></p>
    <div id="{tab}_progress" class="progress" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" hidden>
      <div class="progress-text"><span data-part="step"></span><span data-part="left"></span></div>
      <div class="bar"><i></i></div></div>
    <p class="unseen" role="status" data-part="said"></p>
  </div>
  <div id="{tab}_infotext" class="info" hidden>
    <div class="tools"><span class="hint" data-part="which"></span><span class="spring"></span>{tools}</div>
    <div class="infotext" tabindex="0" role="group" aria-label="Infotext"><p class="info-prompt"></p><p class="hint info-negative"></p><p class="info-values"></p></div></div>
</section>"""


def _scene(sky: str, floor: str, shape: str) -> str:
    return (
        '<svg class="scene" viewBox="0 0 160 96" preserveAspectRatio="xMidYMid slice" aria-hidden="true" focusable="false">'
        f'<rect width="160" height="96" fill="{sky}"/>{floor}{shape}</svg>'
    )


def _checkers() -> str:
    """A floor of checkers that runs away to the horizon."""
    rows, far = [], [56.0, 60.5, 67.0, 77.0, 96.0]
    for row, (top, low) in enumerate(zip(far, far[1:], strict=False)):
        reach = [(edge - 48) / 48 for edge in (top, low)]
        for cell in range(-9, 9):
            if (cell + row) % 2:
                a, b = (80 + cell * 26 * reach[0], 80 + (cell + 1) * 26 * reach[0])
                c, d = (80 + (cell + 1) * 26 * reach[1], 80 + cell * 26 * reach[1])
                rows.append(f"M{a:.1f} {top}L{b:.1f} {top}L{c:.1f} {low}L{d:.1f} {low}z")
    return f'<rect y="56" width="160" height="40" fill="#f4f4f2"/><path d="{"".join(rows)}" fill="#44464c"/>'


SCENES = {
    "sphere": _scene(
        "#dfe5ea",
        _checkers(),
        '<defs><radialGradient id="lw-red" cx=".36" cy=".3" r=".78"><stop offset="0" stop-color="#ff9d92"/><stop offset=".4" stop-color="#dc3a30"/>'
        '<stop offset="1" stop-color="#7c1512"/></radialGradient></defs>'
        '<ellipse cx="88" cy="79" rx="30" ry="6" fill="#000" opacity=".3"/><circle cx="80" cy="53" r="27" fill="url(#lw-red)"/>',
    ),
    "cube": _scene(
        "#efeeec",
        '<rect y="54" width="160" height="42" fill="#b98a5a"/><path d="M0 62h160M0 71h160M0 83h160M28 54L4 96M66 54l-8 42M104 54l14 42M138 54l34 42" stroke="#93683e" fill="none"/>',
        '<path d="M84 82l38-10 14 4-46 13z" fill="#000" opacity=".22"/><path d="M48 36l34-9 34 8-33 11z" fill="#7fa4f2"/>'
        '<path d="M48 36l35 10v37l-35-12z" fill="#3f6ddb"/><path d="M83 46l33-11v34l-33 14z" fill="#2547a0"/>',
    ),
    "cone": _scene(
        "#f2a766",
        '<rect width="160" height="40" fill="#ee9350" opacity=".55"/><rect y="56" width="160" height="40" fill="#dcc08c"/>',
        '<defs><linearGradient id="lw-green"><stop offset="0" stop-color="#7ed38f"/><stop offset=".45" stop-color="#2f9a4c"/><stop offset="1" stop-color="#14582a"/></linearGradient></defs>'
        '<ellipse cx="94" cy="80" rx="36" ry="7" fill="#000" opacity=".22"/><path d="M80 20l27 58a27 7 0 0 1-54 0z" fill="url(#lw-green)"/>',
    ),
}
