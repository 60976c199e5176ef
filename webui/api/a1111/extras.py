"""Enlarging finished pictures by the convention: extra-single-image and extra-batch-images."""

from __future__ import annotations

import html
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from webui.api.a1111.drawing import in_base64
from webui.api.a1111.options import renamed
from webui.api.failures import raise_failure
from webui.api.pictures import kept
from webui.api.threads import waiting
from webui.contract.errors import FieldError, RequestError
from webui.contract.request import EnlargeRequest, enlarge_request_from
from webui.contract.result import Result
from webui.workspace.app import App
from webui.workspace.gallery import encoded

SECONDS_TO_LISTEN = 5.0


class Extras(BaseModel):
    """null means the convention's default."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    resize_mode: int | None = None
    show_extras_results: bool | None = None
    gfpgan_visibility: float | None = None
    codeformer_visibility: float | None = None
    codeformer_weight: float | None = None
    upscaling_resize: float | None = None
    upscaling_resize_w: int | None = None
    upscaling_resize_h: int | None = None
    upscaling_crop: bool | None = None
    upscaler_1: str | None = None
    upscaler_2: str | None = None
    extras_upscaler_2_visibility: float | None = None
    upscale_first: bool | None = None


class Single(Extras):
    image: str | None = None


class Named(BaseModel):
    data: str
    name: str = ""


class Batch(Extras):
    imageList: list[Named] | None = None


NAMES = {
    "upscaling_resize": "scale",
    "upscaling_resize_w": "width",
    "upscaling_resize_h": "height",
    "upscaler_1": "upscaler",
    "upscaler_2": "second_upscaler",
    "extras_upscaler_2_visibility": "second_share",
}
THEIRS = {ours: theirs for theirs, ours in NAMES.items()}


def router(app: App) -> APIRouter:
    routes = APIRouter(prefix="/sdapi/v1", tags=["A1111: extras"])

    @routes.post("/extra-single-image")
    async def single(body: Single) -> dict[str, Any]:
        request = await run_in_threadpool(lambda: wish(body, kept(body.image, "image", app.inputs)))
        (made,) = await waiting(lambda: enlarge(app, [request]))
        return {"image": await run_in_threadpool(shown, app, made), "html_info": info([made])}

    @routes.post("/extra-batch-images")
    async def batch(body: Batch) -> dict[str, Any]:
        if not body.imageList:
            raise FieldError("imageList", "imageList is empty. Send pictures, each with data (base64) and a name.")
        requests = await run_in_threadpool(
            lambda: [
                wish(body, kept(each.data, f"imageList {number}", app.inputs)) for number, each in enumerate(body.imageList or ())
            ]
        )
        made = await waiting(lambda: enlarge(app, requests))
        return {"images": await run_in_threadpool(lambda: [shown(app, each) for each in made]), "html_info": info(made)}

    return routes


def wish(body: Extras, image: str) -> EnlargeRequest:
    """The request that a body means for a kept picture. An upscaler_1 of "None" leaves the picture as it is.

    Raises:
        FieldError
    """
    if body.gfpgan_visibility or body.codeformer_visibility:
        field = "gfpgan_visibility" if body.gfpgan_visibility else "codeformer_visibility"
        raise FieldError(field, f"{field} asks for face restoration, which this program does not have yet. Leave it out.")
    for field, value in (body.model_extra or {}).items():
        if value not in (None, "", "None", False, 0, [], {}):
            raise FieldError(field, f"No field is called {field[:80]!r}. Leave it out.")
    first, second = ("" if name in (None, "None") else str(name) for name in (body.upscaler_1, body.upscaler_2))
    values: dict[str, Any] = {"image": image, "upscaler": first or "None", "scale": 1.0}
    if first and body.resize_mode == 1:
        values |= {"width": body.upscaling_resize_w or 512, "height": body.upscaling_resize_h or 512}
        values |= {"crop": body.upscaling_crop is not False}
    elif first:
        values["scale"] = 2.0 if body.upscaling_resize is None else body.upscaling_resize
    if second and body.extras_upscaler_2_visibility:
        values |= {"second_upscaler": second, "second_share": body.extras_upscaler_2_visibility}
    try:
        return enlarge_request_from(values)
    except FieldError as error:
        raise renamed(error, THEIRS.get(error.field, error.field)) from None


def enlarge(app: App, requests: list[EnlargeRequest]) -> list[Result]:
    """The pictures, through the queue.

    Raises:
        WebUIError: one could not be enlarged.
    """
    made: list[Result] = []
    with app.queue.subscribe() as news:
        for request in requests:
            job = app.queue.submit(request, tab="upscale", save=False)
            while not (job := app.queue.job(job.id)).has_ended:
                news.get(SECONDS_TO_LISTEN)
            picture = app.queue.picture(job.id, 0)
            if picture is None and job.state == "failed":
                raise_failure(job)
            if picture is None:
                raise RequestError("The job was interrupted before its picture was there.")
            made.append(picture)
    return made


def shown(app: App, made: Result) -> str:
    settings = app.settings.now
    return in_base64(encoded(made, settings.image_format, settings))


def info(made: list[Result]) -> str:
    """What was done, as the convention's page shows it."""
    texts = [html.escape(text) for each in made for text in (each.infotext, *each.notes)]
    return "".join(f"<p>{text}</p>" for text in dict.fromkeys(texts))
