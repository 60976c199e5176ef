"""The Hires button of a finished picture: drawn again from its own request, with the second pass of the panel."""

from __future__ import annotations

import json
from typing import Any

from webui.contract.errors import FieldError, WebUIError
from webui.contract.request import request_from
from webui.ui.controls import IN_PAGE, QUIET, Controls
from webui.ui.fields import FIELDS
from webui.ui.quiet_gradio import gr
from webui.ui.taking import from_json
from webui.workspace.app import App

SCALE = 2.0
"""Where the panel's pass is off."""


def hires_again(tab: str, app: App, made: Controls) -> None:
    """Script puts the picture's request (JSON) into a box that nobody sees; the same request gives the same picture, and
    its second pass is drawn on it."""
    box = gr.Textbox("", elem_id=f"{tab}_hires_again", label="Picture to enlarge", elem_classes="kept", interactive=True)
    names = [name for name in made if name.startswith("hires_")]
    answer = gr.JSON(None, visible=False)

    def again(text: str, *values: Any) -> dict[str, Any]:
        try:
            asked = {name: FIELDS[name].read(value) for name, value in zip(names, values, strict=True)}
            if asked["hires_scale"] == 1 and not (asked["hires_width"] or asked["hires_height"]):
                asked["hires_scale"] = SCALE
            request = request_from({**from_json(json.loads(text)["values"]), **asked})
            return {"job": app.queue.submit(request, tab=tab).id, "message": ""}
        except (ValueError, KeyError, TypeError) as problem:
            raise FieldError("request", "The picture's request cannot be read. Use its settings instead.") from problem
        except WebUIError as error:
            return {"job": "", "message": str(error)}

    changed = box.change(again, [box, *(made[name] for name in names)], answer, **QUIET)
    changed.success(None, answer, None, js=f"answer => LW.stage.answered('{tab}', answer)", **IN_PAGE)
