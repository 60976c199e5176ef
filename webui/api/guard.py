"""One door for everything: page, API, files and sockets pass through this ASGI middleware before any route.

In this order: is the host's name ours (421), does the request come from our own page (403), is the caller logged in
(401), is the path one that Gradio should not offer (404), is the body of a bearable size (413). What passes gets the
security headers on its way out.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import posixpath
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.api import errors, login
from webui.api.access import Access, client_of

BODY_BYTES_AT_MOST = 64 * 1024 * 1024
OPEN = ("/login", "/healthz")
"""What a stranger may ask for, beside the login page in the place of GET /."""
REFUSED_SOCKET = 4403
READ_ONLY = "Nothing can be changed while the page is open to others without a login. Start it with --auth."

CSP = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Gradio 6.31 renders nothing without 'unsafe-inline' and 'unsafe-eval' for scripts; nothing comes from elsewhere."""
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

FORWARDED = frozenset(
    b"x-forwarded-host x-forwarded-proto x-forwarded-for x-forwarded-port x-forwarded-prefix forwarded "
    b"x-original-url x-rewrite-url x-gradio-server".split()
)
"""Headers by which a caller could make Gradio believe in another address of the page."""

BLOCKED = (
    "/gradio_api/proxy=",
    "/gradio_api/deep_link",
    "/gradio_api/startup-events",
    "/gradio_api/process_recording",
    "/gradio_api/vibe-",
    "/gradio_api/undo-vibe-edit",
    "/gradio_api/run-history",
    "/gradio_api/runs",
    "/gradio_api/profiling",
    "/gradio_api/dev/",
    "/monitoring",
)
"""Routes of Gradio that fetch, record or tell more than this page needs."""
FILES = ("/gradio_api/file=", "/gradio_api/file/")
SERVED = frozenset([".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".bmp", ".mp4", ".webm", ".txt", ".zip"])
"""What /gradio_api/file= may hand out. Gradio serves html and svg inline, which would run on our origin, and
whatever else lies in a served folder: settings, databases, logs, dotfiles."""


class Guard:
    """The ASGI middleware. It must be the outermost one."""

    def __init__(self, app: ASGIApp, access: Access, body_bytes_at_most: int = BODY_BYTES_AT_MOST) -> None:
        self.app = app
        self.access = access
        self.body_bytes_at_most = body_bytes_at_most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        connection = HTTPConnection(scope)
        refusal = _refuse_site(connection, self.access) or self._refuse_stranger(connection) or _refuse_path(scope["path"])
        if refusal is not None and scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": REFUSED_SOCKET})
        if refusal is not None:
            return await refusal(scope, receive, _with_headers(send))
        scope["webui.is_forwarded"] = any(name.lower() in FORWARDED or name.lower() == b"via" for name, _ in scope["headers"])
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() not in FORWARDED]
        if self.access.hosts.is_tunnel(connection.headers["host"]):  # https ends at the tunnel's far side
            scope["scheme"] = "https" if scope["type"] == "http" else "wss"
        if scope["type"] == "websocket":
            return await self.app(scope, receive, send)
        return await self._pass(scope, receive, _with_headers(send))

    def _refuse_stranger(self, connection: HTTPConnection) -> Response | None:
        """None for one who is known; who that is lies in scope["webui.user"] (see user_of)."""
        scope, access = connection.scope, self.access
        if access.users is None:
            scope["webui.user"] = "local"
            return None
        user = access.sessions.user(connection.cookies.get(access.cookie, ""))
        credentials = _basic(connection.headers.get("authorization", ""))
        if user is None and credentials is not None:
            client = client_of(
                connection.client.host if connection.client else "", access.hosts.is_tunnel(connection.headers["host"])
            )
            seconds = access.tries.seconds_to_wait(client)
            if seconds:
                return _too_many(seconds)
            user = access.users.check(*credentials)
            if user is None:
                access.tries.add(client)
        if user is not None:
            scope["webui.user"] = user
            return None
        if scope["path"] in OPEN:
            return None
        if scope["path"] == "/" and scope.get("method") in ("GET", "HEAD"):
            return login.page(401)
        return _unknown(is_browser="sec-fetch-mode" in connection.headers)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, but break off a body that is too large, before it is all here."""
        limit, length = self.body_bytes_at_most, HTTPConnection(scope).headers.get("content-length", "0")
        too_large = errors.answer(
            413, "ContentTooLarge", f"The request is larger than {limit // 2**20} MB. Send a smaller picture."
        )
        if not length.isdecimal() or int(length) > limit:
            return await too_large(scope, receive, send)
        received, has_started, is_over = 0, False, False

        async def counted() -> Message:
            nonlocal received, is_over
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                is_over = True
                raise _TooLarge
            return message

        async def checked(message: Message) -> None:
            nonlocal has_started
            if is_over and not has_started:  # the app turned our exception into an answer of its own
                return
            has_started = True
            await send(message)

        with contextlib.suppress(_TooLarge):
            await self.app(scope, counted, checked)
        if is_over and not has_started:
            await too_large(scope, receive, send)
        return None


class _TooLarge(Exception):
    """The body went over the limit while it came in."""


def user_of(connection: HTTPConnection) -> str:
    """The user whom the guard let in ("local" where no login is asked), for Gradio's auth_dependency."""
    return str(connection.scope.get("webui.user", ""))


def must_change(access: Access) -> None:
    """Refuse what would change settings, files or checkpoints while strangers have free entry (--no-login)."""
    if access.is_read_only:
        raise HTTPException(403, READ_ONLY)


def must_install(access: Access, connection: HTTPConnection) -> None:
    """Refuse what would install, update or remove an extension where that may be somebody else than who sits here: what is
    installed runs with the rights of the one who started the program."""
    if problem := access.install_problem(is_forwarded(connection)):
        raise HTTPException(403, problem)


def is_forwarded(connection: HTTPConnection) -> bool:
    """Whether a proxy stands between the caller and the guard."""
    return bool(connection.scope.get("webui.is_forwarded"))


def _refuse_site(connection: HTTPConnection, access: Access) -> Response | None:
    """A foreign Host, or a request that a page of another site makes in the user's browser."""
    scope, headers = connection.scope, connection.headers
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not access.hosts.allows(hosts[0]):
        return errors.answer(
            421,
            "MisdirectedRequest",
            "This server does not answer under that name. Use localhost, or start it with --server-name NAME.",
        )
    origins = headers.getlist("origin")
    if origins and not all(_is_own(origin, hosts[0]) for origin in origins):
        return _foreign()
    is_visit = (  # a link on another site to our page: nothing is done, and the strict cookie stays away
        scope.get("method") in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    if headers.get("sec-fetch-site") == "cross-site" and not is_visit:
        return _foreign()
    return None


def _is_own(origin: str, host: str) -> bool:
    """Whether an Origin header names the host that was asked ("null" does not)."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in ("http", "https"):
        return False
    default = ":443" if parts.scheme == "https" else ":80"
    return parts.netloc.casefold().removesuffix(default) == host.casefold().removesuffix(default)


def _refuse_path(path: str) -> Response | None:
    plain = _decoded(path).casefold()
    plain = "/" + plain.lstrip("/")
    is_blocked = plain.startswith(BLOCKED) or any(
        plain.startswith(start) and not _is_served(plain[len(start) :]) for start in FILES
    )
    return errors.answer(404, "Not Found", "There is nothing here.") if is_blocked else None


def _is_served(file: str) -> bool:
    """Whether a file's path names a local picture and not an address elsewhere."""
    if "://" in file or file.startswith(("//", "\\\\", "http:", "https:", "ftp:", "file:", "data:")) or "\0" in file:
        return False
    name = posixpath.basename(file.replace("\\", "/"))
    return not name.startswith(".") and posixpath.splitext(name)[1] in SERVED


def _decoded(path: str) -> str:
    """The path without any percent-encoding, however often it was wrapped."""
    for _ in range(4):
        path, before = unquote(path), path
        if path == before:
            break
    return path


def _basic(header: str) -> tuple[str, str] | None:
    """User and password out of an Authorization header, or None where it is not of the kind Basic."""
    kind, _, value = header.partition(" ")
    if kind.casefold() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _foreign() -> Response:
    return errors.answer(403, "Forbidden", "This request comes from a page of another site, so it was not carried out.")


def _unknown(is_browser: bool) -> Response:
    """A script is told how to log in; a browser is not, because it would put its own window over our page."""
    headers = {"Cache-Control": "no-store"} | (
        {} if is_browser else {"WWW-Authenticate": 'Basic realm="Latent WebUI", charset="UTF-8"'}
    )
    return errors.answer(
        401, "Unauthorized", "Log in first: open the page, or send user and password by HTTP Basic.", headers=headers
    )


def _too_many(seconds: int) -> Response:
    sentence = f"Too many wrong passwords. Try again in {seconds} s."
    return errors.answer(429, "TooManyRequests", sentence, headers={"Retry-After": str(seconds)})


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": _add(message.get("headers", ()))}
        await send(message)

    return sending


def _add(headers: Iterable[Any]) -> list[Any]:
    """The security headers, where the answer has not set its own (the login page has a stricter policy)."""
    there = list(headers)
    names = {bytes(name).lower().decode("latin-1") for name, _ in there}
    return there + [(name.encode(), value.encode()) for name, value in HEADERS.items() if name not in names]
