"""The img2img tab: a picture, with what was sketched on it, painted anew; or varied, or mixed with another."""

from __future__ import annotations

from PIL import Image

from webui.contract.request import Request
from webui.ui import chosen, controls, picture_fields
from webui.ui.board import board
from webui.ui.controls import Controls
from webui.ui.header import Header, defaults_of
from webui.ui.making import Values, actions, ask, with_picture
from webui.ui.markup import html, unserved
from webui.ui.quiet_gradio import gr
from webui.workspace.app import App

NAME = "img2img"


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
                with controls.column("sheet mixing"):
                    made |= picture_fields.mixing_fields(NAME)
                with controls.column("sheet"):
                    made |= picture_fields.strength_field(NAME, defaults.get("strength", 0.75))
                    made |= picture_fields.resize_field(NAME)
                    made |= picture_fields.colours_field(NAME)
                with controls.column("sheet"):
                    made |= controls.sampling_fields(NAME, app, defaults)
                with controls.column("sheet"):
                    made |= controls.size_fields(NAME, app, header, defaults, has_picture=True)
                    made |= controls.seed_fields(NAME)
                    made |= controls.batch_fields(NAME)
                with controls.column("sheet groups"):
                    picture_fields.folder_group(NAME)
                    made |= controls.told_fields(NAME)
                    made |= controls.advanced_fields(NAME)
                    chosen.extension_groups(NAME, app, header, made)
            actions(NAME, app, header, made, repaint, has_picture=True)
        board(NAME, "colour", blank="512x512")
    return made


def repaint(app: App, checkpoint: str, values: Values, given: Values) -> Request:
    """A sketch becomes a part of the picture: what is painted anew is what was seen."""
    image, sketch = with_picture(given)["image"], given.get("mask")
    return ask(app, checkpoint, values, {"image": composed(app, image, sketch) if sketch else image})


def composed(app: App, image: str, sketch: str) -> str:
    """The kept picture's name with a sketch (RGBA) laid on it, stretched where it has another size."""
    under, over = app.inputs.open(image).convert("RGBA"), app.inputs.open(sketch).convert("RGBA")
    if over.size != under.size:
        over = over.resize(under.size, Image.Resampling.BILINEAR)
    under.alpha_composite(over)
    is_clear = under.getchannel("A").getextrema() != (255, 255)
    return app.inputs.put(under if is_clear else under.convert("RGB"))
