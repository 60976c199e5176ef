"""The checkpoints in our own interface: what there is and what it is, what is in memory, the user's notes and settings.

A checkpoint is named in the body or the query, since titles have slashes. Where it lies on the disk is told to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query
from pydantic import BaseModel, StrictBool, StringConstraints
from starlette.exceptions import HTTPException
from starlette.responses import Response

from webui.api.access import Access
from webui.api.guard import must_change
from webui.checkpoints.catalog import Entry
from webui.checkpoints.manager import Defaults
from webui.checkpoints.resident import Resident
from webui.contract.errors import CheckpointError, MissingFileError, UnknownNameError
from webui.workspace import sidecars
from webui.workspace.app import App

KEEP = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of a picture whose address has its time in it."""
PRECISIONS = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float8_e4m3fn": "fp8", "float8_e5m2": "fp8"}
DEFAULTS = tuple(field.name for field in fields(Defaults) if field.name != "family_label")
Name = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Choice(BaseModel):
    name: Name


class Pin(Choice):
    pinned: StrictBool


class Notes(Choice):
    notes: str


class OwnDefaults(Choice):
    defaults: dict[str, Any]


def router(app: App, access: Access) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["checkpoints"])

    @routes.get("/checkpoints")
    def checkpoints() -> list[dict[str, Any]]:
        """All, as menus list them. One with is_known false was found, but its header was not read yet."""
        return rows(app)

    @routes.get("/checkpoints/memory")
    def memory() -> dict[str, Any]:
        """What is in memory, in a bar for each kind of it."""
        return memory_of(app) | {"can_change": not access.is_read_only}

    @routes.get("/checkpoints/details")
    def details(name: Annotated[str, Query(max_length=1000)] = "") -> dict[str, Any]:
        """One, with all that is known of it; "" is the one in use."""
        return details_of(app, access, app.checkpoints.find(name))

    @routes.get("/checkpoints/preview")
    def preview(name: Annotated[str, Query(max_length=1000)] = "") -> Response:
        """The picture beside a checkpoint ("" is the one in use), at most 512 pixels a side, as WebP."""
        try:
            data = sidecars.preview(app.checkpoints.find(name), app.paths.state / "previews")
        except MissingFileError as problem:
            raise HTTPException(404, str(problem)) from None
        return Response(data, media_type="image/webp", headers=KEEP)

    @routes.post("/checkpoints/choose")
    def choose(choice: Choice) -> dict[str, Any]:
        must_change(access)
        return row_of(app, app.choose_checkpoint(choice.name))

    @routes.post("/checkpoints/refresh")
    def refresh() -> list[dict[str, Any]]:
        must_change(access)
        app.checkpoints.refresh()
        return rows(app)

    @routes.post("/checkpoints/load")
    def load(choice: Choice) -> dict[str, Any]:
        """Answers when it is in memory."""
        must_change(access)
        app.queue.machine.do(lambda: app.checkpoints.load(choice.name))
        app.queue.announce("checkpoints")
        return memory_of(app)

    @routes.post("/checkpoints/unload")
    def unload(choice: Choice) -> dict[str, Any]:
        """One that is drawing stays until it has drawn."""
        must_change(access)
        title = app.checkpoints.find(choice.name).title
        app.checkpoints.unload(title)
        if any(one.title == title and one.is_in_use for one in app.checkpoints.status()):
            raise HTTPException(409, f"{title} is drawing now, so it stays in memory. Unload it when it has drawn.")
        app.queue.announce("checkpoints")
        return memory_of(app)

    @routes.post("/checkpoints/pin")
    def pin(pin: Pin) -> dict[str, Any]:
        """A pinned one stays in memory from when it is loaded, until the program ends."""
        must_change(access)
        (app.checkpoints.pin if pin.pinned else app.checkpoints.unpin)(pin.name)
        app.queue.announce("checkpoints")
        return memory_of(app)

    @routes.put("/checkpoints/notes")
    def notes(notes: Notes) -> dict[str, Any]:
        must_change(access)
        entry = app.checkpoints.find(notes.name)
        app.notebook.write_notes(entry.path, notes.notes)
        return details_of(app, access, entry)

    @routes.put("/checkpoints/defaults")
    def defaults(own: OwnDefaults) -> dict[str, Any]:
        """What the page sets where the checkpoint is chosen; null or "" leaves a field to the family. A request that leaves a
        field open still gets the family's."""
        must_change(access)
        entry = app.checkpoints.find(own.name)
        app.notebook.write_defaults(entry.path, with_names(app, own.defaults))
        return details_of(app, access, entry)

    return routes


def with_names(app: App, values: Mapping[str, Any]) -> dict[str, Any]:
    """Names of parts as they are registered. Raises UnknownNameError."""
    known = dict(values)
    if sampler := known.get("sampler"):
        known["sampler"] = app.parts.samplers[str(sampler)].name
    if schedule := known.get("schedule"):
        names = app.parts.schedules.names()
        if str(schedule).casefold() == "automatic":
            known["schedule"] = "Automatic"
        elif str(schedule) in app.parts.schedules:
            known["schedule"] = app.parts.schedules[str(schedule)].name
        else:
            raise UnknownNameError("schedule", str(schedule)[:80], ["Automatic", *names])
    return known


# ---------------------------------------------------------------- rows


def rows(app: App) -> list[dict[str, Any]]:
    chosen, there = _chosen(app), _resident(app)
    return [_row(app, entry, chosen, there.get(entry.title)) for entry in app.checkpoints.entries()]


def row_of(app: App, name: str) -> dict[str, Any]:
    entry = app.checkpoints.find(name)
    return _row(app, entry, _chosen(app), _resident(app).get(entry.title))


def _chosen(app: App) -> str:
    try:
        return app.checkpoints.chosen
    except CheckpointError:
        return ""


def _resident(app: App) -> dict[str, Resident]:
    return {one.title: one for one in app.checkpoints.status()}


def _row(app: App, entry: Entry, chosen: str, there: Resident | None) -> dict[str, Any]:
    """A checkpoint as a card shows it. `state` is "in use" for the chosen one."""
    family, identity = entry.family, entry.identity
    row: dict[str, Any] = {
        "title": entry.title,
        "name": entry.name,
        "size": entry.size,
        "hash": entry.hash,
        "error": entry.error,
        "state": "in use" if entry.title == chosen else "in memory" if there else "on disk",
        "where": there.where if there else "",
        "pinned": bool(there and there.is_pinned),
        "is_known": entry.is_known,
        "preview": f"api/v1/checkpoints/preview?name={quote(entry.title)}&v={entry.preview_time}" if entry.preview else "",
        "notes": app.notebook.notes(entry.path),
        "precision": PRECISIONS.get(identity.precision, identity.precision) if identity else "",
        "family": family.label if family else "",
        "defaults": None,
    }
    if family is None:
        return row
    row |= {"reads": list(family.inputs), "needs": list(family.needs), "does": family.does, "about": family.about}
    defaults = {"sampler": family.sampler, "schedule": "Automatic", "steps": family.steps, "guidance": family.guidance}
    defaults |= {"width": family.native_size, "height": family.native_size, "prompt": "", "negative_prompt": ""}
    return row | {"native_size": family.native_size, "defaults": defaults | app.notebook.defaults(entry.path)}


def details_of(app: App, access: Access, entry: Entry) -> dict[str, Any]:
    """A row, and: the family's own defaults, those that the user set, what a file beside it says, and whether whoever asks may
    change anything."""
    file, text = sidecars.words(entry)
    own = app.notebook.defaults(entry.path)
    family = asdict(app.checkpoints.family_defaults(entry.title)) if entry.family else {}
    return row_of(app, entry.title) | {
        "sha256": entry.sha256,
        "family_defaults": {name: family[name] for name in DEFAULTS} if family else None,
        "own_defaults": own,
        "beside": {"file": file, "text": text},
        "config": entry.config.name if entry.config else "",
        "prediction": entry.family.prediction if entry.family else "",
        "can_change": not access.is_read_only,
    }


def memory_of(app: App) -> dict[str, Any]:
    """Bars of what is used of what there may be, in bytes; where device and host are the same memory there is one."""
    budget, there = app.checkpoints.budget(), app.checkpoints.status()

    def bar(label: str, where: str, used: int, free: int, limit: int) -> dict[str, Any]:
        held = [asdict(one) for one in there if budget.is_shared or one.where == where]
        return {"label": label, "used": used, "free": free, "limit": limit, "held": held}

    device = (budget.device_used, budget.device_free, budget.device_limit)
    host = (budget.host_used, budget.host_free, budget.host_limit)
    bars = [bar("Memory", "", *device)] if budget.is_shared else [
        bar("Graphics memory", "device", *device), bar("Main memory", "host", *host)
    ]  # fmt: skip
    return {"bars": bars, "loading": app.checkpoints.loading(), "chosen": _chosen(app)}
