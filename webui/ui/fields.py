"""The one table of request field and control: used to read the page, to fill it and to name its elements.

A control holds what a browser can hold without loss: text, a number, or nothing. Nothing is corrected here: a value
that cannot be right goes to the request as it is, whose check says in one sentence what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webui.contract.request import GenerationRequest, request_from

Convert = Callable[[Any], Any]


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


def seed(value: Any) -> Any:
    """Digits to a number; an empty control means what -1 means, a new seed each time."""
    number = whole(value)
    return -1 if number is None else number


def digits(value: Any) -> str:
    """A seed as text: a browser's own numbers lose digits above 2^53."""
    return str(value)


def same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Field:
    """A field of the request and its control. The control's element id is TAB_element."""

    name: str
    element: str
    label: str
    read: Convert = same
    """Control value to request value."""
    write: Convert = same
    """Request value to control value."""
    follows: bool = False
    """A checkpoint brings its own default, which the control takes while the user has not chosen another."""


TABLE = (
    Field("prompt", "prompt", "Prompt", text),
    Field("negative_prompt", "neg_prompt", "Negative prompt", text),
    Field("sampler", "sampler", "Sampler", text, follows=True),
    Field("schedule", "schedule", "Schedule", text, follows=True),
    Field("steps", "steps", "Steps", whole, follows=True),
    Field("guidance", "guidance", "Guidance", number, follows=True),
    Field("width", "width", "Width", whole, follows=True),
    Field("height", "height", "Height", whole, follows=True),
    Field("seed", "seed", "Seed", seed, digits),
    Field("batch_size", "batch_size", "Batch size", whole),
    Field("batch_count", "batch_count", "Batch count", whole),
    Field("clip_skip", "clip_skip", "Clip skip", whole),
    Field("variation_seed", "variation_seed", "Variation seed", seed, digits),
    Field("variation_strength", "variation_strength", "Variation", number),
    Field("noise_source", "noise_source", "Noise from"),
    Field("emphasis", "emphasis", "Emphasis"),
    Field("eta", "eta", "Eta", number),
)
FIELDS = {field.name: field for field in TABLE}
FOLLOWING = tuple(field.name for field in TABLE if field.follows)


def request_of(names: Sequence[str], values: Sequence[Any], **more: Any) -> GenerationRequest:
    """What the page asks for. `more` are fields that have no control on the tab (checkpoint).

    Raises:
        FieldError: a value is of the wrong kind or out of its range.
    """
    read = {name: FIELDS[name].read(value) for name, value in zip(names, values, strict=True)}
    return request_from({**read, **more})


def values_of(request: GenerationRequest, names: Sequence[str] = tuple(FIELDS)) -> list[Any]:
    """The controls' values that ask for this request again; request_of reads them back equal."""
    return [FIELDS[name].write(getattr(request, name)) for name in names]


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
