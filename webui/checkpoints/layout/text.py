"""Text encoders in the releases' key layouts: CLIP (as transformers names it), OpenCLIP, and LDM's own transformer."""

from __future__ import annotations

import re
from typing import Any

from webui.checkpoints.files import Shapes
from webui.checkpoints.layout.part import Part, Source, View, inside, third
from webui.contract.parts import Encoder

_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)\.(\w+)")
_PARTS = {
    "ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
}  # fmt: skip
_OPENCLIP = {
    "positional_embedding": "network.embeddings.position_embedding.weight",
    "token_embedding.weight": "network.embeddings.token_embedding.weight",
    "ln_final.weight": "network.final_layer_norm.weight",
    "ln_final.bias": "network.final_layer_norm.bias",
    "text_projection": "projection.weight",
}
_BERT = re.compile(r"attn_layers\.layers\.(\d+)\.(.+)\.(weight|bias)")
_BERT_PARTS = {
    "1.to_q": "query", "1.to_k": "key", "1.to_v": "value", "1.to_out": "out",
    "1.net.0.0": "widen", "1.net.2": "narrow",
}  # fmt: skip
_BERT_ENDS = {
    "token_emb.weight": "word_table.weight",
    "pos_emb.emb.weight": "place_table.weight",
    "norm.weight": "norm.weight",
    "norm.bias": "norm.bias",
}


def clip(shapes: Shapes, encoder: Encoder, heads: int | None = None) -> Part:
    """CLIP's text half as SD 1 and SDXL hold it (Radford et al. 2021, arXiv:2103.00020)."""
    own = inside(shapes, encoder.prefix)
    sources, ignored = {}, set()
    for name in own:
        if name.endswith("position_ids"):
            ignored.add(encoder.prefix + name)
        elif name == "text_projection.weight":
            sources["projection.weight"] = Source(encoder.prefix + name)
        else:  # some files in the wild lack the inner prefix
            sources[f"network.{name.removeprefix('text_model.')}"] = Source(encoder.prefix + name)
    return Part("clip", _clip_configuration(sources, shapes, heads, "quick_gelu"), sources, frozenset(ignored))


def openclip(shapes: Shapes, encoder: Encoder, heads: int | None = None) -> Part:
    """OpenCLIP's text half (SD 2, SDXL's second encoder, the refiner)."""
    own = inside(shapes, encoder.prefix)
    sources: dict[str, Source] = {}
    ignored = set()
    for name in own:
        if name in _OPENCLIP:
            view: View | None = (lambda tensor: tensor.T) if name == "text_projection" else None
            sources[_OPENCLIP[name]] = Source(encoder.prefix + name, view)
        elif name in ("logit_scale", "attn_mask"):
            ignored.add(encoder.prefix + name)
        else:
            sources |= {f"network.{new}": Source(encoder.prefix + name, view) for new, view in resblock(name).items()}
    configuration = _clip_configuration(sources, shapes, heads, "gelu")
    # files made of SD 2's diffusers folders: their ViT-H ends one layer early, at the output that SD 2 takes
    is_cut = configuration["hidden_size"] == 1024 and configuration["num_hidden_layers"] == 23
    return Part("openclip", configuration | {"layers_cut": int(is_cut)}, sources, frozenset(ignored))


def resblock(name: str) -> dict[str, View | None]:
    """transformers' names of one key of OpenAI's residual blocks; none for another key."""
    found = re.fullmatch(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)", name)
    if found:
        place = f"encoder.layers.{found[1]}.self_attn"
        return {f"{place}.{letter}_proj.{found[2]}": third(i) for i, letter in enumerate("qkv")}
    found = _BLOCK.fullmatch(name)
    return {f"encoder.layers.{found[1]}.{_PARTS[found[2]]}.{found[3]}": None} if found and found[2] in _PARTS else {}


def _clip_configuration(sources: dict[str, Source], shapes: Shapes, heads: int | None, activation: str) -> dict[str, Any]:
    """Arguments of transformers' CLIPTextConfig; heads are width / 64 in all releases."""
    words, width = shapes[sources["network.embeddings.token_embedding.weight"].key]
    projection = sources.get("projection.weight")
    shape = shapes[projection.key] if projection else None
    return {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": shapes[sources["network.encoder.layers.0.mlp.fc1.weight"].key][0],
        "num_hidden_layers": layers(sources),
        "num_attention_heads": heads or max(1, width // 64),
        "max_position_embeddings": shapes[sources["network.embeddings.position_embedding.weight"].key][0],
        "hidden_act": activation,
        "projection_dim": None if shape is None else shape[1] if activation == "gelu" else shape[0],
    }


def layers(sources: dict[str, Source]) -> int:
    """How many layers an encoder in transformers' names has."""
    return 1 + max(int(name.split(".encoder.layers.")[1].split(".")[0]) for name in sources if ".encoder.layers." in name)


def bert(shapes: Shapes, encoder: Encoder) -> Part:
    """The transformer that LDM trained on BERT's tokens, or on boxes (x-transformers' names; its to_logits is not needed)."""
    own = inside(shapes, encoder.prefix)
    sources, ignored = {}, set()
    for name in own:
        found = _BERT.fullmatch(name)
        if name in _BERT_ENDS:
            sources[_BERT_ENDS[name]] = Source(encoder.prefix + name)
        elif name.startswith("to_logits."):
            ignored.add(encoder.prefix + name)
        elif found:
            number, part, leaf = int(found[1]), found[2], found[3]
            norm = "attention_norm" if number % 2 == 0 else "widen_norm"
            new = norm if part == "0" else _BERT_PARTS.get(part)
            if new:
                sources[f"layers.{number // 2}.{new}.{leaf}"] = Source(encoder.prefix + name)
    words, width = own["token_emb.weight"]
    configuration = {
        "words": words,
        "width": width,
        "places": own["pos_emb.emb.weight"][0],
        "layers": sum(name.endswith("1.to_q.weight") for name in own),
        "inner": own["attn_layers.layers.0.1.to_q.weight"][0],
    }
    return Part("bert", configuration, sources, frozenset(ignored))
