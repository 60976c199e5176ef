"""Checkpoints as folders in diffusers layout: a folder for each network, with its configuration and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from webui.checkpoints.encoders import LAST_WORD
from webui.checkpoints.files import read_json, read_tensors
from webui.checkpoints.layout.autoencoder import modern_name
from webui.checkpoints.networks import assign, build
from webui.contract.errors import CheckpointReadError

_TEXT = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "hidden_act",
    "layer_norm_eps",
)


def load_folder(path: Path) -> tuple[nn.Module, nn.Module, dict[str, nn.Module]]:
    """U-Net, autoencoder, and encoders by role.

    Raises:
        CheckpointReadError: a file or a tensor is missing, or does not fit.
    """
    unet = assign(build("unet", configuration(path / "unet")), weights(path / "unet"), path.name)
    return unet, autoencoder(path / "vae"), {"text": text_encoder(path / "text_encoder", "clip")}


def autoencoder(folder: Path) -> nn.Module:
    """The autoencoder of a folder."""
    values = configuration(folder)
    values.setdefault("embed_dim", values.get("latent_channels", 4))
    state = {modern_name(key): tensor for key, tensor in weights(folder).items()}
    return assign(build("kl", values), state, folder.parent.name)


def text_encoder(folder: Path, kind: str) -> nn.Module:
    """A text encoder of a folder.

    Args:
        kind: "clip" or "openclip".
    """
    values = {"vocab_size": LAST_WORD + 1, "hidden_act": "quick_gelu"} | read_json(folder / "config.json")
    state = {}
    for key, tensor in weights(folder).items():
        if key == "text_projection.weight":
            state["projection.weight"] = tensor
        elif not key.endswith("position_ids"):
            state[f"network.{key.removeprefix('text_model.')}"] = tensor
    arguments = {key: values[key] for key in _TEXT if key in values}
    if "projection.weight" in state:
        arguments["projection_dim"] = state["projection.weight"].shape[0]
    return assign(build(kind, arguments), state, folder.parent.name)


def configuration(folder: Path) -> dict[str, Any]:
    """The arguments that a network of a folder was made with."""
    return {key: value for key, value in read_json(folder / "config.json").items() if not key.startswith("_")}


def weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a part's folder: safetensors, whole before half precision, never a variant that was not asked for."""
    files = sorted(folder.glob("*.safetensors"), key=lambda file: (file.name.count("."), file.name))
    if not files:
        files = sorted(folder.glob("*.bin"))
    if not files:
        raise CheckpointReadError(f"{folder.parent.name} is not a whole checkpoint: {folder.name} holds no weights.")
    return read_tensors(files[0])
