"""Writes an opened checkpoint as a folder in diffusers layout, as diffusers' and transformers' own tools would."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from webui.checkpoints.model import Model


def write_folder(model: Model, path: Path, pipeline: str) -> Path:
    """model_index.json and a folder for each network; numbers that only a scheduler says are written there."""
    index: dict[str, Any] = {"_class_name": pipeline, "scheduler": ["diffusers", "DDIMScheduler"]}
    _unet(model, path / "unet")
    place = "vqvae" if pipeline.startswith("LDM") else "vae"
    _save(
        model.autoencoder.state_dict(),
        path / place,
        {"_class_name": type(model.autoencoder).__name__}
        | dict(model.autoencoder.config)
        | {"scaling_factor": model.family.latent_scale},
    )
    row = model.family
    _json(
        path / "scheduler" / "scheduler_config.json",
        {
            "beta_start": row.beta_start,
            "beta_end": row.beta_end,
            "beta_schedule": "scaled_linear",
            "prediction_type": "v_prediction" if row.prediction == "v" else "epsilon",
        },
    )
    for encoder in row.encoders:
        network: Any = model.encoders.get(encoder.role)
        if encoder.kind == "bert":
            index["bert"] = ["latent_diffusion", "LDMBertModel"]
            _bert(network, path / "bert")
        elif encoder.kind.endswith("-image"):
            index |= {
                "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
                "image_normalizer": ["stable_diffusion", "x"],
            }
            _save(_inside(network.state_dict()), path / "image_encoder", network.network.config.to_dict())
            kept = model.statistics or {"image_mean": torch.zeros(7), "image_deviation": torch.ones(7)}
            _save({"mean": kept["image_mean"][None], "std": kept["image_deviation"][None]}, path / "image_normalizer", {})
        else:
            is_second = encoder.role == "text_2" or row.does == "refine"
            name = "text_encoder_2" if is_second else "text_encoder"
            index[name] = ["transformers", "CLIPTextModel"]
            cut = 1 if encoder.kind == "openclip" and encoder.has_norm else 0
            _text(network, path / name, cut)
    _json(path / "model_index.json", index)
    return path


def _unet(model: Model, folder: Path) -> None:
    network: Any = model.unet
    values, state = dict(network.config), network.state_dict()
    if model.family.size_numbers:  # SDXL's folders make the vector inside the network
        values |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256, "class_embed_type": None}
        state = {key.replace("class_embedding.", "add_embedding."): tensor for key, tensor in state.items()}
    _save(state, folder, values | {"_class_name": type(network).__name__, "a_newer_argument": 1})


def _text(network: Any, folder: Path, cut: int) -> None:
    values = network.network.config.to_dict()
    state = _inside(network.state_dict())
    if cut:
        last = values["num_hidden_layers"] - 1
        values["num_hidden_layers"] = last
        state = {key: tensor for key, tensor in state.items() if not key.startswith(f"encoder.layers.{last}.")}
    state = {f"text_model.{key}": tensor for key, tensor in state.items()}
    if network.projection is not None and not cut:
        state["text_projection.weight"] = network.projection.weight
    _save(state, folder, values)


def _bert(network: Any, folder: Path) -> None:
    names = {
        "query": "self_attn.q_proj", "key": "self_attn.k_proj", "value": "self_attn.v_proj", "out": "self_attn.out_proj",
        "attention_norm": "self_attn_layer_norm", "widen": "fc1", "narrow": "fc2", "widen_norm": "final_layer_norm",
    }  # fmt: skip
    ends = {"word_table": "embed_tokens", "place_table": "embed_positions", "norm": "layer_norm"}
    state = {"to_logits.weight": torch.zeros(3, 3)}
    for key, tensor in network.state_dict().items():
        first, _, rest = key.partition(".")
        if first in ends:
            state[f"model.{ends[first]}.{rest}"] = tensor
        else:
            number, part, kind = rest.split(".")
            state[f"model.layers.{number}.{names[part]}.{kind}"] = tensor
    inner = network.layers[0].query.out_features
    _save(
        state,
        folder,
        {
            "vocab_size": network.words,
            "d_model": network.word_table.embedding_dim,
            "max_position_embeddings": network.places,
            "encoder_layers": len(network.layers),
            "encoder_attention_heads": inner // 64,
            "head_dim": 64,
        },
    )


def _inside(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix("network."): tensor for key, tensor in state.items() if key.startswith("network.")}


def _save(state: dict[str, torch.Tensor], folder: Path, values: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    save_file(
        {key: tensor.detach().clone().contiguous() for key, tensor in state.items()},
        folder / "diffusion_pytorch_model.safetensors",
    )
    _json(folder / "config.json", values)


def _json(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, default=str))
