"""The upscale tab: a finished picture made larger, by a filter, a network, or a checkpoint that draws the larger one."""

from __future__ import annotations

import re
from typing import Any

from webui.contract.request import Request
from webui.ui import controls, picture_fields
from webui.ui.board import board
from webui.ui.controls import QUIET, Controls
from webui.ui.fields import enlarge_request_of, whole
from webui.ui.header import Header
from webui.ui.making import Values, actions, with_picture
from webui.ui.markup import html
from webui.ui.picture_fields import size_words
from webui.ui.quiet_gradio import gr
from webui.ui.reading import drawing_upscaler
from webui.workspace.app import App

NAME = "upscale"


def build(app: App, header: Header) -> Controls:
    made: Controls = {}
    with gr.Row(elem_classes=["studio", "paired"], elem_id=f"{NAME}_studio"):
        with gr.Column(elem_classes="controls", elem_id=f"{NAME}_panel", min_width=0):
            with gr.Column(elem_classes="controls-scroll", min_width=0):
                with controls.column("sheet plain"):
                    made["upscaler"] = picture_fields.upscaler_menu(NAME, app, header, "upscaler", "Lanczos")
                    made["scale"] = controls.amount(NAME, "scale", 1, 8, 2, 0.25)
                    with gr.Row(elem_classes="pair"):
                        for side in ("width", "height"):
                            made[side] = controls.inset_text(NAME, side, placeholder="by the factor")
                    made["crop"] = controls.tick(NAME, "crop", True)
                    told = html("", elem_id=f"{NAME}_size", elem_classes="told")
                with controls.column("sheet drawing", visible=False) as drawing:
                    made |= _drawing_fields()
                with controls.column("sheet groups"):
                    made |= _second_fields(app, header)
                    made |= _tile_fields()
                    picture_fields.folder_group(NAME)
            actions(NAME, app, header, made, enlarge, has_picture=True)
        board(NAME, "view")
    _follow(app, made, drawing, told)
    return made


def _second_fields(app: App, header: Header) -> Controls:
    with controls.group(NAME, "second", "Mix in a second upscaler"):
        menu = picture_fields.upscaler_menu(NAME, app, header, "second_upscaler", "", [("None", "")])
        return {"second_upscaler": menu, "second_share": controls.amount(NAME, "second_share", 0, 1, 0.5, 0.01)}


def _tile_fields() -> Controls:
    with controls.group(NAME, "tiles", "Tiles"), gr.Row(elem_classes="pair"):
        return {**picture_fields.tile_field(NAME), "tile_overlap": controls.inset(NAME, "tile_overlap", 16, step=1)}


def _drawing_fields() -> Controls:
    """For checkpoints that draw the larger picture."""
    made = controls.prompt_fields(NAME, lines=2)
    with gr.Row(elem_classes="pair"):
        made["noise_level"] = controls.inset_text(NAME, "noise_level", placeholder="its own")
        made["seed"] = controls.inset_text(NAME, "seed", "-1")
    with gr.Row(elem_classes="pair"):
        made["steps"] = controls.inset_text(NAME, "steps", placeholder="its own")
        made["guidance"] = controls.inset_text(NAME, "guidance", placeholder="its own")
    return made


def _follow(app: App, made: Controls, drawing: Any, told: Any) -> None:
    """The words on the size follow the picture and the numbers; what only a drawing upscaler reads is shown with one."""
    source = gr.Textbox("", elem_id=f"{NAME}_source", label="Size of the picture", elem_classes="kept", interactive=True)
    numbers = [made[name] for name in ("scale", "width", "height", "crop")]

    def words(source: str, scale: Any, width: Any, height: Any, crop: bool) -> str:
        """Of a picture of "512x768"."""
        size = re.fullmatch(r"(\d{1,6})x(\d{1,6})", source or "")
        if not size:
            return '<p class="hint">Open a picture, and its new size stands here.</p>'
        return size_words((int(size[1]), int(size[2])), scale, (whole(width) or 0, whole(height) or 0), bool(crop))

    def shown(*upscalers: str) -> Any:
        return gr.update(visible=any(drawing_upscaler(app, name or "") for name in upscalers))

    gr.on([control.change for control in (source, *numbers)], words, [source, *numbers], told, **QUIET)
    chosen = [made["upscaler"], made["second_upscaler"]]
    gr.on([control.change for control in chosen], shown, chosen, drawing, **QUIET)


def enlarge(app: App, _checkpoint: str, values: Values, given: Values) -> Request:
    """What only a drawing upscaler reads is not asked of another."""
    asked = dict(values)
    if not any(drawing_upscaler(app, str(values.get(name) or "")) for name in ("upscaler", "second_upscaler")):
        for name in ("prompt", "negative_prompt", "noise_level", "steps", "guidance", "seed"):
            asked.pop(name, None)
    return enlarge_request_of({**asked, "image": with_picture(given)["image"]})
