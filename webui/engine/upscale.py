"""Enlarging finished pictures: by a filter, or by any network that enlarges, in tiles and in bounded memory.

The result is always exactly the size that sizes.enlarge computed. A network is run until the picture is at least that
large (a network that does not enlarge is run once), then Lanczos takes it to the size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from webui.contract.errors import FieldError, Interrupted
from webui.engine.masks import filled
from webui.engine.sizes import Enlargement, Size
from webui.engine.tiling import Told, run_tiles

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
MEMORY = 512 * 2**20
"""Bytes that a tile may take while it runs, where the caller does not know better."""
PASSES = 3
MOST_SCALE = 8.0
"""That a Function is asked for at once."""
SMALLEST_TILE = 32


class Network(Protocol):
    """A network that enlarges (webui.checkpoints.upscalers.UpscalerNetwork is one)."""

    @property
    def name(self) -> str: ...
    @property
    def scale(self) -> int: ...
    @property
    def run(self) -> Callable[[Tensor], Tensor]:
        """(1, 3, H, W) in [0, 1] float32 -> (1, 3, H * scale, W * scale) float32; any H and W"""

    @property
    def align(self) -> int: ...
    @property
    def can_tile(self) -> bool: ...
    @property
    def bytes_per_pixel(self) -> float: ...


@dataclass(frozen=True)
class Filter:
    """An upscaler without weights, of any scale. None: the picture stays as it is until it is brought to the size."""

    name: str
    filter: Image.Resampling | None


BUILT_IN = (
    Filter("None", None),
    Filter("Lanczos", Image.Resampling.LANCZOS),
    Filter("Nearest", Image.Resampling.NEAREST),
)


@dataclass(frozen=True)
class Drawing:
    """A checkpoint that enlarges by drawing."""

    name: str
    scale: int
    draw: Callable[[Image.Image], Image.Image]
    """A picture (RGB) exactly scale times as large."""
    most: int = 8192
    """Pixels of a side of what it draws."""


@dataclass(frozen=True)
class Function:
    """An upscaler that takes any scale."""

    name: str
    run: Callable[[Image.Image, float], Image.Image]
    """(picture RGB, scale 1 to MOST_SCALE) -> a picture RGB that is no smaller, and about scale times as large"""


Upscaler = Filter | Network | Drawing | Function


@dataclass(frozen=True)
class Tiles:
    """How a network sees a large picture. 0 as size: as large as the memory allows."""

    size: int = 0
    """Pixels of a side that the network sees at once."""
    overlap: int = 16
    """What neighbours share; half of it should cover what the network looks at, see webui.engine.tiling."""
    memory: int = MEMORY
    """Bytes that one tile may take while it runs."""


def tile_size(network: Network, tiles: Tiles) -> int:
    """Pixels of a side: as asked, but what the memory allows at most, and never less than SMALLEST_TILE or a few windows."""
    least = max(SMALLEST_TILE, 2 * network.align)
    room = int((tiles.memory / max(network.bytes_per_pixel, 1)) ** 0.5)
    return max(least, min(tiles.size or room, room))


def enlarged(
    image: Image.Image,
    upscaler: Upscaler,
    target: Enlargement,
    tiles: Tiles = Tiles(),
    told: Told | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Image.Image:
    """A picture (RGB or RGBA) as the target says: enlarged, then cropped. Alpha is enlarged too (Lanczos).

    Args:
        told: (tiles done, tiles in all) of the pass that runs.
        should_stop: asked before every tile.

    Raises:
        Interrupted: the user wants to stop.
    """
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        clear = alpha.point(_is_clear)
        bare = image.convert("RGB")
        # What lies under transparent pixels is often black, and would bleed into the edges.
        colours = filled(bare, clear) if clear.getbbox() and clear.getextrema() != (255, 255) else bare
        result = enlarged(colours, upscaler, target, tiles, told, should_stop)
        as_channel = Image.Resampling.NEAREST if upscaler.name == "Nearest" else Image.Resampling.LANCZOS
        result.putalpha(_to_size(alpha, target.scaled, as_channel).crop(target.crop))
        return result
    if isinstance(upscaler, Filter):
        way = Image.Resampling.LANCZOS if upscaler.filter is None else upscaler.filter  # NEAREST is 0
        grown = _to_size(image, target.scaled, way)
    elif isinstance(upscaler, Function):
        grown = _to_size(by_function(image, upscaler, target.scaled, told, should_stop), target.scaled, Image.Resampling.LANCZOS)
    else:
        grown = image
        for turn in range(PASSES):
            if turn if upscaler.scale == 1 else _covers(grown.size, target.scaled):
                break
            if isinstance(upscaler, Drawing):
                if turn and max(grown.size) * upscaler.scale > upscaler.most:
                    break  # Lanczos takes it from here
                grown = upscaler.draw(grown)
            else:
                grown = by_network(grown, upscaler, tiles, told, should_stop)
        grown = _to_size(grown, target.scaled, Image.Resampling.LANCZOS)
    whole = (0, 0, *target.scaled)
    return grown if target.crop == whole else grown.crop(target.crop)


def _is_clear(value: int) -> int:
    return 255 if value == 0 else 0


def _covers(size: Size, wanted: Size) -> bool:
    return size[0] >= wanted[0] and size[1] >= wanted[1]


def _to_size(image: Image.Image, size: Size, resampling: Image.Resampling) -> Image.Image:
    return image.copy() if image.size == size else image.resize(size, resampling)


def by_function(
    image: Image.Image,
    upscaler: Function,
    wanted: Size,
    told: Told | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Image.Image:
    """A picture (RGB) at least as large as wanted, or as large as PASSES make it.

    Raises:
        Interrupted: the user wants to stop; asked before each pass.
    """
    grown = image
    for turn in range(PASSES):
        if _covers(grown.size, wanted):
            break
        if should_stop and should_stop():
            raise Interrupted
        grown = upscaler.run(grown, min(MOST_SCALE, max(wanted[0] / grown.width, wanted[1] / grown.height)))
        if told:
            told(turn + 1, PASSES)
    if told:
        told(PASSES, PASSES)
    return grown


def by_network(
    image: Image.Image,
    network: Network,
    tiles: Tiles = Tiles(),
    told: Told | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Image.Image:
    """One pass of a network over a picture (RGB): exactly scale times as large.

    Held: the picture, its result (3 bytes a pixel), one tile, and one band of the result. Where even that tile is too
    much for the graphics card, smaller ones are tried.

    Raises:
        Interrupted: the user wants to stop.
    """
    source = np.array(image.convert("RGB"))
    result: Pixels = np.empty((source.shape[0] * network.scale, source.shape[1] * network.scale, 3), dtype=np.uint8)

    def read(top: int, left: int, bottom: int, right: int) -> Tensor:
        return torch.from_numpy(source[top:bottom, left:right].astype(np.float32) / 255).permute(2, 0, 1)[None]

    def write(top: int, left: int, block: Tensor) -> None:
        values = block[0].clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0)
        result[top : top + values.shape[0], left : left + values.shape[1]] = values.numpy()

    side = tile_size(network, tiles) if network.can_tile else max(source.shape[:2])
    while True:
        try:
            run_tiles(
                network.run,
                read,
                write,
                (source.shape[0], source.shape[1]),
                out=network.scale,
                tile=side,
                overlap=tiles.overlap,
                align=network.align,
                told=told,
                should_stop=should_stop,
            )
        except torch.OutOfMemoryError:
            if not network.can_tile or side <= SMALLEST_TILE:
                raise
            side = max(side // 2, SMALLEST_TILE)
        else:
            return Image.fromarray(result)


def mixed(first: Image.Image, second: Image.Image, visibility: float) -> Image.Image:
    """Two enlargements of one picture: `visibility` of the second over the first (0 is the first, byte for byte).

    Raises:
        FieldError: the visibility is not 0 to 1.
    """
    if not 0 <= visibility <= 1:
        raise FieldError("extras_upscaler_2_visibility", f"Visibility {visibility} is out of range. It can be 0 to 1.")
    if visibility == 0:
        return first
    return second if visibility == 1 else Image.blend(first, second.convert(first.mode), visibility)
