"""The settings of the convention: standing ones (GET and POST options) and those of one request (override_settings)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, ValidationError

from webui.api import errors
from webui.api.access import Access
from webui.api.guard import must_change
from webui.contract.errors import CheckpointError, CheckpointReadError, FieldError
from webui.contract.settings import Settings
from webui.workspace.app import App

Format = Literal["png", "jpg", "webp"]


class Options(BaseModel):
    """All settings of the convention that mean something here. None: not named."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    sd_model_checkpoint: str | None = None
    sd_vae: Literal["Automatic", "None", ""] | None = None
    CLIP_stop_at_last_layers: int | None = None
    eta_noise_seed_delta: int | None = None
    randn_source: Literal["CPU", "NV", "GPU"] | None = None
    emphasis: str | None = None
    samples_format: Format | None = None
    jpeg_quality: int | None = None
    enable_pnginfo: bool | None = None
    live_previews_enable: bool | None = None
    show_progress_every_n_steps: int | None = None


STANDING = {
    "samples_format": "image_format",
    "jpeg_quality": "image_quality",
    "enable_pnginfo": "write_infotext",
    "live_previews_enable": "show_preview",
    "show_progress_every_n_steps": "preview_every",
}
"""Name of the convention -> field of Settings."""
OF_REQUEST = {
    "sd_model_checkpoint": "checkpoint",
    "CLIP_stop_at_last_layers": "clip_skip",
    "eta_noise_seed_delta": "step_seed_shift",
    "randn_source": "noise_source",
    "emphasis": "emphasis",
}
"""Name of the convention -> field of GenerationRequest."""
OF_ANSWER = ("samples_format", "jpeg_quality", "enable_pnginfo")
"""What a request may also set for itself: how its pictures come back."""
UNCHANGED: dict[str, Any] = {
    "sd_vae": "Automatic",
    "CLIP_stop_at_last_layers": 1,
    "eta_noise_seed_delta": 0,
    "randn_source": "CPU",
    "emphasis": "Original",
}
"""Shown among the standing settings, but a request sets them for itself only."""


@dataclass(frozen=True)
class Override:
    """override_settings, taken apart."""

    request: dict[str, Any] = field(default_factory=dict)
    """Fields of GenerationRequest."""
    settings: Settings = field(default_factory=Settings)
    """The standing settings, but for what the request wants otherwise: how its pictures come back."""


def read(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Untrusted settings, checked; those that are null are left out.

    Raises:
        FieldError: a name or a value is unknown; nothing was changed.
    """
    known = {name: value for name, value in values.items() if value is not None}
    chosen = known.get("samples_format")
    if isinstance(chosen, str):
        known["samples_format"] = {"jpeg": "jpg"}.get(chosen.casefold(), chosen.casefold())
    try:
        return Options(**known).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            sentence = f"{where} has no setting called {name!r}. Known: {', '.join(Options.model_fields)}."
        elif first["type"] == "literal_error":
            sentence = f"{name} {first['input']!r} is unknown. It can be {first['ctx']['expected']}."
        else:
            sentence = errors.validation_sentence([{**first, "loc": ("body", *first["loc"])}])[1]
        raise FieldError(name, sentence) from None


def override(app: App, values: Mapping[str, Any]) -> Override:
    """What override_settings mean for one request."""
    named = read(values, "override_settings")
    for name in named:
        if name not in OF_REQUEST and name not in OF_ANSWER and name != "sd_vae":
            raise FieldError(name, f"{name} cannot be set for one request. Use POST /sdapi/v1/options.")
    if named.get("randn_source") == "GPU":
        named["randn_source"] = "NV"  # the numbers that a GPU would draw, made the same on every machine
    quality = named.get("jpeg_quality")
    if quality is not None and not 1 <= quality <= 100:
        raise FieldError("jpeg_quality", f"jpeg_quality {quality} is out of range. It can be 1 to 100.")
    changed = {STANDING[theirs]: named[theirs] for theirs in OF_ANSWER if theirs in named}
    return Override(
        request={ours: named[theirs] for theirs, ours in OF_REQUEST.items() if theirs in named},
        settings=app.settings.now.model_copy(update=changed),
    )


def change(app: App, values: Mapping[str, Any]) -> None:
    """Change standing settings: all of them or, where one is wrong, none.

    Raises:
        FieldError, UnknownCheckpointError, CheckpointReadError
    """
    named = read(values, "options")
    for name, fixed in UNCHANGED.items():
        if named.get(name, fixed) != fixed and name != "sd_vae":
            raise FieldError(name, f"{name} is not kept between requests here. Name it in override_settings of each request.")
    checkpoint = app.checkpoints.find(named["sd_model_checkpoint"]) if named.get("sd_model_checkpoint") else None
    if checkpoint is not None and checkpoint.error:
        raise CheckpointReadError(checkpoint.error)
    changed = {ours: named[theirs] for theirs, ours in STANDING.items() if theirs in named}
    try:
        app.settings.change(**changed)
    except FieldError as error:
        theirs = next((theirs for theirs, ours in STANDING.items() if ours == error.field), error.field)
        raise renamed(error, theirs) from None
    if checkpoint is not None:
        app.choose_checkpoint(checkpoint.title)


def renamed(error: FieldError, name: str) -> FieldError:
    """The same finding under the name that the client used."""
    label = error.field.replace("_", " ").capitalize()
    sentence = str(error)
    return FieldError(name, name + sentence.removeprefix(label) if sentence.startswith(label) else f"{name}: {sentence}")


def router(app: App, access: Access) -> APIRouter:
    routes = APIRouter(prefix="/sdapi/v1", tags=["A1111: settings"])

    @routes.get("/options")
    def get_options() -> dict[str, Any]:
        try:
            checkpoint = app.checkpoints.chosen
        except CheckpointError:  # there is none yet: the other settings are worth showing all the same
            checkpoint = ""
        settings = app.settings.now
        standing = {theirs: getattr(settings, ours) for theirs, ours in STANDING.items()}
        return {"sd_model_checkpoint": checkpoint, **standing, **UNCHANGED}

    @routes.post("/options")
    def set_options(values: dict[str, Any]) -> None:
        must_change(access)
        change(app, values)

    return routes
