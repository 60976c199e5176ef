"""Pictures for requests, names of classes, and files that are not bundled: /api/v1/inputs, /labels and /fetch."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from webui.api.access import Access
from webui.api.guard import must_change
from webui.api.pictures import kept, picture_bytes
from webui.api.threads import waiting
from webui.checkpoints.download import EXTRAS
from webui.checkpoints.labels import FIELDS as KINDS
from webui.checkpoints.labels import names
from webui.contract.errors import FieldError, UnknownNameError
from webui.engine.pictures import plain
from webui.workspace.app import App
from webui.workspace.pictures import png_bytes

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif", ".bmp": "image/bmp"}
"""What browsers show."""
KEEP = {"Cache-Control": "private, max-age=3600, immutable"}


class Upload(BaseModel):
    picture: str


class Depth(BaseModel):
    image: str | None = None
    checkpoint: str = ""
    """That estimates it; "" is the one in use."""


class Wanted(BaseModel):
    name: str


def router(app: App, access: Access) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["files"])
    progress: dict[str, tuple[int, int]] = {}

    @routes.post("/inputs", status_code=201)
    async def keep(request: Request) -> dict[str, Any]:
        """Keeps a picture for requests to name: the file itself as body, or {"picture": base64} as JSON."""
        body = await request.body()
        if request.headers.get("content-type", "").startswith("application/json"):
            body = await run_in_threadpool(_from_json, body)
        return await run_in_threadpool(_keep, app, body)

    @routes.get("/inputs/{name}")
    def picture(name: str) -> Response:
        """The file as it came, or a PNG where no browser would show it."""
        try:
            path = app.inputs.path(name)
        except FieldError as error:
            raise HTTPException(404, str(error)) from None
        if path.suffix not in TYPES:
            return Response(png_bytes(plain(app.inputs.open(name)), ""), media_type="image/png", headers=KEEP)
        return FileResponse(path, media_type=TYPES[path.suffix], headers=KEEP)

    @routes.post("/depth")
    async def depth(wish: Depth) -> dict[str, Any]:
        """How near things in a picture are, as a picture that is kept: white is near. The picture is a kept one's name, or
        the picture itself as base64."""
        name = await run_in_threadpool(kept, wish.image, "image", app.inputs)
        return {"depth": await waiting(lambda: app.depth_of(name, wish.checkpoint))}

    @routes.get("/labels/{kind}")
    def labels(kind: str) -> list[str]:
        """The names of classes (class) or of a map's labels (map) in the order of their numbers; [] where there are none."""
        if kind not in KINDS:
            raise UnknownNameError("kind of labels", kind, KINDS)
        return list(names(kind))

    @routes.get("/fetch")
    def extras() -> list[dict[str, Any]]:
        """Files that are not bundled: whether each is there, and how far one is that is being fetched."""
        rows = []
        for name, extra in EXTRAS.items():
            done, total = progress.get(name, (0, 0))
            is_there = app.shelf.find(name) is not None
            rows.append(
                {"name": name, "about": extra.about, "size": extra.size, "is_there": is_there, "done": done, "total": total}
            )
        return rows

    @routes.post("/fetch")
    async def fetch(wanted: Wanted) -> dict[str, Any]:
        """Fetches one from the hub, and answers when it is there. Nothing else in the program ever does."""
        must_change(access)

        def tell(done: int, total: int) -> None:
            progress[wanted.name] = (done, total)

        try:
            await waiting(lambda: app.shelf.fetch(wanted.name, tell))
        finally:
            progress.pop(wanted.name, None)
        return {"name": wanted.name, "is_there": True}

    return routes


def _from_json(body: bytes) -> bytes:
    try:
        upload = Upload.model_validate_json(body)
    except ValueError:
        raise FieldError("picture", 'The body is not right. Send {"picture": base64} as JSON, or the file itself.') from None
    return picture_bytes(upload.picture, "picture")


def _keep(app: App, data: bytes) -> dict[str, Any]:
    name = app.inputs.put(data, "picture")
    width, height = app.inputs.open(name).size
    return {"name": name, "width": width, "height": height}
