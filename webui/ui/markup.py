"""Pieces of our own HTML. Words that are put in are escaped here; what changes later, assets/*.js change by textContent."""

from __future__ import annotations

from html import escape
from typing import Any

from webui.ui import icons
from webui.ui.quiet_gradio import gr


def html(value: str, **more: Any) -> Any:
    """A block of our own HTML."""
    return gr.HTML(value, apply_default_css=False, **more)


def button(label: str, icon: str, kind: str = "ghost", **attributes: str) -> str:
    """A button of ours, with attributes by name (data_do for data-do). A label of "" makes an icon alone, which needs title=."""
    said = {"aria-label": attributes["title"], **attributes} if not label else attributes
    written = "".join(f' {name.replace("_", "-")}="{escape(value)}"' for name, value in said.items())
    words = f"<span>{escape(label)}</span>" if label else ""
    return f'<button type="button" class="btn {kind}"{written}>{icons.svg(icon)}{words}</button>'


def picture_line(element: str, label: str, hint: str) -> str:
    """One line for a picture: choose, drop or paste one; a small view of it, and a button that takes it away."""
    words = f"{label}{f' ({hint})' if hint else ''}"
    return (
        f'<div class="picture-line" data-picture="{escape(element)}" role="group" aria-label="{escape(label)}">'
        f'<span class="picture-label">{escape(label)}</span>'
        f'<label class="picture-drop" tabindex="-1"><input type="file" accept="image/png,image/jpeg,image/webp" class="unseen"'
        f' aria-label="{escape(words)}: choose a file"><img alt="" hidden>'
        f'<span data-part="words">{escape(f"Choose or drop: {hint}" if hint else "Choose or drop a picture")}</span></label>'
        + button("", "close", title=f"Take away: {label}", data_do="forget", hidden="")
        + "</div>"
    )


def unserved(tab: str) -> str:
    """Takes the controls' place where the checkpoint in use is of no use to a tab; script writes the words."""
    return (
        f'<div class="unserved-words" data-tab="{tab}" role="status"><p data-part="why"></p>'
        + button("Use it", "show", "soft", data_do="use", data_part="use")
        + "</div>"
    )
