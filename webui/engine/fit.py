"""Whether a request and a family fit: what it needs, what it does not read, and which size comes out."""

from __future__ import annotations

from webui.contract.errors import FieldError
from webui.contract.parts import Family
from webui.contract.request import PICTURES, GenerationRequest, limits
from webui.engine.inputs import Pictures

GIVE = {
    "image": "a picture (image)",
    "mask": "a mask (mask)",
    "depth": "a depth map (depth)",
    "map": "a map of labels (map)",
    "class_label": "a class by name or number (class_label)",
    "boxes": "boxes with labels (boxes)",
}
"""How a sentence asks for a field."""
READ = (*PICTURES, "class_label", "boxes", "noise_level")
"""Fields that are refused by a family that does not read them, rather than passed over."""


def check(request: GenerationRequest, family: Family) -> None:
    """Raises FieldError, in one sentence, where the checkpoint needs something that is not there, or was given something
    that it does not read."""
    check_needs(request, family)
    for field in READ:
        if field not in family.inputs and getattr(request, field) not in ("", (), None):
            thing = field.replace("_", " ")
            raise FieldError(field, f"{family.label} reads no {thing}: leave it out, or choose a checkpoint that does.")
    if request.second_image and not request.image:
        raise FieldError("image", "There is a second picture to mix in, but no first one: give it one (image).")
    if family.noise_levels and (request.noise_level or 0) >= family.noise_levels:
        raise FieldError(
            "noise_level",
            f"Noise level {request.noise_level} is out of range. It can be 0 to {family.noise_levels - 1} for {family.label}.",
        )


def check_needs(request: GenerationRequest, family: Family) -> None:
    """Raises FieldError where the checkpoint needs something that is not there."""
    if family.network == "none":
        raise FieldError("checkpoint", f"{family.label} alone draws nothing. Choose a checkpoint with a U-Net.")
    for need in family.needs:
        fields = need.split("|")  # one of them is enough
        if not any(getattr(request, field) for field in fields):
            does = "enlarges a picture" if family.enlarges > 1 else "does not draw from words alone"
            raise FieldError(fields[-1], f"{family.label} {does}: give it {' or '.join(GIVE[field] for field in fields)}.")


def check_refiner(request: GenerationRequest, family: Family, other: Family) -> None:
    """Raises FieldError where the second checkpoint cannot go on from the first one's latents."""
    same = ("autoencoder", "latent_channels", "latent_factor", "latent_scale", "beta_start", "beta_end")
    if other.network == "none" or any(getattr(family, name) != getattr(other, name) for name in same):
        raise FieldError(
            "refiner",
            f"{other.label} cannot go on where {family.label} stops: their latents differ. Choose a refiner of the same line.",
        )
    check_needs(request, other)


def size(request: GenerationRequest, family: Family, pictures: Pictures) -> tuple[int, int]:
    """(width, height) of what will be drawn: the size that was asked, else that of the picture it is made from, else the
    native one. A family that enlarges has no choice: so many times its picture, whose sides are rounded to what its network
    can halve, at least 8 pixels.

    Raises:
        FieldError: a side is no multiple of what the network needs, or too large.
    """
    sources = (getattr(request, name) for name in ("image", "map", "depth") if name in family.inputs)
    source = next((name for name in sources if name), "")
    given = pictures(source).size if source else None
    if family.enlarges > 1 and given:
        step = max(8, family.size_step // family.enlarges)
        width, height = (family.enlarges * _rounded(side, step, 64 // family.enlarges) for side in given)
        _, most = limits("width")
        if max(width, height) > most:
            raise FieldError(
                "image",
                f"{family.label} makes {width} x {height} of this picture, a side can have {int(most)}. Give it a smaller one.",
            )
        return width, height
    own = [_rounded(side, family.size_step, 64) for side in given or (family.native_size, family.native_size)]
    width, height = request.width or own[0], request.height or own[1]
    for field, side in (("width", width), ("height", height)):
        if side % family.size_step:
            near = _rounded(side, family.size_step, 64)
            raise FieldError(
                field,
                f"{field.capitalize()} {side} is not a multiple of {family.size_step}, as {family.label} needs. Try {near}.",
            )
    return width, height


def _rounded(side: int, step: int, least: int) -> int:
    """The nearest multiple of step, at least `least`."""
    return max(-(-least // step) * step, round(side / step) * step)
