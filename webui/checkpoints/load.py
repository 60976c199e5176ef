"""From a file or folder to a Model: networks are built empty, and the file's tensors become their parameters.

Nothing is initialised at random, nothing is loaded with gaps, and no network address is ever asked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from webui.checkpoints import layout
from webui.checkpoints.files import read_json, read_tensors
from webui.checkpoints.identify import AUTOENCODER, CLIP, UNET, Identity
from webui.checkpoints.model import Model
from webui.checkpoints.tokenizer import END, START, WORDS
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Family
from webui.contract.result import CheckpointName

State = Mapping[str, Tensor]
_log = logging.getLogger(__name__)


def load(path: Path, identity: Identity, title: str, name: CheckpointName) -> Model:
    """The model of a checkpoint, on the CPU, in the file's own number format, its tensors still on the mapped file.

    Raises:
        CheckpointReadError: a tensor is missing, has another shape, or the file cannot be read.
    """
    unet, autoencoder, text = (_from_folder if identity.is_folder else _from_file)(path, identity)
    return Model(title, name, identity.family, unet, autoencoder, (text,), noise_levels(identity.family))


def noise_levels(family: Family) -> Tensor:
    """(1000,) float32: sigmas = sqrt((1 - a) / a), a the cumulative product of 1 - beta, in float64 until the end."""
    products = torch.cumprod(1 - torch.tensor(family.betas, dtype=torch.float64), 0)
    return ((1 - products) / products).sqrt().float()


def _from_file(path: Path, identity: Identity) -> tuple[nn.Module, nn.Module, nn.Module]:
    tensors = read_tensors(path)
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    configuration = layout.unet_configuration(shapes, UNET, identity.heads, identity.head_width)
    blocks = configuration["layers_per_block"]
    unet = _assign(_unet(configuration), _renamed(tensors, UNET, lambda key: layout.unet_key(key, blocks)), path)
    vae_configuration = layout.autoencoder_configuration(shapes, AUTOENCODER, identity.family.latent_scale)
    levels = len(vae_configuration["block_out_channels"])
    vae_state = _renamed(tensors, AUTOENCODER, lambda key: layout.autoencoder_key(key, levels))
    for key, tensor in vae_state.items():  # attention of 1x1 convolutions in the file, linear here
        if ".attentions." in key and tensor.ndim == 4:
            vae_state[key] = tensor[:, :, 0, 0]
    autoencoder = _assign(_autoencoder(vae_configuration), vae_state, path)
    text_state = _renamed(tensors, CLIP, layout.text_key)
    return unet, autoencoder, _assign(_text(_text_configuration(text_state, identity.text_heads)), text_state, path)


def _from_folder(path: Path, _identity: Identity) -> tuple[nn.Module, nn.Module, nn.Module]:
    unet = _assign(_unet(_arguments(path / "unet")), _weights(path / "unet"), path)
    autoencoder = _assign(_autoencoder(_arguments(path / "vae")), _old_attention_names(_weights(path / "vae")), path)
    values = read_json(path / "text_encoder" / "config.json")
    state = {
        key.removeprefix("text_model."): tensor
        for key, tensor in _weights(path / "text_encoder").items()
        if not key.endswith("position_ids")
    }
    return unet, autoencoder, _assign(_text(values), state, path)


def _arguments(folder: Path) -> dict[str, Any]:
    return {key: value for key, value in read_json(folder / "config.json").items() if not key.startswith("_")}


def _weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a part's folder: safetensors, whole before half precision, never a variant that was not asked for."""
    files = sorted(folder.glob("*.safetensors"), key=lambda file: (file.name.count("."), file.name))
    if not files:
        files = sorted(folder.glob("*.bin"))
    if not files:
        raise CheckpointReadError(f"{folder.parent.name} is not a whole checkpoint: {folder.name} holds no weights.")
    return read_tensors(files[0])


def _old_attention_names(state: State) -> dict[str, Tensor]:
    """Folders written before diffusers 0.17 call the autoencoder's attention query, key, value, proj_attn."""
    names = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    out = {}
    for key, tensor in state.items():
        parts = key.split(".")
        if "attentions" in parts and len(parts) > 1 and parts[-2] in names:
            key = ".".join([*parts[:-2], names[parts[-2]], parts[-1]])
        out[key] = tensor
    return out


def _renamed(tensors: State, prefix: str, rename: Any) -> dict[str, Tensor]:
    return {new: tensors[old] for old, new in layout.renamed(iter(tensors), prefix, rename).items()}


def _unet(configuration: Mapping[str, Any]) -> nn.Module:
    from diffusers import UNet2DConditionModel  # seconds to import: only when a checkpoint is really opened

    with torch.device("meta"):
        return UNet2DConditionModel.from_config(dict(configuration))


def _autoencoder(configuration: Mapping[str, Any]) -> nn.Module:
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        return AutoencoderKL.from_config(dict(configuration))


def _text_configuration(state: State, heads: int | None) -> dict[str, Any]:
    table = state.get("embeddings.token_embedding.weight")
    if table is None:
        return {}
    width = table.shape[1]
    layers = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("encoder.layers."))
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads or max(1, width // 64),
    }


def _text(values: Mapping[str, Any]) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    known = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "max_position_embeddings",
        "hidden_act",
        "layer_norm_eps",
    )
    arguments = {key: values[key] for key in known if key in values}
    with torch.device("meta"):
        model = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=WORDS,
                bos_token_id=START,
                eos_token_id=END,
                pad_token_id=END,
                **{"hidden_act": "quick_gelu"} | arguments,
            )
        )
    places = model.config.max_position_embeddings
    model.embeddings.position_ids = torch.arange(places)[None]  # a buffer outside the state: on meta it would make NaN, silently
    return model


def _assign(network: nn.Module, state: State, path: Path) -> nn.Module:
    """Make the tensors the network's parameters; every one must be there, fit, and be used."""
    wanted = network.state_dict()
    missing = sorted(set(wanted) - set(state))
    wrong = sorted(key for key in wanted if key in state and wanted[key].shape != state[key].shape)
    if missing or wrong:
        first = missing[0] if missing else wrong[0]
        reason = "is missing" if missing else "has another shape"
        raise CheckpointReadError(
            f"{path.name} is damaged or of an unknown kind: {first} {reason} ({len(missing) + len(wrong)} in all)."
        )
    unused = sorted(set(state) - set(wanted))
    if unused:
        _log.info("%s: %d tensors have no use here, the first is %s", path.name, len(unused), unused[0])
    network.load_state_dict({key: state[key] for key in wanted}, strict=True, assign=True)
    return network.eval().requires_grad_(False)
