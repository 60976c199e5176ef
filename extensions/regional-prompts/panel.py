"""The panel: boxes drawn on an area of the picture's proportions, kept as lines of text (see regions.py)."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("panel.js")
STYLE = Path(__file__).with_name("panel.css")
HOW = (
    "Drag a box, and say what it shows. Arrow keys move the chosen box, with Shift its far corner; Delete takes it away. "
    "The picture's own prompt is for all around."
)


def build(app: Any, tab: str) -> dict[str, Any]:
    import gradio as gr

    element = f"regional-prompts-{tab}"
    html = (
        f'<div class="rp" data-tab="{tab}"><p class="hint">{escape(HOW)}</p>'
        '<div class="rp-area" data-part="area" role="group" aria-label="Boxes on the picture"></div>'
        '<ol class="rp-list" data-part="list" aria-label="Prompts of the boxes"></ol>'
        '<div class="rp-tools"><button type="button" class="btn soft" data-part="add">Add a box</button>'
        '<button type="button" class="btn" data-part="clear">Take all away</button></div></div>'
    )
    script = f"{SCRIPT.read_text('utf-8')}\nregionalPrompts(element, {json.dumps(tab)}, {json.dumps(element)});"
    gr.HTML(f"<style>{STYLE.read_text('utf-8')}</style>{html}", apply_default_css=False, js_on_load=script)
    regions = gr.Textbox("", label="Regions", elem_id=element, elem_classes="kept", max_length=20_000, interactive=True)
    feather = gr.Slider(0, 0.5, 0.1, step=0.01, label="Feather", elem_classes="line", interactive=True)
    base = gr.Slider(0, 1, 0.2, step=0.01, label="Base share", elem_classes="line", interactive=True)
    told = f"text => window.regionalPromptsSaid?.({json.dumps(tab)}, text)"
    regions.change(None, regions, None, js=told, queue=False, show_progress="hidden", api_visibility="private")
    return {"regions": regions, "feather": feather, "base": base}
