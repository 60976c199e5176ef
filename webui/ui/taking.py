"""Settings that come onto a tab from elsewhere: from a finished picture, or from what a dropped one says of itself.

Script puts JSON into a box that nobody sees; the answer fills the tab's controls, also of a tab that was never opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from webui.contract import infotext
from webui.contract.errors import FieldError, WebUIError
from webui.contract.request import GenerationRequest, enlarge_request_from, request_from, request_to_dict
from webui.engine import own_options
from webui.engine.references import References
from webui.ui import own_text
from webui.ui.controls import IN_PAGE, QUIET, Controls
from webui.ui.fields import ENLARGING, FIELDS, OWN, value_of
from webui.ui.panels import NO_PANELS, Panels
from webui.ui.quiet_gradio import gr
from webui.workspace.app import App

SEEDS = ("seed", "variation_seed")
"""Digits in JSON: a browser's numbers would round them."""


def from_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a request as a job's JSON has them, to what request_from takes."""
    return {name: int(value) if name in SEEDS and isinstance(value, str) else value for name, value in values.items()}


def to_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """The other way."""
    return {name: str(value) if name in SEEDS else value for name, value in values.items()}


def taker(tab: str, made: Controls, panels: Panels = NO_PANELS) -> None:
    """The box TAB_take: {"values": fields of a request}. Only controls of those fields change.

    Args:
        panels: of the tab; they get what the request says of them.
    """
    box = _box(f"{tab}_take")
    answer = gr.JSON(None, visible=False)
    table, made_of = (ENLARGING, enlarge_request_from) if tab == "upscale" else (FIELDS, request_from)
    names, kept = list(made), [made[OWN]] if OWN in made else []
    carried = own_text.CARRIED if kept else ()

    def written(request: Any, name: str) -> Any:
        return table[name].write(getattr(request, name)) if tab == "upscale" else value_of(request, name)

    def take(text: str, *before: str) -> list[Any]:
        try:
            asked = json.loads(text)
            values = {name: value for name, value in from_json(asked["values"]).items() if name in table or name in carried}
            request = made_of(values)
        except WebUIError as error:
            return [{"message": f"These settings were not taken. {error}"}, *[gr.skip()] * len(names)]
        except (ValueError, KeyError, TypeError, AttributeError):
            return [{"message": "These settings cannot be read."}, *[gr.skip()] * len(names)]
        filled = {name: written(request, name) if name in values else gr.skip() for name in names}
        if kept and isinstance(request, GenerationRequest) and (came := _own_of(values, request, panels)):
            filled[OWN] = own_text.written(came, request.sampler, request.schedule, *before)
        return [{"message": ""}, *filled.values()]

    filled = box.change(take, [box, *kept], [answer, *made.values()], **QUIET)
    panels.fill(filled.success)
    filled.success(None, answer, None, js=f"answer => LW.take.taken('{tab}', answer)", **IN_PAGE)


def _own_of(values: Mapping[str, Any], request: GenerationRequest, panels: Panels) -> dict[str, Any]:
    """What comes with these values of what extensions are asked: with another sampler its own options, or none; with all that a
    picture was made by, its parts, or none. A panel that this tab does not have could not be seen, so it is left out."""
    came = {name for name in own_text.CARRIED if name in values}
    came |= {f"{name}_options" for name in ("sampler", "schedule") if name in values}
    if "steps" in values and "sampler" in values:
        came |= set(own_text.CARRIED)
    own = {name: getattr(request, name) for name in came}
    return own | ({"extras": panels.known(own["extras"])} if "extras" in own else {})


def reader(app: App) -> None:
    """The box "said": {"tab", "name" of a kept picture or "text"}. How it says it was made goes to script, as an offer."""
    box = _box("said")
    answer = gr.JSON(None, visible=False)

    def read(text: str) -> dict[str, Any]:
        try:
            asked = json.loads(text)
            tab = str(asked["tab"])
            if asked.get("name"):
                written = app.infotext_of(app.inputs.path(str(asked["name"])).read_bytes())
                if not written:
                    raise FieldError("image", "This picture does not say how it was made.")
            else:
                written = str(asked["text"])
            return {"tab": tab, **offered(app, written)}
        except WebUIError as error:
            return {"tab": tab, "message": str(error)}
        except (ValueError, KeyError, TypeError, OSError):
            return {"tab": "", "message": "This cannot be read."}

    box.change(read, box, answer, **QUIET).success(None, answer, None, js="answer => LW.take.offer(answer)", **IN_PAGE)


def offered(app: App, text: str) -> dict[str, Any]:
    """What an infotext would set, as JSON: values, a line of words, and what cannot be taken over."""
    said = infotext.read(text)
    parts = app.parts
    values, notes = infotext.to_request(said, parts.samplers.names(), parts.schedules.names(), app.inputs.has)
    values, left_out = own_options.fitting(values, parts, References(parts, app.shelf, app.inputs.open))
    notes += [*left_out, *_strange(app, values.get("extras", {}))]
    lines = text.strip().split("\n")
    words = lines[-1] if said.fields else ""
    whole = request_to_dict(request_from(values))
    return {"values": to_json({name: whole[name] for name in values}), "prompt": said.prompt, "words": words, "notes": notes}


def _strange(app: App, extras: Mapping[str, Any]) -> list[str]:
    """A sentence for each extension that has values in a text and is not here."""
    here = {app.parts.panels.owner(part.name) for part in app.parts.panels}
    return [
        f"The values of the panel of {name[:60]!r} are left out: that extension is not here."
        for name in extras
        if name not in here
    ]


def _box(element: str) -> Any:
    return gr.Textbox("", elem_id=element, label=element, elem_classes="kept", max_length=500_000, interactive=True)
