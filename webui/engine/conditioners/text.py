"""Words to crossattn (and, pooled, to vector): chunks of 75 tokens through each text encoder, weighed, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from webui.checkpoints.model import Model
from webui.checkpoints.tokenizer import Tokenizer, tokenizer
from webui.contract.parts import Conditioning, Encoder, Inputs
from webui.contract.request import GenerationRequest
from webui.engine import prompt
from webui.engine.prompt import Chunk

Encoded = tuple[Tensor, Tensor | None]
"""Of one chunk: hidden states (77, C), and pooled (D,) where the encoder has it; float32"""


def text(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:  # noqa: ARG001
    """The prompt (or the negative prompt) as crossattn (1, 77 * chunks, C), the encoders' channels behind each other, and
    as vector (1, D) what the encoders that pool say of the first chunk. float32.

    Both sides, and all encoders, get the same number of chunks, shorter ones filled up with empty ones, so that they can
    share a batch. Where the family says so, no negative words are zeros instead (SDXL base, Podell et al. 2023,
    arXiv:2307.01952, as sgm samples it).
    """
    rows = [row for row in model.family.encoders if row.role in ("text", "text_2")]
    read = {row.role: tokenizer(row.kind, model.shelf, model.path) for row in rows}
    sides = {row.role: [_side(words, read[row.role], request) for words in _words(request, row)] for row in rows}
    longest = max(len(side) for both in sides.values() for side in both)
    hidden, pooled = [], []
    for row in rows:
        empty = _side("", read[row.role], request)[0]
        chosen = sides[row.role][negative]
        states, summary = _encoded([*chosen, *[empty] * (longest - len(chosen))], row, model, request)
        hidden.append(states)
        if row.is_pooled and summary is not None:
            pooled.append(summary)
    made = Conditioning(crossattn=torch.cat(hidden, -1), vector=torch.cat(pooled, -1) if pooled else None)
    is_silent = negative and not any(_words(request, row)[True].strip() for row in rows)
    return _zeros(made) if is_silent and model.family.zeros_empty_negative else made


def _words(request: GenerationRequest, row: Encoder) -> tuple[str, str]:
    """What an encoder reads: (prompt, negative prompt). The second one reads its own words where it was given any."""
    if row.role == "text_2":
        return request.second_prompt or request.prompt, request.second_negative_prompt or request.negative_prompt
    return request.prompt, request.negative_prompt


def _side(words: str, read: Tokenizer, request: GenerationRequest) -> tuple[Chunk, ...]:
    return _chunks(words, read, request.emphasis, request.long_prompt == "Cut")


@lru_cache(maxsize=64)
def _chunks(words: str, read: Tokenizer, emphasis: str, is_cut: bool) -> tuple[Chunk, ...]:
    """A prompt's chunks; kept, since the pictures of a job, and the next job, mostly ask the same."""
    if is_cut and emphasis == "None":  # as the releases read a prompt: nothing in it is grammar
        return (Chunk(read.ids(words), (1.0,) * read.length),)
    marks = {"end": read.end, "start": read.start, "pad": read.pad, "comma": read.comma}
    return tuple(prompt.chunks(words, read.tokenize, emphasis=emphasis, is_cut=is_cut, **marks))


def _encoded(chunks: Sequence[Chunk], row: Encoder, model: Model, request: GenerationRequest) -> tuple[Tensor, Tensor | None]:
    """Chunks as (1, 77 * chunks, C), weighed, and the first one's pooled (1, D). Clip skip only goes deeper than the row
    (the release of SD 2 leaves one layer out already)."""
    encoded = encode([chunk.ids for chunk in chunks], row, model, min(row.layer, -request.clip_skip))
    weighed = [
        hidden[None] if set(chunk.weights) == {1.0} else _weighed(hidden[None], chunk, request.emphasis)
        for chunk, (hidden, _) in zip(chunks, encoded, strict=True)
    ]
    pooled = encoded[0][1]
    return torch.cat(weighed, 1), None if pooled is None else pooled[None]


def _weighed(hidden: Tensor, chunk: Chunk, emphasis: str) -> Tensor:
    return prompt.apply_emphasis(hidden, torch.tensor([chunk.weights], device=hidden.device), emphasis)


def encode(chunks: list[tuple[int, ...]], row: Encoder, model: Model, layer: int) -> list[Encoded]:
    """Token ids of chunks (77 each) through one encoder; what this model has encoded before is not encoded again.

    Args:
        layer: whose output counts, -1 the last; with or without the final norm, as the row has it.
    """
    missing = [ids for ids in dict.fromkeys(chunks) if model.encodings.get((row.role, layer, ids)) is None]
    if missing:
        encoder: Any = model.encoders[row.role]
        with torch.inference_mode():
            hidden, pooled = encoder(torch.tensor(missing, device=model.device), layer, row.has_norm)
        for i, ids in enumerate(missing):
            model.encodings.put((row.role, layer, ids), (hidden[i].float(), None if pooled is None else pooled[i].float()))
    encoded: list[Any] = [model.encodings.get((row.role, layer, ids)) for ids in chunks]
    return encoded


def _zeros(made: Conditioning) -> Conditioning:
    return Conditioning(
        crossattn=None if made.crossattn is None else torch.zeros_like(made.crossattn),
        vector=None if made.vector is None else torch.zeros_like(made.vector),
    )
