"""The painter: a picture and what is painted on it, a mask, a colour sketch or a depth map; or the picture alone, to be seen.

Python writes the frame once; assets/painter*.js do the rest. The picture and the paint never pass through Gradio: the page
asks LW.painter.collect(tab) for their names, which the server gives for what was uploaded to /api/v1/inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from webui.ui.markup import html

Mode = Literal["mask", "colour", "depth", "view"]
STYLE = "painter.css"
SCRIPTS = ("painter_surface.js", "painter_files.js", "painter_view.js", "painter_tools.js", "painter.js")
"""For the head of the page, after app.js, in this order."""

ICONS = {
    "brush": "M13.8 2.2L7.6 8.6 M7.6 8.6c-1.9-.7-3.6.6-3.6 2.5 0 1.1-.6 1.8-1.8 2.1 3 1.1 6.7-.2 6.7-2.8 0-.9-.5-1.5-1.3-1.8z",
    "erase": "M6 13.5h8 M9.6 2.6l4 4-6.4 6.9H4.6L2.3 11z M6 6.5l4 4",
    "rectangle": "M2.5 4v-1.5H4 M6.5 2.5h3 M12 2.5h1.5V4 M13.5 6.5v3 M13.5 12v1.5H12 M9.5 13.5h-3 M4 13.5H2.5V12 M2.5 9.5v-3",
    "lasso": "M8 2.5c3.3 0 6 1.8 6 4s-2.7 4-6 4-6-1.8-6-4 2.7-4 6-4z M4.6 9.7c-1.2.6-1.4 1.9-.4 2.4.9.5 1.3 1.1.9 2.1",
    "soft": "M8 5.6a2.4 2.4 0 1 0 0 4.8 2.4 2.4 0 1 0 0-4.8 M8 2v.01 M12.2 3.8v.01 M14 8v.01 M12.2 12.2v.01 M8 14v.01 "
    "M3.8 12.2v.01 M2 8v.01 M3.8 3.8v.01",
    "undo": "M5.5 3L2.5 6l3 3 M2.5 6h7a4 4 0 0 1 0 8H6",
    "redo": "M10.5 3l3 3-3 3 M13.5 6h-7a4 4 0 0 0 0 8H10",
    "open": "M2.5 2.5h11v11h-11z M2.8 11.5l3.4-3.6 2.6 2.6 1.7-1.7 2.7 2.7 M10.2 5.6h.01",
    "camera": "M2 5h2.6l1.2-1.8h4.4L11.4 5H14v7.8H2z M8 6.6a2.1 2.1 0 1 0 0 4.2 2.1 2.1 0 1 0 0-4.2",
    "blank": "M3.5 2h6l3 3v9h-9z M9.5 2v3h3",
    "minus": "M3.5 8h9",
    "plus": "M8 3.5v9 M3.5 8h9",
    "fit": "M2.5 6V2.5H6 M10 2.5h3.5V6 M13.5 10v3.5H10 M6 13.5H2.5V10",
    "dropper": "M9.2 4.2l2.6 2.6 M10.5 5.5l1.6-1.7a1.3 1.3 0 0 0-1.9-1.9L8.6 3.6z M9.5 6.5l-5 5-2.2 2.2.6-2.6 5.2-5.8",
    "down": "M4.5 6.5L8 10l3.5-3.5",
    "close": "M3.5 3.5l9 9 M12.5 3.5l-9 9",
}
COLOURS = {
    "Black": "#000000", "White": "#ffffff", "Grey": "#8c8c94", "Red": "#e0245e", "Orange": "#f28322", "Yellow": "#f5d33c",
    "Green": "#2f9e57", "Teal": "#2aa5a0", "Blue": "#2f6bdc", "Violet": "#7d49cc", "Brown": "#8a5a33", "Skin": "#e8b894",
}  # fmt: skip
TINTS = {
    "auto": "Colour that suits the picture",
    "red": "Red",
    "green": "Green",
    "blue": "Blue",
    "magenta": "Magenta",
    "yellow": "Yellow",
}


@dataclass(frozen=True)
class Words:
    """What a painter calls things, by its mode."""

    title: str
    """Head of the empty place."""
    about: str
    layer: str
    """What is painted."""
    area: str
    """Name of the canvas for those who do not see it."""


WORDS: dict[Mode, Words] = {
    "mask": Words(
        "Repaint a part",
        "Paint over what should change, describe what belongs there, and generate.",
        "mask",
        "Picture with a mask",
    ),
    "colour": Words(
        "Start from a picture", "Paint on it if you like, describe the result, and generate.", "sketch", "Picture with a sketch"
    ),
    "depth": Words(
        "Keep the depth of a picture",
        "Its near and far parts stay where they are; paint to move them.",
        "depth map",
        "Picture with a depth map",
    ),
    "view": Words("Make a picture larger", "Open it, choose what enlarges it, and generate.", "", "Picture to enlarge"),
}
HELP = "Arrows move, Shift by 10 · Space or Enter paints · B E R L tools · [ ] size · S soft edge · Ctrl Z undo · 0 fit"


HELP_VIEW = "Arrows move · + and - zoom · 0 fit · O opens another"


def painter(tab: str, mode: Mode = "mask", *, words: Words | None = None, blank: str = "", **more: Any) -> Any:
    """The painter of a tab, as high as its place.

    Args:
        tab: its name in the page's script, too: LW.painter.state(tab), collect(tab), set(tab, ...).
        blank: a size ("512x512") at which one can start without a picture; "" where that makes no sense.
        more: for gr.HTML; elem_id is TAB_image unless given.
    """
    more.setdefault("elem_id", f"{tab}_image")
    classes = ["painter-block", *more.pop("elem_classes", [])]
    # Gradio puts the scripts of the head into the page beside its own work: a painter may be there before its script
    script = (
        "const mount = () => window.LW?.painter && LW.PaintView "
        f"? LW.painter.mount(element, {{ tab: '{tab}', mode: '{mode}' }}) : setTimeout(mount, 20); mount();"
    )
    return html(frame(tab, mode, words or WORDS[mode], blank), elem_classes=classes, js_on_load=script, **more)


def frame(tab: str, mode: Mode, words: Words, blank: str = "") -> str:
    """A painter without a picture."""
    start = _button("Open a picture", "open", "soft", data_act="open") + _button("Camera", "camera", "soft", data_act="camera")
    if blank:
        start += _button("Blank canvas", "blank", "soft", data_act="blank", data_value=blank)
    use = _button("Use them as the mask", "", "soft", data_act="clearness")
    offer = _notice("offer", "Parts of this picture are transparent.", use) if mode == "mask" else ""
    bar, help_words = "", HELP_VIEW
    swap = _button("Open another", "open", "ghost", data_act="open") + _button("Remove", "close", "ghost", data_act="remove")
    if mode != "view":
        bar = f'<div class="pt-bar" role="toolbar" aria-label="Painting tools">{_tools(mode)}{_menus(tab, mode, words)}</div>'
        help_words, swap = HELP, ""
    return f"""
<section class="painter" data-mode="{mode}" data-has="false" aria-label="{escape(words.area)}">
  {bar}
  <div class="pt-area" data-part="area" tabindex="0" role="application" aria-label="{escape(words.area)}"
    aria-describedby="{tab}_painter_help">
    <canvas data-part="back" width="8" height="8"></canvas><canvas data-part="front" width="8" height="8"></canvas>
    <svg class="pt-shape" data-part="shape" aria-hidden="true" hidden><path class="pt-under"/><path class="pt-over-line"/></svg>
    <i class="pt-ring" data-part="ring" hidden></i><i class="pt-cross" data-part="cross" hidden></i>
    <div class="pt-empty" data-part="empty"><div class="empty"><h2>{escape(words.title)}</h2><p>{escape(words.about)}</p>
      <p class="pt-start">{start}</p>
      <p class="hint">Or drop a picture here, or paste one with <kbd>Ctrl</kbd> <kbd>V</kbd>.</p>
      <div class="try-place" data-tab="{tab}"></div></div></div>
    <div class="pt-drop" aria-hidden="true"><span>Drop the picture</span></div>
  </div>
  <div class="pt-notices">{_notice("message", "", "", "alert")}{_notice("note", "", "")}{offer}</div>
  <div class="pt-foot"><span class="hint pt-facts" data-part="facts"></span
    ><span class="hint pt-help" id="{tab}_painter_help">{escape(help_words)}</span><span class="spring"></span
    >{swap}{_zoom()}</div>
  <p class="unseen" role="status" aria-live="polite" data-part="said"></p>
  <input type="file" accept="image/*" data-part="file" aria-label="Picture file" hidden>
  <input type="file" accept="image/*" capture="environment" data-part="shot-file" aria-label="Picture from the camera" hidden>
  <input type="file" accept="image/*" data-part="mask-file" aria-label="{escape(words.layer.capitalize())} file" hidden>
</section>"""


def _tools(mode: Mode) -> str:
    shapes = (
        _tool("Brush (B)", "brush", "brush")
        + _tool("Rectangle (R)", "rectangle", "rectangle")
        + _tool("Lasso (L)", "lasso", "lasso")
    )
    erase = "" if mode == "depth" else _tool("Eraser (E)", "erase", "erase")
    size = (
        '<label class="pt-number">Size'
        '<input type="range" min="0" max="100" step="any" data-set="size" data-needs aria-label="Size">'
        '<input type="number" min="1" max="512" data-set="pixels" data-needs aria-label="Size in pixels"></label>'
    )
    return (
        f'<div class="pt-set pt-shapes" role="group" aria-label="Tool">{shapes}</div>'
        f'<div class="pt-set pt-stroke" role="group" aria-label="Stroke">{erase}{_tool("Soft edge (S)", "soft", "soft")}</div>'
        f"{_inks(mode)}{size}{_slider('strength', 'Strength', 1, 100)}"
        '<div class="pt-set plain pt-history" role="group" aria-label="History">'
        f"{_act('Undo (Ctrl Z)', 'undo')}{_act('Redo (Ctrl Shift Z)', 'redo')}</div>"
        '<span class="spring"></span>'
    )


def _inks(mode: Mode) -> str:
    if mode == "depth":
        kinds = {
            "near": ("Near", "Brings nearer (lighter)"),
            "far": ("Far", "Moves away (darker)"),
            "set": ("Value", "Paints one value"),
        }
        inks = "".join(
            f'<button type="button" class="btn pt-tool" data-act="ink" data-value="{value}" data-needs aria-pressed="false" '
            f'title="{title}">{label}</button>'
            for value, (label, title) in kinds.items()
        )
        return f'<div class="pt-set pt-inks" role="group" aria-label="Depth">{inks}</div>{_slider("grey", "Value", 0, 255)}'
    if mode == "colour":
        swatches = "".join(_swatch("colour", value, name, value) for name, value in COLOURS.items())
        own = '<input type="color" class="pt-colour" data-set="colour" data-needs aria-label="Own colour" title="Own colour">'
        pick = _tool("Pick from the picture (P)", "dropper", "picking")
        return f'<div class="pt-swatches" role="group" aria-label="Colour">{own}{pick}{swatches}</div>'
    return ""


def _menus(tab: str, mode: Mode, words: Words) -> str:
    layer = words.layer
    edits = _entry("Fill all", "fill", "F") + ("" if mode == "colour" else _entry("Invert", "invert", "I"))
    edits += _entry("Clear" if mode != "depth" else "Start again", "clear", "Del")
    feather = (
        f'<div class="pt-feather">{_slider("feather", "Feather", 0, 64)}'
        + _button("Apply", "", "soft", data_act="applyFeather", disabled="")
        + "</div>"
    )
    saved = _entry(f"Open {layer}", "openMask") + _entry(f"Save {layer}", "saveMask")
    if mode == "mask":
        saved += _entry("Picture's transparency", "clearness")
    tints = "".join(_swatch("tint", name, title, "" if name == "auto" else name) for name, title in TINTS.items())
    look = _slider("opacity", "Opacity", 10, 100) + _entry(f"Only the {layer}", "alone", "M", "data-stay aria-pressed=false")
    if mode == "mask":
        look += f'<div class="pt-swatches" role="group" aria-label="Colour of the mask">{tints}</div>'
    picture = (
        _entry("Open another", "open", "O", needs=False) + _entry("Camera", "camera", needs=False) + _entry("Remove", "remove")
    )
    title = layer.split()[0].capitalize()
    menus = (
        _menu(tab, title, edits + ("" if mode == "colour" else feather) + "<hr>" + saved)
        + _menu(tab, "View", look)
        + _menu(tab, "Picture", picture)
    )
    return f'<div class="pt-menus">{menus}</div>'


def _zoom() -> str:
    return (
        '<div class="pt-set plain" role="group" aria-label="Zoom">'
        + _act("Farther (-)", "farther", "minus")
        + '<span class="pt-zoom" data-part="zoom"></span>'
        + _act("Nearer (+)", "nearer", "plus")
        + _act("Fit (0)", "fit")
        + "</div>"
    )


def _svg(name: str) -> str:
    return f'<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d="{ICONS[name]}"/></svg>'


def _button(label: str, icon: str, kind: str, **attributes: str) -> str:
    written = "".join(f' {name.replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
    return f'<button type="button" class="btn {kind}"{written}>{_svg(icon) if icon else ""}<span>{escape(label)}</span></button>'


def _tool(title: str, icon: str, act: str) -> str:
    """A button that is pressed or not."""
    return (
        f'<button type="button" class="btn pt-tool" data-act="{act}" data-needs aria-pressed="false" title="{title}" '
        f'aria-label="{title.partition(" (")[0]}">{_svg(icon)}</button>'
    )


def _act(title: str, act: str, icon: str = "") -> str:
    label = title.partition(" (")[0]
    return (
        f'<button type="button" class="btn" data-act="{act}" data-needs title="{title}" aria-label="{label}">'
        f"{_svg(icon or act)}</button>"
    )


def _entry(label: str, act: str, key: str = "", more: str = "", needs: bool = True) -> str:
    shortcut = f"<kbd>{key}</kbd>" if key else ""
    return (
        f'<button type="button" class="btn pt-entry" data-act="{act}"{" data-needs" if needs else ""} {more}>'
        f"<span>{escape(label)}</span>{shortcut}</button>"
    )


def _slider(name: str, label: str, low: int, high: int) -> str:
    return (
        f'<label class="pt-number pt-{name}"><span>{label}</span><input type="range" min="{low}" max="{high}" '
        f'data-set="{name}" data-needs aria-label="{label}"{" value=0" if name == "feather" else ""}>'
        f'<output data-part="{name}-words">{"0 px" if name == "feather" else ""}</output></label>'
    )


def _swatch(act: str, value: str, title: str, colour: str) -> str:
    kind = f"pt-tint-{value}" if act == "tint" else ""
    style = f' style="--swatch: {colour}"' if act == "colour" else ""
    return (
        f'<button type="button" class="pt-swatch {kind}" data-act="{act}" data-value="{value}" data-needs data-stay '
        f'aria-pressed="false" title="{title}" aria-label="{title}"{style}></button>'
    )


def _menu(tab: str, label: str, inside: str) -> str:
    name = f"{tab}_painter_{label.lower()}"
    return (
        '<div class="pt-menu" data-closed>'
        f'<button type="button" class="btn" data-menu aria-expanded="false" aria-controls="{name}">'
        f"<span>{label}</span>{_svg('down')}</button>"
        f'<div class="pt-sheet" data-part="sheet" id="{name}" role="group" aria-label="{label}" hidden>{inside}</div></div>'
    )


def _notice(part: str, words: str, action: str, role: str = "status") -> str:
    close = f'<button type="button" class="btn" data-act="dismiss" title="Close" aria-label="Close">{_svg("close")}</button>'
    return (
        f'<div class="pt-notice pt-{part}" role="{role}" data-part="{part}" hidden><span data-part="words">{words}</span>'
        f"{action}{close}</div>"
    )
