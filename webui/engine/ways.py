"""In which way a picture is drawn so that it fits into memory, and what the user hears of it.

The plain way comes first, and where it fits nothing else is looked at: the bytes of such a picture never change. Else idle
checkpoints leave memory, then decoding goes in tiles (webui.engine.tiling: without seams) and the network is asked for fewer rows
at a time (webui.engine.leaner: the same answers to rounding), each as little as must be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import nn

from webui.checkpoints import estimate, memory
from webui.checkpoints.estimate import Setting
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.model import Model
from webui.contract.errors import MemoryLimitError
from webui.contract.parts import Family
from webui.contract.request import GenerationRequest
from webui.engine.sizes import Size
from webui.engine.tiles import LEAST, Tiles

SIDES = (1536, 1024, 768, 512, 384, 256)
"""Pixels of a tile's side that are tried."""


@dataclass(frozen=True)
class Work:
    """What is drawn at once, as far as memory goes."""

    family: Family
    size: Size
    """(width, height), padded"""
    batch: int
    sides: int
    """Of guidance that are asked."""
    setting: Setting
    tiles: Tiles
    """As the machine or the request wants them."""
    controls: int = 0
    beside: int = 0
    """Bytes of checkpoints that it will load."""

    @property
    def rows(self) -> int:
        """Of a network call in the plain way."""
        return self.sides if self.setting.is_processor else self.sides * self.batch


@dataclass(frozen=True)
class Way:
    tiles: Tiles
    rows: int = 0
    """Of one network call, at most; 0: all."""


def work_of(request: GenerationRequest, family: Family, size: Size, setting: Setting, tiles: Tiles, beside: int = 0) -> Work:
    """Of a complete request's walk."""
    sides = 1 if (request.guidance or 0) in (0, 1) and not request.guiders else 2
    return Work(family, size, request.batch_size, sides, setting, tiles, len(request.conditioners), beside)


def plain(work: Work) -> Way:
    return Way(work.tiles)


def leanest(work: Work) -> Way:
    """The one that needs least."""
    sides = list(_sides(work, work.tiles.autoencoder))
    network = list(_sides(work, work.tiles.network)) if work.family.enlarges > 1 else [0]
    return Way(Tiles(network[-1], sides[-1]), 1 if work.rows > 1 else 0)


def need(work: Work, way: Way) -> int:
    """Bytes beside the weights that are there."""
    return max(_asking(work, way), _decoding(work, way.tiles.autoencoder)) + _held(work)


def choose(work: Work, room: int) -> Way:
    """The plainest way that fits into so many bytes; the leanest where none does."""
    room -= _held(work)
    last = leanest(work)
    autoencoder = next((side for side in _sides(work, work.tiles.autoencoder) if _decoding(work, side) <= room), None)
    way = Way(replace(work.tiles, autoencoder=last.tiles.autoencoder if autoencoder is None else autoencoder))
    for rows in _rows(work):
        if _asking(work, replace(way, rows=rows)) <= room:
            return replace(way, rows=rows)
    way = replace(way, rows=last.rows)
    if work.family.enlarges > 1:
        for side in _sides(work, work.tiles.network):
            way = replace(way, tiles=replace(way.tiles, network=side))
            if _asking(work, way) <= room:
                break
    return way


def fitting(work: Work, model: Model, checkpoints: Checkpoints) -> tuple[Way, str]:
    """The way for what is free now, after idle checkpoints have left where that helps, and, where no way fits beside all of the
    model, after its parts have begun to take turns; and a note, "" where it is plain."""
    way = plain(work)
    needed = need(work, way)
    room = memory.room(checkpoints.device)
    if needed > room:
        checkpoints.make_room(needed + memory.KEEP_FREE)
        room = memory.room(checkpoints.device)
    if needed <= room:
        return way, ""
    chosen = choose(work, room)
    if need(work, chosen) > room and checkpoints.take_turns(model):
        room = memory.room(checkpoints.device) - max(map(_weight, model.networks))
        chosen = choose(work, room)
    why = f"it would need {_shown(needed)}, and {_shown(max(room, 0))} are free"
    return chosen, note(work, chosen, why)


def _weight(network: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))


def idle_bytes(checkpoints: Checkpoints) -> int:
    """Of checkpoints that would leave the device for a picture."""
    return sum(
        one.bytes
        for one in checkpoints.status()
        if one.where == "device" and not one.is_in_use and not (one.is_pinned and checkpoints.device.type == "cpu")
    )


def require(work: Work, room: int, size: Size) -> None:
    """Refuse what fits in no way, before anything is allocated.

    Args:
        room: bytes that there are, beside what is being drawn with.
        size: (width, height) as the user asked.

    Raises:
        MemoryLimitError: with the size that would fit.
    """
    needed = need(work, leanest(work))
    if needed <= room:
        return
    fits = _largest(work, room, size)
    ways = [f"Try {fits[0]} x {fits[1]}" if fits else "Close other programs", *(["a smaller batch"] if work.batch > 1 else [])]
    raise MemoryLimitError(
        f"Not enough memory for {size[0]} x {size[1]}: it needs {_shown(needed)}, {_shown(max(room, 0))} are free. "
        f"{', or '.join(ways)}."
    )


def _shown(bytes_: int) -> str:
    return f"{bytes_ / 1e9:.1f} GB" if bytes_ >= 1e9 else f"{bytes_ / 1e6:.0f} MB"


def _largest(work: Work, room: int, size: Size) -> Size | None:
    """The largest size of those proportions, in steps of 64, that fits in the leanest way; None where none of 64 pixels does."""
    for width in range(size[0] // 64 * 64, 63, -64):
        height = size[1] * width // size[0] // 64 * 64
        smaller = replace(work, size=(width, height), tiles=Tiles())
        if height >= 64 and need(smaller, leanest(smaller)) <= room:
            return width, height
    return None


def leaner(work: Work, before: Way | None = None) -> tuple[Way, str]:
    """The way that needs least, for where memory ran out in another one, and a note on what it does otherwise; of the decoding
    alone where a picture was drawn in a way before."""
    way = leanest(work)
    if before is None:
        return way, note(work, way, "memory ran out on the way")
    way = replace(before, tiles=replace(before.tiles, autoencoder=way.tiles.autoencoder))
    return way, f"Decoded in tiles of {way.tiles.autoencoder} pixels because memory ran out on the way."


def note(work: Work, way: Way, why: str) -> str:
    """What is done otherwise in a way than in the plain one; "" where nothing is."""
    did = []
    if way.tiles.network != work.tiles.network:
        did.append(f"drawn in tiles of {way.tiles.network} pixels")
    if way.tiles.autoencoder != work.tiles.autoencoder:
        did.append(f"decoded in tiles of {way.tiles.autoencoder} pixels")
    if way.rows and way.rows < work.rows:
        did.append("drawn with one side of guidance at a time" if way.rows < work.sides else f"drawn {_few(work, way)} at a time")
    if not did:
        return ""
    words = " and ".join(did)
    return f"{words[0].upper()}{words[1:]} because {why}."


def _few(work: Work, way: Way) -> str:
    pictures = way.rows // work.sides
    return "one picture" if pictures == 1 else f"{pictures} pictures"


def _sides(work: Work, own: int) -> Iterator[int]:
    """Tiles, from what there is anyway (0: all at once) to the smallest."""
    yield own
    step, longest = work.family.size_step, max(work.size)
    least = -(-LEAST * work.family.latent_factor // step) * step
    for side in SIDES:
        fits = side // step * step
        if least <= fits < min(own or longest, longest):
            yield fits
    if least < min(own or longest, SIDES[-1], longest):
        yield least


def _rows(work: Work) -> Iterator[int]:
    """Rows of a network call, from all to one: whole pictures first."""
    yield 0
    pictures = work.rows // work.sides
    while pictures > 1:
        pictures //= 2
        yield pictures * work.sides
    if work.sides > 1:
        yield 1


def _decoding(work: Work, side: int) -> int:
    pixels = work.size[0] * work.size[1]
    return estimate.decoding_in_tiles(work.family, pixels, _seen(work.size, side), work.setting)


def _asking(work: Work, way: Way) -> int:
    pixels = _seen(work.size, way.tiles.network)
    return estimate.network(work.family, way.rows or work.rows, pixels, work.setting, work.controls)


def _held(work: Work) -> int:
    return estimate.pictures(work.batch, work.size[0] * work.size[1]) + work.beside


def _seen(size: Size, tile: int) -> int:
    return min(size[0], tile or size[0]) * min(size[1], tile or size[1])
