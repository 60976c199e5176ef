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
from webui.checkpoints.manager import Checkpoints
from webui.contract.errors import CheckpointReadError, FieldError
from webui.contract.parts import Parts, SamplerPart
from webui.contract.request import LAST_SEED, GenerationRequest


@dataclass(frozen=True)
class Stage:
    """One walk down the noise levels with one checkpoint."""

    checkpoint: str
    width: int
    height: int


@dataclass(frozen=True)
class Batch:
    """Pictures that are drawn together."""

    first: int
    """Index of its first picture in the job."""
    seeds: tuple[int, ...]
    variation_seeds: tuple[int, ...]
    stages: tuple[Stage, ...]


def complete(request: GenerationRequest, checkpoints: Checkpoints, parts: Parts) -> GenerationRequest:
    """The same request with nothing left open: names as registered, the family's defaults, a seed.

    Raises:
        RequestError: an unknown name, an option that the sampler does not have, a picture larger than memory.
        CheckpointError: no such checkpoint, or one that cannot be read.
    """
    entry = checkpoints.find(request.checkpoint)
    family = entry.family
    if entry.error or family is None:
        raise CheckpointReadError(entry.error)
    sampler = parts.samplers[request.sampler or family.sampler]
    automatic = request.schedule.casefold() in ("", "automatic")
    done = replace(
        request,
        checkpoint=entry.title,
        sampler=sampler.name,
        schedule="Automatic" if automatic else parts.schedules[request.schedule].name,
        steps=request.steps or family.steps,
        guidance=family.guidance if request.guidance is None else request.guidance,
        width=request.width or family.native_size,
        height=request.height or family.native_size,
        seed=secrets.randbelow(2**32) if request.seed < 0 else request.seed,
        variation_seed=secrets.randbelow(2**32)
        if request.variation_seed < 0 and request.variation_strength
        else request.variation_seed,
    )
    check_options(sampler, done.sampler_options)
    assert done.width and done.height
    needed = memory.picture_bytes(family, done.batch_size, done.width, done.height)
    memory.require(needed, checkpoints.device, done.width, done.height, done.batch_size)
    return done


def batches(request: GenerationRequest) -> Iterator[Batch]:
    """The batches of a complete request, in order. Picture i has seed + i; above the largest seed it goes on at 0."""
    assert request.width and request.height
    stage = Stage(request.checkpoint, request.width, request.height)
    for first in range(0, request.pictures, request.batch_size):
        numbers = range(first, first + request.batch_size)
        yield Batch(
            first,
            tuple(following(request.seed, i) for i in numbers),
            tuple(following(request.variation_seed, i) for i in numbers) if request.variation_strength else (),
            (stage,),
        )


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
