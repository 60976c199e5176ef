"""Teachers of the tests' own: random networks, as narrow as they may be, in diffusers layout."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from tests.conftest import POCKET
from webui.checkpoints.tokenizer import END, START, WORDS

WIDTH = 16


def write_teacher(folder: Path, predicts: str = "epsilon", act: str = "quick_gelu", layers: int = 1) -> Path:
    """A checkpoint whose words are 16 wide and whose U-Net has two levels. Its autoencoder is the pocket's."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=layers,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    config = CLIPTextConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        hidden_act=act,
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=END,
    )
    unet.save_pretrained(folder / "unet")
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    schedule = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=predicts)
    schedule.save_pretrained(folder / "scheduler")
    for part in ("vae", "tokenizer"):
        shutil.copytree(POCKET / part, folder / part)
    shutil.copy(POCKET / "model_index.json", folder)
    return folder
