"""The fields of infotext that tell of repainting, masks, depth, hires fix and enlarging: their names, both ways.

Source: A1111's names where it has them (../shared/conventions.md section 1); "Extend", "Hires strength", "Soft inpainting",
"Colour correction", "Depth ..." and "Tile" are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from webui.contract.request import FIELDS, EnlargeRequest, GenerationRequest

NUMBERS: dict[str, tuple[str, type[int] | type[float]]] = {
    "Mask blur": ("mask_blur", float),
    "Masked area padding": ("mask_padding", int),
    "Depth near": ("depth_near", float),
    "Depth far": ("depth_far", float),
    "Hires upscale": ("hires_scale", float),
    "Hires resize-1": ("hires_width", int),
    "Hires resize-2": ("hires_height", int),
    "Hires steps": ("hires_steps", int),
    "Hires CFG Scale": ("hires_guidance", float),
    "Hires strength": ("hires_strength", float),
    "Tile": ("tile", int),
}
CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "Resize mode": (
        "resize",
        {
            "Just resize": "stretch",
            "Crop and resize": "crop",
            "Resize and fill": "fill",
            "Just resize (latent upscale)": "latent",
        },
    ),
    "Mask mode": ("mask_invert", {"Inpaint masked": False, "Inpaint not masked": True}),
    "Masked content": ("masked_content", {name: name for name in ("original", "fill", "latent noise", "latent nothing")}),
    "Inpaint area": ("only_masked", {"Whole picture": False, "Only masked": True}),
    "Soft inpainting": ("soft", {"False": False, "True": True}),
    "Colour correction": ("match_colours", {"False": False, "True": True}),
    "Depth guided": ("depth_guided", {"False": False, "True": True}),
}
"""What a value is called there -> what it is here."""
TEXTS = {
    "Hires upscaler": "hires_upscaler",
    "Hires prompt": "hires_prompt",
    "Hires negative prompt": "hires_negative_prompt",
    "Hires sampler": "hires_sampler",
    "Hires schedule type": "hires_schedule",
    "Hires checkpoint": "hires_checkpoint",
}
SAME = ("Use same sampler", "Use same scheduler", "Use same checkpoint")
"""Values of peers that say: nothing of its own."""
EXTEND = "Extend"
SIDES = ("extend_left", "extend_top", "extend_right", "extend_bottom")
STRENGTH, HIRES_STRENGTH = "Denoising strength", "Hires strength"


def fields(request: GenerationRequest) -> dict[str, str]:
    """Those of a request that say something."""
    found: dict[str, str] = {}
    for key, (name, _) in NUMBERS.items():
        value = getattr(request, name)
        if value is not None and (value != FIELDS[name].default or (name == "mask_blur" and request.mask)):
            found[key] = number(value)
    if size := (found.pop("Hires resize-1", ""), found.pop("Hires resize-2", "")):
        found["Hires resize"] = f"{size[0] or 0}x{size[1] or 0}" if any(size) else ""
    if request.hires_steps == request.steps:
        found.pop("Hires steps", None)
    for key, (name, values) in CHOICES.items():
        value = getattr(request, name)
        if value != FIELDS[name].default:
            found[key] = next(shown for shown, meant in values.items() if meant == value)
    for key, name in TEXTS.items():
        found[key] = getattr(request, name)
    if request.is_extended:
        found[EXTEND] = " ".join(str(getattr(request, side)) for side in SIDES)
    found |= _strengths(request)
    return found


def _strengths(request: GenerationRequest) -> dict[str, str]:
    """Peers have one strength, which is that of hires fix where there is one; of a repainted image both are told apart."""
    has_own = request.strength != FIELDS["strength"].default
    if request.has_hires and not request.image and not has_own:
        return {STRENGTH: number(request.hires_strength), HIRES_STRENGTH: ""}
    own = number(request.strength) if has_own else ""
    return {STRENGTH: own} | ({HIRES_STRENGTH: number(request.hires_strength)} if request.has_hires else {})


def candidates(found: Mapping[str, str], has_image: bool) -> Iterator[tuple[str, str, Any]]:
    """(key in the text, field of the request, value) of all but numbers and texts; limits not checked."""
    for key, (name, values) in CHOICES.items():
        if key in found:
            yield key, name, values.get(found[key], found[key])
    sides = found.get(EXTEND, "").split()
    if len(sides) == len(SIDES) and all(side.isdecimal() and len(side) < 10 for side in sides):
        yield from ((EXTEND, name, int(side)) for name, side in zip(SIDES, sides, strict=True))
    if STRENGTH in found:
        has_hires = "Hires upscale" in found or "Hires resize-1" in found
        is_hires = has_hires and not has_image and HIRES_STRENGTH not in found
        yield STRENGTH, "hires_strength" if is_hires else "strength", found[STRENGTH]


def enlarging(request: EnlargeRequest, size: tuple[int, int]) -> dict[str, str]:
    """What was done to a finished picture, which came out in that size."""
    by_size = request.width or request.height
    return {
        "Postprocess upscale by": "" if by_size else number(request.scale),
        "Postprocess upscale to": f"{size[0]}x{size[1]}" if by_size else "",
        "Postprocess crop to fit": "True" if by_size and request.crop else "",
        "Postprocess upscaler": request.upscaler,
        "Postprocess upscaler 2": request.second_upscaler,
        "Postprocess upscaler 2 visibility": number(request.second_share) if request.second_upscaler else "",
    }


def number(value: float | None) -> str:
    """Shortest digits that are read back equal; 7.0 is 7."""
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
