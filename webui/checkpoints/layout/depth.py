"""MiDaS' depth estimator (DPT hybrid, Ranftl et al. 2021, arXiv:2103.13413) as SD 2's depth checkpoint holds it."""

from __future__ import annotations

import re

from webui.checkpoints.files import Shapes
from webui.checkpoints.layout.part import Part, Source, inside, third

DEPTH = "depth_model."
_ROOTS = (
    "model.pretrained.model.patch_embed.backbone.stem.conv.weight",
    "model.pretrained.model.blocks.11.attn.qkv.weight",
    "model.scratch.refinenet4.out_conv.weight",
    "model.scratch.output_conv.4.weight",
)
_IMAGE = "dpt.embeddings."
_LAYER = r"dpt.encoder.layer.\1."
_RENAMES = (
    (r"pretrained\.model\.cls_token", _IMAGE + "cls_token"),
    (r"pretrained\.model\.pos_embed", _IMAGE + "position_embeddings"),
    (r"pretrained\.model\.patch_embed\.proj\.", _IMAGE + "projection."),
    (r"pretrained\.model\.patch_embed\.backbone\.stem\.conv\.", _IMAGE + "backbone.bit.embedder.convolution."),
    (r"pretrained\.model\.patch_embed\.backbone\.stem\.norm\.", _IMAGE + "backbone.bit.embedder.norm."),
    (r"pretrained\.model\.patch_embed\.backbone\.stages\.(\d+)\.blocks\.", _IMAGE + r"backbone.bit.encoder.stages.\1.layers."),
    (r"pretrained\.model\.norm\.", "dpt.layernorm."),
    (r"pretrained\.model\.blocks\.(\d+)\.norm1\.", _LAYER + "layernorm_before."),
    (r"pretrained\.model\.blocks\.(\d+)\.norm2\.", _LAYER + "layernorm_after."),
    (r"pretrained\.model\.blocks\.(\d+)\.attn\.proj\.", _LAYER + "attention.output.dense."),
    (r"pretrained\.model\.blocks\.(\d+)\.mlp\.fc1\.", _LAYER + "intermediate.dense."),
    (r"pretrained\.model\.blocks\.(\d+)\.mlp\.fc2\.", _LAYER + "output.dense."),
    (r"pretrained\.act_postprocess3\.0\.project\.0\.", "neck.reassemble_stage.readout_projects.2.0."),
    (r"pretrained\.act_postprocess4\.0\.project\.0\.", "neck.reassemble_stage.readout_projects.3.0."),
    (r"pretrained\.act_postprocess3\.3\.", "neck.reassemble_stage.layers.2.projection."),
    (r"pretrained\.act_postprocess4\.3\.", "neck.reassemble_stage.layers.3.projection."),
    (r"pretrained\.act_postprocess4\.4\.", "neck.reassemble_stage.layers.3.resize."),
    (r"scratch\.output_conv\.", "head.head."),
)


def depth_estimator(shapes: Shapes) -> Part | None:
    """The depth estimator of a file; None where it holds none, or not a whole one."""
    own = inside(shapes, DEPTH)
    if not all(name in own for name in _ROOTS):
        return None
    sources: dict[str, Source] = {}
    ignored = set()
    for name in own:
        inner = name.removeprefix("model.")
        key = DEPTH + name
        if inner.startswith("pretrained.model.head."):  # the classifier of the transformer it was made from
            ignored.add(key)
        elif found := re.fullmatch(r"pretrained\.model\.blocks\.(\d+)\.attn\.qkv\.(\w+)", inner):
            for i, part in enumerate(("query", "key", "value")):
                place = f"network.dpt.encoder.layer.{found[1]}.attention.attention.{part}"
                sources[f"{place}.{found[2]}"] = Source(key, third(i))
        elif new := _renamed(inner):
            sources[f"network.{new}"] = Source(key)
    return Part("depth", {}, sources, frozenset(ignored))


def _renamed(name: str) -> str | None:
    """transformers' name of one key; None for what is not known. Fusion stages are counted from the other end."""
    for pattern, new in _RENAMES:
        if re.match(pattern, name):
            return re.sub(pattern, new, name)
    if found := re.fullmatch(r"scratch\.layer(\d)_rn\.(\w+)", name):
        return f"neck.convs.{int(found[1]) - 1}.{found[2]}"
    if found := re.fullmatch(r"scratch\.refinenet(\d)\.out_conv\.(\w+)", name):
        return f"neck.fusion_stage.layers.{4 - int(found[1])}.projection.{found[2]}"
    if found := re.fullmatch(r"scratch\.refinenet(\d)\.resConfUnit(\d)\.conv(\d)\.(\w+)", name):
        stage = f"neck.fusion_stage.layers.{4 - int(found[1])}"
        return f"{stage}.residual_layer{found[2]}.convolution{found[3]}.{found[4]}"
    return None
