"""Which family a folder in diffusers layout is, from its configuration files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from webui.checkpoints.build import Build, Identity, choose
from webui.checkpoints.files import read_header, read_json
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Family

AUTOENCODERS = ("vae", "vqvae")
"""Names that the autoencoder's folder has."""


def identify_folder(path: Path, rows: list[Family]) -> Identity:
    """The family of a folder.

    Raises:
        CheckpointReadError: a part is missing, or the pipeline is none of a family that is known here.
    """
    if not (path / "model_index.json").is_file():
        raise CheckpointReadError(f"{path.name} is not a whole checkpoint: model_index.json is missing.")
    index = read_json(path / "model_index.json")
    unet = read_json(path / "unet" / "config.json")
    place = next((path / name for name in AUTOENCODERS if (path / name).is_dir()), path / "vae")
    autoencoder, scheduler = read_json(place / "config.json"), _scheduler(path)
    try:
        build = _build(path, index, unet, autoencoder, scheduler)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError):
        raise CheckpointReadError(
            f"{path.name} is a {index.get('_class_name', 'pipeline')} folder whose configuration cannot be read."
        ) from None
    if index.get("transformer") or "down_block_types" not in unet:
        raise CheckpointReadError(f"{path.name} is a {index.get('_class_name', 'pipeline')} folder, which is not read here.")
    prediction = {"v_prediction": "v", "epsilon": "eps"}.get(str(scheduler.get("prediction_type", "epsilon")))
    row = choose(build, rows, path, prediction)
    numbers = dict(build.numbers)
    if numbers["latent_scale"] != row.latent_scale:
        numbers["preview"] = None
    if row.noise_levels and isinstance(index.get("max_noise_level"), int):
        numbers["noise_levels"] = index["max_noise_level"]
    size = unet.get("sample_size")
    if isinstance(size, int) and size:
        numbers["native_size"] = size * int(numbers["latent_factor"])
    row = replace(row, prediction=prediction or row.prediction, **numbers)
    return Identity(row, is_folder=True, precision=_precision(path / "unet" / "diffusion_pytorch_model.safetensors"))


def _precision(weights: Path) -> str:
    """Number format of a folder's U-Net; "" where its file has another name, or cannot be read, which opening it will say."""
    try:
        return read_header(weights).precision
    except CheckpointReadError:
        return ""


def _scheduler(path: Path) -> dict[str, Any]:
    file = path / "scheduler" / "scheduler_config.json"
    return read_json(file) if file.exists() else {}


def _build(
    path: Path, index: dict[str, Any], unet: dict[str, Any], autoencoder: dict[str, Any], scheduler: dict[str, Any]
) -> Build:
    is_plain = unet.get("_class_name") == "UNet2DModel"
    kind = "vq" if autoencoder.get("_class_name") == "VQModel" else "kl"
    factor = 2 ** (len(autoencoder["block_out_channels"]) - 1)
    numbers: dict[str, Any] = {
        "in_channels": int(unet["in_channels"]),
        "latent_channels": int(unet["out_channels"]),
        "network_width": int(unet["block_out_channels"][0]),
        "context_width": 0 if is_plain else int(unet["cross_attention_dim"]),
        "autoencoder": kind,
        "latent_factor": factor,
        "decoder_width": int(autoencoder["block_out_channels"][0]),
        "latent_scale": float(autoencoder.get("scaling_factor") or (1.0 if kind == "vq" else 0.18215)),
    }
    if is_plain:
        numbers["size_step"] = max(8, factor * 2 ** (len(unet["block_out_channels"]) - 1))
    if scheduler.get("beta_schedule", "scaled_linear") == "scaled_linear":
        numbers |= {name: float(scheduler[name]) for name in ("beta_start", "beta_end") if name in scheduler}
    has_vector = unet.get("class_embed_type") == "projection" or unet.get("addition_embed_type") == "text_time"
    return Build(
        network="plain" if is_plain else "context",
        encoders=frozenset(_encoders(path, index)),
        autoencoder=kind,
        numbers=numbers,
        concat=numbers["in_channels"] - numbers["latent_channels"],
        vector="projection" if has_vector else "index" if unet.get("num_class_embeds") else "",
        is_turbo=scheduler.get("timestep_spacing") == "trailing",
    )


def _encoders(path: Path, index: dict[str, Any]) -> set[tuple[str, str, str]]:
    """(role, kind, "") of the encoders that the folder names."""
    out = set()
    first, second = (_is_named(index, name) for name in ("text_encoder", "text_encoder_2"))
    if first:
        out.add(("text", _clip_kind(path / "text_encoder"), ""))
    if second:  # the refiner only has the second one
        out.add(("text_2" if first else "text", _clip_kind(path / "text_encoder_2"), ""))
    if _is_named(index, "bert"):
        out.add(("text", "bert", ""))
    if _is_named(index, "image_encoder") and _is_named(index, "image_normalizer"):
        out.add(("image", f"{_clip_kind(path / 'image_encoder')}-image", ""))
    return out


def _is_named(index: dict[str, Any], part: str) -> bool:
    value = index.get(part)
    return isinstance(value, list) and any(value)


def _clip_kind(folder: Path) -> str:
    """Both kinds are of one class; OpenCLIP's has the exact gelu."""
    return "clip" if read_json(folder / "config.json").get("hidden_act", "quick_gelu") == "quick_gelu" else "openclip"
