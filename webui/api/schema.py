"""What a request can be, as JSON schema: the fields of every request, and the own options of the parts that are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from webui.contract.options import NAMED, options_of, parameters
from webui.contract.parts import Parts
from webui.contract.registry import Registry
from webui.contract.request import CHOSEN, GenerationRequest

PATH = "/api/v1/jobs"


def part_row(part: Any) -> dict[str, Any]:
    """A sampler, schedule, script, conditioner, ... with its own options."""
    return {"name": part.name, "aliases": list(part.aliases), "options": [one.to_dict() for one in options_of(part.function)]}


def request_schema(parts: Parts) -> dict[str, Any]:
    """The fields of a GenerationRequest; sampler_options, schedule_options and script_options are those that a part here has."""
    made = TypeAdapter(GenerationRequest).json_schema()
    defined = made.pop("$defs", {})
    made["properties"]["boxes"] |= {"items": defined["Box"]}
    for field in CHOSEN:
        made["properties"][field] |= {"items": {"anyOf": [{"type": "string"}, *_chosen(getattr(parts, field))]}}
    registries: dict[str, Registry[Any]] = {"sampler": parts.samplers, "schedule": parts.schedules, "script": parts.scripts}
    for field, registry in ((f"{name}_options", registry) for name, registry in registries.items()):
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


def _chosen(registry: Registry[Any]) -> Iterator[dict[str, Any]]:
    """Parts that a request names beside its sampler and schedule, each with its own options."""
    for part in registry:
        if getattr(part, "on_request", True):
            options = {"type": "object", "properties": {one.name: one.schema() for one in options_of(part.function)}}
            properties = {"name": {"const": part.name}, "options": options | {"additionalProperties": False}}
            yield {"title": part.name, "type": "object", "properties": properties, "required": ["name"]}


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
