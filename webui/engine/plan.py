"""From what was asked to what will be done: every choice filled in and checked, then batches of stages.

Nothing is drawn here, and no weights are read.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from webui.checkpoints import memory
from webui.checkpoints.catalog import Entry
from webui.checkpoints.manager import Checkpoints
from webui.contract.errors import CheckpointReadError, FieldError
from webui.contract.parts import Family, Parts, SamplerPart
from webui.contract.request import LAST_SEED, GenerationRequest
from webui.engine import fit
from webui.engine.inputs import Pictures, no_pictures


@dataclass(frozen=True)
class Stage:
    """A part of the walk down the noise levels, with one checkpoint."""

    checkpoint: str
    width: int
    height: int
    first: int
    """Rung of the walk's ladder at which it begins; 0 is the noisiest."""
    last: int
    is_last: bool = True
    """Whether its latents are the picture's."""


@dataclass(frozen=True)
class Batch:
    """Pictures that are drawn together."""

    first: int
    """Index of its first picture in the job."""
    seeds: tuple[int, ...]
    variation_seeds: tuple[int, ...]
    stages: tuple[Stage, ...]


def complete(
    request: GenerationRequest, checkpoints: Checkpoints, parts: Parts, pictures: Pictures = no_pictures
) -> GenerationRequest:
    """The same request with nothing left open: names as registered, the family's defaults, a size, a seed.

    Raises:
        RequestError: an unknown name, an option that the sampler does not have, a picture larger than memory, something
            that the checkpoint needs and was not given, or was given and does not read.
        CheckpointError: no such checkpoint, or one that cannot be read.
    """
    entry = checkpoints.find(request.checkpoint)
    family = readable(entry)
    fit.check(request, family)
    sampler = parts.samplers[request.sampler or family.sampler]
    automatic = request.schedule.casefold() in ("", "automatic")
    width, height = fit.size(request, family, pictures)
    done = replace(
        request,
        checkpoint=entry.title,
        sampler=sampler.name,
        schedule="Automatic" if automatic else parts.schedules[request.schedule].name,
        steps=request.steps or family.steps,
        guidance=family.guidance if request.guidance is None else request.guidance,
        width=width,
        height=height,
        seed=secrets.randbelow(2**32) if request.seed < 0 else request.seed,
        variation_seed=secrets.randbelow(2**32)
        if request.variation_seed < 0 and request.variation_strength
        else request.variation_seed,
        strength=request.strength if request.image and "strength" in family.inputs else 1.0,
        refiner=checkpoints.find(request.refiner).title if request.refiner else "",
    )
    check_options(sampler, done.sampler_options)
    needed = memory.picture_bytes(family, done.batch_size, width, height)
    if done.refiner:
        other = checkpoints.find(done.refiner)
        fit.check_refiner(done, family, readable(other))
        needed = max(needed, memory.picture_bytes(readable(other), done.batch_size, width, height))
        needed += 0 if other.title in checkpoints.resident() else other.size
    memory.require(needed, checkpoints.device, width, height, done.batch_size)
    return done


def readable(entry: Entry) -> Family:
    """The family of a checkpoint. Raises CheckpointReadError with what is known against it."""
    if entry.error or entry.family is None:
        raise CheckpointReadError(entry.error)
    return entry.family


def batches(request: GenerationRequest) -> Iterator[Batch]:
    """The batches of a complete request, in order. Picture i has seed + i; above the largest seed it goes on at 0."""
    stages = stages_of(request)
    for first in range(0, request.pictures, request.batch_size):
        numbers = range(first, first + request.batch_size)
        yield Batch(
            first,
            tuple(following(request.seed, i) for i in numbers),
            tuple(following(request.variation_seed, i) for i in numbers) if request.variation_strength else (),
            stages,
        )


def stages_of(request: GenerationRequest) -> tuple[Stage, ...]:
    """The checkpoint, then the refiner from its switch point on, both on one ladder; each takes at least one step, or the
    refiner none and is left out."""
    assert request.width and request.height
    steps = walked(request)
    switch = max(1, round(request.refiner_switch * steps))
    if not request.refiner or switch >= steps:
        return (Stage(request.checkpoint, request.width, request.height, 0, steps),)
    return (
        Stage(request.checkpoint, request.width, request.height, 0, switch, is_last=False),
        Stage(request.refiner, request.width, request.height, switch, steps),
    )


def repaints(request: GenerationRequest) -> bool:
    """Whether the walk of a complete request starts from its image."""
    return bool(request.image) and request.strength < 1


def walked(request: GenerationRequest) -> int:
    """Steps that are taken: all of them, or where an image is repainted the last ones, as far as it is noised: at least one,
    but none at strength 0, which gives the image back."""
    steps = request.steps or 1
    if not repaints(request):
        return steps
    return max(1, int(request.strength * steps + 1e-6)) if request.strength > 0 else 0


def following(seed: int, i: int) -> int:
    """The seed of picture i of a job."""
    return (seed + i) % (LAST_SEED + 1)


def of_picture(request: GenerationRequest, batch: Batch, i: int) -> GenerationRequest:
    """The request that makes picture i of a batch alone."""
    return replace(
        request,
        seed=batch.seeds[i],
        variation_seed=batch.variation_seeds[i] if batch.variation_seeds else -1,
        batch_size=1,
        batch_count=1,
    )


def sampler_options(sampler: SamplerPart, request: GenerationRequest) -> dict[str, Any]:
    """Keyword arguments for the sampler: its own options, and eta where it has one."""
    options = dict(request.sampler_options)
    if request.eta is not None and "eta" in option_parameters(sampler):
        options.setdefault("eta", request.eta)
    return options


def option_parameters(sampler: SamplerPart) -> dict[str, inspect.Parameter]:
    """A sampler's options are its keyword-only parameters."""
    return {name: p for name, p in inspect.signature(sampler.function).parameters.items() if p.kind is p.KEYWORD_ONLY}


def check_options(sampler: SamplerPart, options: Any) -> None:
    """Raises FieldError for an option that the sampler does not have, or a value of another kind."""
    known = option_parameters(sampler)
    for name, value in options.items():
        if name not in known:
            has = f"It has {', '.join(known)}." if known else "It has none."
            raise FieldError("sampler_options", f"{sampler.name} has no option {name!r}. {has}")
        wanted = get_type_hints(sampler.function).get(name, float)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if (wanted is float and not number) or (wanted in (int, bool, str) and type(value) is not wanted):
            raise FieldError("sampler_options", f"Option {name!r} of {sampler.name} must be {wanted.__name__}, not {value!r}.")
