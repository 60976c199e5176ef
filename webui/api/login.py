"""The login page: works without scripts, shows nothing of the program, and loads nothing."""

from __future__ import annotations

import html
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from webui.api.access import Access, client_of

FORM_BYTES_AT_MOST = 4096
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
STYLE = """
:root { color-scheme: light; --ground: #f1f1f3; --surface: #fff; --field: #f5f5f7; --line: #e3e3e8; --line-strong: #c4c4cc;
  --text: #19191d; --text-2: #55555f; --accent: #2859d3; --accent-hover: #1f49b4; --ring: #2450bd; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { color-scheme: dark; --ground: #101012; --surface: #18181b; --field: #222226;
  --line: #29292f; --line-strong: #484852; --text: #ededf0; --text-2: #aeaeb8; --accent: #3a6ae0; --accent-hover: #2f5cd0;
  --ring: #93b3ff; --bad: #ff8f85; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 16px;
  background: var(--ground); color: var(--text);
  font: 400 13px/1.45 -apple-system, BlinkMacSystemFont, "Segoe UI Variable Text", "Segoe UI", Roboto, "Noto Sans",
  "Liberation Sans", "Helvetica Neue", Arial, sans-serif; }
main { width: 100%; max-width: 320px; padding: 24px;
  background: var(--surface); border: 1px solid var(--line); border-radius: 10px; }
h1 { margin: 0 0 16px; font-size: 18px; font-weight: 600; letter-spacing: -.01em; }
label { display: block; margin-bottom: 12px; font-size: 12px; color: var(--text-2); }
input { display: block; width: 100%; height: 32px; margin-top: 4px; padding: 0 10px; font: inherit; font-size: 13px;
  color: var(--text);
  background: var(--field); border: 1px solid var(--line-strong); border-radius: 6px; }
button { width: 100%; height: 32px; margin-top: 4px; font: inherit; font-weight: 500; color: #fff;
  background: var(--accent); border: 0; border-radius: 6px; cursor: pointer; }
button:hover { background: var(--accent-hover); }
:focus-visible { outline: 2px solid var(--ring); outline-offset: 1px; }
p { margin: 0 0 12px; color: var(--bad); }
@media (max-width: 719px) { input { height: 40px; font-size: 16px; } button { height: 40px; } }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><link rel="icon" href="data:,"><style>{style}</style></head>
<body><main><h1>Latent WebUI</h1>{message}<form method="post" action="/login">
<label>User
<input name="user" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button></form></main></body></html>
"""


def page(status: int, message: str = "", headers: dict[str, str] | None = None) -> HTMLResponse:
    words = f'<p role="alert">{html.escape(message)}</p>' if message else ""
    return HTMLResponse(PAGE.format(style=STYLE, message=words), status, HEADERS | (headers or {}))


def router(access: Access) -> APIRouter:
    """GET and POST /login, POST /logout."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/login")
    async def show(request: Request) -> Response:
        return RedirectResponse("/", 303) if "webui.user" in request.scope else page(401)

    @routes.post("/login")
    async def enter(request: Request) -> Response:
        if access.users is None:
            return RedirectResponse("/", 303)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_BYTES_AT_MOST:
                return page(413, "User and password are too long.")
        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        client = client_of(request.client.host if request.client else "", access.hosts.is_tunnel(request.headers["host"]))
        seconds = access.tries.seconds_to_wait(client)
        if seconds:
            return page(429, f"Too many wrong passwords. Try again in {seconds} s.", {"Retry-After": str(seconds)})
        user = access.users.check(form.get("user", [""])[0], form.get("password", [""])[0])
        if user is None:
            access.tries.add(client)
            return page(401, "User and password do not fit together.")
        access.sessions.close(request.cookies.get(access.cookie, ""))
        answer = RedirectResponse("/", 303)
        is_https = request.url.scheme == "https"
        answer.set_cookie(access.cookie, access.sessions.open(user), httponly=True, samesite="strict", secure=is_https, path="/")
        return answer

    @routes.post("/logout")
    async def leave(request: Request) -> Response:
        access.sessions.close(request.cookies.get(access.cookie, ""))
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(access.cookie, httponly=True, samesite="strict", path="/")
        return answer

    @routes.get("/healthz")
    async def healthy() -> dict[str, bool]:
        return {"ok": True}

    return routes
