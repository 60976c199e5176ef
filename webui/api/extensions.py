"""The extensions in our own interface: what was found at start, how it fared, and the switches for the next start."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, StrictBool
from starlette.exceptions import HTTPException

from webui.api.access import Access
from webui.api.guard import must_change
from webui.contract.errors import UnknownNameError
from webui.plugins import Extension
from webui.workspace.app import App
from webui.workspace.troubles import Trouble

ABSOLUTE_PATH = re.compile(r"""(?<![\w.~/\\-])(?:[A-Za-z]:)?(?:[\\/][^\\/\s'":;,<>|]+)+[\\/]([^\\/\s'":;,<>|]+)""")


class Switch(BaseModel):
    enabled: StrictBool


def router(app: App, access: Access) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["extensions"])

    @routes.get("/extensions")
    def extensions() -> list[dict[str, Any]]:
        return [extension_row(app, access, extension) for extension in app.extensions]

    @routes.post("/extensions/{name:path}/enabled")
    def switch(name: str, switch: Switch) -> dict[str, Any]:
        """Remembered at once, in effect after a restart: its `note` says so. Of two of one name both are meant."""
        must_change(access)
        found = named(app, name)
        app.switches.switch(found.name, switch.enabled)
        return extension_row(app, access, found)

    @routes.get("/extensions/{name:path}/settings")
    def settings(name: str) -> dict[str, Any]:
        """What it may be set to, and how it is set. For those who may change it: a setting may be a password."""
        must_change(access)
        return settings_of(app, named(app, name))

    @routes.put("/extensions/{name:path}/settings")
    def change(name: str, values: dict[str, Any]) -> dict[str, Any]:
        """Changes those that are named, all or none; in effect at once."""
        must_change(access)
        found = named(app, name)
        if not found.is_running:
            raise HTTPException(
                409, f"The extension {found.name} is not running, so its settings cannot be changed. Enable it first."
            )
        app.owns.setting(found.name, values)
        return settings_of(app, found)

    return routes


def named(app: App, name: str) -> Extension:
    """The extension of that name, in any case of letters.

    Raises:
        HTTPException: 404, there is none.
    """
    found = next((one for one in app.extensions if one.name.casefold() == name.casefold()), None)
    if found is None:
        raise HTTPException(404, str(UnknownNameError("extension", name[:80], [one.name for one in app.extensions])))
    return found


def settings_of(app: App, extension: Extension) -> dict[str, Any]:
    """Its settings as options, and their values; none where it is not running, for only its code tells what they are."""
    own = app.owns(extension.name)
    options = own.options if extension.is_running else ()
    return {"settings": [one.to_dict() for one in options], "values": dict(own.settings) if options else {}}


def extension_row(app: App, access: Access, extension: Extension) -> dict[str, Any]:
    """An extension with how it is in this run (`running`, `error`) and from the next start on (`enabled`, `note`), what it can
    be set to (`settings`, `values`), and what it failed in without ending anything (`troubles`).

    Where it lies is told by the name of its folder only. A traceback and settings are for those who may change something.
    """
    is_enabled = app.switches.is_enabled(extension.name)
    return {
        "name": extension.name,
        "version": extension.version,
        "description": extension.description,
        "origin": extension.origin,
        "folder": extension.folder.name,
        "requirements": list(extension.requirements),
        "permissions": list(extension.permissions),
        "offers": list(extension.offers),
        "error": ABSOLUTE_PATH.sub(r"\1", _shortened(extension.error, app)),
        "details": "" if access.is_read_only else _shortened(extension.details, app),
        "running": extension.is_running,
        "enabled": is_enabled,
        "can_switch": not access.is_read_only,
        "note": _note(extension, is_enabled, app.switches.are_all_off),
        "troubles": [_trouble(app, access, one) for one in app.troubles.of(extension.name)],
        **({"settings": [], "values": {}} if access.is_read_only else settings_of(app, extension)),
    }


def _trouble(app: App, access: Access, trouble: Trouble) -> dict[str, Any]:
    error = ABSOLUTE_PATH.sub(r"\1", _shortened(trouble.error, app))
    return {**trouble.to_dict(), "error": error, "details": "" if access.is_read_only else _shortened(trouble.details, app)}


def _note(extension: Extension, is_enabled: bool, are_all_off: bool) -> str:
    """What a restart changes, in one sentence; "" where it changes nothing."""
    if are_all_off:
        after = "It starts again without that flag." if is_enabled else "It stays off without that flag, too."
        return f"Off in this run, because of --disable-all-extensions. {after}"
    if is_enabled == extension.is_enabled:
        return ""
    if is_enabled:
        return "Enabled. It starts when the program is restarted."
    if extension.error:
        return "Disabled. It is not tried again after a restart."
    return "Disabled. It goes on running until the program is restarted."


def _shortened(text: str, app: App) -> str:
    """With paths as they are known inside the program, so that the user's disk stays private."""
    for folder in (app.paths.data.resolve(), app.paths.data, app.paths.project, Path(sys.prefix), Path(sys.base_prefix)):
        if folder.is_absolute() and folder != Path(folder.anchor):
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
    return text.replace(str(Path.home()), "~")
