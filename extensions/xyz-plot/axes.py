"""What can be varied, and how values are written: as the plots of other programs know them."""

from __future__ import annotations

import csv
import difflib
import hashlib
import itertools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from webui.contract.errors import FieldError
from webui.contract.request import FIELDS, Chosen, GenerationRequest, request_from

Apply = Callable[[GenerationRequest, Any], GenerationRequest]
MOST = 1000
"""Values of one axis."""
PROMPTS = ("prompt", "negative_prompt", "second_prompt", "second_negative_prompt", "hires_prompt", "hires_negative_prompt")
NOT_VARIED = ("batch_size", "batch_count", "script", "script_options", "sampler_options", "schedule_options", "conditioners",
              "guiders", "extras", "boxes")  # fmt: skip
COSTS = {"checkpoint": 1.0, "hires_checkpoint": 0.9, "refiner": 0.8}
"""What is dear to change: weights have to be read."""
ALIASES = {
    "CFG Scale": "guidance", "CFG": "guidance", "Var. seed": "variation_seed", "Subseed": "variation_seed",
    "Var. strength": "variation_strength", "Subseed strength": "variation_strength", "Checkpoint name": "checkpoint",
    "Model": "checkpoint", "Schedule type": "schedule", "Scheduler": "schedule", "Denoising": "strength",
    "Denoising strength": "strength", "Refiner checkpoint": "refiner", "Refiner switch at": "refiner_switch",
    "RNG source": "noise_source", "Hires upscale": "hires_scale", "Hires CFG Scale": "hires_guidance",
    "Hires denoising": "hires_strength", "ENSD": "step_seed_shift", "Negative": "negative_prompt", "Class": "class_label",
    "Sigma churn": "sampler_options.s_churn", "Sigma min": "sampler_options.s_tmin", "Sigma tmin": "sampler_options.s_tmin",
    "Sigma max": "sampler_options.s_tmax", "Sigma tmax": "sampler_options.s_tmax", "Sigma noise": "sampler_options.s_noise",
}  # fmt: skip
"""Names that users of other programs know, beside a field's own."""
SEARCH, ORDER, SIZE = "Prompt S/R", "Prompt order", "Size"
_NUMBER = r"[+-]?(?:[0-9]{1,25}(?:\.[0-9]{0,25})?|\.[0-9]{1,25})"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*-\s*({_NUMBER})\s*(?:\(\s*({_NUMBER})\s*\)|\[\s*([0-9]{{1,9}})\s*\])?\s*")
_SCHEMA = TypeAdapter(GenerationRequest).json_schema()["properties"]


@dataclass(frozen=True)
class Axis:
    """What one side of the grid varies."""

    field: str = ""
    """"" varies nothing: one value that changes nothing."""
    values: tuple[Any, ...] = (None,)
    labels: tuple[str, ...] = ("",)
    apply: Apply = lambda request, _: request
    cost: float = 0.0
    turn: int = 2
    """Order in which the axes of one cell are applied: names of parts (0), their options (1), the rest (2)."""
    is_repeatable: bool = False


def axis_of(request: GenerationRequest, letter: str, field: str, values: str) -> Axis:
    """The axis that a user wrote.

    Raises:
        FieldError: no such field, or a value that it cannot have.
    """
    name = field.strip()
    if _plain(name) in ("", "nothing", "none"):
        if values.strip():
            raise _wrong(letter, f"there are values ({_short(values)}), but no field to vary. Name one, like Steps.")
        return Axis()
    if not values.strip():
        raise _wrong(letter, f"{name} has no values. Give some, like 5, 10, 20.")
    named = {_plain(one): one for one in (SEARCH, ORDER, SIZE)} | {
        "promptsearchandreplace": SEARCH,
        "promptsearchreplace": SEARCH,
    }
    special = named.get(_plain(name))
    makers = {SEARCH: _searching, ORDER: _ordering, SIZE: _sizes}
    made = makers[special](letter, request, values) if special else _of_field(letter, request, name, values)
    if len(made.values) > MOST:
        raise _wrong(letter, f"{len(made.values):,} values are too many. There can be {MOST:,}.")
    return made


# ---------------------------------------------------------------- fields


def _of_field(letter: str, request: GenerationRequest, name: str, values: str) -> Axis:
    field = _field_named(letter, name)
    if "." in field:
        return _of_option(letter, request, field, values)
    kind, choices = _kind(field)
    read = [_fitted(letter, field, value) for value in _read(letter, name, values, kind, choices)]
    if field in ("seed", "variation_seed"):  # any seed, but the same one in all of its cells, and the next time
        read = [_any_seed(request, letter, i) if value == -1 else value for i, value in enumerate(read)]
    label = _label(field, name)
    labels = [_shown(value) if field in ("sampler", "checkpoint") else f"{label}: {_shown(value)}" for value in read]
    turn = 0 if field in ("checkpoint", "sampler", "schedule", "hires_sampler") else 2
    return Axis(field, tuple(read), tuple(labels), _setter(field), COSTS.get(field, 0.0), turn)


def _field_named(letter: str, name: str) -> str:
    """The request's own name of a field, or PART_options.OPTION."""
    known = {_plain(field): field for field in FIELDS if field not in NOT_VARIED}
    known |= {_plain(alias): field for alias, field in ALIASES.items()}
    if _plain(name) in known:
        return known[_plain(name)]
    if "." in name and name.split(".")[0].strip() in ("sampler_options", "schedule_options", "conditioners", "guiders", "extras"):
        return name
    words = {_plain(one): one for one in (*ALIASES, SEARCH, ORDER, SIZE)} | {
        _plain(field): _label(field) for field in known.values()
    }
    near = difflib.get_close_matches(_plain(name), [*words], 1)
    hint = (
        f"Did you mean {words[near[0]]}?"
        if near
        else "It can be Steps, CFG Scale, Seed, Sampler, Prompt S/R, or any other field."
    )
    raise _wrong(letter, f"no field is called {_short(name)!r}. {hint}")


def _kind(field: str) -> tuple[str, tuple[str, ...]]:
    """What a field holds: "integer", "number", "boolean" or "string"; and the words that it can be."""
    schema = _SCHEMA[field]
    kinds = [one.get("type") for one in (schema, *schema.get("anyOf", ()))]
    kind = next((one for one in ("boolean", "integer", "number") if one in kinds), "string")
    return kind, tuple(schema.get("enum", ()))


def _setter(field: str) -> Apply:
    def apply(request: GenerationRequest, value: Any) -> GenerationRequest:
        changed: dict[str, Any] = {field: value}
        options = f"{field}_options"
        if options in FIELDS and str(value).casefold() != getattr(request, field).casefold():
            changed[options] = {}  # those of the one before
        if field == "hires_scale":
            changed |= {"hires_width": 0, "hires_height": 0}
        return replace(request, **changed)

    return apply


def _of_option(letter: str, request: GenerationRequest, path: str, values: str) -> Axis:
    """sampler_options.push, schedule_options.NAME, guiders.NAME.OPTION, conditioners.NAME.OPTION, extras.EXTENSION.FIELD."""
    field, *rest = (part.strip() for part in path.split("."))
    depth = 1 if field.endswith("_options") else 2
    if len(rest) < depth or not all(rest):
        raise _wrong(letter, f"{path} is no option. Write it like sampler_options.push or guiders.NAME.OPTION.")
    names = (*rest[: depth - 1], ".".join(rest[depth - 1 :]))
    before = _option(letter, request, field, names)
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    read = _read(letter, path, values, kinds.get(type(before), "any"), ())

    def apply(to: GenerationRequest, value: Any) -> GenerationRequest:
        return _with_option(to, field, names, value)

    label = names[-1].replace("_", " ").capitalize()
    return Axis(path, tuple(read), tuple(f"{label}: {_shown(value)}" for value in read), apply, 0.0, 1)


def _option(letter: str, request: GenerationRequest, field: str, names: tuple[str, ...]) -> Any:
    """Its value so far; None where there is none."""
    if field.endswith("_options"):
        return getattr(request, field).get(names[0])
    if field == "extras":
        return request.extras.get(names[0], {}).get(names[1])
    chosen = {one.name.casefold(): one for one in getattr(request, field)}
    if names[0].casefold() not in chosen:
        has = f"It has {', '.join(one.name for one in chosen.values())}." if chosen else "It has none."
        raise _wrong(letter, f"the request has no {names[0]!r} among its {field}. {has}")
    return chosen[names[0].casefold()].options.get(names[1])


def _with_option(request: GenerationRequest, field: str, names: tuple[str, ...], value: Any) -> GenerationRequest:
    if field.endswith("_options"):
        return replace(request, **{field: {**getattr(request, field), names[0]: value}})
    if field == "extras":
        return replace(request, extras={**request.extras, names[0]: {**request.extras.get(names[0], {}), names[1]: value}})
    chosen = [
        Chosen(one.name, {**one.options, names[1]: value}) if one.name.casefold() == names[0].casefold() else one
        for one in getattr(request, field)
    ]
    return replace(request, **{field: tuple(chosen)})


# ---------------------------------------------------------------- axes of their own


def _searching(letter: str, request: GenerationRequest, values: str) -> Axis:
    """The first value is looked for in the prompts; each value stands in its place."""
    words = _listed(values)
    if not any(words[0] in getattr(request, field) for field in PROMPTS):
        raise _wrong(letter, f"{SEARCH} looks for {_short(words[0])!r}, which is in no prompt. The first value must be in one.")

    def apply(to: GenerationRequest, word: str) -> GenerationRequest:
        return replace(to, **{field: getattr(to, field).replace(words[0], word) for field in PROMPTS})

    return Axis(SEARCH, tuple(words), tuple(words), apply, is_repeatable=True)


def _ordering(letter: str, request: GenerationRequest, values: str) -> Axis:
    """All orders of some parts of the prompt, each in the places where one stood."""
    words = _listed(values)
    if missing := [word for word in words if word not in request.prompt]:
        raise _wrong(letter, f"{ORDER} has {_short(missing[0])!r}, which is not in the prompt.")
    if math.factorial(len(words)) > MOST:
        raise _wrong(letter, f"{len(words)} words have too many orders. Give 6 at most.")

    def apply(to: GenerationRequest, order: tuple[str, ...]) -> GenerationRequest:
        pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
        following = itertools.cycle(order)
        return replace(to, prompt=re.sub(pattern, lambda _: next(following), to.prompt))

    orders = tuple(itertools.permutations(words))
    return Axis(ORDER, orders, tuple(", ".join(order) for order in orders), apply, is_repeatable=True)


def _sizes(letter: str, request: GenerationRequest, values: str) -> Axis:
    read = []
    for text in _listed(values):
        found = re.fullmatch(r"(\d{1,5})\s*[xX]\s*(\d{1,5})", text)
        if not found:
            raise _wrong(letter, f"a size is written like 512x768, not {_short(text)!r}.")
        read.append((_fitted(letter, "width", int(found[1])), _fitted(letter, "height", int(found[2]))))

    def apply(to: GenerationRequest, size: tuple[int, int]) -> GenerationRequest:
        return replace(to, width=size[0], height=size[1])

    return Axis(SIZE, tuple(read), tuple(f"{width}x{height}" for width, height in read), apply)


# ---------------------------------------------------------------- values


def _read(letter: str, name: str, text: str, kind: str, choices: tuple[str, ...]) -> list[Any]:
    """The values that a text lists, ranges written out.

    Args:
        kind: as of _kind; "any": numbers and yes or no where they look so.
    """
    read: list[Any] = []
    for part in _listed(text):
        if choices:
            known = {choice.casefold(): choice for choice in choices} | ({"gpu": "NV"} if "NV" in choices else {})
            if part.casefold() not in known:
                raise _wrong(letter, f"{name} cannot be {_short(part)!r}. It can be {', '.join(choices)}.")
            read.append(known[part.casefold()])
        elif kind == "boolean":
            words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
            if part.casefold() not in words:
                raise _wrong(letter, f"{name} cannot be {_short(part)!r}. It can be true or false.")
            read.append(words[part.casefold()])
        elif kind in ("integer", "number"):
            read += _numbers(letter, name, part, kind == "integer")
        elif kind == "any" and (re.fullmatch(_NUMBER, part) or _RANGE.fullmatch(part)):
            read += _numbers(letter, name, part, "." not in part and "[" not in part)
        elif kind == "any" and part.casefold() in ("true", "false"):
            read.append(part.casefold() == "true")
        else:
            read.append(part)
        if len(read) > MOST:
            raise _wrong(letter, f"there are more than {MOST:,} values.")
    return read


def _listed(text: str) -> list[str]:
    """Values with commas or line breaks between; one with a comma in it stands in quotes."""
    rows = csv.reader(text.strip().splitlines(), skipinitialspace=True)
    found = [part.strip() for row in rows for part in row]
    return [part for part in found if part] or [text.strip()]


def _numbers(letter: str, name: str, part: str, is_whole: bool) -> list[int] | list[float]:
    """One number, or a range: 1-5, 1-10(+3) by steps, 1-10[4] so many from end to end."""
    word = "a whole number" if is_whole else "a number"
    if re.fullmatch(_NUMBER, part):
        if is_whole and not float(part).is_integer():
            raise _wrong(letter, f"{name} cannot be {_short(part)}. It must be {word}.")
        return [int(float(part)) if is_whole and "." in part else int(part)] if is_whole else [float(part)]
    found = _RANGE.fullmatch(part)
    if not found:
        raise _wrong(letter, f"{name} cannot be {_short(part)!r}. It must be {word}, or a range like 1-5, 1-10(+3) or 1-10[4].")
    first, last = float(found[1]), float(found[2])
    if found[4] is not None:
        many = int(found[4])
        if not 1 <= many <= MOST:
            raise _wrong(letter, f"{part} asks for {many:,} values. There can be 1 to {MOST:,}.")
        values = [first + (last - first) * i / (many - 1) if many > 1 else first for i in range(many)]
    else:
        step = float(found[3]) if found[3] is not None else math.copysign(1, last - first)
        if not step or (last - first) * step < 0:
            raise _wrong(letter, f"{part} does not lead from {found[1]} to {found[2]}. Write it like 1-10(+3) or 10-1(-3).")
        if (last - first) / step > MOST:
            raise _wrong(letter, f"{part} has more than {MOST:,} values.")
        values = [first + step * i for i in range(int((last - first) / step + 1e-9) + 1)]
    # Whole numbers between are cut off, as users of such ranges know them: 1-10[5] is 1, 3, 5, 7, 10.
    return [int(value + 1e-9) if value >= 0 else int(value - 1e-9) for value in values] if is_whole else [
        round(value, 10) for value in values
    ]  # fmt: skip


def _fitted(letter: str, field: str, value: Any) -> Any:
    """The value, as the request takes it. Raises FieldError with the request's own words."""
    try:
        return getattr(request_from({field: value}), field)
    except FieldError as error:
        raise _wrong(letter, str(error)) from None


def _any_seed(request: GenerationRequest, letter: str, i: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{request.seed} {letter} {i}".encode()).digest()[:4])


def _label(field: str, name: str = "") -> str:
    """As the user wrote it, where it is one of the known names; else the field's words."""
    for alias, of in ALIASES.items():
        if of == field and _plain(alias) == _plain(name):
            return alias
    return field.replace("_", " ").capitalize()


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum() or letter == ".").rstrip(".") if name else ""


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _wrong(letter: str, words: str) -> FieldError:
    return FieldError("script_options", f"{letter} axis: {words}")


def names() -> Iterable[str]:
    """All that can be written as a field, as its own words."""
    yield from (SEARCH, ORDER, SIZE, *ALIASES)
    yield from (_label(field) for field in FIELDS if field not in NOT_VARIED)
