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
        + button("Open the tab", "chevron", "soft", data_do="goto", data_part="goto", hidden="")
        + button("Use it", "show", "soft", data_do="use", data_part="use")
        + "</div>"
    )


def offer(tab: str) -> str:
    """What a dropped picture or a pasted text says of how it was made, to be taken or not; script fills it."""
    return (
        f'<div class="offer" data-tab="{tab}" role="status" hidden><strong data-part="title"></strong>'
        '<p class="hint" data-part="words"></p><p class="hint" data-part="notes"></p><div class="offer-tools">'
        + button("Take all", "check", "soft", data_do="take", data_what="all")
        + button("Only the prompt", "txt2img", data_do="take", data_what="prompt")
        + button("", "close", title="Leave it", data_do="leave")
        + "</div></div>"
    )
