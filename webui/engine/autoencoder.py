"""Pixels to latents and back, and a quick look at latents on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from webui.checkpoints.model import Memo, Model, widened
from webui.checkpoints.tiny import TinyDecoder
from webui.contract.errors import WebUIError
from webui.engine import tiling

_log = logging.getLogger(__name__)
LOOKS = 3
"""So many samples each way, of a picture that is seen in tiles, tell its group norms what the whole is like."""
ATTENDED = 256 * 256
"""Latents that the decoder's attention sees at once; it costs their square."""
ROWS = 1024


class NotFiniteError(WebUIError):
    """A picture came out as numbers that are not finite."""


Told = Callable[[str], None]
"""Hears a sentence for the user."""


def nobody(_sentence: str) -> None:
    """Nobody hears it."""


def encode(pixels: Tensor, model: Model, tile: int = 0) -> Tensor:
    """Latents (B, C, h, w), float32 and scaled as the network sees them, of pixels (B, 3, H, W) in [-1, 1], whose sides are
    multiples of the latent factor.

    Of a KL autoencoder the mean of what it says, not a draw from it, so that the same picture has the same latents; of a
    VQ autoencoder what comes before rounding to its code book (Rombach et al. 2022, arXiv:2112.10752, section 3.1).

    Args:
        tile: pixels of a side that are seen at once, for one picture; 0: all.
    """
    return _finite(lambda dtype: _encode(pixels, model, dtype, tile), model) * model.family.latent_scale


def _encode(pixels: Tensor, model: Model, dtype: torch.dtype, tile: int) -> Tensor:
    def run(part: Tensor) -> Tensor:
        x = part.to(model.device, dtype).contiguous(memory_format=model.memory_format)
        encoded = model.autoencoder.encode(x)
        z: Tensor = encoded.latents if model.family.autoencoder == "vq" else encoded.latent_dist.mean
        return z.float()

    factor = model.family.latent_factor
    with torch.inference_mode():
        if not 0 < tile < max(pixels.shape[-2:]):
            return run(pixels)
        parts = tiling.samples((pixels.shape[-2] // factor, pixels.shape[-1] // factor), max(tile // factor // LOOKS, 1), LOOKS)
        look = torch.cat([pixels[..., t * factor : b * factor, lf * factor : r * factor] for t, lf, b, r in parts])
        with tiling.shared_norms(model.autoencoder.encoder, lambda: run(look)):
            return tiling.encode(run, pixels, factor, tile=tile // factor).to(model.device)


def decode(latents: Tensor, model: Model, tile: int = 0, told: Told = nobody) -> Image.Image:
    """One picture from clean latents (1, C, h, w), scaled as the network sees them.

    Args:
        tile: pixels of a side that are decoded at once; 0: all.
        told: of what was done otherwise than usual.

    Raises:
        NotFiniteError
    """
    return to_image(decoded(latents, model, tile, told))


def decoded(latents: Tensor, model: Model, tile: int = 0, told: Told = nobody) -> Tensor:
    """Pixels (B, 3, H, W), about [-1, 1], float32, of clean latents; a VQ autoencoder rounds them to its code book first.

    Raises:
        NotFiniteError
    """
    is_whole = bool(torch.isfinite(latents).all())  # else the autoencoder is not to blame
    pixels = _finite(lambda dtype: _decode(latents, model, dtype, tile), model, told) if is_whole else latents
    if not bool(torch.isfinite(pixels).all()):
        raise NotFiniteError(
            "The picture came out as numbers that are not finite. Try fewer steps, a lower guidance, or another sampler."
        )
    return pixels


def _finite(run: Callable[[torch.dtype], Tensor], model: Model, told: Told = nobody) -> Tensor:
    """What the autoencoder makes; where it overflows in half precision (SDXL's does), it is run again in float32. The next
    picture is tried in half precision again, so that its bytes do not hang on what was drawn before it."""
    dtype = next(model.autoencoder.parameters()).dtype
    made = run(dtype)
    if dtype == torch.float32 or bool(torch.isfinite(made).all()):
        return made
    _log.warning("%s: the autoencoder overflowed in %s and was run again in float32", model.title, dtype)
    with widened(model.autoencoder):
        made = run(torch.float32)
    if bool(torch.isfinite(made).all()):
        told(f"The autoencoder overflowed in {str(dtype).removeprefix('torch.')}, so this picture was decoded in float32.")
    return made


def _decode(latents: Tensor, model: Model, dtype: torch.dtype, tile: int = 0) -> Tensor:
    factor = model.family.latent_factor
    z = (latents / model.family.latent_scale).to(dtype).contiguous(memory_format=model.memory_format)
    with torch.inference_mode():
        if 0 < tile < max(z.shape[-2:]) * factor:
            return _decode_tiled(z, model, tile // factor)
        return model.autoencoder.decode(z, return_dict=False)[0].float()


def _decode_tiled(z: Tensor, model: Model, tile: int) -> Tensor:
    """As one picture, in tiles of so many latents: see webui.engine.tiling for what is shared and why."""
    network = model.autoencoder
    if model.family.autoencoder == "vq":
        z = network.quantize(z)[0]
    if network.post_quant_conv is not None:
        z = network.post_quant_conv(z)
    first, run = tiling.halves(network.decoder)
    if z.shape[-2] * z.shape[-1] <= ATTENDED:
        z = first(z)
    else:
        run = network.decoder
    parts = tiling.samples((z.shape[-2], z.shape[-1]), max(tile // LOOKS, 1), LOOKS)
    look = torch.cat([z[..., top:bottom, left:right] for top, left, bottom, right in parts])
    with tiling.shared_norms(network.decoder, lambda: run(look)):
        return tiling.decode(lambda part: run(part).float(), z, model.family.latent_factor, tile=tile)


def to_image(pixels: Tensor) -> Image.Image:
    """Pixels (1, 3, H, W) in [-1, 1] as an 8-bit picture."""
    values = np.empty((pixels.shape[-2], pixels.shape[-1], 3), dtype=np.uint8)
    for top in range(0, len(values), ROWS):  # a large picture is not held as floats several times
        values[top : top + ROWS] = to_bytes(pixels[:, :, top : top + ROWS]).cpu().numpy()
    return Image.fromarray(values)


def to_bytes(pixels: Tensor) -> Tensor:
    """(1, 3, H, W) in [-1, 1] to (H, W, 3) uint8."""
    return pixels[0].clamp(-1, 1).add(1).mul(127.5).round_().to(torch.uint8).permute(1, 2, 0)


def preview(latents: Tensor, model: Model) -> Image.Image:
    """A picture of the first of some predicted clean latents (B, C, h, w): by a tiny decoder where there is one that this
    device is quick with, else small (a pixel per latent, doubled) by one matrix, hundreds of times cheaper than decoding."""
    if (tiny := _tiny(model)) is not None:
        with torch.inference_mode():
            return to_image(tiny(latents[:1]))
    matrix = _colours(model)
    z = latents[:1].float().cpu()
    rgb = torch.einsum("bchw,cd->bdhw", z, matrix[:-1]) + matrix[-1].view(1, 3, 1, 1)
    return to_image(F.interpolate(rgb, scale_factor=2, mode="bilinear", align_corners=False))


def quick(latents: Tensor, model: Model) -> Tensor:
    """Pixels (1, 3, H, W), about [-1, 1], of clean latents (1, C, h, w), for a stream: by a tiny decoder where there is one."""
    decoder = quick_decoder(model)
    if decoder is None:
        return decoded(latents, model)
    with torch.inference_mode():
        return decoder(latents)


def quick_decoder(model: Model) -> TinyDecoder | None:
    """The tiny decoder of a model, also one that is too slow here for a look at every step, read once."""
    known: tuple[TinyDecoder | None] | None = model.fits.get("quick")
    if known is None:
        found = _tiny(model) or (model.tiny() if model.tiny is not None else None)
        known = (None if found is None else found.to(model.device, _preview_dtype(model)),)
        model.fits.put("quick", known)
    return known[0]


def with_quick_decoder(model: Model, decoder: nn.Module) -> Model:
    """The same model, of which `quick` decodes with this."""
    fits = Memo(8)
    fits.put("quick", (decoder,))
    return replace(model, fits=fits)


def _tiny(model: Model) -> TinyDecoder | None:
    """The tiny decoder of a model, read once."""
    if model.tiny is None:
        return None
    known: tuple[TinyDecoder | None] | None = model.fits.get("tiny")
    if known is None:
        found = model.tiny()
        if found is not None and (model.device.type == "cuda" or found.is_quick):
            known = (found.to(model.device, _preview_dtype(model)),)
        else:
            known = (None,)
        model.fits.put("tiny", known)
    return known[0]


def _preview_dtype(model: Model) -> torch.dtype:
    return torch.float32 if model.device.type == "cpu" else model.dtype


def _colours(model: Model) -> Tensor:
    """(C + 1, 3): latent channels and a constant to red, green, blue in [-1, 1]; the row's, or fitted once to what the
    decoder makes of smooth random latents (least squares)."""
    known = model.fits.get("colours")
    if known is None:
        known = _fitted(model) if model.family.preview is None else F.pad(torch.tensor(model.family.preview), (0, 0, 0, 1))
        model.fits.put("colours", known)
    return known


def _fitted(model: Model, side: int = 16, count: int = 4) -> Tensor:
    noise = torch.randn(count, model.family.latent_channels, 4, 4, generator=torch.Generator().manual_seed(0))
    z = F.interpolate(noise, size=side, mode="bicubic")
    z = (z / z.std()).to(model.device)
    pixels = torch.cat([_decode(one[None], model, model.dtype) for one in z]).cpu()
    cells = F.avg_pool2d(pixels.clamp(-1, 1), pixels.shape[-1] // side)
    inputs = F.pad(z.float().cpu().permute(0, 2, 3, 1).reshape(-1, z.shape[1]), (0, 1), value=1.0)
    return torch.linalg.lstsq(inputs, cells.permute(0, 2, 3, 1).reshape(-1, 3)).solution
