"""The original key layouts: which networks a file holds, and what becomes of each of its keys, from shapes alone.

Every key of a release's file is either a parameter of a network or knowingly ignored; what is left over is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webui.checkpoints.files import Shapes
from webui.checkpoints.layout.autoencoder import AUTOENCODER, autoencoder, prefix_of
from webui.checkpoints.layout.depth import DEPTH, depth_estimator
from webui.checkpoints.layout.image import image_tower
from webui.checkpoints.layout.part import Part, Source, inside
from webui.checkpoints.layout.text import bert, clip, openclip
from webui.checkpoints.layout.unet import UNET, unet
from webui.contract.parts import Encoder

if TYPE_CHECKING:
    from webui.checkpoints.build import Identity

__all__ = ["AUTOENCODER", "DEPTH", "UNET", "Layout", "Part", "Source", "autoencoder", "parts_of"]
CONDITION = "cond_stage_model."
_SCHEDULE = re.compile(
    r"((low_scale_model|noise_augmentor)\.)?(betas|alphas_cumprod(_prev)?|(sqrt|log)_one_minus_alphas_cumprod"
    r"|sqrt_(recip_|recipm1_)?alphas_cumprod|posterior_(variance|log_variance_clipped|mean_coef[12]))"
    r"|ddim_(sigmas|alphas|alphas_prev|sqrt_one_minus_alphas)|denoiser\.(log_)?sigmas|logvar|lvlb_weights"
)
"""Noise schedules. A table that can differ from the family's is read by name (webui.checkpoints.load)."""
_COUNTERS = ("scale_factor", "model_ema.decay", "model_ema.num_updates")


@dataclass(frozen=True)
class Layout:
    """A file, sorted."""

    parts: Mapping[str, Part]
    """"unet", "autoencoder", "depth", and the encoders by their role."""
    ignored: frozenset[str]
    """Keys that nothing needs, and that is known."""
    unknown: tuple[str, ...]
    """Keys of which nothing is known."""


def parts_of(shapes: Shapes, identity: Identity) -> Layout:
    """The networks of a file in the original layout, and what becomes of its keys.

    Raises:
        KeyError, ValueError, StopIteration: the file lacks a network of its family.
    """
    family = identity.family
    parts: dict[str, Part] = {"autoencoder": autoencoder(shapes, family.latent_scale)}
    if family.network != "none":
        parts["unet"] = unet(shapes, family, identity.uses_average)
    for encoder in family.encoders:
        part = _encoder(shapes, encoder, identity.text_heads.get(encoder.role), family.latent_factor)
        if part is not None:
            parts[encoder.role] = part
    if (depth := depth_estimator(shapes)) is not None:
        parts["depth"] = depth
    used = set().union(*(part.used for part in parts.values()))
    ignored = set().union(*(part.ignored for part in parts.values())) | _ignored(shapes, parts)
    return Layout(parts, frozenset(ignored), tuple(sorted(set(shapes) - used - ignored)))


def _encoder(shapes: Shapes, encoder: Encoder, heads: int | None, factor: int) -> Part | None:
    match encoder.kind:
        case "clip":
            return clip(shapes, encoder, heads)
        case "openclip":
            return openclip(shapes, encoder, heads)
        case "bert":
            return bert(shapes, encoder)
        case "clip-image" | "openclip-image":
            return image_tower(shapes, encoder, heads)
        case "class":
            key = encoder.prefix + "embedding.weight"
            classes, width = shapes[key]
            return Part("class", {"classes": classes, "width": width}, {"table.weight": Source(key)})
        case "rescale":
            key = encoder.prefix + "channel_mapper.weight"
            channels, labels, *_ = shapes[key]
            # how often the map is halved is not in the file, but it must end at the latents' size
            configuration = {"labels": labels, "channels": channels, "stages": factor.bit_length() - 1}
            return Part("rescale", configuration, {"mapper.weight": Source(key)})
    raise ValueError(f"no encoder of the kind {encoder.kind!r} is known")


def _ignored(shapes: Shapes, parts: Mapping[str, Part]) -> set[str]:
    """What belongs to no network: schedules, counters, and copies of networks that are there already."""
    out = {name for name in shapes if _SCHEDULE.fullmatch(name) or name in _COUNTERS}
    if "depth" not in parts:  # a depth estimator that is not whole
        out |= {name for name in shapes if name.startswith(DEPTH)}
    first = inside(shapes, prefix_of(shapes))
    # LDM's inpainting calls its first stage the condition's too, and so holds it twice
    return out | {name for name in shapes if name.startswith(CONDITION) and name.removeprefix(CONDITION) in first}
