"""A page with nothing but a painter, and the two routes that a painter needs. `python -m tests.ui.painter_page PORT [MODE]`.

The page has the program's own style sheet and scripts; /api/v1/inputs keeps what is uploaded, as the program's does.
"""

from __future__ import annotations

import hashlib
import io
import sys
from typing import cast

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.staticfiles import StaticFiles
from PIL import Image

from webui.ui import icons, painter
from webui.ui.look import ASSETS
from webui.ui.page import FONTS
from webui.ui.quiet_gradio import gr

TABS: dict[str, tuple[painter.Mode, str]] = {"inpaint": ("mask", ""), "img2img": ("colour", "512x512"), "depth": ("depth", "")}


def build() -> FastAPI:
    server = FastAPI()
    kept: dict[str, bytes] = {}

    @server.post("/api/v1/inputs", status_code=201)
    async def keep(request: Request) -> dict[str, object]:
        body = await request.body()
        try:
            with Image.open(io.BytesIO(body), formats=("PNG", "JPEG", "WEBP")) as opened:
                opened.load()
                width, height = opened.size
        except OSError:
            raise HTTPException(400, "Picture is damaged: it cannot be decoded to its end. Send it again.") from None
        name = hashlib.sha256(body).hexdigest()
        kept[name] = body
        return {"name": name, "width": width, "height": height}

    @server.get("/api/v1/inputs/{name}")
    def picture(name: str) -> Response:
        if name not in kept:
            raise HTTPException(404, "not kept")
        return Response(kept[name], media_type="image/png")

    server.mount("/look", StaticFiles(directory=ASSETS), name="look")
    with gr.Blocks(title="Painter", fill_width=True, analytics_enabled=False) as demo, gr.Tabs(elem_id="tabs"):
        for tab, (mode, blank) in TABS.items():
            with gr.Tab(tab, id=tab, elem_id=f"tab_{tab}"):
                painter.painter(tab, mode, blank=blank)
    scripts = "".join(f'<script src="look/{name}"></script>' for name in ("app.js", *painter.SCRIPTS))
    sheets = "".join(f'<link rel="stylesheet" href="look/{name}">' for name in ("style.css", painter.STYLE))
    return cast(
        FastAPI,
        gr.mount_gradio_app(
            server,
            demo,
            path="/",
            theme=gr.themes.Base(font=FONTS, font_mono=["monospace"]),
            head=f"<style>{icons.css_variables()} :root {{ --topbar: 0px }}</style>{sheets}{scripts}",
            footer_links=[],
            run_history=False,
            ssr_mode=False,
        ),
    )


if __name__ == "__main__":
    uvicorn.run(build(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
