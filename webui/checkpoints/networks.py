"""Builds a network without weights, and makes a file's tensors its parameters. No random numbers, no gaps, no copies.

A network of a build is made once; whatever is of the same build later is a twin of it, which takes a tenth of the time.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from webui.checkpoints import encoders
from webui.checkpoints.layout.part import Part
from webui.contract.errors import CheckpointReadError

_log = logging.getLogger(__name__)


def load_part(part: Part, tensors: Mapping[str, Tensor], file: str) -> nn.Module:
    """The network of a part, with its tensors of the file.

    Raises:
        CheckpointReadError: a tensor is missing or has another shape, or nothing can be built of these shapes.
    """
    try:
        network, state = build(part.kind, part.configuration), part.state(tensors)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointReadError(f"{file} holds a network of a build that is not known here: {reason}.") from error
    return assign(network, state, file)


def build(kind: str, configuration: Mapping[str, Any]) -> nn.Module:
    """A network on the meta device, of its own down to its last parameter.

    Args:
        kind: "unet", "plain-unet", "kl", "vq", "clip", "openclip", "bert", "class", "rescale", "clip-image",
            "openclip-image" or "depth".
        configuration: as webui.checkpoints.layout reads it off a file.
    """
    known = _Build(kind, repr(sorted(configuration.items())), configuration)
    return _twin_of(_made(known), {}) if _is_plain(known) else copy.deepcopy(_made(known))


@dataclass(frozen=True)
class _Build:
    kind: str
    text: str
    """Of the configuration: what it is known by."""
    configuration: Mapping[str, Any] = field(compare=False)


@lru_cache(maxsize=12)
def _made(of: _Build) -> nn.Module:
    """The first network of a build, which is never used itself: a few megabytes, on the meta device."""
    values = dict(of.configuration)
    with torch.device("meta"):
        match of.kind:
            case "unet":
                return _unet(values)
            case "plain-unet":
                return _plain_unet(values)
            case "kl" | "vq":
                return _autoencoder(of.kind, values)
            case "clip" | "openclip":
                return _text(of.kind, values)
            case "clip-image" | "openclip-image":
                return _image(values)
            case "depth":
                return _depth(values)
            case "bert":
                return encoders.BertEncoder(**values)
            case "class":
                return encoders.ClassTable(**values)
            case "rescale":
                return encoders.MapRescaler(**values)
    raise ValueError(f"no network of the kind {of.kind!r} is known")


_OWN = {name for name, value in vars(nn.Module()).items() if isinstance(value, dict | set)}
"""What every module keeps of its own: its parameters, buffers, parts and hooks."""


def _twin_of(part: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    """A copy on the meta device. What is no module, parameter or buffer (configurations, processors without state) is shared.

    Args:
        made: the copies that there are, by the id of their module.
    """
    if id(part) not in made:
        other = made[id(part)] = part.__class__.__new__(part.__class__)
        vars(other).update({name: value.copy() if name in _OWN else value for name, value in vars(part).items()})
        for name, inner in part._modules.items():
            other._modules[name] = inner and _twin_of(inner, made)
        for name, parameter in part._parameters.items():
            other._parameters[name] = parameter if parameter is None else nn.Parameter(parameter.detach())
        for name, buffer in part._buffers.items():
            other._buffers[name] = buffer if buffer is None else buffer.detach()
    return made[id(part)]


@lru_cache(maxsize=12)
def _is_plain(of: _Build) -> bool:
    """Whether _twin_of finds all that networks of a build are made of."""
    return not any(_is_entangled(part) for part in _made(of).modules())


def _is_entangled(part: nn.Module) -> bool:
    """Whether a module holds others, or their methods, where no copy of it would look."""
    for name, value in vars(part).items():
        held = () if name in _OWN else value if isinstance(value, list | tuple) else (value,)
        if any(isinstance(one, nn.Module) or isinstance(getattr(one, "__self__", None), nn.Module) for one in held):
            return True
    return False


def _unet(values: dict[str, Any]) -> nn.Module:
    from diffusers import UNet2DConditionModel  # seconds to import: only when a checkpoint is really opened

    network = UNet2DConditionModel(**_known(UNet2DConditionModel, values))
    if network.class_embedding is not None:
        network.class_embedding.register_forward_pre_hook(_as_numbers if values.get("num_class_embeds") else _as_vector)
    return network


def _known(made: Callable[..., nn.Module], values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that this version knows: folders of other versions name more."""
    names = inspect.signature(made).parameters
    return {name: value for name, value in values.items() if name in names}


def _as_vector(network: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
    """(B, D) in the weights' number format."""
    return (arguments[0].to(next(network.parameters()).dtype),)


def _as_numbers(_network: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
    """(B, 1) float to (B,) rows of a table."""
    return (arguments[0].flatten().round().long(),)


def _plain_unet(values: dict[str, Any]) -> nn.Module:
    from diffusers import UNet2DModel
    from diffusers.models.attention_processor import Attention

    heads = values.pop("heads")
    network = UNet2DModel(**_known(UNet2DModel, values))
    for part in network.modules() if heads else ():
        if isinstance(part, Attention):  # UNet2DModel only knows heads of one width; here is one number of them
            part.heads = part.sliceable_head_dim = heads
            part.scale = (part.inner_dim // heads) ** -0.5
    return network


def _autoencoder(kind: str, values: dict[str, Any]) -> nn.Module:
    from diffusers import AutoencoderKL, VQModel

    if kind == "vq":
        network = VQModel(**values)
        network.quantize = Codebook(values["num_vq_embeddings"], values["vq_embed_dim"])
        return network
    channels, inner = values.pop("embed_dim"), values["latent_channels"]
    network = AutoencoderKL(**_known(AutoencoderKL, values))
    if channels != inner:  # latents of another width than the convolutions around them, as the original allows
        network.quant_conv = nn.Conv2d(2 * inner, 2 * channels, 1)
        network.post_quant_conv = nn.Conv2d(channels, inner, 1)
    return network


class Codebook(nn.Module):
    """Rounds latents to the nearest of a table of vectors (van den Oord et al. 2017, arXiv:1711.00937), in the place of
    diffusers' VectorQuantizer: in float32 whatever the weights are, and never with all distances in memory at once."""

    ROWS = 4096
    """Latents whose distances are compared at a time."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)

    def forward(self, z: Tensor) -> tuple[Tensor, None, None]:
        """z (B, D, h, w) -> the same with codes for vectors; the rest of what VQModel takes apart is of training."""
        table = self.embedding.weight.float()
        norms = (table * table).sum(1)
        vectors = z.permute(0, 2, 3, 1).flatten(0, 2).float()
        nearest = torch.cat([torch.addmm(norms, part, table.T, alpha=-2).argmin(1) for part in vectors.split(self.ROWS)])
        batch, _, height, width = z.shape
        return self.embedding(nearest).view(batch, height, width, -1).permute(0, 3, 1, 2).contiguous(), None, None


def _text(kind: str, values: dict[str, Any]) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    cut, projected = values.pop("layers_cut", 0), values.pop("projection_dim", None)
    ends = {"bos_token_id": encoders.LAST_WORD - 1, "eos_token_id": encoders.LAST_WORD, "pad_token_id": encoders.LAST_WORD}
    network = CLIPTextModel(CLIPTextConfig(**ends, **values))
    projection = nn.Linear(values["hidden_size"], projected, bias=False) if projected else None
    return encoders.TextEncoder(kind, network, projection, cut)


def _image(values: dict[str, Any]) -> nn.Module:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return encoders.ImageEncoder(CLIPVisionModelWithProjection(CLIPVisionConfig(**values)))


def _depth(values: dict[str, Any]) -> nn.Module:
    from transformers import DPTConfig, DPTForDepthEstimation

    hybrid = {
        "is_hybrid": True,
        "neck_hidden_sizes": [256, 512, 768, 768],
        "reassemble_factors": [1, 1, 1, 0.5],
        "readout_type": "project",
        "use_bias_in_fusion_residual": True,
        "layer_norm_eps": 1e-6,  # timm's; transformers has another one by default
    }
    return encoders.DepthEstimator(DPTForDepthEstimation(DPTConfig(**hybrid | values)))


def assign(network: nn.Module, state: Mapping[str, Tensor], file: str) -> nn.Module:
    """Make the tensors the network's parameters, as they are; every one must be there and fit.

    Args:
        file: its name, for the error.

    Raises:
        CheckpointReadError: a tensor is missing or has another shape.
    """
    wanted = network.state_dict()
    missing = sorted(set(wanted) - set(state))
    wrong = sorted(key for key in wanted if key in state and wanted[key].shape != state[key].shape)
    if missing or wrong:
        first = missing[0] if missing else wrong[0]
        reason = "is missing" if missing else "has another shape"
        raise CheckpointReadError(
            f"{file} is damaged or of an unknown kind: {first} {reason} ({len(missing) + len(wrong)} in all)."
        )
    unused = sorted(set(state) - set(wanted))
    if unused:
        _log.info("%s: %d tensors have no use here, the first is %s", file, len(unused), unused[0])
    network.load_state_dict({key: state[key] for key in wanted}, strict=True, assign=True)
    _fill_places(network)
    return network.eval().requires_grad_(False)


def _fill_places(network: nn.Module) -> None:
    """Buffers outside the state: CLIP's numbers of places. Left on meta they would make NaN of everything, silently."""
    for part in network.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_meta and name == "position_ids":
                setattr(part, name, torch.arange(buffer.shape[-1])[None])
            elif buffer.is_meta:
                raise RuntimeError(f"{type(part).__name__}.{name} was built without a value")
