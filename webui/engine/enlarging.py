"""Upscalers by name: filters, files of networks, and checkpoints that enlarge. And a picture enlarged as it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from PIL import Image

from webui.checkpoints.catalog import Entry
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.upscalers import UpscalerEntry
from webui.contract.errors import CheckpointReadError, UnknownNameError
from webui.contract.request import GenerationRequest
from webui.engine.upscale import BUILT_IN, Drawing, Filter, Upscaler

Draw = Callable[[GenerationRequest, Image.Image], Image.Image]
"""(request, its image) -> what the request draws of it"""


def names(checkpoints: Checkpoints) -> list[str]:
    """All that can be chosen, Lanczos first. Reads the headers of new files."""
    filters = sorted((one.name for one in BUILT_IN), key=lambda name: name != "Lanczos")
    files = [_file_name(entry, checkpoints) for entry in checkpoints.upscalers.entries() if not entry.error]
    return [*filters, *files, *(entry.title for entry in _drawing(checkpoints))]


def named(name: str, checkpoints: Checkpoints) -> Filter | UpscalerEntry | Entry:
    """What is called so: a filter, a file (title, file name or stem), a checkpoint that enlarges (title, file name or stem).

    Raises:
        UnknownNameError: nothing is.
        CheckpointReadError: it is there but unfit.
        UnknownCheckpointError: several files are.
    """
    wanted = name.casefold()
    for one in BUILT_IN:
        if one.name.casefold() == wanted:
            return one
    if any(name in (entry.title, entry.path.name, entry.name) for entry in checkpoints.upscalers.entries()):
        found = checkpoints.upscalers.find(name)
        if found.error:
            raise CheckpointReadError(found.error)
        return found
    for entry in _drawing(checkpoints):
        if name in (entry.title, entry.path.name, entry.name):
            return entry
    raise UnknownNameError("upscaler", name, names(checkpoints))


def upscaler(name: str, checkpoints: Checkpoints, wish: GenerationRequest, draw: Draw) -> Upscaler:
    """The upscaler of a name, ready to run.

    Args:
        wish: what a checkpoint is asked beside its picture: prompts, steps, guidance, noise level, seed, tile.
        draw: draws such a request.

    Raises:
        As named.
    """
    found = named(name, checkpoints)
    if isinstance(found, Filter):
        return found
    if isinstance(found, UpscalerEntry):
        return checkpoints.upscalers.load(found)
    assert found.family is not None
    asked = asked_of(found, wish)
    return Drawing(found.name, found.family.enlarges, lambda image: draw(asked, image))


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
