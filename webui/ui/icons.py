"""Our own line icons on a 16 px grid, drawn with one stroke width, as path data."""

from __future__ import annotations

ICONS = {
    "mark": "M8 1.8l5.4 3.1v6.2L8 14.2l-5.4-3.1V4.9z M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 1 0 0-5.6",
    "txt2img": "M2 5V3h8v2 M6 3v10 M4.5 13h3 M12 8.5l.8 2.2 2.2.8-2.2.8-.8 2.2-.8-2.2-2.2-.8 2.2-.8z",
    "img2img": "M2 2.5h8.5V11H2z M13 5.5h1V14H5.5v-.6",
    "inpaint": "M13.8 2.2L7.6 8.6 M7.6 8.6c-1.9-.7-3.6.6-3.6 2.5 0 1.1-.6 1.8-1.8 2.1 3 1.1 6.7-.2 6.7-2.8 0-.9-.5-1.5-1.3-1.8z",
    "depth": "M8 2l6 3-6 3-6-3z M2 8l6 3 6-3 M2 11l6 3 6-3",
    "upscale": "M9.5 2.5h4v4 M13.5 2.5L9 7 M6.5 13.5h-4v-4 M2.5 13.5L7 9",
    "turbo": "M9 1.8L3.6 9H8l-1 5.2L12.4 7H8z",
    "compare": "M8 2v12 M5.5 4.5h-3v7h3 M10.5 4.5h3v7h-3",
    "hires": "M2.5 2.5h4v4h-4z M9.5 5.5h4v8h-8v-4 M9 2.5h1.5",
    "send": "M2.5 8h9 M8 4.5L11.5 8 8 11.5 M13.8 3v10",
    "fit": "M2.5 6V2.5H6 M10 2.5h3.5V6 M13.5 10v3.5H10 M6 13.5H2.5V10",
    "folder": "M2 4h4l1.5 1.8H14v7.2H2z",
    "plus": "M8 3v10 M3 8h10",
    "undo": "M5.5 3L2.5 6l3 3 M2.5 6h7a4 4 0 0 1 0 8H6",
    "camera": "M2 5h2.6l1.2-1.8h4.4L11.4 5H14v7.8H2z M8 6.6a2.1 2.1 0 1 0 0 4.2 2.1 2.1 0 1 0 0-4.2",
    "blank": "M3.5 2h6l3 3v9h-9z M9.5 2v3h3",
    "check": "M3 8.5l3.2 3.2L13 4.8",
    "queue": "M2 4h12 M2 8h12 M2 12h7",
    "extensions": "M2.5 2.5H7V7H2.5z M2.5 9H7v4.5H2.5z M9 9h4.5v4.5H9z M11.2 2.2v4.6 M8.9 4.5h4.6",
    "checkpoints": "M8 1.8l5.5 3v6.4L8 14.2l-5.5-3V4.8z M2.6 4.9L8 8l5.4-3.1 M8 8v6",
    "search": "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 1 0 0-9 M10.3 10.3l3.5 3.5",
    "refresh": "M13 6.2A5.3 5.3 0 0 0 3.4 5 M13.2 2.8v3.4H9.8 M3 9.8A5.3 5.3 0 0 0 12.6 11 M2.8 13.2V9.8h3.4",
    "pin": "M5.6 2.2h4.8 M6.4 2.2v4.2L4.4 9v.8h7.2V9l-2-2.6V2.2 M8 9.8v4.2",
    "load": "M8 2.2v7 M5 6.4l3 3 3-3 M2.5 10.5v3h11v-3",
    "unload": "M8 9.4v-7 M5 5.2l3-3 3 3 M2.5 10.5v3h11v-3",
    "theme": "M8 2.2a5.8 5.8 0 1 0 0 11.6 5.8 5.8 0 1 0 0-11.6 M8 2.2v11.6 M10.4 3.2v9.6 M12.4 5v6",
    "dice": "M3 3h10v10H3z M5.9 5.9h.01 M10.1 5.9h.01 M8 8h.01 M5.9 10.1h.01 M10.1 10.1h.01",
    "reuse": "M12.8 6A5.2 5.2 0 0 0 3.5 5.2L2.5 6.4 M2.5 3v3.4h3.4 M3.2 10a5.2 5.2 0 0 0 9.3.8l1-1.2 M13.5 13V9.6h-3.4",
    "swap": "M4.5 3L2 5.5 4.5 8 M2 5.5h11 M11.5 8L14 10.5 11.5 13 M14 10.5H3",
    "stop": "M4 4h8v8H4z",
    "copy": "M5.5 5.5h8v8h-8z M10.5 5.5v-3h-8v8h3",
    "save": "M8 2v8.5 M4.5 7L8 10.5 11.5 7 M2.5 13.5h11",
    "show": "M1.8 8S4 3.8 8 3.8 14.2 8 14.2 8 12 12.2 8 12.2 1.8 8 1.8 8z M8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 1 0 0-3.6",
    "chevron": "M6 3l5 5-5 5",
    "up": "M3.5 9.5L8 5l4.5 4.5",
    "down": "M3.5 6.5L8 11l4.5-4.5",
    "close": "M3.5 3.5l9 9 M12.5 3.5l-9 9",
    "alert": "M8 2L1.8 13.5h12.4z M8 6.5v3.2 M8 11.7h.01",
    "keyboard": "M1.8 4h12.4v8H1.8z M4.5 6.7h.01 M7 6.7h.01 M9.5 6.7h.01 M12 6.7h.01 M5 9.5h6",
}


HANDLE = "M5.5 5L2.5 8l3 3 M10.5 5l3 3-3 3"
"""Of the line between before and after: it lies on pictures, so it is black on white in both themes."""


def svg(name: str) -> str:
    """An icon to stand in HTML; it takes the colour of the text."""
    return f'<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d="{ICONS[name]}"/></svg>'


def css_variables() -> str:
    """The icons as --icon-NAME masks, for places where only CSS can put one (tabs, gr.Button)."""
    shape = (
        "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='none' stroke='%23000' stroke-width='1.4' "
        "stroke-linecap='round' stroke-linejoin='round'%3E%3Cpath d='{}'/%3E%3C/svg%3E"
    )
    named = {**ICONS, "handle": HANDLE}
    lines = (f'--icon-{name}:url("data:image/svg+xml,{shape.format(path)}")' for name, path in named.items())
    return ":root{" + ";".join(lines) + "}"
