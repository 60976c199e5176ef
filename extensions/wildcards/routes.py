"""/extensions/wildcards/: the files, and what a prompt would become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from .files import Shelf
from .grammar import Chooser


class File(BaseModel):
    text: str


def router_of(shelf: Callable[[], Shelf]) -> APIRouter:
    """Args: shelf: as of now, since a setting names one of its folders."""
    routes = APIRouter()

    @routes.get("/files")
    def files() -> list[dict[str, Any]]:
        known = shelf()
        return [{"name": name, "lines": len(known.lines(name) or ()), "own": known.is_own(name)} for name in known.names()]

    @routes.get("/files/{name:path}")
    def file(name: str) -> dict[str, str]:
        return {"name": name, "text": shelf().text(name)}

    @routes.put("/files/{name:path}")
    def write(name: str, file: File) -> dict[str, str]:
        shelf().write(name, file.text)
        return {"name": name, "text": shelf().text(name)}

    @routes.delete("/files/{name:path}")
    def delete(name: str) -> dict[str, str]:
        shelf().delete(name)
        return {}

    @routes.get("/expand")
    def expand(prompt: str, seed: int = 0, count: int = 5) -> dict[str, Any]:
        """What the pictures of the next seeds would be drawn from."""
        choosers = [Chooser(shelf().lines, f"{seed + i} positive") for i in range(max(0, min(count, 100)))]
        made = [chooser.resolved(prompt) for chooser in choosers]
        return {"prompts": made, "unknown": sorted({name for chooser in choosers for name in chooser.unknown})}

    return routes
