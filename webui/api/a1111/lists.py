"""The lists of the convention. They read no weights, so they answer before a checkpoint is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from webui.api.access import Access
from webui.api.guard import must_change
from webui.api.pictures import picture_bytes
from webui.checkpoints.catalog import Entry
from webui.contract import infotext
from webui.contract.more_parts import ScriptPart
from webui.contract.options import options_of
from webui.engine.resizing import LATENT_MODES
from webui.workspace.app import App

EMPTY_LISTS = (
    "sd-vae",
    "face-restorers",
    "realesrgan-models",
    "loras",
    "hypernetworks",
    "prompt-styles",
)
"""What the convention lists and this program has none of yet."""


class PngInfo(BaseModel):
    image: str | None = None


def router(app: App, access: Access) -> APIRouter:
    routes = APIRouter(prefix="/sdapi/v1", tags=["A1111: lists"])

    @routes.get("/sd-models")
    def models() -> list[dict[str, Any]]:
        return [model_row(app, entry) for entry in app.checkpoints.entries()]

    @routes.post("/refresh-checkpoints")
    def refresh() -> None:
        must_change(access)
        app.checkpoints.refresh()

    @routes.get("/samplers")
    def samplers() -> list[dict[str, Any]]:
        return [
            {"name": part.name, "aliases": list(part.aliases), "options": sampler_options(part)} for part in app.parts.samplers
        ]

    @routes.get("/schedulers")
    def schedules() -> list[dict[str, Any]]:
        rows = [("automatic", "Automatic", ())] + [(slug(part.name), part.name, part.aliases) for part in app.parts.schedules]
        return [
            {"name": name, "label": label, "aliases": list(aliases), "default_rho": -1, "need_inner_model": False}
            for name, label, aliases in rows
        ]

    @routes.get("/upscalers")
    def upscalers() -> list[dict[str, Any]]:
        """Filters, files that can be used, checkpoints that enlarge."""
        files = {key: entry for entry in app.upscalers.entries() for key in (entry.name, entry.title)}
        rows: list[dict[str, Any]] = []
        for name in sorted(app.upscaler_names(), key=lambda name: name != "None"):
            file = files.get(name)
            path, scale = (below(app, file.path), file.scale) if file else (None, 4)
            rows.append({"name": name, "model_name": file and file.name, "model_path": path, "model_url": None, "scale": scale})
        return rows

    @routes.get("/latent-upscale-modes")
    def latent_modes() -> list[dict[str, str]]:
        return [{"name": name} for name in LATENT_MODES]

    @routes.get("/embeddings")
    def embeddings() -> dict[str, Any]:
        return {"loaded": {}, "skipped": {}}

    @routes.get("/scripts")
    def scripts() -> dict[str, list[str]]:
        titles = [part.name.lower() for part in app.parts.scripts]
        return {"txt2img": titles, "img2img": titles}

    @routes.get("/script-info")
    def script_info() -> list[dict[str, Any]]:
        """Each twice, as the convention has it: for txt2img and for img2img. script_args are in the order of args."""
        return [script_row(part, is_img2img) for part in app.parts.scripts for is_img2img in (False, True)]

    @routes.get("/cmd-flags")
    def flags() -> dict[str, Any]:
        """Only what a client may know: no path, no login."""
        return {"api": True, "listen": access.is_exposed, "port": access.port}

    @routes.get("/memory")
    def memory() -> dict[str, Any]:
        return {"ram": ram(), "cuda": {"error": "not measured"}}

    @routes.get("/extensions")
    def extensions() -> list[dict[str, Any]]:
        return [
            {
                "name": e.name,
                "remote": "",
                "branch": "",
                "commit_hash": "",
                "version": e.version,
                "commit_date": 0,
                "enabled": e.is_running,
            }
            for e in app.extensions
        ]

    @routes.post("/png-info")
    def png_info(body: PngInfo) -> dict[str, Any]:
        text = app.infotext_of(picture_bytes(body.image, "image"))
        parsed = infotext.read(text)
        words = {"Prompt": parsed.prompt, "Negative prompt": parsed.negative_prompt}
        return {
            "info": text,
            "items": {"parameters": text} if text else {},
            "parameters": words | dict(parsed.fields) if text else {},
        }

    def nothing() -> list[Any]:
        return []

    for name in EMPTY_LISTS:
        routes.add_api_route(f"/{name}", nothing, name=name)
    return routes


def script_row(part: ScriptPart, is_img2img: bool) -> dict[str, Any]:
    """A script as the convention lists it, with what it takes as script_args."""
    args = [
        {
            "label": option.label,
            "value": option.default,
            "minimum": option.low,
            "maximum": option.high,
            "step": option.step,
            "choices": list(option.choices) or None,
        }
        for option in options_of(part.function)
    ]
    return {"name": part.name.lower(), "is_alwayson": part.when is not None, "is_img2img": is_img2img, "args": args}


def model_row(app: App, entry: Entry) -> dict[str, Any]:
    """A checkpoint as the convention lists it; paths start at the folder models/, so that the user's disk stays private."""
    return {
        "title": entry.title,
        "model_name": entry.name,
        "hash": entry.hash or None,
        "sha256": entry.sha256 or None,
        "filename": below(app, entry.path),
        "config": below(app, entry.config) if entry.config else None,
    }


def below(app: App, path: Path) -> str:
    for folder in app.paths.models:
        if path.is_relative_to(folder):
            return (Path("models") / path.relative_to(folder)).as_posix()
    return path.name


def sampler_options(part: Any) -> dict[str, str]:
    """As text, because clients of the convention read text."""
    options = {"scheduler": slug(part.schedule)} if part.schedule else {}
    if part.discard_penultimate:
        options["discard_next_to_last_sigma"] = "True"
    if part.calls_per_step > 1:
        options["second_order"] = "True"
    if part.is_random:
        options["uses_ensd"] = "True"
    return options


def slug(name: str) -> str:
    return name.casefold().replace(" ", "_")


def ram() -> dict[str, Any]:
    """Bytes of this machine's memory, where the system tells."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return {"error": "this system does not tell"}
    return {"free": free, "used": total - free, "total": total}
