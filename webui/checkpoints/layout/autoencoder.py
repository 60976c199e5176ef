"""Autoencoders in the original key layout (or in diffusers' names): KL and VQ, of any factor, with attention anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from webui.checkpoints.files import Shapes
from webui.checkpoints.layout.part import Part, Source, View, average_key, inside

AUTOENCODER = "first_stage_model."
_OWN = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "quantize.embedding.")
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_RENAMES = (
    (r"\.(down|up)\.(\d+)\.block\.(\d+)\.", r".\1_blocks.\2.resnets.\3."),
    (r"\.(down|up)\.(\d+)\.attn\.(\d+)\.", r".\1_blocks.\2.attentions.\3."),
    (r"\.(down|up)\.(\d+)\.(down|up)sample\.", r".\1_blocks.\2.\1samplers.0."),
    (r"\.mid\.block_1\.", r".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", r".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.norm_out\.", ".conv_norm_out."),
    (r"(attentions\.\d+)\.norm\.", r"\1.group_norm."),
    (r"(attentions\.\d+)\.([qkv])\.", r"\1.to_\2."),
    (r"(attentions\.\d+)\.proj_out\.", r"\1.to_out.0."),
)


def prefix_of(shapes: Shapes) -> str:
    """What stands before an autoencoder's keys in this file; nothing in a file of its own."""
    return AUTOENCODER if any(name.startswith(AUTOENCODER) for name in shapes) else ""


def autoencoder(shapes: Shapes, scale: float) -> Part:
    """The autoencoder of a file, with or without a U-Net beside it; of a file of its own also in diffusers' names.

    Args:
        scale: of its latents; diffusers keeps it with the network.
    """
    prefix = prefix_of(shapes)
    own = inside(shapes, prefix)
    rename = modern_name if any(".down_blocks." in name for name in own) else _renaming(own)
    sources, ignored, found = {}, set(), {}
    for name, shape in own.items():
        if name.startswith(_OWN):
            new = rename(name)
            sources[new] = Source(prefix + name, _matrix(shape) if ".attentions." in new else None)
            found[new] = shape
            ignored.add(average_key(name))
        elif name.startswith("loss."):  # of its training: another network that judged it
            ignored.add(prefix + name)
    is_vq = "quantize.embedding.weight" in own
    return Part("vq" if is_vq else "kl", _configuration(found, scale), sources, frozenset(ignored & set(shapes)))


def _configuration(own: Shapes, scale: float) -> dict[str, Any]:
    """Arguments of diffusers' AutoencoderKL or VQModel, from shapes by its names; factor 2 ** (levels - 1)."""
    levels = 1 + max(int(name.split(".")[2]) for name in own if name.startswith("encoder.down_blocks."))
    blocks = [f"encoder.down_blocks.{i}." for i in range(levels)]
    attends = [f"{block}attentions.0.group_norm.weight" in own for block in blocks]
    configuration: dict[str, Any] = {
        "in_channels": own["encoder.conv_in.weight"][1],
        "out_channels": own["decoder.conv_out.weight"][0],
        "latent_channels": own["decoder.conv_in.weight"][1],
        "block_out_channels": tuple(own[f"{block}resnets.0.conv2.weight"][0] for block in blocks),
        "layers_per_block": 1 + max(int(name.split(".")[4]) for name in own if name.startswith(f"{blocks[0]}resnets.")),
        "down_block_types": tuple("AttnDownEncoderBlock2D" if yes else "DownEncoderBlock2D" for yes in attends),
        "up_block_types": tuple("AttnUpDecoderBlock2D" if yes else "UpDecoderBlock2D" for yes in reversed(attends)),
        "mid_block_add_attention": "encoder.mid_block.attentions.0.to_q.weight" in own,
        "scaling_factor": scale,
        "sample_size": 512,  # only tiles look at it; diffusers' default of 32 would make them 4 latents wide
    }
    codes = own.get("quantize.embedding.weight")
    if codes is not None:
        return configuration | {"num_vq_embeddings": codes[0], "vq_embed_dim": codes[1]}
    return configuration | {"embed_dim": own["post_quant_conv.weight"][1]}


def _renaming(own: Shapes) -> Callable[[str], str]:
    """The original's names (without prefix) to diffusers' names. The decoder's levels are counted from the other end."""
    levels = 1 + max(int(name.split(".")[2]) for name in own if name.startswith("encoder.down."))

    def renamed(name: str) -> str:
        name = re.sub(r"\.up\.(\d+)\.", lambda found: f".up.{levels - 1 - int(found[1])}.", name)
        for pattern, new in _RENAMES:
            name = re.sub(pattern, new, name)
        return name

    return renamed


def modern_name(name: str) -> str:
    """What diffusers called the parts of an autoencoder's attention before its release 0.17."""
    parts = name.split(".")
    if "attentions" in parts and parts[-2] in _OLD_ATTENTION:
        return ".".join([*parts[:-2], _OLD_ATTENTION[parts[-2]], parts[-1]])
    return name


def _matrix(shape: tuple[int, ...]) -> View | None:
    """Attention's 1x1 convolutions of the file are matrices here."""
    return (lambda tensor: tensor[:, :, 0, 0]) if len(shape) == 4 else None
