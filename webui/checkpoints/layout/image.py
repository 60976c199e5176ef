"""The image towers of CLIP and OpenCLIP (unCLIP), in OpenAI's names; of the whole CLIP in the file only this half is needed."""

from __future__ import annotations

import re

from webui.checkpoints.files import Shapes
from webui.checkpoints.layout.part import Part, Source, View, inside
from webui.checkpoints.layout.text import layers, resblock
from webui.contract.parts import Encoder

_VISION = "network.vision_model."
_ENDS = {
    "class_embedding": _VISION + "embeddings.class_embedding",
    "positional_embedding": _VISION + "embeddings.position_embedding.weight",
    "conv1.weight": _VISION + "embeddings.patch_embedding.weight",
    "ln_pre.weight": _VISION + "pre_layrnorm.weight",  # so it is spelt there
    "ln_pre.bias": _VISION + "pre_layrnorm.bias",
    "ln_post.weight": _VISION + "post_layernorm.weight",
    "ln_post.bias": _VISION + "post_layernorm.bias",
    "proj": "network.visual_projection.weight",
}
_TEXT_HALF = re.compile(
    r"(positional_embedding|text_projection|logit_scale|attn_mask|token_embedding\.weight|ln_final\.\w+"
    r"|transformer\.resblocks\.\d+\..+)"
)


def image_tower(shapes: Shapes, encoder: Encoder, heads: int | None = None) -> Part | None:
    """The image encoder of a file; None where it holds none (a picture can then only come as its embedding)."""
    own = inside(shapes, encoder.prefix)
    sources: dict[str, Source] = {}
    ignored = set()
    for name in own:
        inner = name.removeprefix("visual.")
        if inner == name:
            if _TEXT_HALF.fullmatch(name):
                ignored.add(encoder.prefix + name)
        elif inner in _ENDS:
            view: View | None = (lambda tensor: tensor.T) if inner == "proj" else None
            sources[_ENDS[inner]] = Source(encoder.prefix + name, view)
        else:
            sources |= {_VISION + new: Source(encoder.prefix + name, view) for new, view in resblock(inner).items()}
    if not sources:
        return None
    width, _, patch, _ = own["visual.conv1.weight"]
    # heads are width / 64, but 80 wide in OpenCLIP's ViT-H
    default = width // 80 if encoder.kind == "openclip-image" and width % 80 == 0 else max(1, width // 64)
    configuration = {
        "hidden_size": width,
        "intermediate_size": own["visual.transformer.resblocks.0.mlp.c_fc.weight"][0],
        "num_hidden_layers": layers(sources),
        "num_attention_heads": heads or default,
        "patch_size": patch,
        "image_size": patch * round((own["visual.positional_embedding"][0] - 1) ** 0.5),
        "projection_dim": own["visual.proj"][1],
        "hidden_act": "gelu" if encoder.kind == "openclip-image" else "quick_gelu",
    }
    return Part(encoder.kind, configuration, sources, frozenset(ignored))
