"""What the page keeps of all that extensions are asked: one text a tab, since each control of Gradio's makes the page slower.

    {"sampler": {part: {option: value}}, "schedule": the same, "conditioners": [{"name", "options", "off"}], "guiders": the same,
     "script": name, "scripts": {part: {option: value}}, "extras": {extension: {field: value}}}

It keeps the options of each sampler, schedule and script that was chosen before, and of what is switched off; a request has those
of the chosen ones. assets/own_box.js reads and writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CARRIED = ("sampler_options", "schedule_options", "conditioners", "guiders", "script", "script_options", "extras")
"""Fields of a request that stand in it."""
LETTERS = 400_000


def read(text: Any) -> dict[str, Any] | None:
    """None where it is damaged."""
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def fields_of(text: Any, sampler: Any, schedule: Any) -> dict[str, Any]:
    """Fields of a request. What cannot be right goes through as it is: the request's check says so."""
    own = read(text)
    if own is None:
        return {"extras": text}
    script = own.get("script", "")
    return {
        "sampler_options": _of(own.get("sampler", {}), sampler),
        "schedule_options": _of(own.get("schedule", {}), schedule),
        "conditioners": _chosen(own.get("conditioners", [])),
        "guiders": _chosen(own.get("guiders", [])),
        "script": script,
        "script_options": _of(own.get("scripts", {}), script) if script else {},
        "extras": own.get("extras", {}),
    }


def written(values: Mapping[str, Any], sampler: str, schedule: str, before: Any = "") -> str:
    """The text that asks for these fields; of `before` it keeps what they do not say.

    Args:
        values: fields of a request, of CARRIED. sampler, schedule: whose options are meant.
    """
    own = read(before) or {}
    script = values.get("script", own.get("script", ""))
    for name, key, part in (("sampler_options", "sampler", sampler), ("schedule_options", "schedule", schedule)):
        if name in values:
            own[key] = {**_mapping(own.get(key)), part: dict(values[name])}
    if "script_options" in values and script:
        own["scripts"] = {**_mapping(own.get("scripts")), script: dict(values["script_options"])}
    for name in ("conditioners", "guiders"):
        if name in values:
            own[name] = [{"name": one.name, "options": dict(one.options)} for one in values[name]]
    own |= {name: values[name] for name in ("script", "extras") if name in values}
    kept = {key: _without_empty(value) for key, value in own.items()}
    kept = {key: value for key, value in kept.items() if value}
    return json.dumps(kept, default=dict) if kept else ""


def _of(options: Any, part: Any) -> Any:
    return options.get(part or "", {}) if isinstance(options, Mapping) else options


def _chosen(values: Any) -> Any:
    """Those that are on, without the mark."""
    if not isinstance(values, list):
        return values
    on = [one for one in values if not (isinstance(one, dict) and one.get("off"))]
    return [{key: value for key, value in one.items() if key != "off"} if isinstance(one, dict) else one for one in on]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _without_empty(value: Any) -> Any:
    return {key: inner for key, inner in value.items() if inner != {}} if isinstance(value, dict) else value
