"""The HTTP interface that A1111's web UI made common (/sdapi/v1), so that its clients can drive this program.

Its words (cfg_scale, n_iter, sd_model_checkpoint ...) live in this folder and in contract/infotext.py only.
"""

from __future__ import annotations

from fastapi import APIRouter

from webui.api.a1111 import drawing, extras, lists, options
from webui.api.access import Access
from webui.workspace.app import App


def router(app: App, access: Access) -> APIRouter:
    routes = APIRouter()
    routes.include_router(drawing.router(app))
    routes.include_router(extras.router(app))
    routes.include_router(lists.router(app, access))
    routes.include_router(options.router(app, access))
    return routes
