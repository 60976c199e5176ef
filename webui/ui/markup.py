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
