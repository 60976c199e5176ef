"""The inpaint tab: a part of a picture painted anew, or the picture painted on beyond its edges."""

from __future__ import annotations

from webui.contract.request import Request
from webui.ui import chosen, controls, picture_fields
from webui.ui.board import board
from webui.ui.controls import Controls
from webui.ui.header import Header, defaults_of
from webui.ui.making import Values, actions, ask, with_picture
from webui.ui.markup import html, unserved
from webui.ui.quiet_gradio import gr
from webui.workspace.app import App

NAME = "inpaint"


def build(app: App, header: Header) -> Controls:
    defaults = defaults_of(app)
    made: Controls = {}
    with gr.Row(elem_classes=["studio", "paired"], elem_id=f"{NAME}_studio"):
        with gr.Column(elem_classes="controls", elem_id=f"{NAME}_panel", min_width=0):
            html(unserved(NAME), elem_classes="unserved")
            with gr.Column(elem_classes="controls-scroll", min_width=0):
                with controls.column("sheet first"):
                    made |= controls.prompt_fields(NAME, lines=3)
                with controls.column("sheet things"):
                    made |= picture_fields.thing_fields(NAME)
                with controls.column("sheet masking"):
                    made |= picture_fields.strength_field(NAME, defaults.get("strength", 0.75))
                    made |= picture_fields.mask_fields(NAME)
                with controls.column("sheet"):
                    made |= controls.sampling_fields(NAME, app, defaults)
                with controls.column("sheet"):
                    made |= controls.size_fields(NAME, app, header, defaults, has_picture=True)
                    made |= picture_fields.resize_field(NAME)
                    made |= controls.seed_fields(NAME)
                    made |= controls.batch_fields(NAME)
                with controls.column("sheet groups"):
                    made |= picture_fields.extend_fields(NAME)
                    made |= controls.told_fields(NAME)
                    made |= controls.advanced_fields(NAME)
                    chosen.extension_groups(NAME, app, header, made)
            actions(NAME, app, header, made, repaint, has_picture=True)
        board(NAME, "mask")
    return made


def repaint(app: App, checkpoint: str, values: Values, given: Values) -> Request:
    return ask(app, checkpoint, values, with_picture(given))
