"""Infotext: the text in a picture that makes it again, in the format that A1111's web UI made common.

    a red sphere, (matte:1.2)
    Negative prompt: blur
    Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, ..., Version: latent-webui 0.1.0

The last line holds `Key: value` pairs if there are at least three of them; a value with a comma, colon, quote or line
break is one JSON string. A prompt that this layout cannot carry (a line that starts with "Negative prompt:", blanks
at the ends of a line, control characters) is written readably all the same, and once more in the fields "Exact
prompt" and "Exact negative prompt", which the reader prefers as long as they still belong to the text above them.

Source: ../shared/conventions.md section 1, written from A1111's and Forge's behaviour; their thresholds on the
version do not apply, since Version names another program.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from webui import __version__
from webui.contract import repainting_fields
from webui.contract.errors import FieldError, PluginError
from webui.contract.repainting_fields import number
from webui.contract.request import FIELDS, EnlargeRequest, GenerationRequest, request_from
from webui.contract.result import CheckpointName
from webui.contract.sampler_names import hires_names, sampling

PROGRAM = "latent-webui"
NEGATIVE = "Negative prompt:"
EXACT, EXACT_NEGATIVE = "Exact prompt", "Exact negative prompt"
LEAST_PAIRS = 3
ORDER = (
    "Steps", "Sampler", "Schedule type", "CFG scale", "Image CFG scale", "Seed", "Face restoration", "Size",
    "Model hash", "Model", "FP8 weight", "Cache FP16 weight for LoRA", "VAE hash", "VAE", "Variation seed",
    "Variation seed strength", "Seed resize from", "Denoising strength", "Conditional mask weight", "Clip skip",
    "ENSD", "Token merging ratio", "Token merging ratio hr", "Init image hash", "RNG", "Tiling",
)  # fmt: skip
"""Where these fields stand; all others come behind them, and Version and User last."""
LAST = (EXACT, EXACT_NEGATIVE, "Version", "User")
SAMPLER_OPTIONS = {"s_churn": "Sigma churn", "s_tmin": "Sigma tmin", "s_tmax": "Sigma tmax", "s_noise": "Sigma noise"}
"""Options of samplers that have a name of their own in infotext; the others stand in one JSON field."""
PICTURE_KEYS = {
    "image": "Input image hash",
    "second_image": "Second image hash",
    "mask": "Mask hash",
    "depth": "Depth map hash",
    "map": "Label map hash",
}
"""A picture of the request is written by its name, which is the hash of its file."""
TEXTS = {
    "Class": "class_label",
    "Second prompt": "second_prompt",
    "Second negative prompt": "second_negative_prompt",
    "Refiner": "refiner",
    "Long prompt": "long_prompt",
    "Emphasis": "emphasis",
    "Script": "script",
}
OPTION_KEYS = {
    "Sampler options": "sampler_options",
    "Schedule options": "schedule_options",
    "Script options": "script_options",
    "Extensions": "extras",
}
CHOSEN_KEYS = {"Conditioners": "conditioners", "Guiders": "guiders"}
"""Parts with their options, as JSON."""
OF_SCRIPT = {"Batch size": "batch_size", "Batch count": "batch_count"}
"""Where a script makes the whole job again; any other text is of one picture."""
SCORES = {"Aesthetic score": "aesthetic_score", "Negative aesthetic score": "negative_aesthetic_score"}
SIZES = {
    "Seed resize from": ("seed_from_width", "seed_from_height"),
    "Original size": ("original_width", "original_height"),
    "Crop": ("crop_left", "crop_top"),
    "Target size": ("target_width", "target_height"),
}
"""Two numbers each: width and height, left and top."""
SILENT = re.compile(
    r"(Model|Model hash|VAE|VAE hash|Version|User|Lora hashes|TI hashes|Hashes|lora|embed|Created Date|Civitai .*"
    r"|Schedule type|Exact .*|Batch (size|pos)|Size|Eta|Eta DDIM)$"
)
"""Fields that are no news to the user when they are not taken over."""

_KEY = r"\w[\w \-/]{1,99}"
_PAIR = re.compile(rf'({_KEY}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""Linear in the length of the line: keys are bounded (A1111's are not, which takes minutes for a long line)."""
_SIZE = re.compile(r"(\d{1,9})x(\d{1,9})")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]")


@dataclass(frozen=True)
class Infotext:
    """What a text says, all of it as text."""

    prompt: str = ""
    negative_prompt: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    """By name. A value like 512x768 is there as two fields, Size-1 and Size-2."""
    pairs: tuple[tuple[str, str], ...] = ()
    """As they stand in the text: quoted, in order, repeated ones included."""

    def value(self, key: str) -> str | None:
        """The field's value as it was written; one like 512x768 in one piece again."""
        if f"{key}-1" in self.fields and key not in self.fields:
            return f"{self.fields[f'{key}-1']}x{self.fields[f'{key}-2']}"
        return self.fields.get(key)

    @property
    def checkpoint(self) -> CheckpointName:
        return CheckpointName(self.fields.get("Model", ""), self.fields.get("Model hash", ""))

    @property
    def is_ours(self) -> bool:
        """Written by this program, so what is missing means our default."""
        return self.fields.get("Version", "").startswith(PROGRAM)


# ---------------------------------------------------------------- write


def quote(value: object) -> str:
    """A value as it stands in a field: as it is, or as a JSON string where it would not be read back equal."""
    text = str(value)
    plain = not any(mark in text for mark in ",:\n") and text == text.strip() and text[:1] != '"'
    if plain and not _CONTROL.search(text):
        return text
    return _json(text)


def _json(text: str) -> str:
    """One line without control characters or lone surrogates, other letters as they are."""
    quoted = json.dumps(text, ensure_ascii=False)
    return json.dumps(text) if _CONTROL.search(quoted) else quoted


def unquote(text: str) -> str:
    """The value of a field; one that is not a JSON string stays as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def write(request: GenerationRequest, checkpoint: CheckpointName, extra: Mapping[str, str] | None = None) -> str:
    """The infotext of one picture.

    Args:
        request: with every choice filled in; what is still None or "" is left out.
        checkpoint: the weights that drew it.
        extra: further fields; one without a value is left out.

    Raises:
        PluginError: a name in extra cannot be the name of a field.
    """
    fields = {**_fields(request), "Model hash": checkpoint.hash, "Model": checkpoint.name}
    for key, value in (extra or {}).items():
        if not re.fullmatch(_KEY, key) or key != key.strip() or key in fields or key in LAST:
            raise PluginError(
                f"A field of the infotext cannot be called {key!r}: a name starts with a letter or digit, goes on with "
                "letters, digits, blanks, - and /, and is not one of the program's own."
            )
        fields[key] = value
    if _seen(request.prompt, request.negative_prompt) != (request.prompt, request.negative_prompt):
        fields[EXACT] = _json(request.prompt)
        fields[EXACT_NEGATIVE] = _json(request.negative_prompt)
    fields["Version"] = f"{PROGRAM} {__version__}"
    places = {key: place for place, key in enumerate(ORDER)} | {key: 1000 + place for place, key in enumerate(LAST)}
    keys = sorted((key for key in fields if str(fields[key]) != ""), key=lambda key: places.get(key, 500))
    line = ", ".join(f"{key}: {fields[key] if key in (EXACT, EXACT_NEGATIVE) else quote(fields[key])}" for key in keys)
    return f"{_body(request.prompt, request.negative_prompt)}\n{line}".strip()


def enlarged(text: str, request: EnlargeRequest, size: tuple[int, int]) -> str:
    """The infotext of an enlarged picture: its own, and on the last line what was done to it.

    Args:
        text: what the picture brought, "" for nothing.
        size: that it came out in.
    """
    done = {key: value for key, value in repainting_fields.enlarging(request, size).items() if value}
    found = read(text)
    if not found.fields:
        done["Version"] = f"{PROGRAM} {__version__}"
    line = ", ".join(f"{key}: {quote(value)}" for key, value in done.items())
    return f"{text.rstrip()}{', ' if found.fields else chr(10)}{line}".strip()


def _fields(request: GenerationRequest) -> dict[str, str]:
    """The request's fields but for its prompts; those that have their default stay out.

    RNG is always there, since a missing one means the GPU's generator to every reader.
    """
    fields = {
        "Steps": number(request.steps),
        "Sampler": request.sampler,
        "Schedule type": request.schedule if request.schedule != "Automatic" else "",
        "CFG scale": number(request.guidance),
        "Seed": str(request.seed),
        "Size": f"{request.width}x{request.height}" if request.width and request.height else "",
        "Variation seed": str(request.variation_seed) if request.variation_seed != -1 or request.variation_strength else "",
        "Variation seed strength": number(request.variation_strength or None),
        "Clip skip": str(request.clip_skip) if request.clip_skip != 1 else "",
        "ENSD": str(request.step_seed_shift or ""),
        "RNG": request.noise_source,
        "Eta DDIM" if request.sampler.startswith("DDIM") else "Eta": number(request.eta),
        "Noise level": number(request.noise_level),
    }
    fields |= repainting_fields.fields(request)
    for key, name in TEXTS.items():
        fields[key] = getattr(request, name) if getattr(request, name) != _default(name) else ""
    for key, (first, second) in SIZES.items():
        if getattr(request, first) or getattr(request, second):
            fields[key] = f"{getattr(request, first)}x{getattr(request, second)}"
    for name, key in PICTURE_KEYS.items():
        fields[key] = getattr(request, name)
    for key, name in OF_SCRIPT.items():
        fields[key] = str(getattr(request, name)) if request.script and getattr(request, name) != _default(name) else ""
    if request.refiner or request.refiner_switch != _default("refiner_switch"):
        fields["Refiner switch at"] = number(request.refiner_switch)
    for key, name in (("Image mix", "mix"), *SCORES.items()):
        fields[key] = number(getattr(request, name)) if getattr(request, name) != _default(name) else ""
    if request.boxes:
        boxes = [[box.label, box.x, box.y, box.width, box.height] for box in request.boxes]
        fields["Boxes"] = json.dumps(boxes, ensure_ascii=False)
    others = dict(request.sampler_options)
    for option, key in SAMPLER_OPTIONS.items():
        if isinstance(others.get(option), int | float) and not isinstance(others[option], bool):
            fields[key] = number(others.pop(option))
    if others:
        fields["Sampler options"] = json.dumps(others, ensure_ascii=False)
    for key, name in OPTION_KEYS.items():
        if name != "sampler_options" and getattr(request, name):
            fields[key] = json.dumps(dict(getattr(request, name)), ensure_ascii=False)
    for key, name in CHOSEN_KEYS.items():
        if chosen := getattr(request, name):
            fields[key] = json.dumps([[one.name, dict(one.options)] for one in chosen], ensure_ascii=False)
    return fields


def _default(name: str) -> Any:
    return FIELDS[name].default


def _body(prompt: str, negative: str) -> str:
    """The part above the fields. Control characters, which no container carries safely, are shown as a mark."""
    text = f"{prompt}\n{NEGATIVE} {negative}" if negative else prompt
    return _CONTROL.sub("\ufffd", text)


def _seen(prompt: str, negative: str) -> tuple[str, str]:
    """What a reader makes of the two prompts as they stand above the fields."""
    return _prompts(f"{_body(prompt, negative)}\nfields".strip().split("\n")[:-1])


# ---------------------------------------------------------------- read


def read(text: str) -> Infotext:
    """Take a text apart. Never fails: a text without fields is a prompt."""
    lines = text.strip().split("\n")
    pairs = tuple(_PAIR.findall(lines[-1].strip()))
    if len(pairs) < LEAST_PAIRS:
        prompt, negative = _prompts(lines)
        return Infotext(prompt, negative, {}, pairs)
    fields: dict[str, str] = {}
    for key, raw in pairs:
        if raw == "":  # an empty value says nothing; "" in quotes says: empty
            continue
        value = unquote(raw)
        size = _SIZE.fullmatch(value)
        if size:
            fields[f"{key}-1"], fields[f"{key}-2"] = size.groups()
        else:
            fields[key] = value
    prompt, negative = _prompts(lines[:-1])
    exact = fields.get(EXACT, ""), fields.get(EXACT_NEGATIVE, "")
    if exact != ("", "") and _seen(*exact) == (prompt, negative):
        prompt, negative = exact
    found = Infotext(prompt, negative, fields, pairs)
    if "Hypernet" in fields and not found.is_ours:  # before prompts could name them
        tag = f"<hypernet:{fields['Hypernet']}:{fields.get('Hypernet strength', '1.0')}>"
        return Infotext(prompt + tag, negative, fields, pairs)
    return found


def _prompts(lines: list[str]) -> tuple[str, str]:
    """Prompt and negative prompt of the lines above the fields, blanks at the ends of each line cut off."""
    prompt: list[str] = []
    negative: list[str] | None = None
    for line in (line.strip() for line in lines):
        if line.startswith(NEGATIVE):
            negative = [*(negative or []), line[len(NEGATIVE) :].strip()]
        elif negative is not None:
            negative.append(line)
        else:
            prompt.append(line)
    return "\n".join(prompt), "\n".join(negative or [])


# ---------------------------------------------------------------- to a request

_NUMBERS: dict[str, tuple[str, type[int] | type[float]]] = {
    "Steps": ("steps", int),
    "CFG scale": ("guidance", float),
    "Seed": ("seed", int),
    "Size-1": ("width", int),
    "Size-2": ("height", int),
    "Variation seed": ("variation_seed", int),
    "Variation seed strength": ("variation_strength", float),
    "Clip skip": ("clip_skip", int),
    "ENSD": ("step_seed_shift", int),
    "Noise level": ("noise_level", int),
    "Image mix": ("mix", float),
    "Refiner switch at": ("refiner_switch", float),
    **repainting_fields.NUMBERS,
    **{key: (name, float) for key, name in SCORES.items()},
    **{f"{key}-{place}": (name, int) for key, pair in SIZES.items() for place, name in enumerate(pair, 1)},
}


def to_request(
    infotext: Infotext, samplers: Collection[str], schedules: Collection[str], has_picture: Callable[[str], bool] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The fields of a request that a text sets, and what could not be taken over, a sentence each.

    Args:
        infotext: from anywhere: only fields that a request knows are set, and only within their limits. The
            checkpoint is not among them (infotext.checkpoint names it): changing it is the user's choice.
        samplers, schedules: the names that exist, aliases too if they shall be understood; in any case of letters.
        has_picture: whether a picture of that name is still kept; None: none is.

    Returns:
        values for request_from (or dataclasses.replace), and the notes.
    """
    values: dict[str, Any] = {"prompt": infotext.prompt, "negative_prompt": infotext.negative_prompt}
    notes: list[str] = []
    used: set[str] = set()
    for key, name, value in _candidates(infotext, notes):
        used.add(key)
        try:
            request_from({name: value})
        except FieldError as error:
            notes.append(f"{key} was not taken over. {error}")
        else:
            values[name] = value
    if "script" in values and not infotext.is_ours:
        notes.append(f"Script {values.pop('script')[:60]!r} was not taken over: that of another program has other options.")
    for name in ("prompt", "negative_prompt"):
        try:
            request_from({name: values[name]})
        except FieldError as error:
            notes.append(str(error))
            del values[name]
    for name, key in PICTURE_KEYS.items():
        if name in values and not (has_picture and has_picture(values[name])):
            notes.append(f"{key.removesuffix(' hash')}: the picture is not kept here (any more). Give it again.")
            del values[name]
    if "width" not in values or "height" not in values:
        values = {name: value for name, value in values.items() if name not in ("width", "height")}
    values.update(sampling(infotext.fields, samplers, schedules, notes))
    if infotext.fields.get("Sampler") and "sampler" not in values:
        values.pop("sampler_options", None)  # of a sampler that is not here: whatever is chosen has others
    if infotext.fields.get("Schedule type") and values.get("schedule", "Automatic") == "Automatic":
        values.pop("schedule_options", None)
    hires_names(values, samplers, schedules, notes)
    used |= {"Sampler"}
    left = [key for key in infotext.fields if key not in used and not SILENT.match(key)]
    if left:
        notes.append(f"Not used here: {', '.join(left[:8])}{' and more' if len(left) > 8 else ''}.")
    return values, notes


def _candidates(infotext: Infotext, notes: list[str]) -> Iterator[tuple[str, str, Any]]:
    """(key in the text, field of the request, value of the right kind), limits not checked yet."""
    fields = infotext.fields
    eta = "Eta DDIM" if fields.get("Sampler", "").startswith("DDIM") and "Eta DDIM" in fields else "Eta"
    for key, (name, kind) in {**_NUMBERS, eta: ("eta", float)}.items():
        if key in fields:
            value = _parse(fields[key], kind)
            if value is None:
                notes.append(f"{key} was not taken over: {fields[key][:60]!r} is not a number.")
            else:
                yield key, name, value
    for key, name in (TEXTS | repainting_fields.TEXTS).items():
        if (text := infotext.value(key)) is not None and text not in repainting_fields.SAME:
            yield from ((used, name, text) for used in (key, f"{key}-1", f"{key}-2") if used in fields)
    for name, key in PICTURE_KEYS.items():
        if re.fullmatch(r"[0-9a-f]{64}", fields.get(key, "")):  # other programs write shorter hashes of their own
            yield key, name, fields[key]
    for key, name, value in repainting_fields.candidates(fields, PICTURE_KEYS["image"] in fields):
        parsed = _parse(value, float) if key == repainting_fields.STRENGTH else value
        if parsed is not None:
            yield key, name, parsed
    for key, name in OF_SCRIPT.items():
        if "Script" in fields and infotext.is_ours and (parsed := _parse(fields.get(key, ""), int)) is not None:
            yield key, name, parsed
    if "Boxes" in fields:
        yield "Boxes", "boxes", _json_value(fields["Boxes"])
    if "RNG" in fields or "Seed" in fields:
        # A missing RNG means the GPU's generator, which NV computes on any device; ComfyUI's noise is the CPU's.
        missing = "CPU" if infotext.is_ours or "ComfyUI" in fields.get("Version", "") else "GPU"
        source = fields.get("RNG", missing)
        yield "RNG", "noise_source", "NV" if source == "GPU" else source
    options: dict[str, Any] = {}
    for option, key in SAMPLER_OPTIONS.items():
        value = _parse(fields.get(key, ""), float)
        if value is not None:
            options[option] = value
            yield key, "sampler_options", {}
    for key, name in CHOSEN_KEYS.items():
        if key in fields:
            yield key, name, _json_value(fields[key])
    for key, name in OPTION_KEYS.items():
        if key in fields:
            found = _json_object(fields[key])
            if found is None:
                notes.append(f"{key} was not taken over: it is not a JSON object.")
            yield key, name, {**(options if name == "sampler_options" else {}), **(found or {})}
    if options and "Sampler options" not in fields:
        yield "Sampler options", "sampler_options", options


def _parse(text: str, kind: type[int] | type[float]) -> int | float | None:
    """A number, or None. Whole numbers keep all their digits (seeds have up to 19)."""
    text = text.strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?", text):
        return None
    if kind is float:
        value = float(text)
        return value if math.isfinite(value) else None
    try:
        return int(text)
    except ValueError:
        whole = float(text)
        return int(whole) if whole.is_integer() else None


def _json_object(text: str) -> dict[str, Any] | None:
    value = _json_value(text)
    return value if isinstance(value, dict) else None


def _json_value(text: str) -> Any:
    """None where it is not JSON."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
