"""The picture that is repainted: brought to the size that was asked, masked, extended; and the part of it that is drawn.

All of it is pixels and whole numbers. What the network needs beyond the size is added to the right and below, and cut off
again, see resizing.padded_to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageChops

from webui.contract.errors import FieldError
from webui.contract.parts import Family
from webui.contract.request import GenerationRequest
from webui.engine import masks, resizing
from webui.engine.pictures import fitting, mask, plain
from webui.engine.sizes import Box, Size, grown, padded

Pictures = Callable[[str], Image.Image]
"""A kept picture by its name in the request, in the mode that it came in"""
NOTHING_MASKED = "Nothing is masked, so the whole picture is painted anew."
FADE = 8
"""Soft inpainting: how much steeper than the mask the drawn picture fades in where the mask begins."""


def no_pictures(name: str) -> Image.Image:
    """Where no pictures are kept. Raises FieldError."""
    raise FieldError("image", f"The picture {name[:16]!r} is not kept here. Give the picture again.")


@dataclass(frozen=True)
class Canvas:
    """What is drawn, and what around it stays."""

    size: Size
    """Of what is drawn."""
    padded: Size
    """Of what the network draws: multiples of what it needs."""
    image: Image.Image | None = None
    """The whole finished picture before anything is painted, RGB or RGBA; None: drawn from nothing."""
    mask: Image.Image | None = None
    """Of the whole picture, softened; None: all of it is painted."""
    place: Box | None = None
    """Of the picture: what is drawn, where that is not all of it."""
    old: Box | None = None
    """Of an extended picture: where the picture is. Its bytes stay, also where the mask leads into it."""
    own_mask: Image.Image | None = None
    """Of an extended picture: what is painted inside it, softened, and the room; the mask without what leads in."""
    source: Image.Image | None = None
    """The picture at its own size, where its latents are resized, not its pixels."""
    notes: tuple[str, ...] = ()

    @property
    def part(self) -> Image.Image:
        """What is there already of what will be drawn, at its size."""
        assert self.image is not None
        return self._part(self.image, Image.Resampling.LANCZOS)

    @property
    def part_mask(self) -> Image.Image | None:
        return None if self.mask is None else self._part(self.mask, Image.Resampling.BILINEAR)

    def _part(self, whole: Image.Image, way: Image.Resampling) -> Image.Image:
        cut = whole.crop(self.place) if self.place else whole
        return cut if cut.size == self.size else cut.resize(self.size, way)


def canvas_of(request: GenerationRequest, family: Family, pictures: Pictures) -> Canvas:
    """The canvas of a complete request.

    Raises:
        FieldError: a picture is not kept, the mask has other proportions, or the extended picture is too large.
    """
    assert request.width and request.height
    step, least = family.size_step, 64
    if family.enlarges > 1 and request.image:
        width, height = pictures(request.image).size
        size = (family.enlarges * width, family.enlarges * height)
        return Canvas(size, padded((max(size[0], least), max(size[1], least)), step))
    if not is_repainted(request, family):
        size = (request.width, request.height)
        return Canvas(size, padded(size, step), notes=_padding(size, step))
    given = plain(pictures(request.image))
    painted = _own_mask(request, given.size, pictures)
    is_empty = painted is not None and masks.box(painted) is None and not request.is_extended
    notes: tuple[str, ...] = ()
    if is_empty:
        painted, notes = (Image.new("L", given.size, 255) if request.only_masked else None), (NOTHING_MASKED,)
    is_part = request.only_masked and (painted is not None or request.is_extended)
    image = _framed(given, request, is_part, Image.Resampling.LANCZOS)
    whole_mask = None if painted is None else _framed(painted, request, is_part, Image.Resampling.BILINEAR)
    whole_mask = None if whole_mask is None else masks.blurred(whole_mask, request.mask_blur)
    old: Box | None = None
    own_mask: Image.Image | None = None
    if request.is_extended:
        sides = (request.extend_left, request.extend_top)
        old = (*sides, sides[0] + image.width, sides[1] + image.height)
        image, whole_mask, own_mask = _extended(image, whole_mask, request)
    if is_part and whole_mask is not None:
        cut = masks.cut(whole_mask, request.mask_padding, (request.width, request.height), step)
        if cut.size != (request.width, request.height):
            notes += (f"The masked part was drawn at {cut.size[0]} x {cut.size[1]}, in its own proportions.",)
        notes += _padding(cut.size, step)
        return Canvas(cut.size, padded(cut.size, step), image, whole_mask, cut.place, old, own_mask, notes=notes)
    source = given if request.resize == "latent" and image.size != given.size else None
    notes += _padding(image.size, step)
    return Canvas(image.size, padded(image.size, step), image, whole_mask, None, old, own_mask, source, notes)


def is_repainted(request: GenerationRequest, family: Family) -> bool:
    """Whether the request's image is what is drawn on; a family can also read one as something else (unCLIP)."""
    return bool(request.image) and "image" in family.inputs and ("strength" in family.inputs or "mask" in family.inputs)


def in_place(picture: Image.Image, request: GenerationRequest, canvas: Canvas, own: Size) -> Image.Image:
    """A picture that belongs to the image (a depth map), brought to what is drawn as the image was.

    Args:
        own: the image's own size.
    """
    picture = picture if picture.size == own else picture.resize(own, Image.Resampling.BILINEAR)
    whole = _framed(picture, request, canvas.place is not None, Image.Resampling.BILINEAR)
    if request.is_extended:
        size, place = grown(whole.size, request.extend_left, request.extend_top, request.extend_right, request.extend_bottom)
        whole = resizing.edges_drawn_out(whole, size, place)
    return canvas._part(whole, Image.Resampling.BILINEAR)


def finished(canvas: Canvas, drawn: Image.Image, request: GenerationRequest) -> Image.Image:
    """What was drawn, in its place. Where the mask is 0, every byte is the image's."""
    if canvas.image is None:
        return drawn
    if request.match_colours:
        drawn = resizing.colours_matched(drawn, canvas.part, canvas.part_mask)
    if canvas.mask is None:
        return drawn
    # Soft inpainting has changed every pixel as much as the mask says, so it only fades in where the mask begins.
    share = canvas.own_mask or canvas.mask
    share = share.point(_faded) if request.soft else share
    if canvas.part_mask is not None and not request.soft and drawn.size == canvas.part.size:
        drawn = masks.evened(drawn, canvas.part, canvas.part_mask)
    done = masks.pasted(canvas.image, drawn, share, canvas.place)
    if canvas.old is None:
        return done
    everywhere = masks.pasted(canvas.image, drawn, Image.new("L", done.size, 255), canvas.place)
    return masks.joined(done, canvas.image, everywhere, share, canvas.old)


def _faded(value: int) -> int:
    return min(value * FADE, 255)


def _own_mask(request: GenerationRequest, size: Size, pictures: Pictures) -> Image.Image | None:
    """The user's mask in the image's size; None where there is none."""
    if not request.mask:
        return None
    given = fitting(mask(pictures(request.mask)), size)
    return masks.inverted(given) if request.mask_invert else given


def _framed(picture: Image.Image, request: GenerationRequest, is_part: bool, way: Image.Resampling) -> Image.Image:
    """The image, or what belongs to it, at width x height; where only a part is drawn it keeps its size."""
    assert request.width and request.height
    mode = "stretch" if request.resize == "latent" else request.resize
    return picture if is_part else resizing.resized(picture, (request.width, request.height), mode, way)


def _extended(
    image: Image.Image, whole_mask: Image.Image | None, request: GenerationRequest
) -> tuple[Image.Image, Image.Image, Image.Image]:
    """The picture with room at its sides, the mask of the room and of what was masked before, and that mask without the
    ramp that leads from the room into the picture."""
    left, top = request.extend_left, request.extend_top
    wide, room = masks.outpainted(image, left, top, request.extend_right, request.extend_bottom)
    own = Image.new("L", wide.size, 255)
    own.paste(whole_mask or Image.new("L", image.size, 0), (left, top))
    return wide, ImageChops.lighter(room, own), own


def _padding(size: Size, step: int) -> tuple[str, ...]:
    full = padded(size, step)
    if full == size:
        return ()
    return (f"Drawn at {full[0]} x {full[1]}, as the network needs, and cropped to {size[0]} x {size[1]}.",)
