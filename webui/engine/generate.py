"""From a request to pictures: the whole journey on one screen. It owns no maths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from webui.checkpoints import memory
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.model import Model
from webui.contract import infotext
from webui.contract.parts import Denoise, Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import CheckpointName, GeneratedImage
from webui.engine import autoencoder, plan
from webui.engine.canvas import Canvas, Pictures, canvas_of, finished, no_pictures
from webui.engine.conditioners.pictures import depth_note
from webui.engine.conditioning import Sides, condition, seen_through
from webui.engine.guiders import guided
from webui.engine.hires import Painted, Repainting
from webui.engine.inputs import FROM_NOISE, Start, read, start_of
from webui.engine.masks import held
from webui.engine.plan import Batch, Pass, Stage
from webui.engine.references import References
from webui.engine.start import Walk, begin
from webui.engine.strangers import called, latents_of
from webui.engine.table import NoiseTable
from webui.engine.tiles import WHOLE, Tiles, tiles_of
from webui.engine.tiling import Window, in_windows
from webui.engine.watch import Observer, Share, Stopping, Unobserved, watch


def generate(
    request: GenerationRequest,
    checkpoints: Checkpoints,
    parts: Parts,
    observer: Observer | None = None,
    skip: int = 0,
    pictures: Pictures = no_pictures,
) -> Iterator[GeneratedImage]:
    """Draw a request, picture by picture.

    Args:
        observer: told of each step, asked before each network call whether to stop.
        skip: pictures of the job that are there already (a job taken up again); whole batches of them are left out.
        pictures: opens the pictures that the request names.

    Raises:
        RequestError, CheckpointError: before anything is drawn.
        Interrupted: the observer wished to stop; what was yielded is finished.
    """
    planned = plan.plan(request, checkpoints, parts, pictures)
    studio = Studio(checkpoints, parts, observer or Unobserved(), pictures)
    for batch in plan.batches(planned.request):
        if batch.first + len(batch.seeds) <= skip:
            continue
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
                before = list(painted)
                continue
            for i, picture in enumerate(painted):
                exact = request.alone(batch.first + i)
                text = infotext.write(exact, picture.checkpoint)
                yield GeneratedImage(picture.image(), exact, picture.checkpoint, text, picture.notes)

    def paint(self, one: Pass, batch: Batch, share: Share, before: list[Painted]) -> Iterator[Painted]:
        """One walk through its stages, all on one ladder, and its pictures."""
        walk: Walk | None = None
        for stage in one.stages:
            with self.checkpoints.use(stage.checkpoint) as model:
                with memory.shortage(*one.size), torch.inference_mode():
                    if walk is None:
                        name = before[0].checkpoint if before else model.name
                        canvas = canvas_of(one.request, model.family, self.pictures)
                        tiles = tiles_of(model.family, canvas.padded, one.request.tile, model.device)
                        start, canvases = self.start(one, canvas, model, batch, before, tiles)
                        inputs = read(one.request, model.family, self.pictures, canvas)
                        canvases = [replace(each, notes=(*each.notes, *depth_note(model, inputs))) for each in canvases]
                        table = table_of(model)
                        walk = begin(one.request, batch, model, table, self.parts, inputs, start, one.steps, tiles.autoencoder)
                    if one.steps:
                        known = References(self.parts, model.shelf, self.pictures)
                        x = sample(one.request, stage, model, self.parts, self.observer, walk, share, tiles, known)
                        walk = replace(walk, x=x)
                for i in range(len(batch.seeds) if stage.is_last else 0):
                    yield self.picture(one, canvases[i], walk.x[i : i + 1], model, name, tiles)

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

    def picture(self, one: Pass, canvas: Canvas, latents: Tensor, model: Model, name: CheckpointName, tiles: Tiles) -> Painted:
        """A finished picture of the walk, decoded when it is first looked at."""

        def drawn() -> Image.Image:
            if not one.steps and canvas.image is not None:
                return canvas.image  # nothing was painted: the same bytes, past the autoencoder
            with self.checkpoints.again(model), memory.shortage(*one.size):
                whole = autoencoder.decode(latents, model, tiles.autoencoder)
                return finished(canvas, whole.crop((0, 0, *canvas.size)), one.request)

        return Painted(latents, name, drawn, canvas.notes)


def sample(
    request: GenerationRequest,
    stage: Stage,
    model: Model,
    parts: Parts,
    observer: Observer,
    walk: Walk,
    share: Share,
    tiles: Tiles = WHOLE,
    references: References | None = None,
) -> Tensor:
    """One stage of a walk: latents (B, C, h, w), clean after the last stage."""
    table, known = table_of(model), references or References(parts, model.shelf)

    def conditioned(asked: GenerationRequest) -> Sides:
        return condition(asked, model, parts, walk.inputs, known)

    whole = conditioned(request)

    def through(window: Window | None = None) -> Denoise:
        if window is None:
            return guided(request, model, table, whole, conditioned, share.together, known)

        def seen(sides: Sides) -> Sides:
            return seen_through(window, sides[0]), seen_through(window, sides[1])

        place = window.share_of(*walk.x.shape[-2:])
        return guided(request, model, table, seen(whole), lambda asked: seen(conditioned(asked)), share.together, known, place)

    denoise = in_windows(through, walk.x, tiles.latents(model.family), observer.should_stop) if tiles.network else through()
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
