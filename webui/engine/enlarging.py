"""Upscalers by name: filters, those of extensions, files of networks, checkpoints that enlarge. And a picture made so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from PIL import Image

from webui.checkpoints.catalog import Entry
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.upscalers import UpscalerEntry
from webui.contract.errors import CheckpointReadError, UnknownNameError
from webui.contract.more_parts import UpscalerPart
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.engine.strangers import called, picture_of
from webui.engine.upscale import BUILT_IN, Drawing, Filter, Function, Upscaler

Draw = Callable[[GenerationRequest, Image.Image], Image.Image]
"""(request, its image) -> what the request draws of it"""


def names(checkpoints: Checkpoints, parts: Parts) -> list[str]:
    """All that can be chosen, Lanczos first. Reads the headers of new files."""
    filters = sorted((one.name for one in BUILT_IN), key=lambda name: name != "Lanczos")
    files = [_file_name(entry, checkpoints) for entry in checkpoints.upscalers.entries() if not entry.error]
    return [*filters, *parts.upscalers.names(), *files, *(entry.title for entry in _drawing(checkpoints))]


def named(name: str, checkpoints: Checkpoints, parts: Parts) -> Filter | UpscalerPart | UpscalerEntry | Entry:
    """What is called so: a filter, an extension's (by alias too), a file or checkpoint that enlarges (by title, file name, stem).

    Raises:
        UnknownNameError: nothing is.
        CheckpointReadError: it is there but unfit.
        UnknownCheckpointError: several files are.
    """
    wanted = name.casefold()
    for one in BUILT_IN:
        if one.name.casefold() == wanted:
            return one
    if name in parts.upscalers:
        return parts.upscalers[name]
    if any(name in (entry.title, entry.path.name, entry.name) for entry in checkpoints.upscalers.entries()):
        found = checkpoints.upscalers.find(name)
        if found.error:
            raise CheckpointReadError(found.error)
        return found
    for entry in _drawing(checkpoints):
        if name in (entry.title, entry.path.name, entry.name):
            return entry
    raise UnknownNameError("upscaler", name, names(checkpoints, parts))


def upscaler(name: str, checkpoints: Checkpoints, parts: Parts, wish: GenerationRequest, draw: Draw) -> Upscaler:
    """The upscaler of a name, ready to run.

    Args:
        wish: what a checkpoint is asked beside its picture: prompts, steps, guidance, noise level, seed, tile.
        draw: draws such a request.

    Raises:
        As named.
    """
    found = named(name, checkpoints, parts)
    if isinstance(found, Filter):
        return found
    if isinstance(found, UpscalerPart):
        return Function(found.name, lambda image, scale: answered(found, image, scale, parts))
    if isinstance(found, UpscalerEntry):
        return checkpoints.upscalers.load(found)
    assert found.family is not None
    asked = asked_of(found, wish)
    return Drawing(found.name, found.family.enlarges, lambda image: draw(asked, image))


def answered(part: UpscalerPart, image: Image.Image, scale: float, parts: Parts) -> Image.Image:
    """What an extension's upscaler makes of a picture (RGB), which it may change as it likes.

    Raises:
        PluginError: it raised, or answered no picture of about that size.
    """
    with called(parts.upscalers, part.name):
        answer = part.function(image.copy(), scale)
    return picture_of(answer, image.size, scale, parts.upscalers, part.name)


def asked_of(entry: Entry, wish: GenerationRequest) -> GenerationRequest:
    """A wish as a checkpoint that enlarges reads it; its picture is called "image"."""
    assert entry.family is not None
    level = wish.noise_level if "noise_level" in entry.family.inputs else None
    return replace(wish, checkpoint=entry.title, image="image", noise_level=level)


def _drawing(checkpoints: Checkpoints) -> Iterator[Entry]:
    return (entry for entry in checkpoints.entries() if not entry.error and entry.family and entry.family.enlarges > 1)


def _file_name(entry: UpscalerEntry, checkpoints: Checkpoints) -> str:
    """The stem, or the title where two files share it."""
    same = [other for other in checkpoints.upscalers.entries() if other.name == entry.name]
    return entry.name if len(same) == 1 else entry.title
