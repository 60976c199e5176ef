"""What a file of weights is that is no checkpoint: a LoRA, an embedding, an upscaler in the wrong folder."""

from __future__ import annotations

from pathlib import Path

from webui.checkpoints.files import Header
from webui.checkpoints.layout.unet import UNET

MARKS = (
    (("lora_unet_", "lora_te", "lora_A.", "lora_down", "lora_up", "hada_w1", "lokr_w1"), "a LoRA", "models/Lora"),
    (("control_model.", "controlnet_", "input_hint_block"), "a ControlNet", "models/ControlNet"),
    (("emb_params", "string_to_param", "clip_g", "clip_l"), "an embedding", "embeddings"),
    (("model.1.sub.", "RRDB_trunk", "conv_first.", "body.0.rdb1"), "an upscaler", "models/ESRGAN"),
    (("image_proj.", "ip_adapter."), "an IP-Adapter", ""),
    (("double_blocks.", "joint_blocks."), "a transformer of another line (SD 3, Flux)", ""),
    (("text_model.", "transformer.resblocks.", "vision_model."), "a CLIP encoder alone", ""),
)
"""(parts of its keys, what it is, where it belongs)."""


def what_else(path: Path, header: Header) -> str:
    """One sentence on a file that holds neither a known U-Net nor an autoencoder."""
    names = list(header.shapes)
    if not names:
        return f"{path.name} is not a checkpoint: it holds no weights."
    for marks, what, folder in MARKS:
        if any(mark in name for name in names[:4000] for mark in marks):
            where = f" It belongs into {folder}." if folder else " It is not read here."
            return f"{path.name} is not a checkpoint but {what}.{where}"
    if any(name.startswith(("down_blocks.", "unet.down_blocks.")) for name in names):
        way = "Use the whole folder in diffusers layout, or a checkpoint in one file."
        return f"{path.name} holds a U-Net alone, in diffusers' names. {way}"
    if any(name.startswith(UNET) for name in names):
        return f"{path.name} is not a whole checkpoint: it holds a U-Net that is not complete, or of an unknown architecture."
    return f"{path.name} is not a checkpoint: it holds no U-Net. Its first tensor is {names[0][:80]}."
