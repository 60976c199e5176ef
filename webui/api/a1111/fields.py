"""What POST /sdapi/v1/txt2img takes, and the request that it means; img2img shares most of it (see img2img.py)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from webui.api.a1111.options import OF_REQUEST, Override, override, renamed
from webui.contract.errors import FieldError, UnknownNameError
from webui.contract.options import checked, options_of
from webui.contract.parts import Parts
from webui.contract.registry import Registry
from webui.contract.request import GenerationRequest, request_from
from webui.contract.sampler_names import split_sampler
from webui.workspace.app import App


class Shared(BaseModel):
    """Fields of the convention that both calls have. null means the same as leaving a field out: the checkpoint's own default
    is used."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    prompt: str | None = None
    negative_prompt: str | None = None
    styles: list[str] | None = None
    seed: int | None = None
    subseed: int | None = None
    subseed_strength: float | None = None
    seed_resize_from_h: int | None = None
    seed_resize_from_w: int | None = None
    sampler_name: str | None = None
    sampler_index: str | None = None
    scheduler: str | None = None
    batch_size: int | None = None
    n_iter: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    width: int | None = None
    height: int | None = None
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool | None = None
    do_not_save_grid: bool | None = None
    eta: float | None = None
    denoising_strength: float | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool | None = None
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool | None = None
    comments: dict[str, Any] | None = None
    script_name: str | None = None
    script_args: list[Any] | dict[str, Any] | None = None
    """Values of the script's options in the order of /sdapi/v1/script-info; beyond the convention also by name."""
    alwayson_scripts: dict[str, Any] | None = None
    send_images: bool | None = None
    save_images: bool | None = None
    force_task_id: str | None = None
    infotext: str | None = None
    sampler_options: dict[str, Any] | None = None
    """Beyond the convention, with the next: the own options of a sampler (of an extension), as /api/v1/samplers lists them."""
    schedule_options: dict[str, Any] | None = None


class Txt2Img(Shared):
    enable_hr: bool | None = None
    firstphase_width: int | None = None
    firstphase_height: int | None = None
    hr_scale: float | None = None
    hr_upscaler: str | None = None
    hr_second_pass_steps: int | None = None
    hr_resize_x: int | None = None
    hr_resize_y: int | None = None
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str | None = None
    hr_negative_prompt: str | None = None
    hr_cfg: float | None = None


NAMES = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "subseed": "variation_seed",
    "subseed_strength": "variation_strength",
    "seed_resize_from_w": "seed_from_width",
    "seed_resize_from_h": "seed_from_height",
    "batch_size": "batch_size",
    "n_iter": "batch_count",
    "steps": "steps",
    "cfg_scale": "guidance",
    "width": "width",
    "height": "height",
    "eta": "eta",
    "refiner_checkpoint": "refiner",
    "refiner_switch_at": "refiner_switch",
}
"""Name of the convention -> field of GenerationRequest."""
HIRES = {
    "hr_scale": "hires_scale",
    "hr_upscaler": "hires_upscaler",
    "hr_second_pass_steps": "hires_steps",
    "hr_resize_x": "hires_width",
    "hr_resize_y": "hires_height",
    "hr_prompt": "hires_prompt",
    "hr_negative_prompt": "hires_negative_prompt",
    "hr_checkpoint_name": "hires_checkpoint",
    "hr_sampler_name": "hires_sampler",
    "hr_scheduler": "hires_schedule",
    "hr_cfg": "hires_guidance",
    "denoising_strength": "hires_strength",
}
"""With enable_hr; without it, clients send them all the same."""
THEIRS = {ours: theirs for theirs, ours in (OF_REQUEST | NAMES | HIRES).items()} | {
    "sampler": "sampler_name",
    "schedule": "scheduler",
}

NOT_YET = {
    "restore_faces": "face restoration",
    "tiling": "tiling",
    "styles": "style presets",
    "alwayson_scripts": "always-on scripts of another program",
    "s_min_uncond": "skipping the negative prompt (NGMS)",
    "infotext": "filling in a request from infotext",
}
"""Fields that ask for something which is not there yet. They are refused, never silently left out."""
NOTHING: tuple[Any, ...] = (None, "", "None", False, 0, [], {})
"""Values by which clients say: not this."""
ELSEWHERE = frozenset(["distilled_cfg_scale", "hr_distilled_cfg", "hr_additional_modules"])
"""Fields of Forge for families that are not of this line; its clients send them always."""


@dataclass(frozen=True)
class Order:
    """A request, and how its pictures are wanted back."""

    request: GenerationRequest
    override: Override
    save: bool
    send: bool


def order(app: App, body: Txt2Img) -> Order:
    """The order that a body of txt2img means. Raises as ordered."""
    return ordered(app, body, hires(app.parts, body) if body.enable_hr else {})


def ordered(app: App, body: Shared, more: Mapping[str, Any], theirs: Mapping[str, str] | None = None) -> Order:
    """The order that a body means.

    Args:
        more: fields of GenerationRequest that only this call has.
        theirs: the convention's names of these fields, where THEIRS has others.

    Raises:
        FieldError: a value cannot be, or asks for what is not there yet; the sentence uses the client's names.
        UnknownNameError: sampler or schedule.
        UnknownCheckpointError
    """
    _refuse_later(body)
    overridden = override(app, body.override_settings or {})
    named = body.model_dump(include=set(NAMES), exclude_none=True)
    values = {NAMES[theirs]: value for theirs, value in named.items()} | overridden.request
    if values.get("refiner", "") in ("", "None"):
        values = {field: value for field, value in values.items() if field not in ("refiner", "refiner_switch")}
    for field in ("seed_from_width", "seed_from_height"):
        values[field] = max(0, values.get(field, 0))  # -1 is off
    sampler, schedule = names(app.parts, body.sampler_name or body.sampler_index or "", body.scheduler or "")
    values |= {"sampler": sampler, "schedule": schedule}
    options = {**(body.sampler_options or {}), **_churn(app, body, sampler, values.get("checkpoint", ""))}
    own = {"sampler_options": options, "schedule_options": body.schedule_options or {}, **scripted(app.parts, body)}
    try:
        request = request_from(values | own | dict(more))
    except FieldError as error:
        raise renamed(error, (THEIRS | dict(theirs or {})).get(error.field, error.field)) from None
    save = bool(body.save_images) and not body.do_not_save_samples
    return Order(request, overridden, save, body.send_images is not False)


def hires(parts: Parts, body: Txt2Img) -> dict[str, Any]:
    """The fields of hires fix. What stands for "the same" or "by the scale" is left out.

    Raises:
        UnknownNameError: sampler or schedule.
    """
    values = {ours: value for theirs, ours in HIRES.items() if (value := getattr(body, theirs)) not in (None, "", 0)}
    for field in ("hires_checkpoint", "hires_sampler", "hires_schedule"):
        if str(values.get(field, "")).startswith("Use same"):
            del values[field]
    if "hires_sampler" in values or "hires_schedule" in values:
        sampler, schedule = names(parts, values.get("hires_sampler", ""), values.get("hires_schedule", ""))
        values |= {"hires_sampler": sampler} | ({"hires_schedule": schedule} if "hires_schedule" in values else {})
    if body.denoising_strength == 0:
        values["hires_strength"] = 0
    if body.firstphase_width or body.firstphase_height:  # before there was a scale: width and height are the finished size
        values |= {"hires_width": body.width or 0, "hires_height": body.height or 0}
        values |= {"width": body.firstphase_width or body.width, "height": body.firstphase_height or body.height}
    elif not (values.get("hires_width") or values.get("hires_height")):
        values.setdefault("hires_scale", 2.0)
    return values


def scripted(parts: Parts, body: Shared) -> dict[str, Any]:
    """The script that a body names, with its options.

    Raises:
        FieldError: there is none of that name, or script_args are not what it takes.
    """
    if body.script_name in NOTHING:
        return {}
    name = str(body.script_name)
    if name not in parts.scripts:
        raise FieldError("script_name", f"script_name: {UnknownNameError('script', name[:80], parts.scripts.names())}")
    part, given = parts.scripts[name], body.script_args or {}
    options = options_of(part.function)
    if isinstance(given, list):
        if len(given) > len(options):
            takes = ", ".join(option.name for option in options) or "none"
            raise FieldError("script_args", f"{part.name} has {len(options)} arguments ({takes}), and {len(given)} came.")
        given = {option.name: value for option, value in zip(options, given, strict=False)}
    return {"script": part.name, "script_options": checked(part.name, options, given, "script_args")}


def _refuse_later(body: Shared) -> None:
    for field, thing in NOT_YET.items():
        if getattr(body, field) not in NOTHING:
            value = getattr(body, field)
            shown = ", ".join(map(str, value)) if isinstance(value, (list, dict)) else str(value)
            raise FieldError(
                field, f"{field} asks for {thing} ({shown[:80]}), which this program does not have yet. Leave it out."
            )
    for field, value in (body.model_extra or {}).items():
        if field not in ELSEWHERE and value not in NOTHING:
            raise FieldError(field, f"No field is called {field[:80]!r}. Leave it out.")


def names(parts: Parts, sampler: str, schedule: str) -> tuple[str, str]:
    """Registered names of sampler ("" is the default) and schedule ("Automatic" likewise), as clients write them.

    Any case of letters; a schedule also by its label or with underscores; a sampler also with the schedule joined to
    it, as before A1111 1.9.

    Raises:
        UnknownNameError, FieldError
    """
    schedules = {_slug(label): part.name for part in parts.schedules for label in (part.name, *part.aliases)}
    wanted = "Automatic"
    if schedule and _slug(schedule) != "automatic":
        if _slug(schedule) not in schedules:
            raise UnknownNameError("schedule", schedule, parts.schedules.names())
        wanted = schedules[_slug(schedule)]
    if not sampler:
        return "", wanted
    found, joined = split_sampler(sampler, _all_names(parts.samplers), [*_all_names(parts.schedules), "Automatic"])
    if not found:
        raise UnknownNameError("sampler", sampler, parts.samplers.names())
    own = schedules.get(_slug(joined), "Automatic")
    if wanted not in ("Automatic", own) and own != "Automatic":
        raise FieldError("scheduler", f"sampler_name {sampler!r} and scheduler {schedule!r} name two schedules. Name one.")
    return parts.samplers[found].name, own if wanted == "Automatic" else wanted


def _all_names(registry: Registry[Any]) -> list[str]:
    return [name for part in registry for name in (part.name, *part.aliases)]


def _slug(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")


def _churn(app: App, body: Shared, sampler: str, checkpoint: str) -> dict[str, float]:
    """The sampler's own options among the fields. 0 (for s_noise 1) says: as usual, and many clients send it."""
    asked = {"s_noise": body.s_noise} if body.s_noise not in (None, 1.0) else {}
    if body.s_churn:
        asked |= {"s_churn": body.s_churn} | {
            name: value for name, value in (("s_tmin", body.s_tmin), ("s_tmax", body.s_tmax)) if value
        }
    if not asked:
        return {}
    part = app.parts.samplers[sampler or app.checkpoints.family_defaults(checkpoint).sampler]
    known = inspect.signature(part.function).parameters
    for name in asked:
        if name not in known:
            raise FieldError(name, f"The sampler {part.name} has no {name}. Leave it out, or take Euler or Heun.")
    return {name: float(value) for name, value in asked.items() if value is not None}
