"""Pictures that stand in the options of a request's parts: kept, and replaced by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from webui.contract.options import options_of
from webui.contract.parts import Parts
from webui.contract.request import CHOSEN, request_from

Keep = Callable[[str, str], str]
"""(what stands in an option, field of the request) -> the name of the kept picture"""


def with_kept(values: Mapping[str, Any], parts: Parts, keep: Keep) -> dict[str, Any]:
    """The fields of a request, untrusted, the same but for the pictures in options of its conditioners, guiders and script.

    Raises:
        FieldError: a field cannot be read, or keep says so.
    """
    made = dict(values)
    for field in CHOSEN:
        if values.get(field):
            registry, chosen = getattr(parts, field), getattr(request_from({field: values[field]}), field)
            functions = {one.name: registry[one.name].function if one.name in registry else None for one in chosen}
            made[field] = [{"name": one.name, "options": _kept(functions[one.name], one.options, field, keep)} for one in chosen]
    script, options = values.get("script"), values.get("script_options")
    if isinstance(script, str) and script in parts.scripts and isinstance(options, Mapping):
        made["script_options"] = _kept(parts.scripts[script].function, options, "script_options", keep)
    return made


def _kept(function: Any, values: Mapping[str, Any], field: str, keep: Keep) -> dict[str, Any]:
    pictures = [option.name for option in options_of(function) if option.kind == "picture"] if function else []
    named = {name: keep(values[name], field) for name in pictures if isinstance(values.get(name), str) and values[name]}
    return {**values, **named}
