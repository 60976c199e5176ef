"""What a file of weights is that is no checkpoint: a LoRA, an embedding, an upscaler in the wrong folder."""

from __future__ import annotations

from pathlib import Path

from webui.checkpoints.files import Header
from webui.checkpoints.layout.autoencoder import AUTOENCODER
from webui.checkpoints.layout.unet import UNET

MARKS = (
    (("lora_unet_", "lora_te", "lora_A.", "lora_down", "lora_up", "hada_w1", "lokr_w1", "oft_blocks"), "a LoRA", "models/Lora"),
    (("control_model.", "controlnet_", "input_hint_block", "zero_convs."), "a ControlNet", "models/ControlNet"),
    (("adapter.body.", "body.0.resnets."), "a T2I-Adapter", "models/ControlNet"),
    (("image_proj.", "ip_adapter."), "an IP-Adapter", ""),
    (("emb_params", "string_to_param"), "an embedding", "embeddings"),
    (("RRDB_trunk.", "conv_first.", "body.0.rdb1", ".RDB1.", "residual_group."), "an upscaler", "models/ESRGAN"),
    (("motion_modules.", "time_stack.", "temporal_transformer."), "a network for films", ""),
    (("double_blocks.",), "a transformer of another line (Flux)", ""),
    (("joint_blocks.",), "a transformer of another line (SD 3)", ""),
    (("transformer_blocks.0.attn.", "caption_projection."), "a transformer of another line", ""),
    (("clf.", "channelwise.", "effnet."), "a network of another line (Stable Cascade)", ""),
    (("text_model.", "transformer.resblocks.", "vision_model."), "a CLIP encoder alone", ""),
    (("encoder.block.0.layer.", "shared.weight"), "a T5 encoder alone", ""),
)
"""(parts of its keys, what it is, where it belongs)."""
QUANTISED = (
    (".absmax", "bitsandbytes"), (".quant_state.", "bitsandbytes"), (".scale_weight", "scaled 8-bit numbers"),
    ("scaled_fp8", "scaled 8-bit numbers"), (".weight_scale", "scaled 8-bit numbers"), (".qweight", "GPTQ"), (".qzeros", "GPTQ"),
)  # fmt: skip
"""(end or part of a key, whose quantisation it is)."""


def quantised(path: Path, header: Header) -> str:
    """One sentence on a file whose weights are packed in a way that only its maker reads; "" for all others."""
    for name in header.shapes:
        for mark, maker in QUANTISED:
            if name.endswith(mark) or (mark.endswith(".") and mark in name):
                return f"{path.name} holds weights quantised by {maker}, which is not read here. Use its file in half precision."
    return ""


def what_else(path: Path, header: Header) -> str:
    """One sentence on a file that holds neither a known U-Net nor an autoencoder."""
    names = list(header.shapes)
    if not names:
        return f"{path.name} is not a checkpoint: it holds no weights."
    is_more = any(name.startswith((UNET, AUTOENCODER)) for name in names)
    for marks, what, folder in MARKS:
        if is_more and what.endswith(" alone"):
            continue
        if any(mark in name for name in names[:4000] for mark in marks):
            where = f" It belongs into {folder}." if folder else " It is not read here."
            return f"{path.name} is not a checkpoint but {what}.{where}"
    if any(name.startswith(("down_blocks.", "unet.down_blocks.")) for name in names):
        way = "Use the whole folder in diffusers layout, or a checkpoint in one file."
        return f"{path.name} holds a U-Net alone, in diffusers' names. {way}"
    if set(names) <= {"clip_l", "clip_g"}:
        return f"{path.name} is not a checkpoint but an embedding. It belongs into embeddings."
    if all(len(header.shapes[name]) in (1, 4) for name in names) and "1.weight" in names:
        return f"{path.name} is not a checkpoint but a tiny autoencoder (TAESD). It belongs into VAE-approx."
    if any(name.startswith(UNET) for name in names):
        return f"{path.name} is not a whole checkpoint: it holds a U-Net that is not complete, or of an unknown architecture."
    return f"{path.name} is not a checkpoint: it holds no U-Net. Its first tensor is {names[0][:80]}."
