"""Our own interface, /api/v1: jobs that outlive the request that brought them, and a stream of what happens to them.

The page uses it too. Names are those of webui.contract.request.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from webui.api.pictures import with_names
from webui.api.schema import part_row
from webui.api.threads import waiting
from webui.checkpoints import model_files
from webui.contract.errors import FieldError
from webui.contract.request import enlarge_request_from, request_from
from webui.engine.own_options import offered
from webui.workspace.app import App
from webui.workspace.jobs import SEEDS, Event, Job
from webui.workspace.pictures import png_bytes

SECONDS_BETWEEN_SIGNS = 15.0
"""A stream without news says that it is alive, so that nothing on the way closes it."""
SECONDS_TO_LISTEN = 1.0
TABS = ("txt2img", "img2img", "inpaint", "depth", "upscale", "turbo")
KEEP = {"Cache-Control": "private, max-age=3600"}


def router(app: App) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["jobs"])

    @routes.post("/jobs", status_code=202)
    def submit(values: dict[str, Any]) -> dict[str, Any]:
        """The fields of a request, and `tab` and `save`. Seeds may be digits in text: a browser's numbers round them.

        A picture, in the options of a conditioner too, is the name of a kept one (POST /api/v1/inputs), or the picture itself as
        base64 or data URI.
        """
        rest = dict(values)
        tab, save = rest.pop("tab", "txt2img"), rest.pop("save", True)
        if tab not in TABS:
            raise FieldError("tab", f"No tab is called {str(tab)[:60]!r}. Known: {', '.join(TABS)}.")
        if not isinstance(save, bool):
            raise FieldError("save", "save must be true or false.")
        return app.queue.submit(request_from(with_names(with_numbers(rest), app.inputs, app.parts)), tab=tab, save=save).to_dict()

    @routes.post("/enlarge", status_code=202)
    def enlarge(values: dict[str, Any]) -> dict[str, Any]:
        """The fields of a request to enlarge, and `save`. The picture as in POST /api/v1/jobs."""
        rest = dict(values)
        save = rest.pop("save", True)
        if not isinstance(save, bool):
            raise FieldError("save", "save must be true or false.")
        wish = enlarge_request_from(with_names(with_numbers(rest), app.inputs, app.parts))
        return app.queue.submit(wish, tab="upscale", save=save).to_dict()

    @routes.get("/jobs")
    def jobs() -> list[dict[str, Any]]:
        return [job.to_dict() for job in app.queue.jobs()]

    @routes.get("/jobs/{id}")
    def job(id: str) -> dict[str, Any]:
        return app.queue.job(id).to_dict()

    @routes.post("/jobs/{id}/interrupt")
    def interrupt(id: str) -> dict[str, Any]:
        """Ends that job only: a running one within one call of the network, a waiting one at once."""
        app.queue.interrupt(id)
        return app.queue.job(id).to_dict()

    @routes.delete("/jobs/{id}")
    def remove(id: str) -> dict[str, Any]:
        """Takes a waiting job off the queue, or one that has ended off the list; its pictures stay."""
        if app.queue.job(id).state == "running":
            raise HTTPException(409, f"This job is running. End it by POST /api/v1/jobs/{id}/interrupt first.")
        app.queue.remove(id)
        return {}

    @routes.get("/jobs/{id}/images/{index}.jpg")
    def jpeg(id: str, index: int = Path(ge=0)) -> Response:
        """Quick to make; full of what a browser needs."""
        app.queue.job(id)
        data = app.queue.jpeg(id, index)
        if data is None:
            raise HTTPException(404, f"Job {id} has no picture {index}, or its file is gone.")
        return Response(data, media_type="image/jpeg", headers=KEEP)

    @routes.get("/jobs/{id}/images/{index}.png")
    def png(id: str, index: int = Path(ge=0)) -> Response:
        """The saved file byte for byte, or a PNG made on the way where nothing was saved."""
        return Response(png_of(app, app.queue.job(id), index), media_type="image/png", headers=KEEP)

    @routes.get("/jobs/{id}/preview.jpg")
    def preview(id: str) -> Response:
        """The newest prediction of a running job; 204 while there is none, as when the job has just ended. The page adds
        ?n=COUNTER, which only makes the address a new one."""
        app.queue.job(id)
        data = app.queue.preview(id)
        if data is None:
            return Response(status_code=204)
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @routes.get("/events")
    async def events() -> StreamingResponse:
        """text/event-stream: a snapshot first, then each event as it happens."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream(app), media_type="text/event-stream", headers=headers)

    @routes.get("/tokens")
    def tokens(text: str = "") -> dict[str, int]:
        used, room = app.count_tokens(text)
        return {"used": used, "room": room}

    @routes.get("/samplers")
    def samplers() -> list[dict[str, Any]]:
        """Each with its own options: what sampler_options of a request may name."""
        return [part_row(part) for part in app.parts.samplers]

    @routes.get("/schedules")
    def schedules() -> list[dict[str, Any]]:
        """As samplers, for schedule_options. Automatic stands for one of them."""
        return [part_row(part) for part in app.parts.schedules]

    @routes.get("/scripts")
    def scripts() -> list[dict[str, Any]]:
        """As samplers, for script and script_options. Those that run unasked where their mark stands in the prompt are told."""
        return [part_row(part) | {"runs_unasked": part.when is not None} for part in app.parts.scripts]

    @routes.get("/guiders")
    def guiders() -> list[dict[str, Any]]:
        """As samplers: what guiders of a request may name, each with {"name", "options"}."""
        return [part_row(part) for part in offered(app.parts.guiders)]

    @routes.get("/conditioners")
    def conditioners() -> list[dict[str, Any]]:
        """As guiders. Those of the families are not among them."""
        return [part_row(part) for part in offered(app.parts.conditioners)]

    @routes.get("/preprocessors")
    def preprocessors() -> list[dict[str, Any]]:
        """What an option of "preprocessors" may name."""
        return [part_row(part) for part in app.parts.preprocessors]

    @routes.get("/files/{folder:path}")
    def files(folder: str) -> list[str]:
        """What an option that names a file of models/FOLDER may name."""
        return model_files.names(app.shelf, folder)

    return routes


def with_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Seeds as numbers, whichever way they came."""
    seeds = {name: int(values[name]) for name in SEEDS if isinstance(values.get(name), str) and _is_integer(values[name])}
    return {**values, **seeds}


def _is_integer(text: str) -> bool:
    return len(text) <= 20 and text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()


def png_of(app: App, job: Job, index: int) -> bytes:
    image = next((image for image in job.images if image.index == index), None)
    if image is not None and image.path:
        file = app.gallery.find(image.path)
        if file is not None and file.suffix == ".png":
            return file.read_bytes()
    picture = app.queue.picture(job.id, index)
    if picture is None:
        raise HTTPException(404, f"Job {job.id} has no picture {index}, or its file is gone.")
    return png_bytes(picture.image, picture.infotext)


async def stream(app: App) -> AsyncIterator[str]:
    """Events of one subscriber as they stand in text/event-stream."""
    with app.queue.subscribe() as subscription:
        said = time.monotonic()
        while True:
            event: Event | None = await waiting(lambda: subscription.get(SECONDS_TO_LISTEN))
            if event is not None:
                text = await run_in_threadpool(json.dumps, event.to_dict())
                said = time.monotonic()
                yield f"id: {event.seq}\ndata: {text}\n\n"
            elif time.monotonic() - said >= SECONDS_BETWEEN_SIGNS:
                said = time.monotonic()
                yield ": still here\n\n"
            await asyncio.sleep(0)
