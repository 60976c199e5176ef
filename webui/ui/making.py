"""What every tab that makes pictures does when Generate is pressed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from webui.contract.errors import FieldError, WebUIError
from webui.contract.request import Request
from webui.ui.controls import IN_PAGE, QUIET, Controls
from webui.ui.fields import request_of
from webui.ui.header import Header
from webui.ui.markup import button, html
from webui.ui.quiet_gradio import gr
from webui.ui.reading import wanted
from webui.workspace.app import App

Values = Mapping[str, Any]
Ask = Callable[[App, str, Values, Values], Request]
"""(app, checkpoint, the controls' values by field, {"image": name, "mask": name} of what goes in) -> request"""


def ask(app: App, checkpoint: str, values: Values, given: Values) -> Request:
    """What a tab asks for by its controls and the pictures that go in. What the checkpoint does not read is not asked for.

    Raises:
        FieldError: a value is of the wrong kind or out of its range.
    """
    asked = wanted(app, checkpoint, values)
    return request_of(list(asked), list(asked.values()), checkpoint=checkpoint, **given)


def with_picture(given: Values) -> Values:
    """Raises FieldError where nothing goes in."""
    if not given.get("image"):
        raise FieldError("image", "Open a picture first: drop one on this page, paste one, or choose a file.")
    return given


def actions(tab: str, app: App, header: Header, made: Controls, ask: Ask = ask, has_picture: bool = False) -> None:
    """Generate and Interrupt. Generate hands a job to the queue and is free again at once; the page sees the job's events.

    Args:
        ask: makes the request.
        has_picture: whether the tab has a painter, whose picture and paint script hands in with the press.
    """
    with gr.Row(elem_classes="actions"):
        go = gr.Button("Generate", variant="primary", elem_id=f"{tab}_generate")
        stop = button("Interrupt", "stop", "soft", id=f"{tab}_interrupt", data_do="interrupt", data_tab=tab, disabled="")
        html(stop, elem_classes="stop", js_on_load="LW.stage.drawAll()")
    answer, given = gr.JSON(None, visible=False), gr.JSON({}, visible=False)
    names = list(made)

    def generate(given: dict[str, Any] | None, checkpoint: str | None, *values: Any) -> dict[str, Any]:
        """The jobs' ids, or one sentence that says why there is none."""
        came = given or {}
        once = came.get("once") or {}  # of an example that was clicked: what the controls do not keep
        title = once.get("checkpoint") or checkpoint or ""
        jobs: list[str] = []
        try:
            if came.get("message"):
                raise FieldError("image", str(came["message"]))
            asked = dict(zip(names, values, strict=True)) | ({"seed": once["seed"]} if once.get("seed") else {})
            pictures = {name: came[name] for name in ("image", "mask") if came.get(name)}
            for image in came.get("batch") or [pictures.get("image", "")]:
                request = ask(app, title, asked, {**pictures, "image": image} if image else pictures)
                jobs.append(app.queue.submit(request, tab=tab).id)
        except WebUIError as error:
            queued = f"{len(jobs)} pictures were queued, then: " if jobs else ""
            return {"job": jobs[-1] if jobs else "", "jobs": len(jobs), "message": f"{queued}{error}"}
        return {"job": jobs[-1], "jobs": len(jobs), "message": ""}

    script = f"async (given, ...rest) => [await LW.given('{tab}', {str(has_picture).lower()}), ...rest]"
    pressed = go.click(generate, [given, header.checkpoint, *made.values()], answer, js=script, **QUIET)
    pressed.success(None, answer, None, js=f"answer => LW.stage.answered('{tab}', answer)", **IN_PAGE)
