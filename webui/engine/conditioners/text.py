"""Words to the network's cross-attention input: chunks of 75 tokens through CLIP, weighed, one behind the other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from webui.checkpoints.model import Model
from webui.checkpoints.tokenizer import clip_tokenizer
from webui.contract.parts import Conditioning
from webui.contract.request import GenerationRequest
from webui.engine import prompt


def clip_text(request: GenerationRequest, model: Model, negative: bool) -> Conditioning:
    """The prompt (or the negative prompt) as crossattn (1, 77 * chunks, C), float32.

    Both sides get the same number of chunks, the shorter one filled up with empty ones, so that they can share a batch.
    """
    tokenize = clip_tokenizer()
    sides = [prompt.chunks(text, tokenize, emphasis=request.emphasis) for text in (request.prompt, request.negative_prompt)]
    longest = max(len(side) for side in sides)
    empty = prompt.chunks("", tokenize, emphasis=request.emphasis)[0]
    chunks = [*sides[negative], *[empty] * (longest - len(sides[negative]))]
    raw = encode([chunk.ids for chunk in chunks], model, request.clip_skip)
    weights = torch.tensor([chunk.weights for chunk in chunks], device=raw.device)
    weighed = [prompt.apply_emphasis(raw[i : i + 1], weights[i : i + 1], request.emphasis) for i in range(len(chunks))]
    return Conditioning(crossattn=torch.cat(weighed, 1))


def encode(chunks: list[tuple[int, ...]], model: Model, skip: int) -> Tensor:
    """Token ids of chunks (N, 77) to (N, 77, C) float32; what this model has encoded before is not encoded again.

    With skip n the output of the n-th layer from the end, always through the final norm (as SD 1 is used; Stable
    Diffusion, CompVis, FrozenCLIPEmbedder, and NovelAI's "clip skip").
    """
    missing = [ids for ids in dict.fromkeys(chunks) if model.encodings.get((ids, skip)) is None]
    if missing:
        encoder: Any = model.text_encoders[0]
        ids = torch.tensor(missing, device=model.device)
        with torch.inference_mode():
            states = encoder(input_ids=ids, output_hidden_states=skip > 1)
            hidden = (
                states.last_hidden_state
                if skip == 1
                else encoder.final_layer_norm(states.hidden_states[-min(skip, len(states.hidden_states) - 1)])
            )
        for key, value in zip(missing, hidden.float(), strict=True):
            model.encodings.put((key, skip), value)
    encoded: list[Any] = [model.encodings.get((ids, skip)) for ids in chunks]
    return torch.stack(encoded)
