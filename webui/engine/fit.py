"""Whether a request and a family fit: what it needs, what it does not read, and which size comes out."""

from __future__ import annotations

from webui.contract.errors import FieldError
from webui.contract.parts import Family
from webui.contract.request import PICTURES, GenerationRequest, limits
from webui.engine.canvas import Pictures
from webui.engine.sizes import Size, enlarge, grown

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
WHERE = {"upscale": "the Upscale tab", "inpaint": "the Inpaint tab", "depth": "the Depth tab", "img2img": "the img2img tab"}
"""Where the page gives a family what it needs."""


def check(request: GenerationRequest, family: Family) -> None:
    """Raises FieldError, in one sentence, where the checkpoint needs something that is not there, or was given something
    that it does not read."""
    check_needs(request, family)
    repaints = "strength" in family.inputs or "mask" in family.inputs
    for field in READ:
        is_read = field in family.inputs or (field == "mask" and repaints)
        if not is_read and getattr(request, field) not in ("", (), None):
            thing = field.replace("_", " ")
            raise FieldError(field, f"{family.label} reads no {thing}: leave it out, or choose a checkpoint that does.")
    if request.second_image and not request.image:
        raise FieldError("image", "There is a second picture to mix in, but no first one: give it one (image).")
    if request.mask and not request.image:
        raise FieldError("image", "There is a mask, but no picture that it belongs to: give it one (image).")
    if request.is_extended and not (request.image and repaints):
        raise FieldError("image", "There is no picture to extend: give it one (image), and a checkpoint that repaints.")
    if request.depth_near == request.depth_far:
        raise FieldError("depth_near", "Nearest and farthest are the same depth, so nothing is left of the map. Move one.")
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
            where = f", as in {WHERE[family.does]}" if family.does in WHERE else ""
            given = " or ".join(GIVE[field] for field in fields)
            raise FieldError(fields[-1], f"{family.label} {does}: give it {given}{where}.")


def check_refiner(request: GenerationRequest, family: Family, other: Family) -> None:
    """Raises FieldError where the second checkpoint cannot go on from the first one's latents."""
    if other.network == "none" or not has_same_latents(family, other):
        raise FieldError(
            "refiner",
            f"{other.label} cannot go on where {family.label} stops: their latents differ. Choose a refiner of the same line.",
        )
    check_needs(request, other)


def has_same_latents(family: Family, other: Family) -> bool:
    same = ("autoencoder", "latent_channels", "latent_factor", "latent_scale", "beta_start", "beta_end")
    return all(getattr(family, name) == getattr(other, name) for name in same)


def check_hires(request: GenerationRequest, family: Family) -> None:
    """Raises FieldError where there can be no second pass, by a checkpoint of a family."""
    if request.mask or request.is_extended:
        raise FieldError(
            "hires_scale", "Hires fix repaints the whole picture, so it cannot be used with a mask. Fill in first, then enlarge."
        )
    if "strength" not in family.inputs:
        raise FieldError("hires_scale", f"{family.label} repaints no picture, so it cannot do hires fix. Leave hires fix out.")


def size(request: GenerationRequest, family: Family, pictures: Pictures) -> Size:
    """(width, height) for a complete request: what was asked, else that of the picture it is made from, else the native one.
    A family that enlarges has no choice: so many times its picture.

    A picture whose shorter side is below what can be drawn is enlarged to that, with its proportions kept.

    Raises:
        FieldError: too large.
    """
    sources = (getattr(request, name) for name in ("image", "map", "depth") if name in family.inputs)
    source = next((name for name in sources if name), "")
    given = pictures(source).size if source else None
    least, most = (int(limit) for limit in limits("width"))
    if family.enlarges > 1 and given:
        width, height = (family.enlarges * side for side in given)
        if max(width, height) > most:
            raise FieldError(
                "image",
                f"{family.label} makes {width} x {height} of this picture, a side can have {most}. Give it a smaller one.",
            )
        return max(width, least), max(height, least)
    if given is None or (request.only_masked and (request.mask or request.is_extended)):
        own = (family.native_size, family.native_size)
    else:
        own = given
        if min(own) < least:
            own = enlarge(own, to=(least, least), crop=False, most=1 << 24).size
    width, height = request.width or own[0], request.height or own[1]
    if max(width, height) > most:
        shown = given or own
        raise FieldError(
            "image",
            f"A picture of {shown[0]} x {shown[1]} pixels cannot be painted as it is: sides can have {least} to {most}. "
            "Say a width and a height.",
        )
    return width, height


def drawn(request: GenerationRequest) -> Size:
    """What a complete request draws, in pixels: with what is added at the sides, where all of it is drawn."""
    assert request.width and request.height
    if request.only_masked or not request.is_extended:
        return request.width, request.height
    sides = (request.extend_left, request.extend_top, request.extend_right, request.extend_bottom)
    return grown((request.width, request.height), *sides)[0]
