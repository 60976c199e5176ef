"""Pictures and latents brought to another size, and colours brought back to those of the original."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from webui.contract.request import ResizeMode
from webui.engine.sizes import Box, Size, padded, placed

Array = np.ndarray[Any, np.dtype[Any]]
LATENT_MODES: dict[str, tuple[str, bool]] = {
    "Latent": ("bilinear", False),
    "Latent (antialiased)": ("bilinear", True),
    "Latent (bicubic)": ("bicubic", False),
    "Latent (bicubic antialiased)": ("bicubic", True),
    "Latent (nearest)": ("nearest", False),
    "Latent (nearest-exact)": ("nearest-exact", False),
}
"""Ways to enlarge latents, by the names that peers and pictures have: torch's mode, and whether it is antialiased."""


def resized(
    image: Image.Image, size: Size, mode: ResizeMode = "stretch", way: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    """A picture (any mode, a mask too) in a frame of another size, see sizes.placed.

    "fill": what is left at two sides gets the picture's edge drawn out. "latent" leaves the picture as it is, because
    its latents are resized after encoding. The same size comes back as the same bytes.
    """
    if mode == "latent" or image.size == size:
        return image
    place = placed(image.size, size, mode)
    scaled = image if image.size == place.scaled else image.resize(place.scaled, way)
    if place.scaled == size:
        return scaled
    if mode == "crop":
        left, top = -place.left, -place.top
        return scaled.crop((left, top, left + size[0], top + size[1]))
    return edges_drawn_out(scaled, size, (place.left, place.top, place.left + scaled.width, place.top + scaled.height))


def edges_drawn_out(image: Image.Image, size: Size, place: Box) -> Image.Image:
    """A picture (any mode) at its place in a larger frame, which goes on as the picture's edges end."""
    values = np.array(image)
    rows, columns = (place[1], size[1] - place[3]), (place[0], size[0] - place[2])
    return Image.fromarray(np.pad(values, (rows, columns, *[(0, 0)] * (values.ndim - 2)), mode="edge"), image.mode)


def resized_latents(latents: Tensor, height: int, width: int, name: str = "Latent") -> Tensor:
    """Latents (B, C, h, w) at another size, by one of LATENT_MODES. Float32 inside, given back in their own format."""
    mode, antialias = LATENT_MODES[name]
    if tuple(latents.shape[-2:]) == (height, width):
        return latents
    smooth = mode in ("bilinear", "bicubic")
    result = F.interpolate(
        latents.float(), size=(height, width), mode=mode, antialias=antialias, align_corners=False if smooth else None
    )
    return result.to(latents.dtype)


def padded_to(pixels: Tensor, factor: int) -> Tensor:
    """Pixels (B, C, H, W) with their right and lower edge drawn out until both sides are multiples of the factor."""
    height, width = pixels.shape[-2:]
    wide, high = padded((width, height), factor)
    return F.pad(pixels, (0, wide - width, 0, high - height), mode="replicate") if (wide, high) != (width, height) else pixels


def cropped_to(pixels: Tensor, height: int, width: int) -> Tensor:
    """What padded_to added is cut off again."""
    return pixels[..., :height, :width]


# ---------------------------------------------------------------- colours


def colours_matched(image: Image.Image, original: Image.Image, mask: Image.Image | None = None) -> Image.Image:
    """A drawn picture (RGB) with the colours of the original of the same size, as "colour correction" does.

    Without a mask each channel's histogram in CIELAB becomes the original's. With one, what was not masked should look
    the same in both pictures, so mean and deviation are measured there and the whole is moved and stretched
    by the difference (Reinhard et al. 2001, Color Transfer between Images); a mask that leaves less than 16 pixels to
    measure changes nothing.
    """
    drawn, wanted = _lab(np.array(image.convert("RGB"))), _lab(np.array(original.convert("RGB")))
    if mask is None:
        result = np.stack([_histogram(drawn[..., c], wanted[..., c]) for c in range(3)], axis=-1)
    else:
        kept = np.array(mask) == 0
        if int(kept.sum()) < 16:
            return image
        here, there = drawn[kept], wanted[kept]
        stretch = np.clip((there.std(0) + 0.5) / (here.std(0) + 0.5), 0.5, 2.0)
        result = (drawn - here.mean(0)) * stretch + there.mean(0)
    return Image.fromarray(_rgb(result))


def _histogram(values: Array, wanted: Array) -> Array:
    """The values, changed monotonically so that they are spread as the wanted ones are."""
    _levels, inverse, counts = np.unique(np.round(values, 2), return_inverse=True, return_counts=True)
    targets, target_counts = np.unique(np.round(wanted, 2), return_counts=True)
    shares = (np.cumsum(counts) - counts / 2) / values.size
    target_shares = (np.cumsum(target_counts) - target_counts / 2) / wanted.size
    return np.interp(shares, target_shares, targets)[inverse].reshape(values.shape)


_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = _TO_XYZ.sum(1)


def _lab(rgb: Array) -> Array:
    """CIELAB (D65) of sRGB bytes (H, W, 3)."""
    steps = np.arange(256) / 255
    linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)[rgb]
    t = linear @ _TO_XYZ.T / _WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _rgb(lab: Array) -> Array:
    """sRGB bytes of CIELAB."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    t = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = np.clip(t * _WHITE @ np.linalg.inv(_TO_XYZ).T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.floor(encoded * 255 + 0.5).astype(np.uint8)
