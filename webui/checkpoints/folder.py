"""Checkpoints as folders in diffusers layout: a folder for each network, with its configuration and its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from webui.checkpoints.build import Identity
from webui.checkpoints.encoders import LAST_WORD
from webui.checkpoints.files import read_json, read_tensors
from webui.checkpoints.folder_identity import AUTOENCODERS
from webui.checkpoints.layout.autoencoder import modern_name
from webui.checkpoints.networks import assign, build
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Encoder

_TEXT = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings",
    "hidden_act", "layer_norm_eps",
)  # fmt: skip
_IMAGE = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "patch_size", "image_size",
    "projection_dim", "hidden_act", "layer_norm_eps",
)  # fmt: skip
_BERT = {
    "self_attn.q_proj": "query", "self_attn.k_proj": "key", "self_attn.v_proj": "value", "self_attn.out_proj": "out",
    "self_attn_layer_norm": "attention_norm", "fc1": "widen", "fc2": "narrow", "final_layer_norm": "widen_norm",
}  # fmt: skip
_BERT_ENDS = {
    "model.embed_tokens.weight": "word_table.weight",
    "model.embed_positions.weight": "place_table.weight",
    "model.layer_norm.weight": "norm.weight",
    "model.layer_norm.bias": "norm.bias",
}


@dataclass(frozen=True)
class Networks:
    """What a folder holds."""

    unet: nn.Module
    autoencoder: nn.Module
    encoders: dict[str, nn.Module]
    """By role."""
    statistics: dict[str, Tensor] = field(default_factory=dict)
    depth: Callable[[], nn.Module] | None = None


def load_folder(path: Path, identity: Identity) -> Networks:
    """The networks of a folder.

    Raises:
        CheckpointReadError: a file or a tensor is missing, or does not fit.
    """
    family = identity.family
    place = next((path / name for name in AUTOENCODERS if (path / name).is_dir()), path / "vae")
    encoders = {row.role: _encoder(path, row, len(family.encoders)) for row in family.encoders}
    depth = partial(_depth, path / "depth_estimator") if (path / "depth_estimator" / "config.json").is_file() else None
    return Networks(_unet(path / "unet"), autoencoder(place), encoders, _statistics(path / "image_normalizer"), depth)


def _unet(folder: Path) -> nn.Module:
    values = configuration(folder)
    state = weights(folder)
    if read_json(folder / "config.json").get("_class_name") == "UNet2DModel":
        state = {modern_name(key): tensor for key, tensor in state.items()}
        return assign(build("plain-unet", {"heads": None} | values), state, folder.parent.name)
    if values.pop("addition_embed_type", None) == "text_time":  # SDXL: one vector here, made by the conditioners
        values["class_embed_type"] = "projection"
        values.pop("addition_time_embed_dim", None)
        state = {key.replace("add_embedding.", "class_embedding."): tensor for key, tensor in state.items()}
    return assign(build("unet", values), state, folder.parent.name)


def autoencoder(folder: Path) -> nn.Module:
    """The autoencoder of a folder."""
    values = configuration(folder)
    state = {modern_name(key): tensor for key, tensor in weights(folder).items()}
    if read_json(folder / "config.json").get("_class_name") == "VQModel":
        values["vq_embed_dim"] = values.get("vq_embed_dim") or values["latent_channels"]
        return assign(build("vq", values), state, folder.parent.name)
    values.setdefault("embed_dim", values.get("latent_channels", 4))
    return assign(build("kl", values), state, folder.parent.name)


def _encoder(path: Path, row: Encoder, encoders: int) -> nn.Module:
    if row.kind == "bert":
        return _bert(path / "bert")
    if row.kind.endswith("-image"):
        values = read_json(path / "image_encoder" / "config.json")
        arguments = {"hidden_act": "quick_gelu"} | {key: values[key] for key in _IMAGE if key in values}
        state = {f"network.{key}": value for key, value in weights(path / "image_encoder").items() if "position_ids" not in key}
        return assign(build(row.kind, arguments), state, path.name)
    # a refiner's only encoder lies where the base has its second
    is_second = row.role == "text_2" or (encoders == 1 and not (path / "text_encoder" / "config.json").is_file())
    # folders of SD 2 leave the last layer out, which its row does not look at
    cut = 1 if row.kind == "openclip" and row.has_norm else 0
    return text_encoder(path / ("text_encoder_2" if is_second else "text_encoder"), row.kind, cut)


def text_encoder(folder: Path, kind: str, cut: int = 0) -> nn.Module:
    """A text encoder of a folder.

    Args:
        kind: "clip" or "openclip".
        cut: how many of the original's last layers the folder leaves out.
    """
    values = {"vocab_size": LAST_WORD + 1, "hidden_act": "quick_gelu"} | read_json(folder / "config.json")
    state = {}
    for key, tensor in weights(folder).items():
        if key == "text_projection.weight":
            state["projection.weight"] = tensor
        elif not key.endswith("position_ids"):
            state[f"network.{key.removeprefix('text_model.')}"] = tensor
    arguments = {key: values[key] for key in _TEXT if key in values} | {"layers_cut": cut}
    if "projection.weight" in state:
        arguments["projection_dim"] = state["projection.weight"].shape[0]
    return assign(build(kind, arguments), state, folder.parent.name)


def _bert(folder: Path) -> nn.Module:
    """LDM's text transformer, in diffusers' names."""
    values = read_json(folder / "config.json")
    state: dict[str, Tensor] = {}
    for key, tensor in weights(folder).items():
        if key in _BERT_ENDS:
            state[_BERT_ENDS[key]] = tensor
        elif key.startswith("model.layers."):
            number, _, rest = key.removeprefix("model.layers.").partition(".")
            part, _, name = rest.rpartition(".")
            state[f"layers.{number}.{_BERT.get(part, part)}.{name}"] = tensor
    try:
        arguments = {
            "words": values["vocab_size"],
            "width": values["d_model"],
            "places": values["max_position_embeddings"],
            "layers": values["encoder_layers"],
            "inner": values["encoder_attention_heads"] * values["head_dim"],
        }
    except KeyError as error:
        raise CheckpointReadError(f"{folder.parent.name}: bert/config.json does not say {error}.") from None
    return assign(build("bert", arguments), state, folder.parent.name)


def _statistics(folder: Path) -> dict[str, Tensor]:
    """Mean and deviation (D,) of image embeddings (unCLIP)."""
    if not (folder / "config.json").is_file():
        return {}
    state = weights(folder)
    try:
        return {"image_mean": state["mean"].flatten().float().clone(), "image_deviation": state["std"].flatten().float().clone()}
    except KeyError as error:
        raise CheckpointReadError(f"{folder.parent.name} is not a whole checkpoint: image_normalizer holds no {error}.") from None


def _depth(folder: Path) -> nn.Module:
    state = {f"network.{key}": tensor for key, tensor in weights(folder).items()}
    return assign(build("depth", {}), state, folder.parent.name)


def configuration(folder: Path) -> dict[str, Any]:
    """The arguments that a network of a folder was made with."""
    return {key: value for key, value in read_json(folder / "config.json").items() if not key.startswith("_")}


def weights(folder: Path) -> Mapping[str, Tensor]:
    """The tensors of a part's folder: safetensors, whole before half precision, never a variant that was not asked for;
    in one file or, of large networks, in several.

    Raises:
        CheckpointReadError: there are none.
    """
    for suffix in ("*.safetensors", "*.bin"):
        files = sorted(folder.glob(suffix), key=lambda file: (file.name.count("."), file.name))
        if files and "-00001-of-" in files[0].name:
            stem = files[0].name.split("-00001-of-")[0]
            return {key: value for file in files if file.name.startswith(stem) for key, value in read_tensors(file).items()}
        if files:
            return read_tensors(files[0])
    raise CheckpointReadError(f"{folder.parent.name} is not a whole checkpoint: {folder.name} holds no weights.")
