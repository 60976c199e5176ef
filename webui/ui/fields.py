"""The one table of request field and control: used to read the page, to fill it and to name its elements.

A control holds what a browser can hold without loss: text, a number, or nothing. Nothing is corrected here: a value
that cannot be right goes to the request as it is, whose check says in one sentence what is wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webui.contract.request import EnlargeRequest, GenerationRequest, enlarge_request_from, request_from
from webui.ui import own_text

Convert = Callable[[Any], Any]
OWN = "own"
"""The one control of a tab for all that extensions are asked; see webui.ui.own_text."""


def text(value: Any) -> Any:
    return "" if value is None else value


def whole(value: Any) -> Any:
    """20.0 (as a browser sends it) or "20" to 20; an empty control to None; anything else as it is."""
    if isinstance(value, str):
        value = value.strip()
        if re.fullmatch(r"[+-]?[0-9]{1,40}", value):
            return int(value)
        return value or None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def number(value: Any) -> Any:
    """A whole number to a decimal one, as the request keeps it; an empty control to None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return None if value == "" else value


def decimal(value: Any) -> Any:
    """A decimal number that stands in a text; an empty one to None."""
    return number(_decimal(value.strip()) if isinstance(value, str) and value.strip() else value)


def seed(value: Any) -> Any:
    """Digits to a number; an empty control means what -1 means, a new seed each time."""
    number = whole(value)
    return -1 if number is None else number


def digits(value: Any) -> str:
    """A seed as text: a browser's own numbers lose digits above 2^53."""
    return str(value)


def same(value: Any) -> Any:
    return value


def zero(value: Any) -> Any:
    """An empty control asks for nothing, which is 0 for a size."""
    number = whole(value)
    return 0 if number is None else number


def empty(value: Any) -> Any:
    return str(value) if value else ""


def optional(value: Any) -> Any:
    return "" if value is None else str(value)


LATENT = "Latent"
"""The hires upscaler where none is named."""


def upscaler(value: Any) -> Any:
    return "" if value is None or value == LATENT else value


def latent(value: Any) -> Any:
    return value or LATENT


def switch(value: Any) -> Any:
    """A box that was never touched is off."""
    return False if value is None else value


def boxes(value: Any) -> Any:
    """Lines of "label x y width height" (blanks or commas between), or JSON, to the list that a request takes."""
    if not isinstance(value, str):
        return value or ()
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return [_box(line) for line in value.splitlines() if line.strip()]


def _box(line: str) -> list[Any]:
    """The label may have blanks in it: the last four words are numbers."""
    words = re.split(r"[\s,;]+", line.strip())
    label, numbers = " ".join(words[:-4]), words[-4:]
    return [label, *map(_decimal, numbers)] if label else list(words)


def _decimal(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


def lines(value: Any) -> str:
    """Boxes as `boxes` reads them."""
    return "\n".join(" ".join([box.label, *(repr(n) for n in (box.x, box.y, box.width, box.height))]) for box in value)


@dataclass(frozen=True)
class Field:
    """A field of the request and its control, or OWN. The control's element id is TAB_element."""

    name: str
    element: str
    label: str
    read: Convert = same
    """Control value to request value."""
    write: Convert = same
    """Request value to control value."""
    follows: bool = False
    """A checkpoint brings its own default, which the control takes while the user has not chosen another."""
    varies: bool = False
    """Only some families read it: elsewhere its control is not shown and its value not asked for."""


TABLE = (
    Field("prompt", "prompt", "Prompt", text, varies=True),
    Field("negative_prompt", "neg_prompt", "Negative prompt", text, varies=True),
    Field("class_label", "class", "Class", text, varies=True),
    Field("boxes", "boxes", "Boxes", boxes, lines, varies=True),
    Field("image", "image", "Image", text, varies=True),
    Field("resize", "resize", "Resize"),
    Field("strength", "strength", "Strength", number, follows=True, varies=True),
    Field("second_image", "second_image", "Second image", text, varies=True),
    Field("mix", "mix", "Mix", number, varies=True),
    Field("mask", "mask", "Mask", text, varies=True),
    Field("mask_blur", "mask_blur", "Mask blur", number),
    Field("mask_invert", "mask_invert", "Repaint", switch),
    Field("masked_content", "masked_content", "Start from"),
    Field("only_masked", "only_masked", "Area", switch),
    Field("mask_padding", "mask_padding", "Padding", whole),
    Field("soft", "soft", "Soft inpainting", switch),
    Field("extend_left", "extend_left", "Left", zero, empty),
    Field("extend_top", "extend_top", "Top", zero, empty),
    Field("extend_right", "extend_right", "Right", zero, empty),
    Field("extend_bottom", "extend_bottom", "Bottom", zero, empty),
    Field("match_colours", "match_colours", "Match colours", switch),
    Field("depth", "depth", "Depth map", text, varies=True),
    Field("depth_near", "depth_near", "Near", number),
    Field("depth_far", "depth_far", "Far", number),
    Field("map", "map", "Label map", text, varies=True),
    Field("noise_level", "noise_level", "Noise level", whole, optional, varies=True),
    Field("refiner", "refiner", "Refiner", text, varies=True),
    Field("refiner_switch", "refiner_switch", "Switch at", number, varies=True),
    Field("sampler", "sampler", "Sampler", text, follows=True),
    Field("schedule", "schedule", "Schedule", text, follows=True),
    Field(OWN, "own", "What extensions are asked"),
    Field("steps", "steps", "Steps", whole, follows=True),
    Field("guidance", "guidance", "Guidance", number, follows=True),
    Field("width", "width", "Width", whole, follows=True, varies=True),
    Field("height", "height", "Height", whole, follows=True, varies=True),
    Field("seed", "seed", "Seed", seed, digits),
    Field("batch_size", "batch_size", "Batch size", whole),
    Field("batch_count", "batch_count", "Batch count", whole),
    Field("clip_skip", "clip_skip", "Clip skip", whole, varies=True),
    Field("variation_seed", "variation_seed", "Variation seed", seed, digits),
    Field("variation_strength", "variation_strength", "Variation", number),
    Field("noise_source", "noise_source", "Noise from"),
    Field("emphasis", "emphasis", "Emphasis", varies=True),
    Field("long_prompt", "long_prompt", "Long prompt", varies=True),
    Field("eta", "eta", "Eta", number),
    Field("hires_scale", "hires_scale", "Enlarge by", number),
    Field("hires_width", "hires_width", "Width", zero, empty),
    Field("hires_height", "hires_height", "Height", zero, empty),
    Field("hires_upscaler", "hires_upscaler", "Upscaler", upscaler, latent),
    Field("hires_steps", "hires_steps", "Steps", whole, optional),
    Field("hires_strength", "hires_strength", "Strength", number),
    Field("hires_prompt", "hires_prompt", "Prompt", text, varies=True),
    Field("hires_negative_prompt", "hires_neg_prompt", "Negative prompt", text, varies=True),
    Field("tile", "tile", "Tile", zero, empty),
    Field("second_prompt", "second_prompt", "Second prompt", text, varies=True),
    Field("second_negative_prompt", "second_neg_prompt", "Second negative prompt", text, varies=True),
    Field("original_width", "original_width", "Original width", zero, empty, varies=True),
    Field("original_height", "original_height", "Original height", zero, empty, varies=True),
    Field("crop_left", "crop_left", "Crop left", zero, empty, varies=True),
    Field("crop_top", "crop_top", "Crop top", zero, empty, varies=True),
    Field("target_width", "target_width", "Target width", zero, empty, varies=True),
    Field("target_height", "target_height", "Target height", zero, empty, varies=True),
    Field("aesthetic_score", "aesthetic_score", "Aesthetic score", number, varies=True),
    Field("negative_aesthetic_score", "negative_aesthetic_score", "Negative score", number, varies=True),
)
FIELDS = {field.name: field for field in TABLE}
ENLARGING = {
    field.name: field
    for field in (
        Field("upscaler", "upscaler", "Upscaler", text),
        Field("second_upscaler", "second_upscaler", "Second", text),
        Field("second_share", "second_share", "Share of it", number),
        Field("scale", "scale", "Enlarge by", number),
        Field("width", "width", "Width", zero, empty),
        Field("height", "height", "Height", zero, empty),
        Field("crop", "crop", "Cut off what is beyond width and height", switch),
        Field("tile", "tile", "Tile", zero, empty),
        Field("tile_overlap", "tile_overlap", "Overlap", whole),
        Field("prompt", "prompt", "Prompt", text),
        Field("negative_prompt", "neg_prompt", "Negative prompt", text),
        Field("noise_level", "noise_level", "Noise level", whole, optional),
        Field("steps", "steps", "Steps", whole, optional),
        Field("guidance", "guidance", "Guidance", decimal, optional),
        Field("seed", "seed", "Seed", seed, digits),
    )
}
"""The same for a request to enlarge."""
FOLLOWING = tuple(field.name for field in TABLE if field.follows)
BEHIND = ("prompt", "negative_prompt")
"""What a checkpoint may add to: its words stand behind the user's own, in sight, and go when another checkpoint is chosen."""
VARYING = tuple(field.name for field in TABLE if field.varies)


def request_of(names: Sequence[str], values: Sequence[Any], **more: Any) -> GenerationRequest:
    """What the page asks for. `more` are fields that have no control on the tab (checkpoint).

    Raises:
        FieldError: a value is of the wrong kind or out of its range.
    """
    read = {name: FIELDS[name].read(value) for name, value in zip(names, values, strict=True)}
    own = own_text.fields_of(read.pop(OWN), read.get("sampler"), read.get("schedule")) if OWN in read else {}
    return request_from({**read, **own, **more})


def enlarge_request_of(values: Mapping[str, Any]) -> EnlargeRequest:
    """As request_of, for a request to enlarge; image has no control."""
    read = {name: ENLARGING[name].read(value) for name, value in values.items() if name in ENLARGING}
    return enlarge_request_from({**values, **read})


def values_of(request: GenerationRequest, names: Sequence[str] = tuple(FIELDS)) -> list[Any]:
    """The controls' values that ask for this request again; request_of reads them back equal."""
    return [value_of(request, name) for name in names]


def value_of(request: GenerationRequest, name: str) -> Any:
    """As values_of, of one field."""
    if name == OWN:
        return own_text.written({field: getattr(request, field) for field in own_text.CARRIED}, request.sampler, request.schedule)
    return FIELDS[name].write(getattr(request, name))


def follow(before: Mapping[str, Any], now: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The controls that take a new default: those that still show the old one.

    Args:
        before: defaults of the checkpoint that was in use, by field.
        now: defaults of the one that is.
        values: what the controls show.
    """
    read = {name: FIELDS[name].read(value) for name, value in values.items()}
    return {
        name: FIELDS[name].write(now[name])
        for name in values
        if name in now and now[name] != read[name] and (name not in before or FIELDS[name].read(before[name]) == read[name])
    }


def follow_words(before: Mapping[str, Any], now: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    """The prompts that change with the checkpoint: what the old one added is taken off, what the new one adds is put behind.
    Where the user has rewritten the old words they stay.

    Args:
        before, now, values: as follow has them; a checkpoint without words for a prompt has no such key.
    """
    moved = {}
    for name, value in values.items():
        text, old, new = str(value or ""), str(before.get(name, "")), str(now.get(name, ""))
        if old == new:
            continue
        kept = text.removesuffix(old).rstrip(" ,") if old and text.endswith(old) else text
        if new and not kept.endswith(new):
            kept = f"{kept}, {new}" if kept.strip() else new
        if kept != text:
            moved[name] = kept
    return moved
