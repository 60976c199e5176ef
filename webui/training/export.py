"""Trained networks to an ordinary checkpoint: diffusers layout, fp16, CLIP's real vocabulary, SD 1's schedule."""

from __future__ import annotations

import gzip
import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerAncestralDiscreteScheduler
from safetensors.torch import save_file
from torch import Tensor

from webui.checkpoints.tokenizer import WORDS, byte_letters
from webui.training.networks import (
    BETA_END,
    BETA_START,
    HIGH_BETA,
    LOW_BETA,
    NOISE_LEVELS,
    PLACES,
    Autoencoder,
    TextEncoder,
    UNet,
    make_text_encoder,
)
from webui.training.unet import TABLE

TEXT_KEYS = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "projection_dim"),
    *("max_position_embeddings", "vocab_size", "hidden_act", "layer_norm_eps", "attention_dropout"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "initializer_range", "initializer_factor"),
)
START_WORD, END_WORD = "<|startoftext|>", "<|endoftext|>"


def export(folder: Path, autoencoder: Autoencoder, unet: UNet, text: TextEncoder, known: Tensor) -> None:
    """Write the checkpoint; an older one of that name is replaced when the new one is whole.

    The networks are made fp16 in place.

    Args:
        text: with a table of the known words (row 0: none of them). known: (n,) their CLIP ids.
    """
    beside = folder.with_name(folder.name + ".new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    autoencoder.half().save_pretrained(beside / "vae")
    unet.half().save_pretrained(beside / "unet")
    for part in ("vae", "unet"):
        _forget_origin(beside / part / "config.json")
    _save_text_encoder(beside / "text_encoder", text, known)
    _save_tokenizer(beside / "tokenizer")
    scheduler: Any = DDIMScheduler(
        beta_start=BETA_START,
        beta_end=BETA_END,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    scheduler.save_pretrained(beside / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    _write_json(beside / "model_index.json", index)
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


SHARED = ("vae", "text_encoder", "tokenizer", "scheduler")


def export_beside(folder: Path, base: Path, unet: UNet, index: dict[str, Any]) -> None:
    """Write a checkpoint that has all but its U-Net from another one, byte for byte: such files cost a repository nothing.

    Args:
        index: what its model_index.json says otherwise than the base's.
    """
    beside = folder.with_name(folder.name + ".new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for part in SHARED:
        shutil.copytree(base / part, beside / part)
    _copy_knows(base, beside)
    unet.half().save_pretrained(beside / "unet")
    _forget_origin(beside / "unet" / "config.json")
    _write_json(beside / "model_index.json", json.loads((base / "model_index.json").read_text("utf-8")) | index)
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def export_turbo(folder: Path, base: Path, unet: UNet) -> None:
    """Write a few-step student: its schedule counts from the last step, which starts at pure noise, as SD-Turbo's does."""
    export_beside(folder, base, unet, {"scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"]})
    path = folder / "scheduler" / "scheduler_config.json"
    values = json.loads(path.read_text("utf-8"))
    kept = (
        "beta_end",
        "beta_schedule",
        "beta_start",
        "num_train_timesteps",
        "prediction_type",
        "rescale_betas_zero_snr",
        "trained_betas",
    )
    turbo: Any = EulerAncestralDiscreteScheduler(
        **{key: values[key] for key in kept if key in values}, timestep_spacing="trailing"
    )
    turbo.save_pretrained(folder / "scheduler")


def export_upscaler(folder: Path, base: Path, unet: UNet, autoencoder: Autoencoder) -> None:
    """Write a checkpoint as SD's x4 upscaler is: predicts v, has betas of its own, and its words from the base, byte for byte."""
    beside = folder.with_name(folder.name + ".new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(base / part, beside / part)
    _copy_knows(base, beside)
    for part, network in (("vae", autoencoder), ("unet", unet)):
        network.half().save_pretrained(beside / part)
        _forget_origin(beside / part / "config.json")
    betas = {"beta_start": LOW_BETA, "beta_end": HIGH_BETA, "beta_schedule": "scaled_linear", "clip_sample": False}
    scheduler: Any = DDIMScheduler(**betas, prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1)
    scheduler.save_pretrained(beside / "scheduler")
    low: Any = DDPMScheduler(**betas)
    low.save_pretrained(beside / "low_res_scheduler")
    index = json.loads((base / "model_index.json").read_text("utf-8")) | {
        "_class_name": "StableDiffusionUpscalePipeline",
        "low_res_scheduler": ["diffusers", "DDPMScheduler"],
        "max_noise_level": NOISE_LEVELS,
        "watermarker": [None, None],
    }
    for absent in ("image_encoder", "requires_safety_checker"):
        index.pop(absent, None)
    _write_json(beside / "model_index.json", index)
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def _copy_knows(base: Path, folder: Path) -> None:
    """What the base's words name is what its siblings know too."""
    if (base / "knows.json").exists():
        shutil.copyfile(base / "knows.json", folder / "knows.json")


def _forget_origin(file: Path) -> None:
    """diffusers notes from which folder a network was opened: a place on this machine, which is nobody's business."""
    values = json.loads(file.read_text("utf-8"))
    values.pop("_name_or_path", None)
    _write_json(file, values)


def _save_text_encoder(folder: Path, text: TextEncoder, known: Tensor) -> None:
    """The table spread over the whole vocabulary: rows of words outside the world are zero, and pack to nothing."""
    folder.mkdir()
    weights = {name: value.half().cpu() for name, value in text.state_dict().items()}
    table = torch.zeros(WORDS, weights[TABLE].shape[1], dtype=torch.float16)
    table[known] = weights[TABLE][1:]
    weights[TABLE] = table
    # named as in the releases, where the text encoder sits inside a whole CLIP
    stored = {f"text_model.{name}": value.contiguous() for name, value in weights.items()}
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    with torch.device("meta"):
        config = make_text_encoder().config.to_dict()
    kept: dict[str, Any] = {name: config[name] for name in TEXT_KEYS}
    # "float32" although it is stored in fp16: transformers opens it as said here, diffusers all else in float32
    kept |= {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "torch_dtype": "float32", "dropout": 0.0}
    _write_json(folder / "config.json", kept)


def _save_tokenizer(folder: Path) -> None:
    """vocab.json and merges.txt as CLIP's releases have them, from the merges that come with the program."""
    folder.mkdir()
    merges = gzip.decompress(files("webui.checkpoints").joinpath("data", "clip_merges.txt.gz").read_bytes()).decode("utf-8")
    letters = byte_letters()
    joined = [line.replace(" ", "") for line in merges.splitlines()]
    words = [*letters, *(letter + "</w>" for letter in letters), *joined, START_WORD, END_WORD]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, "utf-8")
    special = {"bos_token": START_WORD, "eos_token": END_WORD, "unk_token": END_WORD, "pad_token": END_WORD}
    _write_json(folder / "special_tokens_map.json", special)
    more = {"tokenizer_class": "CLIPTokenizer", "add_prefix_space": False, "do_lower_case": True, "errors": "replace"}
    _write_json(folder / "tokenizer_config.json", more | {"model_max_length": PLACES} | special)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", "utf-8")
