"""What the user asked, as plain values."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from webui.contract.errors import FieldError

LAST_SEED = 2**63 - 1
Seed = Annotated[int, Field(ge=-1, le=LAST_SEED)]
Pixels = Annotated[int, Field(ge=64, le=8192)]
"""Any whole number: what a network needs more is padded inside and cropped after."""
Text = Annotated[str, Field(max_length=100_000)]
Name = Annotated[str, Field(max_length=1000)]
Picture = Annotated[str, Field(max_length=200)]
"""A picture that the workspace keeps, by its name there (webui.workspace.inputs); "" is none."""
Side = Annotated[int, Field(ge=0, le=65536)]
Share = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[int, Field(ge=1, le=1000)]
Guidance = Annotated[float, Field(ge=0, le=100)]
Room = Annotated[int, Field(ge=0, le=4096)]
"""Pixels that a picture grows by at one side."""
Tile = Annotated[int, Field(ge=0, le=8192)]
"""Pixels of a side that a network sees at once; 0: as the memory allows."""
ResizeMode = Literal["stretch", "crop", "fill", "latent"]
RESIZE_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)
"""Just resize, crop and resize, resize and fill, just resize (latent upscale)."""
Fill = Literal["fill", "original", "latent noise", "latent nothing"]
FILLS: tuple[Fill, ...] = get_args(Fill)
"""What the masked part starts from."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Box:
    """A thing and its place in a layout, in shares of the picture's width and height from its top left corner."""

    label: str
    """Name or number of a class."""
    x: float
    y: float
    width: Annotated[float, Field(gt=0)]
    height: Annotated[float, Field(gt=0)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Chosen:
    """A part that a request names beside its sampler and schedule, and values of its own options."""

    name: Name
    options: Mapping[str, Any] = Field(default_factory=dict)


def _chosen(field: str, values: Any) -> Any:
    """What JSON has, a list of names or of {"name", "options"}, as the tuple of chosen parts that a request holds."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        words = f"{field.capitalize()} {_shown(values)} are not right. They must be a list of names, or of names with options."
        raise FieldError(field, words)
    return tuple(_one_chosen(field, number, value) for number, value in enumerate(values, 1))


def _one_chosen(field: str, number: int, value: Any) -> Chosen:
    """Raises FieldError that says which one is wrong."""
    if isinstance(value, Chosen):
        return value
    if isinstance(value, str):
        value = {"name": value}
    elif isinstance(value, Sequence) and len(value) == 2:
        value = dict(zip(("name", "options"), value, strict=True))
    try:
        return Chosen(**{str(name): part for name, part in value.items()})
    except (ValidationError, AttributeError, TypeError):
        words = f'{field.capitalize()}: number {number} is {_shown(value)}. It must be a name, or {{"name", "options"}}.'
        raise FieldError(field, words) from None


Conditioners = Annotated[tuple[Chosen, ...], BeforeValidator(partial(_chosen, "conditioners")), Field(max_length=8)]
Guiders = Annotated[tuple[Chosen, ...], BeforeValidator(partial(_chosen, "guiders")), Field(max_length=8)]


def _boxes(values: Any) -> Any:
    """What JSON has, a list of objects or of [label, x, y, width, height], as the tuple of boxes that a request holds."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise FieldError("boxes", f"Boxes {_shown(values)} are not right. They must be a list of boxes.")
    return tuple(_box(number, value) for number, value in enumerate(values, 1))


def _box(number: int, value: Any) -> Box:
    """Raises FieldError that says which box is wrong, and what in it."""
    if isinstance(value, Box):
        return value
    names = [field.name for field in dataclasses.fields(Box)]
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == len(names):
        value = dict(zip(names, value, strict=True))
    if not isinstance(value, Mapping):
        raise FieldError("boxes", f"Box {number} is {_shown(value)}. It must have {', '.join(names)}.")
    label = value.get("label")
    if isinstance(label, int) and not isinstance(label, bool):
        value = {**value, "label": str(label)}
    try:
        return Box(**{str(name): part for name, part in value.items()})
    except ValidationError as error:
        first = error.errors()[0]
        part, kind = str(first["loc"][0]), first["type"]
        if kind == "missing":
            raise FieldError("boxes", f"Box {number} has no {part}. It must have {', '.join(names)}.") from None
        if part not in names:
            raise FieldError("boxes", f"Box {number} has {part!r}, which no box has. It has {', '.join(names)}.") from None
        wanted = {"label": "the name or number of a class", "x": "a number", "y": "a number"}.get(part, "a number above 0")
        raise FieldError(
            "boxes", f"Box {number}: {part} {_shown(first.get('input'))} is not right. It must be {wanted}."
        ) from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class GenerationRequest:
    """One press of Generate: survives JSON, infotext and a restart.

    What is None (or "") was not asked: it comes from the family row of the checkpoint, and the request that a
    finished picture carries has it filled in. Nobody edits a request; dataclasses.replace makes a new one.
    """

    prompt: Text = ""
    negative_prompt: Text = ""
    checkpoint: Name = ""
    """Name, title, file or hash; "" is the one in use."""
    sampler: Name = ""
    schedule: Name = "Automatic"
    steps: Steps | None = None
    guidance: Guidance | None = None
    """Classifier-free guidance scale; 0 and 1 both mean the prompt alone, without the negative prompt."""
    width: Pixels | None = None
    height: Pixels | None = None
    seed: Seed = -1
    """-1: pick one, and record it in the result. Picture i of the job has seed + i."""
    batch_size: Annotated[int, Field(ge=1, le=64)] = 1
    batch_count: Annotated[int, Field(ge=1, le=1000)] = 1
    variation_seed: Seed = -1
    variation_strength: Annotated[float, Field(ge=0, le=1)] = 0.0
    seed_from_width: Annotated[int, Field(ge=0, le=8192)] = 0
    """With seed_from_height: the size (pixels) at which the seed was found; its noise is put in the middle."""
    seed_from_height: Annotated[int, Field(ge=0, le=8192)] = 0
    step_seed_shift: Annotated[int, Field(ge=0, le=2**32)] = 0
    """Added to the seed for the noise of ancestral steps (ENSD in infotext)."""
    noise_source: Literal["CPU", "NV"] = "CPU"
    clip_skip: Annotated[int, Field(ge=1, le=12)] = 1
    emphasis: Literal["Original", "No norm", "Ignore", "None"] = "Original"
    long_prompt: Literal["Continue", "Cut"] = "Continue"
    """Words beyond the encoder's 75: in further chunks, or left out as the releases do."""
    second_prompt: Text = ""
    """For the second text encoder of SDXL; "" is the prompt."""
    second_negative_prompt: Text = ""
    class_label: Annotated[str, Field(max_length=200)] = ""
    """Name or number of a class, for class-conditional checkpoints; "" is no class."""
    boxes: Annotated[tuple[Box, ...], BeforeValidator(_boxes), Field(max_length=30)] = ()
    """A layout, at most 30, for layout-to-image checkpoints."""
    image: Picture = ""
    """What is repainted, varied, filled in or enlarged."""
    second_image: Picture = ""
    """Mixed with the first (unCLIP)."""
    mix: Share = 0.5
    """Share of the second image."""
    mask: Picture = ""
    """White where the image is painted anew."""
    depth: Picture = ""
    """The user's own depth map, white is near; "" is estimated from the image."""
    map: Picture = ""
    """A label for each pixel, for semantic synthesis."""
    strength: Share = 1.0
    """How far an image is noised before it is repainted; 1 keeps nothing of it."""
    resize: ResizeMode = "stretch"
    """How the image comes to width x height."""
    mask_blur: Annotated[float, Field(ge=0, le=64)] = 4.0
    """Deviation of the blur that softens the mask, in pixels."""
    mask_invert: bool = False
    """Paint what is not masked."""
    masked_content: Fill = "original"
    only_masked: bool = False
    """Draw the mask's surroundings alone, at width x height, and paste them back; the picture keeps its size."""
    mask_padding: Annotated[int, Field(ge=0, le=512)] = 32
    """Pixels around the mask that are drawn with it, with only_masked."""
    soft: bool = False
    """Grey in the mask is the strength at that pixel (Differential Diffusion)."""
    extend_left: Room = 0
    """Pixels that the picture grows by, on top of width and height: outpainting."""
    extend_top: Room = 0
    extend_right: Room = 0
    extend_bottom: Room = 0
    match_colours: bool = False
    """Bring the colours of what was drawn back to those of the image."""
    depth_guided: bool = False
    """Keep the shapes of the image: where the checkpoint reads no depth, one that does draws this job."""
    depth_near: Share = 1.0
    """What of the depth map counts as nearest, and"""
    depth_far: Share = 0.0
    """what as farthest: between them it is stretched."""
    noise_level: Annotated[int, Field(ge=0, le=999)] | None = None
    """Noise that an input picture is given first (x4 upscaler, unCLIP); None: the family's own."""
    hires_scale: Annotated[float, Field(ge=1, le=8)] = 1.0
    """Enlarge what was drawn and repaint it (hires fix); 1 is off."""
    hires_width: Annotated[int, Field(ge=0, le=8192)] = 0
    """With hires_height: the size instead of the scale. A side of 0 follows from the other one."""
    hires_height: Annotated[int, Field(ge=0, le=8192)] = 0
    hires_upscaler: Name = ""
    """What enlarges; "" is Latent."""
    hires_steps: Steps | None = None
    """Of the ladder that is repainted on; None: as many as steps."""
    hires_strength: Share = 0.7
    hires_prompt: Text = ""
    """"" is the same prompt."""
    hires_negative_prompt: Text = ""
    hires_checkpoint: Name = ""
    """"" is the same, as in the next four."""
    hires_sampler: Name = ""
    hires_schedule: Name = ""
    hires_guidance: Guidance | None = None
    tile: Tile = 0
    """For what is drawn or decoded in tiles: pixels of the finished picture."""
    original_width: Side = 0
    """SDXL's size conditioning: the size the picture claims to have had; 0 is its own."""
    original_height: Side = 0
    crop_left: Side = 0
    crop_top: Side = 0
    target_width: Side = 0
    target_height: Side = 0
    aesthetic_score: Annotated[float, Field(ge=0, le=10)] = 6.0
    """Refiner: what the prompt's side claims of its beauty, 0 to 10."""
    negative_aesthetic_score: Annotated[float, Field(ge=0, le=10)] = 2.5
    refiner: Name = ""
    """Checkpoint that takes over on the way; "" is none."""
    refiner_switch: Share = 0.8
    """Share of the steps after which it does."""
    eta: Annotated[float, Field(ge=0, le=10)] | None = None
    """Share of ancestral noise of samplers that have it; None: the sampler's own."""
    sampler_options: Mapping[str, Any] = Field(default_factory=dict)
    """Values of the sampler's own keyword-only parameters."""
    schedule_options: Mapping[str, Any] = Field(default_factory=dict)
    """Values of the schedule's own."""
    conditioners: Conditioners = ()
    """Further conditioners, in order, beside those of the family: control networks and the like."""
    guiders: Guiders = ()
    """What changes the guidance, in order: the first stands next to the network."""
    script: Name = ""
    """A script that makes several requests of this one; "" is none."""
    script_options: Mapping[str, Any] = Field(default_factory=dict)
    """Values of the script's own options."""
    extras: Mapping[str, Any] = Field(default_factory=dict)
    """Values of the panels of extensions, {extension: {field: value}}."""

    @property
    def pictures(self) -> int:
        """How many pictures the job makes."""
        return self.batch_size * self.batch_count

    def alone(self, i: int) -> GenerationRequest:
        """What makes picture i of the job, counted from 0, by itself; of a request whose seeds are filled in."""
        varied = following(self.variation_seed, i) if self.variation_strength else -1
        return dataclasses.replace(self, seed=following(self.seed, i), variation_seed=varied, batch_size=1, batch_count=1)

    @property
    def is_extended(self) -> bool:
        """Whether the picture grows at some side."""
        return bool(self.extend_left or self.extend_top or self.extend_right or self.extend_bottom)

    @property
    def has_hires(self) -> bool:
        """Whether a second pass is asked for."""
        return self.hires_scale != 1 or bool(self.hires_width or self.hires_height)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class EnlargeRequest:
    """A finished picture made larger. The fields from prompt on count for a checkpoint that enlarges."""

    image: Picture = ""
    upscaler: Name = "Lanczos"
    """A filter, a file of the upscalers' folders, or a checkpoint of a family that enlarges, by its title."""
    second_upscaler: Name = ""
    """Mixed in; "" is none."""
    second_share: Share = 0.5
    scale: Annotated[float, Field(ge=1, le=8)] = 2.0
    width: Annotated[int, Field(ge=0, le=16384)] = 0
    """With height: the size instead of the scale. A side of 0 follows from the other one."""
    height: Annotated[int, Field(ge=0, le=16384)] = 0
    crop: bool = True
    """Cut other proportions off; else the picture covers the size."""
    tile: Tile = 0
    """Pixels of the picture that is enlarged."""
    tile_overlap: Annotated[int, Field(ge=0, le=1024)] = 16
    prompt: Text = ""
    negative_prompt: Text = ""
    noise_level: Annotated[int, Field(ge=0, le=999)] | None = None
    steps: Steps | None = None
    guidance: Guidance | None = None
    seed: Seed = -1

    @property
    def pictures(self) -> int:
        return 1

    @property
    def batch_size(self) -> int:
        return 1

    @property
    def batch_count(self) -> int:
        return 1


Request = GenerationRequest | EnlargeRequest
"""What a job can be."""
_properties: Callable[[Any], Any] = cache(lambda kind: TypeAdapter(kind).json_schema()["properties"])
"""The fields of a kind of request as JSON schema has them; milliseconds to make."""
FIELDS = {field.name: field for field in dataclasses.fields(GenerationRequest)}
PICTURES = ("image", "second_image", "mask", "depth", "map")
"""The fields that name a kept picture."""
CHOSEN = ("conditioners", "guiders")
"""The fields that name parts with options."""


def following(seed: int, i: int) -> int:
    """The seed of picture i of a job. Above the largest seed it goes on at 0."""
    return (seed + i) % (LAST_SEED + 1)


def pictures_of(request: Request) -> dict[str, str]:
    """The kept pictures that a request names, by field; those of options by what they belong to."""
    named = {field: name for field in PICTURES if (name := getattr(request, field, ""))}
    if isinstance(request, EnlargeRequest):
        return named
    for field in CHOSEN:
        for number, one in enumerate(getattr(request, field)):
            named |= {f"{field}.{number}.{key}": value for key, value in one.options.items() if _names_picture(value)}
    options = request.script_options.items()
    return named | {f"script_options.{key}": value for key, value in options if _names_picture(value)}


def _names_picture(value: Any) -> bool:
    """Pictures are named by the hash of their file, which no other value of an option is likely to be."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def request_from(values: Mapping[str, Any]) -> GenerationRequest:
    """A request from untrusted values (JSON, controls, infotext).

    Raises:
        FieldError: a field is unknown, of the wrong kind or out of its range; one sentence names the field,
            the value, and what would be right.
    """
    return _checked(GenerationRequest, values)


def enlarge_request_from(values: Mapping[str, Any]) -> EnlargeRequest:
    """As request_from."""
    return _checked(EnlargeRequest, values)


_R = TypeVar("_R", GenerationRequest, EnlargeRequest)


def _checked(kind: type[_R], values: Mapping[str, Any]) -> _R:
    try:
        return kind(**{str(name): value for name, value in values.items()})
    except ValidationError as error:
        raise field_error(error, kind) from None


def request_to_dict(request: Request) -> dict[str, Any]:
    """Plain values, ready for JSON; request_from or enlarge_request_from reads them back equal."""
    values = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    if isinstance(request, EnlargeRequest):
        return values
    chosen = {field: [{"name": one.name, "options": dict(one.options)} for one in values[field]] for field in CHOSEN}
    return {**values, "boxes": [dataclasses.asdict(box) for box in request.boxes], **chosen}


def limits(name: str, kind: type[Any] = GenerationRequest) -> tuple[float, float]:
    """The least and the greatest value of a numeric field, for controls and help texts."""
    schema = _properties(kind)[name]
    options = [schema, *schema.get("anyOf", [])]
    found = next(option for option in options if "maximum" in option)
    return found["minimum"], found["maximum"]


def field_error(error: ValidationError, of: type[Any] = GenerationRequest) -> FieldError:
    """Pydantic's finding as one sentence of ours."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if not str(part).startswith(("constrained-", "function-"))]
    field = place[0] if place else "request"
    label = field.replace("_", " ").capitalize()
    value, context, kind = first.get("input"), first.get("ctx", {}), first["type"]
    shown = _shown(value)
    if kind in ("greater_than_equal", "less_than_equal"):
        low, high = (int(v) if float(v).is_integer() else v for v in limits(field, of))
        return FieldError(field, f"{label} {shown} is out of range. It can be {low} to {high}.")
    if kind == "string_too_long":
        return FieldError(field, f"{label} is too long. It can have {context['max_length']:,} characters.")
    if kind == "too_long":
        return FieldError(field, f"{label}: {context['actual_length']} are too many. There can be {context['max_length']}.")
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        known = ", ".join(one.name for one in dataclasses.fields(of))
        return FieldError(field[:60], f"No field is called {_shown(field)}. Known: {known}.")
    if kind == "missing":
        return FieldError(field, f"{label} is missing.")
    if kind == "literal_error":
        return FieldError(field, f"{label} {shown} is unknown. It can be {context['expected']}.")
    wanted = {
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "string": "text",
        "finite": "a finite number",
        "mapping": "a set of named values",
        "dict": "a set of named values",
    }
    kinds = next((words for start, words in wanted.items() if kind.startswith(start)), "another kind of value")
    return FieldError(field, f"{label} {shown} is not right. It must be {kinds}.")
