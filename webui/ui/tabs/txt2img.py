"""The txt2img tab: words to pictures."""

from __future__ import annotations

from webui.ui import chosen, controls, picture_fields, stage
from webui.ui.controls import Controls
from webui.ui.header import Header, defaults_of
from webui.ui.hires import hires_again
from webui.ui.making import actions
from webui.ui.markup import html, unserved
from webui.ui.quiet_gradio import gr
from webui.workspace.app import App

NAME = "txt2img"


def build(app: App, header: Header) -> Controls:
    defaults = defaults_of(app)
    made: Controls = {}
    with gr.Row(elem_classes="studio", elem_id=f"{NAME}_studio"):
        with gr.Column(elem_classes="controls", elem_id=f"{NAME}_panel", min_width=0):
            html(unserved(NAME), elem_classes="unserved")
            with gr.Column(elem_classes="controls-scroll", min_width=0):
                with controls.column("sheet first"):
                    made |= controls.prompt_fields(NAME)
                with controls.column("sheet things has-map"):
                    made |= picture_fields.thing_fields(NAME, has_map=True)
                with controls.column("sheet"):
                    made |= controls.sampling_fields(NAME, app, defaults)
                with controls.column("sheet"):
                    made |= controls.size_fields(NAME, app, header, defaults)
                    made |= controls.seed_fields(NAME)
                    made |= controls.batch_fields(NAME)
                with controls.column("sheet groups"):
                    made |= picture_fields.hires_fields(NAME, app, header, (made["width"], made["height"]))
                    made |= controls.told_fields(NAME)
                    made |= controls.advanced_fields(NAME)
                    chosen.extension_groups(NAME, app, header, made)
            actions(NAME, app, header, made)
        stage.stage(NAME)
    hires_again(NAME, app, made)
    return made
