"""What POST /sdapi/v1/img2img takes, and the requests that it means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.exceptions import HTTPException

from webui.api.a1111.fields import Order, Shared, ordered
from webui.api.pictures import kept
from webui.contract.errors import FieldError
from webui.contract.request import FILLS, RESIZE_MODES, Picture, following
from webui.workspace.app import App


class Img2Img(Shared):
    """null means the convention's default; width and height are then the picture's own."""

    init_images: list[str] | None = None
    resize_mode: int | None = None
    image_cfg_scale: float | None = None
    """For checkpoints that are told what to change (pix2pix), of which this program opens none; clients always send it."""
    mask: str | None = None
    mask_blur: float | None = None
    mask_blur_x: float | None = None
    mask_blur_y: float | None = None
    mask_round: bool | None = None
    inpainting_fill: int | None = None
    inpaint_full_res: bool | int | None = None
    inpaint_full_res_padding: int | None = None
    inpainting_mask_invert: int | None = None
    initial_noise_multiplier: float | None = None
    latent_mask: str | None = None
    include_init_images: bool | None = None


NAMES = {
    "denoising_strength": "strength",
    "mask_blur": "mask_blur",
    "inpaint_full_res_padding": "mask_padding",
    "init_images": "image",
}
"""Name of the convention -> field of GenerationRequest."""
THEIRS = {ours: theirs for theirs, ours in NAMES.items()}
STRENGTH = 0.75


def orders(app: App, body: Img2Img) -> list[Order]:
    """An order for each picture. The second one has the next seed, and so on, as in a batch.

    Raises:
        HTTPException: 404, there is no picture.
        FieldError: a value cannot be, or asks for what is not there.
        UnknownNameError, UnknownCheckpointError
    """
    if not body.init_images or not any(body.init_images):
        raise HTTPException(404, "Init image not found: send one in init_images, as base64 or data URI.")
    images = [kept(text, "init_images", app.inputs) for text in body.init_images]
    first = ordered(app, body, _values(app, body, images[0]), THEIRS)
    if len(images) == 1:
        return [first]
    request = app.complete(first.request)  # picks the seed that the others follow
    each = replace(request, batch_size=1, batch_count=max(1, request.pictures // len(images)))
    size = (request.width, request.height) if body.width or body.height else (None, None)
    return [
        replace(
            first,
            request=replace(each, image=image, seed=following(request.seed, i * each.batch_count), width=size[0], height=size[1]),
        )
        for i, image in enumerate(images)
    ]


def _values(app: App, body: Img2Img, image: Picture) -> dict[str, Any]:
    if body.latent_mask:
        raise FieldError("latent_mask", "latent_mask is not here: send the mask as mask.")
    if body.initial_noise_multiplier not in (None, 1):
        raise FieldError("initial_noise_multiplier", "initial_noise_multiplier can only be 1 here. Change denoising_strength.")
    values: dict[str, Any] = {
        "image": image,
        "strength": STRENGTH if body.denoising_strength is None else body.denoising_strength,
        "resize": _choice("resize_mode", body.resize_mode, RESIZE_MODES),
    }
    if body.mask:
        values |= {
            "mask": kept(body.mask, "mask", app.inputs),
            "mask_blur": _blur(body),
            "mask_invert": bool(body.inpainting_mask_invert),
            "masked_content": _choice("inpainting_fill", body.inpainting_fill, FILLS),
            "only_masked": body.inpaint_full_res is None or bool(body.inpaint_full_res),
            "mask_padding": body.inpaint_full_res_padding or 0,
            "soft": body.mask_round is False,
        }
    return values


def _choice(field: str, number: int | None, choices: tuple[Any, ...]) -> Any:
    if not 0 <= (number or 0) < len(choices):
        raise FieldError(field, f"{field} {number} is out of range. It can be 0 to {len(choices) - 1}.")
    return choices[number or 0]


def _blur(body: Img2Img) -> float:
    if body.mask_blur is not None:
        return body.mask_blur
    across, down = (4.0 if side is None else side for side in (body.mask_blur_x, body.mask_blur_y))
    if across != down:
        raise FieldError("mask_blur_x", "mask_blur_x and mask_blur_y must be the same here. Send mask_blur.")
    return across
