"""Checkpoints of full size with random weights, in the releases' own keys: what speed and memory are measured on."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Shapes = dict[str, tuple[int, ...]]
KINDS = {"F16": 2, "BF16": 2, "F32": 4}


@dataclass(frozen=True)
class UNet:
    """Sizes of a U-Net with cross-attention as the releases' YAML states them."""

    depths: tuple[int, ...]
    """Transformer blocks of each level, 0 for none; the middle has the last level's `middle`."""
    middle: int
    context: int
    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    in_channels: int = 4
    is_linear: bool = True
    vector: int = 0


SD15 = UNet((1, 1, 1, 0), 1, 768, is_linear=False)
SD21 = UNet((1, 1, 1, 0), 1, 1024)
SDXL = UNet((0, 2, 10), 10, 2048, widths=(320, 640, 1280), vector=2816)


def _both(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _residual(name: str, before: int, after: int, time: int) -> Shapes:
    keys = _both(f"{name}.in_layers.0", before) | _both(f"{name}.in_layers.2", after, before, 3, 3)
    keys |= _both(f"{name}.emb_layers.1", after, time) | _both(f"{name}.out_layers.0", after)
    keys |= _both(f"{name}.out_layers.3", after, after, 3, 3)
    return keys | (_both(f"{name}.skip_connection", after, before, 1, 1) if before != after else {})


def _transformer(name: str, width: int, depth: int, unet: UNet) -> Shapes:
    ends = () if unet.is_linear else (1, 1)
    keys = _both(f"{name}.norm", width) | _both(f"{name}.proj_in", width, width, *ends)
    for i in range(depth):
        block = f"{name}.transformer_blocks.{i}"
        for attention, told in (("attn1", width), ("attn2", unet.context)):
            keys[f"{block}.{attention}.to_q.weight"] = (width, width)
            keys |= {f"{block}.{attention}.to_{part}.weight": (width, told) for part in "kv"}
            keys |= _both(f"{block}.{attention}.to_out.0", width, width)
        keys |= _both(f"{block}.ff.net.0.proj", 8 * width, width) | _both(f"{block}.ff.net.2", width, 4 * width)
        for norm in ("norm1", "norm2", "norm3"):
            keys |= _both(f"{block}.{norm}", width)
    return keys | _both(f"{name}.proj_out", width, width, *ends)


def unet_shapes(unet: UNet) -> Shapes:
    """Two residual blocks a level, as all of Stable Diffusion has."""
    first = unet.widths[0]
    time = 4 * first
    keys = _both("time_embed.0", time, first) | _both("time_embed.2", time, time)
    if unet.vector:
        keys |= _both("label_emb.0.0", time, unet.vector) | _both("label_emb.0.2", time, time)
    keys |= _both("input_blocks.0.0", first, unet.in_channels, 3, 3)
    before, left, number = first, [first], 0
    for level, (width, depth) in enumerate(zip(unet.widths, unet.depths, strict=True)):
        for _ in range(2):
            number += 1
            keys |= _residual(f"input_blocks.{number}.0", before, width, time)
            keys |= _transformer(f"input_blocks.{number}.1", width, depth, unet) if depth else {}
            before = width
            left.append(width)
        if level < len(unet.widths) - 1:
            number += 1
            keys |= _both(f"input_blocks.{number}.0.op", width, width, 3, 3)
            left.append(width)
    keys |= _residual("middle_block.0", before, before, time) | _transformer("middle_block.1", before, unet.middle, unet)
    keys |= _residual("middle_block.2", before, before, time)
    number = -1
    for level, (width, depth) in reversed(list(enumerate(zip(unet.widths, unet.depths, strict=True)))):
        for block in range(3):
            number += 1
            keys |= _residual(f"output_blocks.{number}.0", before + left.pop(), width, time)
            keys |= _transformer(f"output_blocks.{number}.1", width, depth, unet) if depth else {}
            before = width
            if level and block == 2:
                keys |= _both(f"output_blocks.{number}.{2 if depth else 1}.conv", width, width, 3, 3)
    return keys | _both("out.0", first) | _both("out.2", 4, first, 3, 3)


def _vae_residual(name: str, before: int, after: int) -> Shapes:
    keys = _both(f"{name}.norm1", before) | _both(f"{name}.conv1", after, before, 3, 3)
    keys |= _both(f"{name}.norm2", after) | _both(f"{name}.conv2", after, after, 3, 3)
    return keys | (_both(f"{name}.nin_shortcut", after, before, 1, 1) if before != after else {})


def _vae_middle(side: str, width: int) -> Shapes:
    keys = _vae_residual(f"{side}.mid.block_1", width, width) | _vae_residual(f"{side}.mid.block_2", width, width)
    keys |= _both(f"{side}.mid.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        keys |= _both(f"{side}.mid.attn_1.{part}", width, width, 1, 1)
    return keys


def autoencoder_shapes(widths: tuple[int, ...] = (128, 256, 512, 512)) -> Shapes:
    """KL-f8 of Stable Diffusion."""
    keys = _both("encoder.conv_in", widths[0], 3, 3, 3)
    before = widths[0]
    for level, width in enumerate(widths):
        for block in range(2):
            keys |= _vae_residual(f"encoder.down.{level}.block.{block}", before, width)
            before = width
        if level < len(widths) - 1:
            keys |= _both(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    keys |= _vae_middle("encoder", before) | _both("encoder.norm_out", before) | _both("encoder.conv_out", 8, before, 3, 3)
    keys |= _both("decoder.conv_in", before, 4, 3, 3) | _vae_middle("decoder", before)
    for level, width in reversed(list(enumerate(widths))):
        for block in range(3):
            keys |= _vae_residual(f"decoder.up.{level}.block.{block}", before, width)
            before = width
        if level:
            keys |= _both(f"decoder.up.{level}.upsample.conv", width, width, 3, 3)
    keys |= _both("decoder.norm_out", before) | _both("decoder.conv_out", 3, before, 3, 3)
    return keys | _both("quant_conv", 8, 8, 1, 1) | _both("post_quant_conv", 4, 4, 1, 1)


def clip_shapes(width: int = 768, layers: int = 12) -> Shapes:
    """Text half of CLIP, as transformers names it."""
    keys: Shapes = {
        "embeddings.token_embedding.weight": (49408, width),
        "embeddings.position_embedding.weight": (77, width),
    }
    for i in range(layers):
        layer = f"encoder.layers.{i}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            keys |= _both(f"{layer}.self_attn.{part}", width, width)
        keys |= _both(f"{layer}.layer_norm1", width) | _both(f"{layer}.mlp.fc1", 4 * width, width)
        keys |= _both(f"{layer}.mlp.fc2", width, 4 * width) | _both(f"{layer}.layer_norm2", width)
    return {f"text_model.{key}": shape for key, shape in (keys | _both("final_layer_norm", width)).items()}


def openclip_shapes(width: int, layers: int) -> Shapes:
    """Text half of OpenCLIP, as open_clip names it."""
    keys: Shapes = {"positional_embedding": (77, width), "text_projection": (width, width), "logit_scale": ()}
    keys["token_embedding.weight"] = (49408, width)
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        keys |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
        keys |= _both(f"{block}.attn.out_proj", width, width) | _both(f"{block}.ln_1", width) | _both(f"{block}.ln_2", width)
        keys |= _both(f"{block}.mlp.c_fc", 4 * width, width) | _both(f"{block}.mlp.c_proj", width, 4 * width)
    return keys | _both("ln_final", width)


def _under(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + key: shape for key, shape in shapes.items()}


def sd15() -> Shapes:
    """Keys and shapes of a Stable Diffusion 1.5 file, without its schedule buffers; 1.07 thousand million values."""
    keys = _under("model.diffusion_model.", unet_shapes(SD15)) | _under("first_stage_model.", autoencoder_shapes())
    return keys | _under("cond_stage_model.transformer.", clip_shapes())


def sdxl() -> Shapes:
    """Keys and shapes of an SDXL base file; 3.5 thousand million values."""
    keys = _under("model.diffusion_model.", unet_shapes(SDXL)) | _under("first_stage_model.", autoencoder_shapes())
    keys |= _under("conditioner.embedders.0.transformer.", clip_shapes())
    return keys | _under("conditioner.embedders.1.model.", openclip_shapes(1280, 32))


def sd_turbo() -> Shapes:
    """Keys and shapes of an SD-Turbo file; 1.3 thousand million values."""
    keys = _under("model.diffusion_model.", unet_shapes(SD21)) | _under("first_stage_model.", autoencoder_shapes())
    return keys | _under("conditioner.embedders.0.model.", openclip_shapes(1024, 24))


def small() -> Shapes:
    """Keys and shapes of a file built as Stable Diffusion 1 is, of 7 million values: where what is done with files counts."""
    unet = UNet((1, 1, 1, 0), 1, 64, widths=(32, 64, 64, 64), is_linear=False)
    keys = _under("model.diffusion_model.", unet_shapes(unet)) | _under("first_stage_model.", autoencoder_shapes((32,) * 4))
    return keys | _under("cond_stage_model.transformer.", clip_shapes(64, 2))


def taesd() -> Shapes:
    """Keys and shapes of TAESD's decoder, as its release numbers them."""
    keys, number = _both("1", 64, 4, 3, 3), 3
    for level in range(4):
        for _ in range(1 if level == 3 else 3):
            for layer in (0, 2, 4):
                keys |= _both(f"{number}.conv.{layer}", 64, 64, 3, 3)
            number += 1
        if level < 3:
            keys[f"{number + 1}.weight"] = (64, 64, 3, 3)
            number += 2
    return keys | _both(str(number), 3, 64, 3, 3)


def write(path: Path, shapes: Shapes, kind: str = "F16", seed: int = 0) -> int:
    """A .safetensors file of small random values, written piece by piece; its size in bytes.

    Args:
        kind: number format, "F16", "BF16" or "F32".
    """
    width, offset = KINDS[kind], 0
    header: dict[str, object] = {}
    for key, shape in shapes.items():
        size = int(np.prod(shape, dtype=np.int64)) * width
        header[key] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for piece in _random(offset, kind, seed):
            file.write(piece)
    return path.stat().st_size


def _random(size: int, kind: str, seed: int) -> Iterator[memoryview]:
    """`size` bytes of values around 0 with a deviation of 0.02: one block of 64 MB, begun at another place each time."""
    random = np.random.default_rng(seed)
    values = (random.standard_normal(2**24, dtype=np.float32) * 0.02).astype("<f4")
    if kind == "F16":
        block = values.astype("<f2").tobytes()
    else:
        block = values.tobytes() if kind == "F32" else (values.view("<u4") >> 16).astype("<u2").tobytes()
    while size:
        start = int(random.integers(0, 2**23)) * KINDS[kind]
        piece = memoryview(block)[start : start + size]
        yield piece
        size -= len(piece)
