"""A picture beside the noise: what is painted into, how far away things are, what is enlarged."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from webui.checkpoints.model import Model
from webui.contract.errors import FieldError
from webui.contract.parts import Conditioning, Inputs
from webui.contract.request import GenerationRequest
from webui.engine.autoencoder import encode


def needed(value: Tensor | None, field: str, model: Model) -> Tensor:
    """Raises FieldError where a picture that the family draws from is not there."""
    if value is None:
        raise FieldError(field, f"{model.family.label} draws from a picture: give it one ({field}).")
    return value.to(model.device)


def inpaint(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:  # noqa: ARG001
    """concat (1, 1 + C, h, w): the mask (1 is painted anew), and the latents of the picture with grey in the holes.

    Source: Rombach et al. 2022, Stable Diffusion inpainting (runwayml and Stability-AI, scripts/streamlit/inpainting.py).
    """
    image, mask = _with_mask(inputs, model)
    latents = encode(image * (mask < 0.5), model)
    return Conditioning(concat=torch.cat([_nearest(mask, latents), latents], 1))


def ldm_inpaint(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:  # noqa: ARG001
    """concat (1, C + 1, h, w): the latents of the picture with black in the holes, and the mask as -1 and 1.

    Source: Rombach et al. 2022, arXiv:2112.10752, section 4.5 (scripts/inpaint.py): the other order, and other values.
    """
    image, mask = _with_mask(inputs, model)
    latents = encode((1 - mask) * (image + 1) - 1, model)
    return Conditioning(concat=torch.cat([latents, _nearest(2 * mask - 1, latents)], 1))


def _with_mask(inputs: Inputs, model: Model) -> tuple[Tensor, Tensor]:
    """The picture (1, 3, H, W) and its mask (1, 1, H, W); without a mask all of it is painted anew."""
    image = needed(inputs.image, "image", model)
    return image, torch.ones_like(image[:, :1]) if inputs.mask is None else inputs.mask.to(model.device)


def _nearest(mask: Tensor, latents: Tensor) -> Tensor:
    return F.interpolate(mask.float(), size=latents.shape[-2:], mode="nearest")


def depth(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:  # noqa: ARG001
    """How near things are as concat (1, 1, h, w), -1 the farthest and 1 the nearest: the user's map, or an estimate of
    the picture by the checkpoint's DepthSource; stretched between the depths that the request
    calls farthest and nearest.

    Source: Stability-AI, Stable Diffusion 2 depth (scripts/streamlit/depth2img.py); its 1e-3 is in the training code only.
    """
    near = inputs.depth if inputs.depth is not None else estimated(needed(inputs.image, "image", model), model)
    size = tuple(side // model.family.latent_factor for side in inputs.size)
    near = F.interpolate(near.to(model.device, torch.float32), size=size, mode="bicubic", align_corners=False)
    low, high = near.amin((1, 2, 3), keepdim=True), near.amax((1, 2, 3), keepdim=True)
    share = (near - low) / (high - low).clamp(min=1e-6)
    if (request.depth_far, request.depth_near) != (0, 1):
        share = ((share - request.depth_far) / (request.depth_near - request.depth_far)).clamp(0, 1)
    return Conditioning(concat=2 * share - 1)


def estimated(image: Tensor, model: Model) -> Tensor:
    """(1, 1, any, any) of a picture (1, 3, H, W)."""
    if model.depth is None:
        raise FieldError("depth", f"{model.family.label} has no estimator of depth: give it a map (depth).")
    network = model.depth()
    weight = next(network.parameters())
    with torch.inference_mode():
        near: Tensor = network(image.to(weight.device))
    return near.float()


def depth_note(model: Model, inputs: Inputs) -> tuple[str, ...]:
    """A sentence where the map of a picture came from the small estimator, though the checkpoint was made for a better one."""
    if model.depth is None or inputs.depth is not None or not model.depth.is_small or model.family.name.startswith("pocket"):
        return ()
    said = f"{model.name.name} holds no depth estimator, so the small one that comes with the program looked at the picture."
    return (f"{said} For photographs fetch a better one: webui fetch depth-estimator.",)


def low_res(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:  # noqa: ARG001
    """The small picture itself as concat (1, 3, h, w), a pixel for each latent (LDM super-resolution, section 4.4)."""
    return Conditioning(concat=needed(inputs.image, "image", model))
