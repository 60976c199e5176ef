"""What a request can be, as JSON schema: the fields of every request, and the own options of the parts that are here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from webui.contract.options import NAMED, options_of, parameters
from webui.contract.parts import Parts, SamplerPart, SchedulePart
from webui.contract.registry import Registry
from webui.contract.request import GenerationRequest

PATH = "/api/v1/jobs"


def part_row(part: SamplerPart | SchedulePart) -> dict[str, Any]:
    """A sampler or schedule with its own options."""
    return {"name": part.name, "aliases": list(part.aliases), "options": [one.to_dict() for one in options_of(part.function)]}


def request_schema(parts: Parts) -> dict[str, Any]:
    """The fields of a GenerationRequest; sampler_options and schedule_options are one of those that a part here has."""
    made = TypeAdapter(GenerationRequest).json_schema()
    boxes = made.pop("$defs", {}).get("Box", {})
    made["properties"]["boxes"] |= {"items": boxes}
    for field, registry in (("sampler_options", parts.samplers), ("schedule_options", parts.schedules)):
        made["properties"][field] |= {"anyOf": list(_of_parts(registry)), "default": {}}
    return made


def _of_parts(registry: Registry[Any]) -> list[dict[str, Any]]:
    rows = [{"title": "none", "type": "object", "maxProperties": 0}]
    for part in registry:
        properties = {name: {"type": "number"} for name in parameters(part.function) if name in NAMED}
        properties |= {one.name: one.schema() for one in options_of(part.function)}
        if properties:
            rows.append({"title": part.name, "type": "object", "properties": properties, "additionalProperties": False})
    return rows


def install(server: FastAPI, parts: Parts) -> None:
    """Have /openapi.json tell the request of POST /api/v1/jobs; made when it is first asked for."""
    plain: Callable[[], dict[str, Any]] = server.openapi

    def openapi() -> dict[str, Any]:
        made = plain()
        if PATH in made["paths"] and "properties" not in str(made["paths"][PATH]["post"].get("requestBody")):
            made["paths"][PATH]["post"]["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": request_schema(parts)}},
            }
        return made

    server.openapi = openapi  # type: ignore[method-assign]
