"""Masks: made soft, cut out, filled, taken to latents, and pasted back on the pixel.

A mask is a grey picture (L) of the image's size: 255 is painted anew, 0 stays, between is mixed. As a tensor it is
(1, 1, H, W) in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageChops
from torch import Tensor

from webui.contract.parts import Denoise
from webui.engine.sizes import Box, Size, drawn_size, grown, region


def box(mask: Image.Image) -> Box | None:
    """The smallest box around all that is not 0; None where the mask is empty."""
    return mask.getbbox()


def inverted(mask: Image.Image) -> Image.Image:
    return ImageChops.invert(mask)


def blurred(mask: Image.Image, x: float, y: float | None = None) -> Image.Image:
    """Gaussian blur with the deviations x across and y down (pixels), as far as 2.5 deviations; beyond, 0 stays 0 and 255
    stays 255. At the picture's edge the mask goes on as it ends there, so that a mask that touches it stays full."""
    y = x if y is None else y
    reach_x, reach_y = int(2.5 * x + 0.5), int(2.5 * y + 0.5)
    around = box(mask)
    if around is None or (reach_x <= 0 and reach_y <= 0):
        return mask.copy()
    place = _reaching(around, reach_x, reach_y, mask.size)
    cut = _reaching(place, reach_x, reach_y, mask.size)
    values = _tensor(mask.crop(cut))
    if reach_x:
        values = F.conv2d(F.pad(values, (reach_x, reach_x, 0, 0), "replicate"), _gauss(x, reach_x).view(1, 1, 1, -1))
    if reach_y:
        values = F.conv2d(F.pad(values, (0, 0, reach_y, reach_y), "replicate"), _gauss(y, reach_y).view(1, 1, -1, 1))
    soft = mask.copy()
    soft.paste(_grey(values), cut[:2])
    return soft


def feathered(mask: Image.Image, pixels: int) -> Image.Image:
    """Softened inwards only: rises over so many pixels from the mask's edge, so nothing outside of it changes.

    The mean of the mask and its erosions by 1 to pixels - 1; at the picture's edge nothing is eroded.
    """
    around = box(mask)
    if around is None or pixels <= 1:
        return mask.copy()
    cut = _reaching(around, 1, 1, mask.size)
    now = np.array(mask.crop(cut))
    total = now.astype(np.uint32)
    for _ in range(pixels - 1):
        wide = np.pad(now, 1, mode="edge")
        across = np.minimum(np.minimum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
        now = np.minimum(np.minimum(across[:-2], across[1:-1]), across[2:])
        total += now
        if not now.any():
            break
    soft = mask.copy()
    soft.paste(Image.fromarray(((total + pixels // 2) // pixels).astype(np.uint8)), cut[:2])
    return soft


# ---------------------------------------------------------------- only masked, and back


@dataclass(frozen=True)
class Cut:
    """What of a picture is drawn, and how large."""

    place: Box
    """Of the picture."""
    size: Size
    """That it is drawn in."""
    note: str = ""
    """A sentence for the user, "" for none."""


def cut(mask: Image.Image, padding: int, asked: Size, multiple: int = 8) -> Cut:
    """Where "only masked" works: the mask's box with padding, in the proportions of the asked size.

    An empty mask is the whole picture, and its note says so.
    """
    around = box(mask)
    if around is None:
        whole = (0, 0, *mask.size)
        return Cut(whole, drawn_size(whole, asked, multiple), "Nothing is masked, so the whole picture is painted anew.")
    place = region(around, mask.size, padding, asked)
    return Cut(place, drawn_size(place, asked, multiple))


def pasted(original: Image.Image, drawn: Image.Image, mask: Image.Image, place: Box | None = None) -> Image.Image:
    """The original with what was drawn in its place: mixed as the mask says, on the pixel.

    Where the mask is 0 every byte of the original is kept, alpha too; where it is 255 the drawn pixels are, opaque.

    Args:
        original: RGB or RGBA.
        drawn: RGB of any size; resized to the place (Lanczos) where it has another one.
        mask: of the original's size, as it was blurred or feathered.
        place: where the drawn part belongs; None is the whole picture.
    """
    place = place or (0, 0, *original.size)
    size = (place[2] - place[0], place[3] - place[1])
    if mask.size != original.size:
        raise ValueError(f"the mask has {mask.size}, the picture {original.size}")
    fresh = drawn.convert("RGB")
    fresh = fresh if fresh.size == size else fresh.resize(size, Image.Resampling.LANCZOS)
    share = np.array(mask.crop(place), dtype=np.int32)[..., None]
    before = np.array(original.crop(place), dtype=np.int32)
    after = np.array(fresh, dtype=np.int32)
    if original.mode == "RGBA":
        after = np.concatenate([after, np.full_like(after[..., :1], 255)], axis=2)
    mixed = (before * (255 - share) + after * share + 127) // 255
    done = original.copy()
    done.paste(Image.fromarray(mixed.astype(np.uint8), original.mode), place[:2])
    return done


def evened(drawn: Image.Image, image: Image.Image, mask: Image.Image) -> Image.Image:
    """What was drawn, its colours brought to those of the picture around the mask, so that no seam is seen where it begins.

    A network draws all of the picture, and what is not masked comes out a little different (the autoencoder alone sees to
    that). This difference goes on into the mask, the smoother the farther in. Where something else was drawn than the
    picture has there, it tells nothing.

    Args:
        drawn: RGB, over all of it. image: as it was, of the same size. mask: what is painted.

    Source: Perez et al. 2003, Poisson Image Editing, with pull-push for the membrane.
    """
    share = np.array(mask, dtype=np.float32) / 255
    if not (share == 0).any() or not share.any():
        return drawn
    after = np.array(drawn.convert("RGB"), dtype=np.float32)
    difference = np.array(image.convert("RGB"), dtype=np.float32) - after
    most = np.abs(difference).max(2)
    known = (1 - share) ** 2 * ((DRIFT[1] - most) / (DRIFT[1] - DRIFT[0])).clip(0, 1)
    weight = torch.from_numpy(known.astype(np.float32))[None, None]
    drift = _pull_push(torch.from_numpy(difference).permute(2, 0, 1)[None] * weight, weight)
    inside = np.where(share[..., None] == 0, 0, drift[0].permute(1, 2, 0).numpy())
    return Image.fromarray((after + inside).clip(0, 255).round().astype(np.uint8))


# ---------------------------------------------------------------- what the masked part starts from


def filled(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The masked part filled with what surrounds it, blurred the more the farther away; nothing else changes a byte.

    Small pictures of what is not masked are made, each half the last one's size, and holes filled from the smaller ones
    up. All masked: grey. Source: Gortler et al. 1996, The Lumigraph (pull-push), with the mask's softness as weight.
    """
    weight = 1 - _tensor(mask) / 255
    colours = torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32)).permute(2, 0, 1)[None]
    if not bool(weight.any()):
        smooth = torch.full_like(colours, 127.5)
    else:
        smooth = _pull_push(colours * weight, weight)
    values = smooth.clamp(0, 255).round()[0].permute(1, 2, 0).to(torch.uint8).numpy()
    rgb = Image.composite(Image.fromarray(np.ascontiguousarray(values)), image.convert("RGB"), mask.point(_any))
    if image.mode == "RGBA":
        rgb.putalpha(image.getchannel("A"))
    return rgb


def _any(value: int) -> int:
    return 255 if value else 0


def _pull_push(premultiplied: Tensor, weight: Tensor) -> Tensor:
    height, width = weight.shape[-2:]
    if height * width == 1:
        return premultiplied / weight.clamp(min=1e-6)
    odd = (0, width % 2, 0, height % 2)
    small_weight = F.avg_pool2d(F.pad(weight, odd), 2)
    small = F.avg_pool2d(F.pad(premultiplied, odd), 2)
    raised = (small_weight * 4).clamp(max=1)  # one known pixel of four is enough to be known
    scale = raised / small_weight.clamp(min=1e-12)
    below = _pull_push(small * scale, raised)
    up = F.interpolate(below, scale_factor=2, mode="bilinear")[..., :height, :width]
    return premultiplied + up * (1 - weight)


def start_latents(latents: Tensor, mask: Tensor, fill: str, noise: Tensor) -> Tensor:
    """The latents (B, C, h, w) that masked content starts from: as they are (the pixels were filled before, or are the
    original's), or unit noise or zeros where the mask (1, 1, h, w) is 1."""
    if fill == "latent noise":
        return torch.lerp(latents, noise.to(latents), mask.to(latents))
    if fill == "latent nothing":
        return latents * (1 - mask.to(latents))
    return latents


# ---------------------------------------------------------------- latents


def tensor(mask: Image.Image) -> Tensor:
    """(1, 1, H, W) in [0, 1] of a mask."""
    return _tensor(mask) / 255


def at_latents(mask: Tensor, factor: int, is_soft: bool = False) -> Tensor:
    """(1, 1, h, w), h = H / factor rounded up, of a mask (1, 1, H, W).

    Hard: 1 wherever any pixel of the latent is painted at all, so that nothing the user masked is held back. Soft: the
    mean of its pixels, the strength of the change there.
    """
    height, width = mask.shape[-2:]
    full = F.pad(mask, (0, -width % factor, 0, -height % factor), mode="replicate")
    return F.avg_pool2d(full, factor) if is_soft else (F.max_pool2d(full, factor) > 0).to(mask.dtype)


def painted(strength: Tensor, done: int, steps: int) -> Tensor:
    """1 where the network paints after `done` of `steps` steps, 0 where the original is still held; like strength.

    A place of strength s is held for the first (1 - s) of the steps and painted in the rest: 1 always, 0 never, 0.25 in the
    last quarter. A mask of 0 and 1 is ordinary inpainting.

    Source: Levin and Fried 2023, Differential Diffusion: Giving Each Pixel Its Strength, arXiv:2306.00950, Algorithm 1:
    at each step, places whose threshold has not come are put back to the original at that noise level.
    """
    return ((strength > 0) & (strength >= 1 - done / steps - 1e-6)).to(strength.dtype)


def held(denoise: Denoise, original: Tensor, strength: Tensor, sigmas: Tensor) -> Denoise:
    """The same denoiser, which answers the original's latents wherever they are still held, see painted.

    Held places then walk exactly original + sigma * noise, with any sampler: that is the original at each noise level, as
    the paper asks for, and the original itself at the end. So nothing is to be put back between the steps.

    Args:
        original: clean latents (B or 1, C, h, w), as the network sees them.
        strength: (1, 1, h, w) in [0, 1], at_latents of the mask.
        sigmas: the ladder (steps + 1,) that is walked, already cut to the strength of the whole. A call at or below rung
            i means that i steps are done.
    """
    rungs = sigmas.tolist()
    steps = len(rungs) - 1

    def holding(x: Tensor, sigma: Tensor | float) -> Tensor:
        level = float(sigma if not isinstance(sigma, Tensor) or sigma.ndim == 0 else sigma.max())
        done = max(sum(rung >= level * (1 - 1e-6) for rung in rungs[:-1]) - 1, 0)
        share = painted(strength, done, steps).to(x)
        return torch.lerp(original.to(x), denoise(x, sigma), share)

    return holding


# ---------------------------------------------------------------- outpainting


def outpainted(
    image: Image.Image, left: int, top: int, right: int, bottom: int, overlap: int = 16
) -> tuple[Image.Image, Image.Image]:
    """A picture with room at its sides, and the mask of what is to be painted: the room, and a ramp into the picture.

    The room starts as the picture's edge drawn out, then blurred the more the farther away. The ramp falls from 255 at the
    old border to 0 `overlap` pixels inside (at most half the picture), so that what is drawn grows out of the picture. It is
    for drawing: the picture's own bytes come back with `joined`.

    Raises:
        FieldError: see sizes.grown.
    """
    size, place = grown(image.size, left, top, right, bottom)
    pixels = np.array(image)
    wide = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode="edge")
    if image.mode == "RGBA":
        wide[..., 3] = np.pad(pixels[..., 3], ((top, bottom), (left, right)), constant_values=255)
    canvas = Image.fromarray(wide, image.mode)
    room = Image.new("L", size, 255)
    room.paste(0, place)
    canvas = Image.composite(Image.blend(canvas, filled(canvas, room), 0.5), canvas, room)
    canvas.paste(image, place[:2])
    mask = np.full((size[1], size[0]), 255, dtype=np.uint8)
    across = _ramp(image.width, overlap if left else 0, overlap if right else 0)
    down = _ramp(image.height, overlap if top else 0, overlap if bottom else 0)
    mask[place[1] : place[3], place[0] : place[2]] = np.maximum(across[None, :], down[:, None])
    return canvas, Image.fromarray(mask)


def joined(
    done: Image.Image, image: Image.Image, drawn: Image.Image, mask: Image.Image, place: Box, fade: int = 32
) -> Image.Image:
    """A picture with room at its sides, without a seam where the room begins, and no byte changed inside.

    What was drawn over the picture's border differs from the picture a little (the autoencoder alone sees to that). Each
    side's difference, averaged over a few pixels, is added to the room beyond it and fades with the distance.

    Args:
        done: with the picture's own pixels in its place.
        image: the picture in its place. drawn: what was drawn, over all of it. mask: what is painted, 255 in the room.
        place: of the picture. fade: pixels.
    """
    values, (x0, y0, x1, y1) = np.array(done), place
    kept = 1 - np.array(mask.crop(place), dtype=np.float32)[..., None] / 255
    before, after = (np.array(of.convert("RGB").crop(place), dtype=np.float32) for of in (image, drawn))
    borders = {
        "left": _border(((before - after) * kept)[:, :BORDER].mean(1)),
        "right": _border(((before - after) * kept)[:, -BORDER:].mean(1)),
        "top": _border(((before - after) * kept)[:BORDER].mean(0)),
        "bottom": _border(((before - after) * kept)[-BORDER:].mean(0)),
    }
    for across, along in (("left", (max(0, x0 - fade), x0)), ("", (x0, x1)), ("right", (x1, min(done.width, x1 + fade)))):
        for down, rows in (("top", (max(0, y0 - fade), y0)), ("", (y0, y1)), ("bottom", (y1, min(done.height, y1 + fade)))):
            if (not across and not down) or along[0] == along[1] or rows[0] == rows[1]:
                continue
            x, y = np.arange(*along), np.arange(*rows)
            far = np.maximum(
                np.where(x < x0, x0 - x, np.where(x >= x1, x - x1 + 1, 0))[None, :],
                np.where(y < y0, y0 - y, np.where(y >= y1, y - y1 + 1, 0))[:, None],
            )
            sides = []
            if across:
                sides.append(borders[across][y.clip(y0, y1 - 1) - y0][:, None])
            if down:
                sides.append(borders[down][x.clip(x0, x1 - 1) - x0][None, :])
            change = sum(sides) / len(sides) * (1 - far / (fade + 1)).clip(0)[..., None]
            part = values[rows[0] : rows[1], along[0] : along[1], :3]
            part[...] = np.clip(part + change, 0, 255).round().astype(np.uint8)
    return Image.fromarray(values, done.mode)


BORDER = 3
"""Pixels inside a picture's border that tell how what was drawn differs from it."""


DRIFT = (48.0, 88.0)
"""Differences up to the first are a drift of the colours; from the second on something else was drawn there."""


def _border(difference: Any) -> Any:
    """A side's difference (N, 3), evened out along the side so that no streaks are drawn. Where something else was drawn
    than the picture has there, nothing is added: it would glow."""
    most = np.abs(difference).max(1, keepdims=True)
    difference = difference * ((DRIFT[1] - most) / (DRIFT[1] - DRIFT[0])).clip(0, 1)
    wide = np.pad(difference, ((2, 2), (0, 0)), mode="edge")
    return sum(wide[i : i + len(difference)] for i in range(5)) / 5


def _ramp(length: int, before: int, after: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """255 towards an end where it overlaps, falling to 0."""
    values = np.zeros(length, dtype=np.uint8)
    for overlap, turned in ((before, False), (after, True)):
        reach = min(overlap, length // 2)
        if reach:
            falling = np.round(255 * (1 - (np.arange(reach) + 1) / (reach + 1))).astype(np.uint8)
            part = values[::-1][:reach] if turned else values[:reach]
            np.maximum(part, falling, out=part)
    return values


# ---------------------------------------------------------------- helpers


def _reaching(place: Box, x: int, y: int, size: Size) -> Box:
    return max(place[0] - x, 0), max(place[1] - y, 0), min(place[2] + x, size[0]), min(place[3] + y, size[1])


def _tensor(mask: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(mask, dtype=np.float32))[None, None]


def _grey(values: Tensor) -> Image.Image:
    return Image.fromarray(values[0, 0].round().clamp(0, 255).to(torch.uint8).numpy())


def _gauss(deviation: float, reach: int) -> Tensor:
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    return weights / weights.sum()
