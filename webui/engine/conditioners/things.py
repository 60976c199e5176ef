"""What is in the picture, without words: a class, boxes with labels, a map of labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F

from webui.checkpoints.labels import number_of
from webui.checkpoints.model import Model
from webui.contract.errors import FieldError
from webui.contract.parts import Conditioning, Inputs
from webui.contract.request import Box, GenerationRequest

MOST_BOXES = 30


def class_of(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:  # noqa: ARG001
    """The class as crossattn (1, 1, C). The negative side, and a request without a class, is "no class": the table's last
    row, which the releases' larger table has (Rombach et al. 2022, arXiv:2112.10752, cin256-v2). A table without that
    row says the same on both sides.
    """
    table: Any = model.encoders["class"]
    has_none = table.classes % 2 == 1
    if has_none and (negative or not request.class_label):
        number = table.classes - 1
    else:
        number = number_of("class", request.class_label, table.classes)
    with torch.inference_mode():
        return Conditioning(crossattn=table(torch.tensor([number], device=model.device)).float())


def boxes(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:  # noqa: ARG001
    """The layout as crossattn (1, 92, C); the negative side is a picture without things."""
    encoder: Any = model.encoders["boxes"]
    ids = box_tokens(() if negative else request.boxes, encoder.words)
    with torch.inference_mode():
        hidden, _ = encoder(torch.tensor([ids], device=model.device), -1, True)
    return Conditioning(crossattn=hidden.float())


def box_tokens(layout: Sequence[Box], words: int) -> list[int]:
    """92 ids: for each of 30 boxes its label, top left and bottom right corner, then the corners of what the picture
    shows (all of it). What reaches beyond the picture is cut off, a box wholly outside left out.

    Args:
        words: size of the vocabulary; a corner is a cell of its square root's grid, the last word means nothing.

    Source: Rombach et al. 2022, arXiv:2112.10752, appendix D.2 (layout), with the tokens of Jahn et al. 2021,
    arXiv:2105.06458.
    """
    side = int(words**0.5)

    def corner(x: float, y: float) -> int:
        return round(y * (side - 1)) * side + round(x * (side - 1))

    found = []
    for box in layout[:MOST_BOXES]:
        if min(box.x + box.width, 1.0) <= max(box.x, 0.0) or min(box.y + box.height, 1.0) <= max(box.y, 0.0):
            continue
        x, y = min(max(box.x, 0.0), 1.0), min(max(box.y, 0.0), 1.0)
        right, bottom = x + min(box.width, 1 - x), y + min(box.height, 1 - y)
        found.append((number_of("boxes", box.label, words - 1), corner(x, y), corner(right, bottom)))
    nothing = (words - 1,) * 3
    padded = [*found, *[nothing] * (MOST_BOXES - len(found))]
    return [*chain.from_iterable(padded), corner(0, 0), corner(1, 1)]


def map_of(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:  # noqa: ARG001
    """The map of labels as concat (1, 3, h, w): one channel a label, made small and mixed by the encoder.

    Raises:
        FieldError: there is no map, or it has labels that the checkpoint does not know.
    """
    encoder: Any = model.encoders["map"]
    if inputs.map is None:
        raise FieldError("map", f"{model.family.label} paints a map of labels: give it one (map).")
    if int(inputs.map.max()) >= encoder.labels or int(inputs.map.min()) < 0:
        raise FieldError(
            "map", f"The map has the label {int(inputs.map.max())}, but {model.family.label} knows 0 to {encoder.labels - 1}."
        )
    one_hot = F.one_hot(inputs.map.to(model.device), encoder.labels).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return Conditioning(concat=encoder(one_hot.to(model.dtype)).float())
