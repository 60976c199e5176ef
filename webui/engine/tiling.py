"""A picture in tiles, without seams and in bounded memory: for autoencoders and upscalers of any kind.

Every tile sees `overlap` more than it answers for, so that what a convolution reads beyond the tile's edge is there.
Neighbours are blended over a band as wide as the overlap, half of it on either side of their border. So the result
equals the untiled one, to rounding, wherever half the overlap covers what the network looks at (its receptive field),
and in the inside of the tiles wherever one and a half of it does. Where the field is wider still, the bands hide the
difference: the blend is linear, so a difference of d becomes d / band from pixel to pixel.

Group norms and attention are another matter: they look at the whole tile. Measured on the pocket autoencoder, 768 x 768
pixels in tiles of 32 latents with 8 overlap, two drawings, against decoding at once, in steps of 1/255: plain tiles differ
by 22 to 42 at most and 1.2 to 1.9 on average; with `shared_norms` of 9 samples of 32 x 32 the mean is 0.2 to 0.3, but edges
differ by 11 to 45, which is the attention in the middle of the decoder; when that half ran at once (`halves`) and only
the other one in tiles, 1.7 to 3.1 at most and 0.14 to 0.18 on average. Samples of 16 x 16 give 3.5 to 9.7. A look at
the picture made small (the known "fast decoder colour fix") gave 7 to 67 on pictures of 512, so it is not here. Encoding (mean
of latents, in their own deviation of about 5): 0.1 in plain tiles, 0.02 with shared norms of 9 samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from webui.contract.errors import Interrupted
from webui.contract.parts import Denoise

Run = Callable[[Tensor], Tensor]
Read = Callable[[int, int, int, int], Tensor]
"""(top, left, bottom, right) in cells -> what the network is given of them"""
Write = Callable[[int, int, Tensor], None]
"""(top, left, block (1, C, H, W) float32 on the CPU): a finished part of the result, in its own pixels"""
Told = Callable[[int, int], None]
"""(tiles done, tiles in all)"""


@dataclass(frozen=True)
class Span:
    """One tile, along one side, in cells."""

    start: int
    end: int
    """What it answers for."""
    first: int
    last: int
    """What the network sees."""


def spans(length: int, tile: int, overlap: int, align: int = 1) -> tuple[list[Span], int]:
    """A side cut into tiles that see at most `tile` cells each, as equal as can be; and the overlap that was used.

    Args:
        overlap: is cut down to a quarter of the tile.
        align: tiles begin at multiples of it (networks that cut their input into windows or cells).
    """
    if length < 1 or tile < 1 or overlap < 0 or align < 1:
        raise ValueError(f"no tiles of {tile} with {overlap} overlap, at multiples of {align}, can cover {length}")
    if length <= tile:
        return [Span(0, length, 0, length)], overlap
    room = max(tile - align + 1, 1)
    overlap = min(overlap, room // 4)
    count = math.ceil(length / max(room - 2 * overlap, 1))
    borders = [round(length * i / count) for i in range(count + 1)]
    return [
        Span(start, end, max(start - overlap, 0) // align * align, min(end + overlap, length)) for start, end in pairwise(borders)
    ], overlap


def run_tiles(
    run: Run,
    read: Read,
    write: Write,
    size: tuple[int, int],
    *,
    out: int = 1,
    tile: int = 256,
    overlap: int = 16,
    align: int = 1,
    told: Told | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> None:
    """Run a network over a picture, tile by tile, from the top left corner.

    Held at one time: one tile, one band of the result's width (overlap * out high) and what `write` keeps.

    Args:
        run: (1, C, H, W) -> (1, D, H', W'), one tile; its result has out pixels for every cell of the tile.
        size: height and width in cells: latents for an autoencoder, pixels for an upscaler.
        tile, overlap, align: cells, see spans.
        should_stop: asked before every tile.

    Raises:
        Interrupted: the user wants to stop.
    """
    rows, overlap_y = spans(size[0], tile, overlap, align)
    columns, overlap_x = spans(size[1], tile, overlap, align)
    half = min(overlap_y if len(rows) > 1 else overlap, overlap_x if len(columns) > 1 else overlap) // 2
    band = 2 * half * out
    ramp = (torch.arange(band) + 0.5) / max(band, 1)
    above: Tensor | None = None
    done = 0
    for row in rows:
        left_band: Tensor | None = None
        below: Tensor | None = None
        top, bottom = max(row.start - half, 0), min(row.end + half, size[0])
        if row is rows[0]:
            top = 0
        for column in columns:
            if should_stop is not None and should_stop():
                raise Interrupted
            left = 0 if column is columns[0] else column.start - half
            right = size[1] if column is columns[-1] else column.end + half
            answer = _checked(run(read(row.first, column.first, row.last, column.last)), row, column, out)
            block = answer[
                ...,
                (top - row.first) * out : (bottom - row.first) * out,
                (left - column.first) * out : (right - column.first) * out,
            ].to("cpu", torch.float32, copy=True)
            if left_band is not None and band:
                block[..., :band] = torch.lerp(left_band, block[..., :band], ramp)
            if column is not columns[-1] and band:
                left_band = block[..., -band:].clone()
                block = block[..., :-band]
            x = left * out
            if above is not None and band:
                upper = above[..., x : x + block.shape[-1]]
                block[..., :band, :] = torch.lerp(upper, block[..., :band, :], ramp[:, None])
            if row is not rows[-1] and band:
                if below is None:
                    below = torch.empty(*block.shape[:2], band, size[1] * out)
                below[..., x : x + block.shape[-1]] = block[..., -band:, :]
                block = block[..., :-band, :]
            write(top * out, x, block)
            done += 1
            if told is not None:
                told(done, len(rows) * len(columns))
        above = below


def _checked(answer: Tensor, row: Span, column: Span, out: int) -> Tensor:
    wanted = ((row.last - row.first) * out, (column.last - column.first) * out)
    if tuple(answer.shape[-2:]) != wanted:
        raise ValueError(f"a tile came out as {tuple(answer.shape[-2:])}, not {wanted}")
    return answer


def decode(
    run: Run,
    latents: Tensor,
    factor: int,
    *,
    tile: int = 64,
    overlap: int = 16,
    told: Told | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tensor:
    """Pixels (1, 3, h * factor, w * factor) float32 on the CPU from latents (1, C, h, w), in tiles of `tile` latents.

    Best inside `shared_norms`, and with the second of `halves` as run and what the first made as latents: the module's
    docstring has the numbers.
    """
    kept: list[Tensor] = []

    def write(top: int, left: int, block: Tensor) -> None:
        if not kept:
            kept.append(torch.empty(1, block.shape[1], latents.shape[-2] * factor, latents.shape[-1] * factor))
        kept[0][..., top : top + block.shape[-2], left : left + block.shape[-1]] = block

    run_tiles(
        run,
        lambda top, left, bottom, right: latents[..., top:bottom, left:right],
        write,
        (latents.shape[-2], latents.shape[-1]),
        out=factor,
        tile=tile,
        overlap=overlap,
        told=told,
        should_stop=should_stop,
    )
    return kept[0]


def encode(
    run: Run,
    pixels: Tensor,
    factor: int,
    *,
    tile: int = 64,
    overlap: int = 8,
    told: Told | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tensor:
    """Latents (1, C, H / factor, W / factor) float32 on the CPU from pixels (1, 3, H, W), whose sides are multiples of
    the factor. `tile` and `overlap` are counted in latents."""
    height, width = pixels.shape[-2] // factor, pixels.shape[-1] // factor
    kept: list[Tensor] = []

    def write(top: int, left: int, block: Tensor) -> None:
        if not kept:
            kept.append(torch.empty(1, block.shape[1], height, width))
        kept[0][..., top : top + block.shape[-2], left : left + block.shape[-1]] = block

    run_tiles(
        run,
        lambda top, left, bottom, right: pixels[..., top * factor : bottom * factor, left * factor : right * factor],
        write,
        (height, width),
        tile=tile,
        overlap=overlap,
        told=told,
        should_stop=should_stop,
    )
    return kept[0]


# ---------------------------------------------------------------- denoising


@dataclass(frozen=True)
class Window:
    """What a network sees of latents at once."""

    top: int
    left: int
    bottom: int
    right: int

    def of(self, latents: Tensor) -> Tensor:
        return latents[..., self.top : self.bottom, self.left : self.right]

    def share_of(self, height: int, width: int) -> tuple[float, float, float, float]:
        """(x, y, width, height) in shares of latents (height, width)."""
        return self.left / width, self.top / height, (self.right - self.left) / width, (self.bottom - self.top) / height


def windows(size: tuple[int, int], tile: int, overlap: int, align: int = 1) -> list[Window]:
    """Windows of one size over latents (h, w), spread evenly: neighbours share at least `overlap` (at most half a tile).

    Args:
        tile, align: cells; the windows' sides, and where they begin, are multiples of align.
    """
    side = max(tile // align, 1) * align
    sides = []
    for length in size:
        part = min(side, length)
        stride = max(part - min(overlap, part // 2), align)
        count = 1 + math.ceil((length - part) / stride)
        starts = [round((length - part) * i / max(count - 1, 1)) // align * align for i in range(count)]
        sides.append([(start, start + part) for start in starts[:-1]] + [(length - part, length)])
    return [Window(top, left, bottom, right) for top, bottom in sides[0] for left, right in sides[1]]


def blended(run: Callable[[Window, Tensor], Tensor], x: Tensor, parts: Sequence[Window], overlap: int) -> Tensor:
    """A network's answer to latents (B, C, h, w), window by window, mixed where windows overlap: shares rise linearly from
    each window's edge. Done at every step of a walk, so neighbours never grow apart.

    Source: Bar-Tal et al. 2023, MultiDiffusion, arXiv:2302.08113, eq. 5, with these weights.
    """
    total, weight = torch.zeros_like(x), torch.zeros(x.shape[-2:], device=x.device)
    for window in parts:
        share = _hat(window.bottom - window.top, overlap)[:, None] * _hat(window.right - window.left, overlap)
        share = share.to(x.device)
        answer = run(window, window.of(x))
        window.of(total).add_(answer * share)
        window.of(weight).add_(share)
    return total / weight


@dataclass(frozen=True)
class Cells:
    """How latents are cut into windows: see windows."""

    side: int
    overlap: int
    align: int


def in_windows(denoiser: Callable[[Window], Denoise], latents: Tensor, cells: Cells, should_stop: Callable[[], bool]) -> Denoise:
    """A denoiser of latents (B, C, h, w) that sees them window by window.

    Args:
        denoiser: makes the one of a window, which is told what belongs there.
        should_stop: asked before every window; where it says so, the denoiser raises Interrupted.
    """
    parts = windows((latents.shape[-2], latents.shape[-1]), cells.side, cells.overlap, cells.align)
    known = {window: denoiser(window) for window in parts}

    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
        def run(window: Window, part: Tensor) -> Tensor:
            if should_stop():
                raise Interrupted
            return known[window](part.contiguous(), sigma)

        return blended(run, x, parts, cells.overlap)

    return denoise


def _hat(length: int, overlap: int) -> Tensor:
    """1, falling towards both ends."""
    places = torch.arange(length) + 0.5
    return (torch.minimum(places, length - places) / max(overlap, 1)).clamp(max=1)


# ---------------------------------------------------------------- group norms


@contextmanager
def shared_norms(network: nn.Module, look: Callable[[], object]) -> Iterator[None]:
    """Inside the block, the network's group norms use the means and deviations that they had while `look` ran.

    A group norm divides by the deviation of all it is given. Given a tile of sky and a tile of forest, it makes both
    equally lively, so tiles of one picture would differ in brightness and contrast. While `look` runs, a batch counts
    as one picture, so that samples (see there) from all over the picture give the norms of the whole.

    Undone at the end, on errors too. The network must not be used elsewhere meanwhile.
    """
    known: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def first_time(norm: nn.Module, args: tuple[Tensor, ...], _result: Tensor) -> Tensor:
        assert isinstance(norm, nn.GroupNorm)
        x = args[0].float()
        values = x.reshape(x.shape[0], norm.num_groups, -1)
        mean = values.mean((0, 2))
        known[norm] = mean, (values - mean[None, :, None]).square().mean((0, 2))
        return _normed(norm, args[0], *known[norm])

    def again(norm: nn.Module, args: tuple[Tensor, ...], result: Tensor) -> Tensor:
        assert isinstance(norm, nn.GroupNorm)
        return _normed(norm, args[0], *known[norm]) if norm in known else result

    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    handles = [norm.register_forward_hook(first_time) for norm in norms]
    try:
        look()
        for handle in handles:
            handle.remove()
        handles = [norm.register_forward_hook(again) for norm in norms]
        yield
    finally:
        for handle in handles:
            handle.remove()


def _normed(norm: nn.GroupNorm, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    each = x.shape[1] // norm.num_groups
    scale = (variance + norm.eps).rsqrt().repeat_interleave(each)
    shift = -mean.repeat_interleave(each) * scale
    if norm.weight is not None:
        scale, shift = scale * norm.weight.float(), shift * norm.weight.float() + norm.bias.float()
    shape = (1, x.shape[1], *[1] * (x.ndim - 2))
    return (x.float() * scale.view(shape) + shift.view(shape)).to(x.dtype)


def samples(size: tuple[int, int], side: int, count: int) -> list[tuple[int, int, int, int]]:
    """count x count pieces (top, left, bottom, right) of at most side x side cells, spread evenly over a picture."""
    sides = []
    for length in size:
        part = min(side, length)
        fit = min(count, max(1, length // part))
        starts = [round((length / fit - part) / 2 + length * i / fit) for i in range(fit)]
        sides.append([(start, start + part) for start in starts])
    return [(top, left, bottom, right) for top, bottom in sides[0] for left, right in sides[1]]


def halves(decoder: Any) -> tuple[Run, Run]:
    """A diffusers decoder as two functions: latents to features of the same size (with the attention, which looks at the
    whole picture and costs little there), and features to pixels (which needs the memory, and can run in tiles)."""

    def first(latents: Tensor) -> Tensor:
        return decoder.mid_block(decoder.conv_in(latents))

    def second(features: Tensor) -> Tensor:
        for block in decoder.up_blocks:
            features = block(features)
        return decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(features)))

    return first, second
