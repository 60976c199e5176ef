"""Installing, updating, rolling back and removing extensions over HTTP: one change at a time, which shows what it asks for and
waits for a yes. See guard.must_install for who may."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from webui.api.access import Access
from webui.api.guard import is_forwarded, must_install
from webui.contract.errors import InstallError, UnknownNameError
from webui.plugins.sources import LETTERS
from webui.workspace.app import App
from webui.workspace.installs import BusyError, Change, Installed, Installs


class Wish(BaseModel):
    """`source` is where to install from; of an update, where its new version is (without it, where it came from)."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["install", "update", "rollback", "remove"]
    name: str = Field(default="", max_length=LETTERS)
    source: str = Field(default="", max_length=LETTERS)


def router(app: App, access: Access) -> APIRouter:
    """Before extensions with names, so that no name stands in the way: these paths end in words that no switch has."""
    routes = APIRouter(prefix="/api/v1/extensions", tags=["extensions"])

    @routes.get("/changes")
    def state(request: Request) -> dict[str, Any]:
        """Whether something may be changed from where the caller is (`allowed`, `reason`), the newest `change` or null, and what
        was `installed`. Where from, and the change, is told only to those who may."""
        problem = access.install_problem(is_forwarded(request))
        if app.installs is None or problem:
            rows = [] if app.installs is None else app.installs.installed()
            told = [{**_row(one), "source": "", "what": ""} for one in rows]
            return {"allowed": False, "reason": problem, "change": None, "installed": told}
        change = app.installs.now
        rows = app.installs.installed()
        return {
            "allowed": True,
            "reason": "",
            "change": None if change is None else asdict(change),
            "installed": list(map(_row, rows)),
        }

    @routes.post("/changes", status_code=202)
    def begin(wish: Wish, request: Request) -> dict[str, Any]:
        """Starts a change and answers it; GET tells how it goes. An install or update ends in the state asking, with what it
        `asks` for; only after a yes is anything installed. A rollback or removal is done at once."""
        installs = allowed(request)
        try:
            return asdict(installs.begin(wish.action, wish.name, wish.source))
        except UnknownNameError as error:
            raise HTTPException(404, str(error)) from None
        except BusyError as error:
            raise HTTPException(409, str(error)) from None

    @routes.post("/changes/{number}/yes", status_code=202)
    def agree(number: str, request: Request) -> dict[str, Any]:
        """The user has seen what it asks for, and wants it."""
        return _answered(allowed(request).agree, number)

    @routes.delete("/changes/{number}")
    def cancel(number: str, request: Request) -> dict[str, Any]:
        """No; or an end to what is on its way."""
        return _answered(allowed(request).cancel, number)

    def allowed(request: Request) -> Installs:
        must_install(access, request)
        if app.installs is None:
            raise HTTPException(403, "Nothing can be installed in this run.")
        return app.installs

    return routes


def _answered(answer: Any, number: str) -> dict[str, Any]:
    try:
        change: Change = answer(number)
    except InstallError as error:
        raise HTTPException(409, str(error)) from None
    return asdict(change)


def _row(one: Installed) -> dict[str, Any]:
    row = one.row
    return {
        "name": row.name,
        "version": row.version,
        "source": row.source,
        "what": row.what,
        "before": one.before,
        "note": one.note,
        "is_removed": one.is_removed,
    }
