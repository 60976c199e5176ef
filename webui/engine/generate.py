"""From a request to pictures: the whole journey on one screen. It owns no maths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from webui.checkpoints import estimate, memory
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.model import Model
from webui.contract import infotext
from webui.contract.parts import Denoise, Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import CheckpointName, GeneratedImage
from webui.engine import autoencoder, leaner, plan, ways
from webui.engine.autoencoder import NotFiniteError
from webui.engine.canvas import Canvas, Pictures, canvas_of, finished, no_pictures
from webui.engine.conditioners.pictures import depth_note
from webui.engine.conditioning import Sides, condition, seen_through
from webui.engine.guiders import guided
from webui.engine.hires import Painted, Repainting
from webui.engine.inputs import FROM_NOISE, Start, read, start_of
from webui.engine.masks import held
from webui.engine.plan import Batch, Pass, Stage
from webui.engine.references import References
from webui.engine.sizes import Size
from webui.engine.start import Walk, begin
from webui.engine.strangers import called, latents_of
from webui.engine.table import NoiseTable
from webui.engine.tiles import Tiles, tiles_of
from webui.engine.tiling import Window, in_windows
from webui.engine.watch import Observer, Share, Stopping, Unobserved, watch
from webui.engine.ways import Way, Work

EVERYTHING = 2**62
"""Bytes that no device has: all idle checkpoints leave it."""


def generate(
    request: GenerationRequest,
    checkpoints: Checkpoints,
    parts: Parts,
    observer: Observer | None = None,
    pictures: Pictures = no_pictures,
) -> Iterator[GeneratedImage]:
    """Draw a request, picture by picture.

    Args:
        observer: told of each step, asked before each network call whether to stop.
        pictures: opens the pictures that the request names.

    Raises:
        RequestError, CheckpointError: before anything is drawn.
        Interrupted: the observer wished to stop; what was yielded is finished.
    """
    planned = plan.plan(request, checkpoints, parts, pictures)
    studio = Studio(checkpoints, parts, observer or Unobserved(), pictures)
    for batch in plan.batches(planned.request):
        for picture in studio.draw(planned.request, batch):
            yield replace(picture, notes=tuple(dict.fromkeys((*planned.said, *picture.notes))))


@dataclass(frozen=True)
class Studio:
    """What a request is drawn with."""

    checkpoints: Checkpoints
    parts: Parts
    observer: Observer
    pictures: Pictures

    def draw(self, request: GenerationRequest, batch: Batch) -> Iterator[GeneratedImage]:
        """One batch through its passes; its pictures come from the last one."""
        before: list[Painted] = []
        for number, one in enumerate(batch.passes):
            share = batch.share(number, request.pictures)
            painted = self.paint(one, batch, share, before)
            if number < len(batch.passes) - 1:
                before = painted
                continue
            unsound: NotFiniteError | None = None
            for i, picture in enumerate(painted):
                exact = request.alone(batch.first + i)
                text = infotext.write(exact, picture.checkpoint)
                try:
                    image = picture.image()
                except NotFiniteError as problem:  # the others of its batch are kept
                    unsound = problem if len(painted) == 1 else NotFiniteError(f"Picture {batch.first + i + 1}: {problem}")
                    continue
                yield GeneratedImage(image, exact, picture.checkpoint, text, (*picture.notes, *picture.late))
            if unsound is not None:
                raise unsound

    def paint(self, one: Pass, batch: Batch, share: Share, before: list[Painted]) -> list[Painted]:
        """One walk, and its pictures. Where memory ran out all the same, or half precision did not do, it is walked once more."""
        made: Walked | None = None
        with suppress(memory.RanOutError):  # what it held is given back when this block is left
            made = self.walk(one, batch, share, before)
        if made is None:
            self.checkpoints.make_room(EVERYTHING)
            made = self.walk(one, batch, share, before, is_lean=True)
        if one.steps and made.model.dtype != torch.float32 and not (sound := is_finite(made.latents)).all():
            made = made.mended(self.walk(one, batch, share, before, is_precise=True), sound)
        return [self.picture(one, made, i) for i in range(len(batch.seeds))]

    def walk(
        self,
        one: Pass,
        batch: Batch,
        share: Share,
        before: list[Painted],
        is_lean: bool = False,
        is_precise: bool = False,
    ) -> Walked:
        """Through the stages of a pass, all on one ladder.

        Args:
            is_lean: with as little memory as can be. is_precise: with the network in float32.
        """
        walk: Walk | None = None
        for stage in one.stages:
            with self.checkpoints.use(stage.checkpoint) as model, memory.shortage(*one.size), torch.inference_mode():
                if walk is None:
                    name = before[0].checkpoint if before else model.name
                    canvas = canvas_of(one.request, model.family, self.pictures)
                    work = work_for(one.request, model, canvas.padded, len(batch.seeds))
                    way, said = ways.leaner(work) if is_lean else ways.fitting(work, model, self.checkpoints)
                    start, canvases = self.start(one, canvas, model, batch, before, way.tiles)
                    inputs = read(one.request, model.family, self.pictures, canvas)
                    notes = (*depth_note(model, inputs), *filter(None, (model.note, said)))
                    canvases = [replace(each, notes=(*each.notes, *notes)) for each in canvases]
                    table, tile = table_of(model), way.tiles.autoencoder
                    walk = begin(one.request, batch, model, table, self.parts, inputs, start, one.steps, tile)
                if one.steps:
                    known = References(self.parts, self.checkpoints.shelf, self.pictures)
                    asked = leaner.in_parts(leaner.precise(model) if is_precise else model, way.rows)
                    drawing = Drawing(stage, model, asked, way.tiles, share, known)
                    walk = replace(walk, x=sample(one.request, drawing, self.parts, self.observer, walk))
        assert walk is not None
        return Walked(walk.x, tuple(canvases), model, name, work, way)

    def start(
        self, one: Pass, canvas: Canvas, model: Model, batch: Batch, before: list[Painted], tiles: Tiles
    ) -> tuple[Start, list[Canvas]]:
        """What the walk begins with, and the canvas of each picture."""
        if one.growth is None:
            start = start_of(one.request, model.family, canvas, one.steps) if one.steps else FROM_NOISE
            return start, [canvas] * len(batch.seeds)
        again = Repainting(one.request, one.growth, one.steps, batch.seeds)
        return again.begin(canvas, before, model, self.checkpoints, self.parts, self.draw_one, self.observer.should_stop, tiles)

    def draw_one(self, request: GenerationRequest, image: Image.Image) -> Image.Image:
        """A picture drawn of another one, on the way."""
        made = generate(request, self.checkpoints, self.parts, Stopping(self.observer), pictures=lambda _: image)
        return next(made).image

    def picture(self, one: Pass, made: Walked, i: int) -> Painted:
        """A finished picture of the walk, decoded when it is first looked at."""
        canvas, late = made.canvases[i], list[str]()

        def drawn() -> Image.Image:
            if not one.steps and canvas.image is not None:
                return canvas.image  # nothing was painted: the same bytes, past the autoencoder
            with self.checkpoints.again(made.model):
                whole = self.decode(made, made.latents[i : i + 1], one.size, late.append)
                with memory.shortage(*one.size):
                    return finished(canvas, whole.crop((0, 0, *canvas.size)), one.request)

        return Painted(made.latents[i : i + 1], made.name, drawn, canvas.notes, late)

    def decode(self, made: Walked, latents: Tensor, size: Size, told: Callable[[str], None]) -> Image.Image:
        """One picture; where memory runs out, once more in small tiles."""
        way, said = ways.leaner(made.work, made.way)
        try:
            with memory.shortage(*size):
                return autoencoder.decode(latents, made.model, made.way.tiles.autoencoder, told)
        except memory.RanOutError:
            if way.tiles.autoencoder == made.way.tiles.autoencoder:
                raise
        self.checkpoints.make_room(EVERYTHING)
        told(said)
        with memory.shortage(*size):
            return autoencoder.decode(latents, made.model, way.tiles.autoencoder, told)


@dataclass(frozen=True)
class Walked:
    """What a walk ended with, for a whole batch."""

    latents: Tensor
    """(B, C, h, w), clean"""
    canvases: tuple[Canvas, ...]
    model: Model
    """Decodes them."""
    name: CheckpointName
    work: Work
    way: Way

    def mended(self, other: Walked, sound: Tensor) -> Walked:
        """With the other's pictures where this one's are not sound (B,), and a note at each of them."""
        latents = torch.where(sound.view(-1, 1, 1, 1), self.latents, other.latents)
        note = f"The network overflowed in {str(self.model.dtype).removeprefix('torch.')}, so this picture was drawn in float32."
        saved = ~sound & is_finite(other.latents)
        canvases = tuple(
            replace(each, notes=(*each.notes, note)) if is_saved else each
            for each, is_saved in zip(self.canvases, saved.tolist(), strict=True)
        )
        return replace(self, latents=latents, canvases=canvases)


def is_finite(latents: Tensor) -> Tensor:
    """(B,) bool: whether all of a picture's latents (B, C, h, w) are finite."""
    return torch.isfinite(latents).flatten(1).all(1)


def work_for(request: GenerationRequest, model: Model, size: Size, batch: int) -> Work:
    """What a walk holds at once with a model that is loaded."""
    tiles = tiles_of(model.family, size, request.tile, model.device)
    work = ways.work_of(request, model.family, size, estimate.setting_of(model), tiles)
    return replace(work, batch=batch)


@dataclass(frozen=True)
class Drawing:
    """What one stage of a walk is drawn with."""

    stage: Stage
    model: Model
    """Conditions, and shows."""
    asked: Model
    """The same one, as its network is asked: a few rows at a time, or in float32."""
    tiles: Tiles
    share: Share
    references: References


def sample(request: GenerationRequest, drawing: Drawing, parts: Parts, observer: Observer, walk: Walk) -> Tensor:
    """One stage of a walk: latents (B, C, h, w), clean after the last stage."""
    model, asked, share, known, stage = drawing.model, drawing.asked, drawing.share, drawing.references, drawing.stage
    table = table_of(model)

    def conditioned(other: GenerationRequest) -> Sides:
        return condition(other, model, parts, walk.inputs, known)

    whole = conditioned(request)

    def through(window: Window | None = None) -> Denoise:
        if window is None:
            return guided(request, asked, table, whole, conditioned, share.together, known)

        def seen(sides: Sides) -> Sides:
            return seen_through(window, sides[0]), seen_through(window, sides[1])

        place = window.share_of(*walk.x.shape[-2:])
        return guided(request, asked, table, seen(whole), lambda other: seen(conditioned(other)), share.together, known, place)

    cells = drawing.tiles.latents(model.family)
    denoise = in_windows(through, walk.x, cells, observer.should_stop) if drawing.tiles.network else through()
    if walk.original is not None and walk.strength is not None:
        denoise = held(denoise, walk.original, walk.strength, walk.sigmas)
    denoise = watch(denoise, walk.sigmas, observer, share, lambda clean: autoencoder.preview(clean, model), stage.first)
    sampler = parts.samplers[request.sampler]
    options = plan.sampler_options(sampler, request)
    with called(parts.samplers, sampler.name):
        latents = sampler.function(denoise, walk.x, walk.sigmas[stage.first : stage.last + 1], walk.noise, **options)
    return latents_of(latents, walk.x, parts.samplers, sampler.name)


def table_of(model: Model) -> NoiseTable:
    """The model's noise table, made once."""
    table: NoiseTable | None = model.fits.get("table")
    if table is None:
        table = NoiseTable(model.sigmas)
        model.fits.put("table", table)
    return table
