"""The depth tab: a picture's near and far parts stay where they are, all else is drawn anew."""

from __future__ import annotations

from typing import Any

from webui.contract.errors import WebUIError
from webui.contract.request import Request
from webui.ui import chosen, controls, picture_fields
from webui.ui.board import board
from webui.ui.controls import IN_PAGE, QUIET, Controls
from webui.ui.fields import request_of
from webui.ui.header import Header, defaults_of
from webui.ui.making import Values, actions, with_picture
from webui.ui.quiet_gradio import gr
from webui.ui.reading import depth_title, wanted
from webui.workspace.app import App

NAME = "depth"


def build(app: App, header: Header) -> Controls:
    defaults = defaults_of(app)
    made: Controls = {}
    with gr.Row(elem_classes=["studio", "paired"], elem_id=f"{NAME}_studio"):
        with gr.Column(elem_classes="controls", elem_id=f"{NAME}_panel", min_width=0):
            with gr.Column(elem_classes="controls-scroll", min_width=0):
                with controls.column("sheet first"):
                    made |= controls.prompt_fields(NAME, lines=3)
                with controls.column("sheet"):
                    made |= picture_fields.strength_field(NAME, defaults.get("strength", 0.75))
                    made |= picture_fields.depth_fields(NAME)
                    _estimate(app)
                with controls.column("sheet"):
                    made |= controls.sampling_fields(NAME, app, defaults, has_refiner=False)
                with controls.column("sheet"):
                    made |= controls.size_fields(NAME, app, header, defaults, has_picture=True)
                    made |= picture_fields.resize_field(NAME)
                    made |= controls.seed_fields(NAME)
                    made |= controls.batch_fields(NAME)
                with controls.column("sheet groups"):
                    made |= controls.advanced_fields(NAME)
                    chosen.extension_groups(NAME, app, header, made)
            actions(NAME, app, header, made, guided, has_picture=True)
        board(NAME, "depth")
    return made


def _estimate(app: App) -> None:
    """The estimated depth comes onto the painter, to be seen and painted over."""
    show = gr.Button("Show the depth", elem_id=f"{NAME}_estimate", elem_classes="i-depth")
    given, answer = gr.JSON({}, visible=False), gr.JSON(None, visible=False)

    def estimate(given: dict[str, Any] | None) -> dict[str, str]:
        came = given or {}
        try:
            if came.get("message"):
                return {"depth": "", "message": str(came["message"])}
            return {"depth": app.depth_of(str(with_picture(came)["image"])), "message": ""}
        except WebUIError as error:
            return {"depth": "", "message": str(error)}

    pressed = show.click(estimate, given, answer, js=f"async () => [await LW.board.collect('{NAME}', true)]", **QUIET)
    pressed.success(None, answer, None, js=f"answer => LW.board.depth('{NAME}', answer)", **IN_PAGE)


def guided(app: App, checkpoint: str, values: Values, given: Values) -> Request:
    """What the checkpoint that draws reads is asked for: the chosen one, or the one that takes its place."""
    came = with_picture(given)
    asked = wanted(app, depth_title(app, checkpoint) or checkpoint, values)
    depth = {"depth": came["mask"]} if came.get("mask") else {}
    more = {"checkpoint": checkpoint, "image": came["image"], "depth_guided": True, **depth}
    return request_of(list(asked), list(asked.values()), **more)
