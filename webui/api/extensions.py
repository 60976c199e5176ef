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
        found = next((one for one in app.extensions if one.name.casefold() == name.casefold()), None)
        if found is None:
            known = [one.name for one in app.extensions]
            raise HTTPException(404, str(UnknownNameError("extension", name[:80], known)))
        app.switches.switch(found.name, switch.enabled)
        return extension_row(app, access, found)

    return routes


def extension_row(app: App, access: Access, extension: Extension) -> dict[str, Any]:
    """An extension with how it is in this run (`running`, `error`) and from the next start on (`enabled`, `note`).

    Where it lies is told by the name of its folder only. A traceback is for those who may change something.
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
    }


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
