"""The original key layout: what a network's configuration is, read off its shapes, and what its keys are called here.

The original code (ldm, sgm) numbers its U-Net's blocks through; diffusers nests them. With n residual blocks a level,
input block i (i >= 1) is level (i - 1) // (n + 1), and the last of a level is its down-sampler; output blocks
likewise. Everything else is a renaming of the parts of a block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from webui.checkpoints.files import Shapes

_RESNET = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2", "out_layers.3": "conv2", "skip_connection": "conv_shortcut",
}  # fmt: skip


def _inside(shapes: Shapes, prefix: str) -> dict[str, tuple[int, ...]]:
    return {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}


def unet_configuration(shapes: Shapes, prefix: str, heads: int | None, head_width: int | None) -> dict[str, Any]:
    """Arguments of diffusers' UNet2DConditionModel for a U-Net with cross-attention in the original layout.

    Args:
        shapes: of the whole file.
        prefix: of the U-Net's keys, "model.diffusion_model.".
        heads: number of heads on every level, or
        head_width: channels of a head. Neither can be read off the shapes.
    """
    own = _inside(shapes, prefix)
    blocks = _levels(own)
    widths = [level[0] for level in blocks]
    counts = [width // head_width if head_width else heads or 8 for width in widths]
    depths = [level[2] for level in blocks]
    first_attention = next(name for name in own if name.endswith("transformer_blocks.0.attn2.to_k.weight"))
    proj = next(shape for name, shape in own.items() if name.endswith(".proj_in.weight"))
    configuration: dict[str, Any] = {
        "in_channels": own["input_blocks.0.0.weight"][1],
        "out_channels": own["out.2.weight"][0],
        "block_out_channels": tuple(widths),
        "layers_per_block": blocks[0][1],
        "down_block_types": tuple("CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths),
        "up_block_types": tuple("CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)),
        "transformer_layers_per_block": tuple(max(1, depth) for depth in depths),
        "cross_attention_dim": own[first_attention][1],
        "attention_head_dim": tuple(counts),  # diffusers' name for the number of heads
        "use_linear_projection": len(proj) == 2,
    }
    if "label_emb.0.0.weight" in own:
        configuration |= {
            "class_embed_type": "projection",
            "projection_class_embeddings_input_dim": own["label_emb.0.0.weight"][1],
        }
    return configuration


def _levels(own: Shapes) -> list[tuple[int, int, int]]:
    """(channels, residual blocks, transformer depth) of each level, from the input blocks."""
    levels: list[list[int]] = [[0, 0, 0]]
    count = 1 + max(int(name.split(".")[1]) for name in own if name.startswith("input_blocks."))
    for i in range(1, count):
        if f"input_blocks.{i}.0.op.weight" in own:
            levels.append([0, 0, 0])
            continue
        levels[-1][0] = own[f"input_blocks.{i}.0.out_layers.3.weight"][0]
        levels[-1][1] += 1
        depth = [int(name.split(".")[4]) + 1 for name in own if name.startswith(f"input_blocks.{i}.1.transformer_blocks.")]
        levels[-1][2] = max([levels[-1][2], *depth])
    return [(width, blocks, depth) for width, blocks, depth in levels]


def unet_key(name: str, blocks: int) -> str | None:
    """The diffusers name of one key of the original U-Net (without prefix); None for what no network needs.

    Args:
        blocks: residual blocks of a level.
    """
    part, _, rest = name.partition(".")
    if part == "time_embed":
        return f"time_embedding.linear_{1 if rest.startswith('0') else 2}.{rest.split('.')[-1]}"
    if part == "label_emb":
        return f"class_embedding.linear_{1 if rest.startswith('0.0') else 2}.{rest.split('.')[-1]}"
    if part == "out":
        return f"{'conv_norm_out' if rest.startswith('0') else 'conv_out'}.{rest.split('.')[-1]}"
    if name.startswith("input_blocks.0.0."):
        return f"conv_in.{name.split('.')[-1]}"
    if part == "middle_block":
        index, _, inner = rest.partition(".")
        kind = ("resnets.0", "attentions.0", "resnets.1")[int(index)]
        return f"mid_block.{kind}.{_inner(inner)}"
    if part not in ("input_blocks", "output_blocks"):
        return None
    number, slot, inner = rest.split(".", 2)
    if part == "input_blocks":
        level, layer = divmod(int(number) - 1, blocks + 1)
        if inner.startswith("op."):
            return f"down_blocks.{level}.downsamplers.0.conv.{inner[3:]}"
        return f"down_blocks.{level}.{'attentions' if slot == '1' else 'resnets'}.{layer}.{_inner(inner)}"
    level, layer = divmod(int(number), blocks + 1)
    if inner.startswith("conv."):
        return f"up_blocks.{level}.upsamplers.0.{inner}"
    return f"up_blocks.{level}.{'attentions' if slot == '1' else 'resnets'}.{layer}.{_inner(inner)}"


def _inner(name: str) -> str:
    """A part of a residual block gets its diffusers name; a transformer's parts are called alike."""
    for old, new in _RESNET.items():
        if name.startswith(old + "."):
            return new + name[len(old) :]
    return name


def autoencoder_configuration(shapes: Shapes, prefix: str, scale: float) -> dict[str, Any]:
    """Arguments of diffusers' AutoencoderKL for an autoencoder in the original layout, factor 2 ** (levels - 1)."""
    own = _inside(shapes, prefix)
    count = 1 + max(int(name.split(".")[2]) for name in own if name.startswith("encoder.down."))
    widths = [own[f"encoder.down.{i}.block.0.conv2.weight"][0] for i in range(count)]
    attention = [any(name.startswith(f"encoder.down.{i}.attn.") for name in own) for i in range(count)]
    return {
        "in_channels": own["encoder.conv_in.weight"][1],
        "out_channels": own["decoder.conv_out.weight"][0],
        "latent_channels": own["decoder.conv_in.weight"][1],
        "block_out_channels": tuple(widths),
        "layers_per_block": 1 + max(int(name.split(".")[4]) for name in own if name.startswith("encoder.down.0.block.")),
        "down_block_types": tuple("AttnDownEncoderBlock2D" if yes else "DownEncoderBlock2D" for yes in attention),
        "up_block_types": tuple("AttnUpDecoderBlock2D" if yes else "UpDecoderBlock2D" for yes in reversed(attention)),
        "mid_block_add_attention": any(name.startswith("encoder.mid.attn_1.") for name in own),
        "scaling_factor": scale,
        "sample_size": 512,  # only tiles look at it; diffusers' default of 32 would make them 4 latents wide
        "norm_num_groups": 32,
    }


_VAE_RENAMES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\.down\.(\d+)\.block\.(\d+)\.", r".down_blocks.\1.resnets.\2."),
    (r"\.down\.(\d+)\.attn\.(\d+)\.", r".down_blocks.\1.attentions.\2."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.mid\.block_(\d)\.", lambda found: f".mid_block.resnets.{int(found[1]) - 1}."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.norm_out\.", ".conv_norm_out."),
    (r"(attentions\.\d+)\.norm\.", r"\1.group_norm."),
    (r"(attentions\.\d+)\.([qkv])\.", r"\1.to_\2."),
    (r"(attentions\.\d+)\.proj_out\.", r"\1.to_out.0."),
)


def autoencoder_key(name: str, levels: int) -> str | None:
    """The diffusers name of one key of the original autoencoder (without prefix); None for what no network needs."""
    if not name.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "quantize.")):
        return None
    name = re.sub(r"\.up\.(\d+)\.block\.(\d+)\.", lambda m: f".up_blocks.{levels - 1 - int(m[1])}.resnets.{m[2]}.", name)
    name = re.sub(r"\.up\.(\d+)\.attn\.(\d+)\.", lambda m: f".up_blocks.{levels - 1 - int(m[1])}.attentions.{m[2]}.", name)
    name = re.sub(r"\.up\.(\d+)\.upsample\.", lambda m: f".up_blocks.{levels - 1 - int(m[1])}.upsamplers.0.", name)
    for pattern, new in _VAE_RENAMES:
        name = re.sub(pattern, new, name)
    return name


def text_key(name: str) -> str | None:
    """The name in transformers' CLIPTextModel of one key of SD 1's text encoder (behind its prefix)."""
    name = name.removeprefix("text_model.")
    return None if name.endswith("position_ids") else name


def renamed(names: Iterator[str], prefix: str, rename: Callable[[str], str | None]) -> dict[str, str]:
    """Old key -> new key for all keys behind the prefix that a network needs."""
    found = {name: rename(name[len(prefix) :]) for name in names if name.startswith(prefix)}
    return {old: new for old, new in found.items() if new is not None}
