"""What every tab that makes pictures does when Generate is pressed."""

from __future__ import annotations

from typing import Any

from webui.contract.errors import WebUIError
from webui.ui.controls import IN_PAGE, QUIET, Controls
from webui.ui.fields import request_of
from webui.ui.header import Header
from webui.ui.markup import button, html
from webui.ui.quiet_gradio import gr
from webui.ui.reading import wanted
from webui.workspace.app import App


def actions(tab: str, app: App, header: Header, made: Controls) -> None:
    """Generate and Interrupt. Generate hands a job to the queue and is free again at once; the page sees the job's events."""
    with gr.Row(elem_classes="actions"):
        go = gr.Button("Generate", variant="primary", elem_id=f"{tab}_generate")
        stop = button("Interrupt", "stop", "soft", id=f"{tab}_interrupt", data_do="interrupt", data_tab=tab, disabled="")
        html(stop, elem_classes="stop", js_on_load="LW.stage.drawAll()")
    answer = gr.JSON(None, visible=False)
    names = list(made)

    def generate(checkpoint: str | None, *values: Any) -> dict[str, str]:
        """The job's id, or one sentence that says why there is none. What the checkpoint does not read is not asked for."""
        try:
            asked = wanted(app, checkpoint or "", dict(zip(names, values, strict=True)))
            request = request_of(list(asked), list(asked.values()), checkpoint=checkpoint or "")
            return {"job": app.queue.submit(request, tab=tab).id, "message": ""}
        except WebUIError as error:
            return {"job": "", "message": str(error)}

    pressed = go.click(generate, [header.checkpoint, *made.values()], answer, **QUIET)
    pressed.success(None, answer, None, js=f"answer => LW.stage.answered('{tab}', answer)", **IN_PAGE)
