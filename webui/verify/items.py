"""A check's inputs as the program's own: one request and its pictures for each item of the batch, through `condition`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from webui.checkpoints.model import Model
from webui.contract.errors import MissingFileError
from webui.contract.parts import Conditioning, Inputs, Parts
from webui.contract.request import Box, GenerationRequest
from webui.engine.conditioners import text
from webui.engine.conditioning import condition, stacked
from webui.verify.case import CaseError, as_tensor

PLAIN = GenerationRequest(emphasis="None", long_prompt="Cut")
"""A prompt as it stands, as the releases read it"""
PICTURES = {
    "image": "image",
    "low_res": "image",
    "mask": "mask",
    "depth": "depth",
    "map": "map",
    "image_embedding": "image_embedding",
}
"""Names in a case, and in Inputs"""
FIELDS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "prompt": lambda value: {"prompt": str(value)},
    "class": lambda value: {"class_label": str(int(value))},
    "boxes": lambda value: {"boxes": tuple(box(one) for one in value)},
    "noise_level": lambda value: {"noise_level": int(value)},
    "original_size": lambda value: {"original_height": int(value[0]), "original_width": int(value[1])},
    "crop": lambda value: {"crop_top": int(value[0]), "crop_left": int(value[1])},
    "target_size": lambda value: {"target_height": int(value[0]), "target_width": int(value[1])},
    "aesthetic_score": lambda value: {"aesthetic_score": float(value)},
}
"""Names in a case, and the fields of a request that say the same"""
OTHER = {"noise", "ids", "zero_prompt"}


def box(values: Any) -> Box:
    """[label, x, y, width, height]"""
    label, x, y, width, height = values
    return Box(str(int(label)), float(x), float(y), float(width), float(height))


def conditioned(inputs: Mapping[str, Any], model: Model, parts: Parts, count: int, latents: tuple[int, int]) -> Conditioning:
    """What the network is told of a check's inputs, for the whole batch; each item goes alone, as a picture does.

    Everything is asked as the positive side, since a case says what it means; only its zeros in place of words are those
    of an empty negative prompt.

    Args:
        count: items, where the inputs do not say. latents: (h, w), where no picture says how large it is.
    """
    if unknown := sorted(set(inputs) - set(FIELDS) - set(PICTURES) - OTHER):
        raise CaseError(f"The input {unknown[0]!r} is not known here.")
    each = {name: value for name, value in inputs.items() if name != "zero_prompt"}
    counts = {name: len(value) for name, value in each.items()}
    if len(set(counts.values())) > 1:
        raise CaseError(f"The inputs have different numbers of items: {counts}.")
    side = bool(inputs.get("zero_prompt", False))
    made = []
    for i in range(next(iter(counts.values()), count)):
        own = {name: value[i] for name, value in each.items()}
        seen = _pictures(own, model, latents)
        try:
            made.append(condition(_request(own), model, parts, [seen])[side])
        except MissingFileError:
            if "ids" not in own:
                raise
            made.append(_of_ids(own["ids"], model))
    return stacked(made)


def _request(own: Mapping[str, Any]) -> GenerationRequest:
    fields: dict[str, Any] = {"emphasis": PLAIN.emphasis, "long_prompt": PLAIN.long_prompt}
    for name, value in own.items():
        if name in FIELDS:
            fields |= FIELDS[name](value)
    return GenerationRequest(**fields)


def _pictures(own: Mapping[str, Any], model: Model, latents: tuple[int, int]) -> Inputs:
    tensors = {PICTURES[name]: as_tensor(own[name], name)[None] for name in PICTURES if name in own}
    if "map" in tensors:
        tensors["map"] = tensors["map"].long()
    factor = model.family.latent_factor
    sized = next((own[name] for name in ("image", "mask", "map") if name in own), None)
    size = (
        (int(sized.shape[-2]), int(sized.shape[-1])) if isinstance(sized, Tensor) else (latents[0] * factor, latents[1] * factor)
    )

    def noise(shape: tuple[int, ...]) -> Tensor:
        if "noise" not in own or tuple(own["noise"].shape) != shape[1:]:
            raise CaseError(f"The inputs have no noise of the shape {shape[1:]}.")
        given: Tensor = own["noise"][None]
        return given

    return Inputs(size=size, noise=noise, **tensors)


def _of_ids(ids: Any, model: Model) -> Conditioning:
    """From the case's own tokens, where the vocabulary is not here; that it is missing, a check of tokens says."""
    (row,) = (row for row in model.family.encoders if row.role == "text")
    ((hidden, _),) = text.encode([tuple(int(number) for number in ids)], row, model, row.layer)
    return Conditioning(crossattn=hidden[None])
