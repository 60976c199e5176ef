"""The edge where errors become answers: one table, one shape, never a traceback or a path."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.contract.errors import (
    CheckpointError,
    DownloadError,
    FieldError,
    InstallError,
    PluginError,
    RequestError,
    SaveError,
    StartError,
    UnknownCheckpointError,
    UnknownJobError,
    UnknownNameError,
    WebUIError,
)

log = logging.getLogger(__name__)

STATUS: dict[type[WebUIError], int] = {
    WebUIError: 500,
    RequestError: 422,
    UnknownNameError: 422,
    CheckpointError: 422,
    UnknownCheckpointError: 404,
    UnknownJobError: 404,
    DownloadError: 502,
    SaveError: 507,
    PluginError: 500,
    InstallError: 422,
    StartError: 500,
}
"""The nearest class above counts: FieldError and MemoryLimitError are RequestErrors, and so on."""

KINDS_OF_400 = ("sampler",)
"""An unknown sampler is 400 and any other unknown name 422: clients have learnt it so (conventions, section 5)."""

CALM = "Something went wrong inside the program; its log says what. The program goes on working."

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "dict": "a set of named values",
    "model": "a set of named values",
}


def status_of(error: WebUIError) -> int:
    if isinstance(error, UnknownNameError) and error.kind in KINDS_OF_400:
        return 400
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def answer(status: int, name: str, sentence: str, field: str = "", headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error in the shape that clients of the convention read, with the name of the field where there is one."""
    content = {"error": name, "detail": sentence, "body": "", "errors": sentence}
    return JSONResponse(content | ({"field": field} if field else {}), status, headers)


def answer_for(error: WebUIError) -> JSONResponse:
    return answer(status_of(error), type(error).__name__, str(error), error.field if isinstance(error, FieldError) else "")


def validation_sentence(findings: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """(field, sentence) of what FastAPI found wrong with a body, a path or a query."""
    first = findings[0]
    place = [str(part) for part in first["loc"]][1:]
    kind, value = str(first["type"]), first.get("input")
    if kind.startswith("json"):
        return "", "The body is not JSON. Send an object in JSON with Content-Type: application/json."
    if not place:
        return "", "The body is not right. Send an object in JSON with Content-Type: application/json."
    field = place[0]
    if kind == "missing":
        return field, f"The field {field!r} is missing."
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    wanted = next((words for start, words in _KINDS.items() if kind.startswith(start)), "")
    reason = f"It must be {wanted}." if wanted else f"{first['msg']}."
    return field, f"{'.'.join(place)} {shown} is not right. {reason}"


def install(app: FastAPI) -> None:
    """Make every error of the app's routes answer in our shape."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, WebUIError)
        if status_of(error) >= 500:
            log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
        return answer_for(error)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        field, sentence = validation_sentence(error.errors())
        return answer(422, "FieldError", sentence, field)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 400 and "parsing the body" in str(error.detail):  # FastAPI's word for JSON it gave up on
            return answer(422, "FieldError", "The body cannot be read as JSON: it is damaged or nested too deep.")
        name = HTTPStatus(error.status_code).phrase
        sentence = str(error.detail)
        if error.status_code == 404 and sentence == name:
            sentence = f"There is nothing at {request.url.path}."
        return answer(error.status_code, name, sentence, headers=error.headers)

    app.add_exception_handler(WebUIError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


class Calm:
    """ASGI middleware: what nobody expected is one calm sentence for the caller and a traceback in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        has_started = False

        async def watched(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if has_started:  # half an answer is out: only breaking off tells the caller that it is not whole
                raise
            await answer(500, "InternalError", CALM)(scope, receive, send)
        return None
