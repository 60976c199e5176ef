"""From what was asked to what will be done: every choice filled in and checked, then batches of stages.

Nothing is drawn here, and no weights are read.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from webui.checkpoints import estimate, memory
from webui.checkpoints.catalog import Entry
from webui.checkpoints.manager import Checkpoints
from webui.contract.errors import CheckpointReadError, FieldError
from webui.contract.options import parameters
from webui.contract.parts import Family, Parts, SamplerPart
from webui.contract.request import GenerationRequest, following
from webui.engine import fit, own_options, ways
from webui.engine.canvas import Pictures, no_pictures
from webui.engine.enlarging import named
from webui.engine.pictures import check_fits
from webui.engine.references import References
from webui.engine.resizing import LATENT_MODES
from webui.engine.sizes import Enlargement, Size, enlarge, padded, steps_of
from webui.engine.tiles import tiles_of
from webui.engine.unheard import unheard
from webui.engine.watch import Share


@dataclass(frozen=True)
class Stage:
    """A part of the walk down the noise levels, with one checkpoint."""

    checkpoint: str
    first: int
    """Rung of the walk's ladder at which it begins; 0 is the noisiest."""
    last: int
    is_last: bool = True
    """Whether its latents are the picture's."""


@dataclass(frozen=True)
class Pass:
    """One walk down the noise levels, from its own start: the picture, or its hires repainting."""

    request: GenerationRequest
    """What is asked of this walk."""
    stages: tuple[Stage, ...]
    size: Size
    """(width, height) that is drawn, before padding; of a masked part, about that."""
    growth: Enlargement | None = None
    """Of the picture that is repainted, in a second pass."""

    @property
    def steps(self) -> int:
        """That are walked."""
        return self.stages[-1].last


@dataclass(frozen=True)
class Batch:
    """Pictures that are drawn together."""

    first: int
    """Index of its first picture in the job."""
    seeds: tuple[int, ...]
    variation_seeds: tuple[int, ...]
    passes: tuple[Pass, ...]

    def share(self, number: int, pictures: int) -> Share:
        """Where the walk of a pass lies in the job: by steps and pixels, which is about its time."""
        works = [one.steps * one.size[0] * one.size[1] for one in self.passes]
        total = sum(works) or 1
        before = sum(one.steps for one in self.passes[:number])
        return Share(
            self.first,
            pictures,
            len(self.seeds),
            sum(one.steps for one in self.passes),
            before,
            sum(works[:number]) / total,
            sum(works[: number + 1]) / total,
        )


@dataclass(frozen=True)
class Plan:
    """A request with nothing left open, and what the user should know of it."""

    request: GenerationRequest
    notes: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    """What the checkpoint does not hear of the prompt's words."""

    @property
    def said(self) -> tuple[str, ...]:
        """All that the user should know of what is drawn just so."""
        return (*self.notes, *self.unheard)


def complete(
    request: GenerationRequest, checkpoints: Checkpoints, parts: Parts, pictures: Pictures = no_pictures
) -> GenerationRequest:
    """The same request with nothing left open: names as registered, the family's defaults, a size, a seed.

    Raises:
        RequestError: an unknown name, an option that the sampler does not have, a picture larger than memory, something
            that the checkpoint needs and was not given, or was given and does not read.
        CheckpointError: no such checkpoint, or one that cannot be read.
    """
    return plan(request, checkpoints, parts, pictures).request


def plan(request: GenerationRequest, checkpoints: Checkpoints, parts: Parts, pictures: Pictures = no_pictures) -> Plan:
    """As complete, with notes."""
    entry, notes = _checkpoint(request, checkpoints)
    family = readable(entry)
    fit.check(request, family)
    if request.mask:
        check_fits(pictures(request.mask).size, pictures(request.image).size)
    sampler = parts.samplers[request.sampler or family.sampler]
    width, height = fit.size(request, family, pictures)
    if family.enlarges > 1 and (request.width or width, request.height or height) != (width, height):
        notes += (f"{family.label} makes a picture {family.enlarges} times as large: {width} x {height}.",)
    schedule, options = own_options.of_schedule(request.schedule, sampler, request.schedule_options, parts, family)
    known = References(parts, checkpoints.shelf, pictures)
    script, script_options = own_options.of_script(request.script, request.script_options, known)
    asked = _schedule(request.schedule, parts)  # which options of what Automatic stands for give a name
    done = replace(
        request,
        checkpoint=entry.title,
        sampler=sampler.name,
        schedule=schedule,
        steps=request.steps or family.steps,
        guidance=family.guidance if request.guidance is None else request.guidance,
        width=width,
        height=height,
        seed=secrets.randbelow(2**32) if request.seed < 0 else request.seed,
        variation_seed=secrets.randbelow(2**32)
        if request.variation_seed < 0 and request.variation_strength
        else request.variation_seed,
        strength=request.strength if request.image and "strength" in family.inputs else 1.0,
        sampler_options=own_options.of_sampler(sampler, request.sampler_options, parts),
        schedule_options=options,
        hires_schedule=request.hires_schedule or ("Automatic" if request.hires_sampler and schedule != asked else ""),
        refiner=checkpoints.find(request.refiner).title if request.refiner else "",
        conditioners=own_options.of_chosen("conditioners", request.conditioners, parts.conditioners, known, family),
        guiders=own_options.of_chosen("guiders", request.guiders, parts.guiders, known, family),
        script=script,
        script_options=script_options,
    )
    if done.refiner:
        fit.check_refiner(done, family, readable(checkpoints.find(done.refiner)))
    if done.has_hires:
        done, more = _with_hires(done, family, checkpoints, parts)
        notes += more
    _require_memory(done, family, checkpoints)
    if entry.knows and "prompt" in family.inputs:
        return Plan(done, notes, tuple(filter(None, [unheard(family.label, entry.knows, request.prompt)])))
    return Plan(done, notes)


def _checkpoint(request: GenerationRequest, checkpoints: Checkpoints) -> tuple[Entry, tuple[str, ...]]:
    """The one that draws: as asked, but where depth is to guide and that one reads none, one that does."""
    entry = checkpoints.find(request.checkpoint)
    if not request.depth_guided:
        return entry, ()
    able = depth_checkpoint(entry, checkpoints)
    return able, () if able is entry else (f"{entry.name} reads no depth, so {able.name} draws this.",)


def depth_checkpoint(entry: Entry, checkpoints: Checkpoints) -> Entry:
    """A checkpoint that reads depth: that one, else one of its kind (small and come with the program, or not), else any; of
    several one that is in memory.

    Raises:
        FieldError: none does.
    """
    if "depth" in readable(entry).inputs:
        return entry
    resident = checkpoints.resident()
    able = [other for other in checkpoints.entries() if not other.error and other.family and "depth" in other.family.inputs]
    if not able:
        raise FieldError(
            "depth_guided",
            f"{entry.name} reads no depth, and no checkpoint here does. Put one, such as 512-depth-ema of SD 2, into "
            "models/Stable-diffusion.",
        )
    return min(able, key=lambda other: ((other.knows is None) != (entry.knows is None), other.title not in resident))


def _schedule(name: str, parts: Parts) -> str:
    return "Automatic" if name.casefold() in ("", "automatic") else parts.schedules[name].name


def _with_hires(
    done: GenerationRequest, family: Family, checkpoints: Checkpoints, parts: Parts
) -> tuple[GenerationRequest, tuple[str, ...]]:
    """The fields of the second pass filled in and checked, and a note where it cuts something off."""
    other = readable(checkpoints.find(done.hires_checkpoint)) if done.hires_checkpoint else family
    fit.check_hires(done, other)
    done = replace(
        done,
        hires_upscaler=done.hires_upscaler or "Latent",
        hires_steps=done.hires_steps or done.steps,
        hires_checkpoint=checkpoints.find(done.hires_checkpoint).title if done.hires_checkpoint else "",
        hires_sampler=parts.samplers[done.hires_sampler].name if done.hires_sampler else "",
        hires_schedule=_schedule(done.hires_schedule, parts) if done.hires_schedule else "",
    )
    if done.hires_upscaler not in LATENT_MODES:
        named(done.hires_upscaler, checkpoints, parts)
    elif not fit.has_same_latents(family, other):
        raise FieldError("hires_upscaler", f"{other.label} has other latents than {family.label}. Choose another upscaler.")
    return done, tuple(note for note in (hires(done).note,) if note)


def hires(request: GenerationRequest) -> Enlargement:
    """How the picture of a request grows by hires fix: the one place that page, job and infotext ask."""
    assert request.width and request.height
    to = (request.hires_width, request.hires_height)
    try:
        return enlarge((request.width, request.height), request.hires_scale, to, most=8192)
    except FieldError as problem:
        raise FieldError("hires_scale", str(problem)) from None


def _require_memory(request: GenerationRequest, family: Family, checkpoints: Checkpoints) -> None:
    """Raises MemoryLimitError where some walk of the request needs more than there is, in whichever way it is drawn."""
    room = memory.room(checkpoints.device) + ways.idle_bytes(checkpoints)
    for one in passes_of(request):
        size = padded(one.size, family.size_step)
        for title in {stage.checkpoint for stage in one.stages}:
            row = readable(checkpoints.find(title))
            tiles = tiles_of(row, size, request.tile, checkpoints.device)
            refiner = request.refiner and request.refiner not in checkpoints.resident()
            beside = checkpoints.find(request.refiner).size if refiner else 0
            work = ways.work_of(one.request, row, size, estimate.expected(checkpoints.device), tiles, beside)
            ways.require(work, room, one.size)


def readable(entry: Entry) -> Family:
    """The family of a checkpoint. Raises CheckpointReadError with what is known against it."""
    if entry.error or entry.family is None:
        raise CheckpointReadError(entry.error)
    return entry.family


def batches(request: GenerationRequest) -> Iterator[Batch]:
    """The batches of a complete request, in order. Picture i has seed + i; above the largest seed it goes on at 0."""
    passes = passes_of(request)
    for first in range(0, request.pictures, request.batch_size):
        numbers = range(first, first + request.batch_size)
        yield Batch(
            first,
            tuple(following(request.seed, i) for i in numbers),
            tuple(following(request.variation_seed, i) for i in numbers) if request.variation_strength else (),
            passes,
        )


def passes_of(request: GenerationRequest) -> tuple[Pass, ...]:
    """The walks of a complete request: the picture's, and with hires fix the one that repaints it larger."""
    first = Pass(request, stages_of(request), fit.drawn(request))
    if not request.has_hires:
        return (first,)
    growth = hires(request)
    again = replace(
        request,
        prompt=request.hires_prompt or request.prompt,
        negative_prompt=request.hires_negative_prompt or request.negative_prompt,
        checkpoint=request.hires_checkpoint or request.checkpoint,
        sampler=request.hires_sampler or request.sampler,
        sampler_options={} if request.hires_sampler else request.sampler_options,
        schedule=request.hires_schedule or request.schedule,
        schedule_options={} if request.hires_schedule else request.schedule_options,
        guidance=request.guidance if request.hires_guidance is None else request.hires_guidance,
        steps=request.hires_steps,
        strength=request.hires_strength,
        seed_from_width=0,
        seed_from_height=0,
        width=growth.size[0],
        height=growth.size[1],
    )
    steps = steps_of(again.strength, again.steps or 1)
    return first, Pass(again, (Stage(again.checkpoint, 0, steps),), growth.size, growth)


def stages_of(request: GenerationRequest) -> tuple[Stage, ...]:
    """The checkpoint, then the refiner from its switch point on, both on one ladder; each takes at least one step, or the
    refiner none and is left out."""
    steps = walked(request)
    switch = max(1, round(request.refiner_switch * steps))
    if not request.refiner or switch >= steps:
        return (Stage(request.checkpoint, 0, steps),)
    return Stage(request.checkpoint, 0, switch, is_last=False), Stage(request.refiner, switch, steps)


def walked(request: GenerationRequest) -> int:
    """Steps that are taken: all of them, or where an image is repainted the last ones, as far as it is noised: at least one,
    but none at strength 0, which gives the image back."""
    steps = request.steps or 1
    return steps_of(request.strength, steps) if request.image else steps


def sampler_options(sampler: SamplerPart, request: GenerationRequest) -> dict[str, Any]:
    """Keyword arguments for the sampler: its own options, and eta where it has one."""
    options = dict(request.sampler_options)
    if request.eta is not None and "eta" in parameters(sampler.function):
        options.setdefault("eta", request.eta)
    return options
