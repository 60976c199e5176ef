"""An extension's families, looked over: names that nobody has, and numbers that no checkpoint could be drawn with."""

from __future__ import annotations

from collections.abc import Iterator

from webui.checkpoints.identify import KINDS
from webui.contract.errors import PluginError
from webui.contract.parts import Family, Parts
from webui.contract.request import FIELDS
from webui.engine.schedules import AUTOMATIC

CHOICES = {
    "prediction": ("eps", "v"),
    "network": ("context", "plain", "none"),
    "autoencoder": ("kl", "vq"),
    "vector": ("projection", "index", ""),
    "does": ("txt2img", "img2img", "inpaint", "depth", "upscale", "refine", ""),
}
ROLES = ("text", "text_2", "class", "boxes", "map", "image")
ABOVE_0 = ("native_size", "steps", "in_channels", "latent_channels", "latent_factor", "latent_scale", "enlarges", "size_step")


def row_faults(parts: Parts, owner: str) -> Iterator[PluginError]:
    """What is wrong with the families of a plugin, a sentence each."""
    for row in parts.families:
        if parts.families.owner(row.name) == owner:
            yield from (PluginError(f"The family {row.name!r} {what}") for what in _faults(row, parts))


def _faults(row: Family, parts: Parts) -> Iterator[str]:
    for name in row.conditioners:
        if name not in parts.conditioners:
            yield f"names a conditioner {name!r}, which nobody offers. Known: {', '.join(parts.conditioners.names())}."
        elif parts.conditioners[name].on_request:
            yield f"names the conditioner {name!r}, which only a request can name."
    if row.sampler not in parts.samplers:
        yield f"names a sampler {row.sampler!r}, which nobody offers. Known: {', '.join(parts.samplers.names())}."
    if row.schedule not in parts.schedules and row.schedule != AUTOMATIC:
        yield f"names a schedule {row.schedule!r}, which nobody offers. Known: {', '.join(parts.schedules.names())}."
    for column, choices in CHOICES.items():
        if getattr(row, column) not in choices:
            known = ", ".join(repr(choice) for choice in choices)
            yield f"has {column} {getattr(row, column)!r}, where it can be {known}."
    for encoder in row.encoders:
        if encoder.kind not in KINDS:
            yield f"names an encoder of the kind {encoder.kind!r}. Known: {', '.join(KINDS)}."
        if encoder.role not in ROLES:
            yield f"names an encoder with the role {encoder.role!r}. Known: {', '.join(ROLES)}."
    for column in ABOVE_0:
        if not getattr(row, column) > 0:
            yield f"has {column} {getattr(row, column)!r}, which is to be above 0."
    for column in ("inputs", "needs"):
        for name in (one for some in getattr(row, column) for one in some.split("|")):
            if name not in FIELDS:
                yield f"has {name!r} in {column}, which is no field of a request."
    if row.distilled_from and row.distilled_from not in parts.families:
        yield f"says that it is distilled from {row.distilled_from!r}, which is no family here."
    if row.network != "none" and row.in_channels < row.latent_channels:
        yield f"gives its U-Net {row.in_channels} channels, fewer than its latents have ({row.latent_channels})."
