"""Control networks from the releases' files: lllyasviel's (.pth and .safetensors, cldm's key layout), diffusers' single files and
folders; of SD 1, SD 2 and SDXL. How one is built is read off its shapes, and nothing asks a network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from webui.checkpoints.files import Shapes, read_json, read_tensors
from webui.checkpoints.folder import weights
from webui.checkpoints.layout.unet import ENDS, MIDDLE, RESNET
from webui.checkpoints.networks import assign
from webui.contract.errors import CheckpointReadError

if TYPE_CHECKING:
    from diffusers import ControlNetModel

PREFIX = "control_model."
ALIKE = (
    "attention_head_dim", "num_attention_heads", "norm_num_groups", "norm_eps", "act_fn", "flip_sin_to_cos", "freq_shift",
    "downsample_padding", "mid_block_scale_factor", "upcast_attention",
)  # fmt: skip
"""What no shape says of a network's build, and it has as its U-Net has it."""
_ENDS = ENDS | {"middle_block_out.0": "controlnet_mid_block"}
_OTHERS = (
    (r"lora_controlnet|.*lora.*", "a LoRA of a control network"),
    (r"difference", "the difference of a control network to a checkpoint"),
    (r"task_embedding|control_add_embedding\..*", "a control network for several tasks at once"),
    (r"(adapter\.)?body\.\d+\..*", "a T2I-Adapter"),
)
"""Keys of files that lie beside control networks and are none that can be used here."""


def load(path: Path, like: Mapping[str, Any]) -> ControlNetModel:
    """The control network of a file or folder, with its weights as they are.

    Args:
        like: the configuration of the U-Net that it is to steer, as far as ALIKE goes.

    Raises:
        CheckpointReadError: it cannot be read, or holds something else; one sentence says what.
    """
    from diffusers import ControlNetModel  # seconds to import: only when a network is really asked for

    order = "rgb"
    if path.is_dir():
        values = read_json(path / "config.json")
        order = values.get("controlnet_conditioning_channel_order", order)
        if values.get("global_pool_conditions"):
            raise CheckpointReadError(f"{path.name} tells the whole picture the same (shuffle), which is not done here.")
        state = dict(weights(path))
    else:
        state = read_tensors(path)
    state = named(state, path.name)
    try:
        built = configuration({name: tuple(tensor.shape) for name, tensor in state.items()}, like)
        with torch.device("meta"):
            network = ControlNetModel(**built, controlnet_conditioning_channel_order=order)
    except (KeyError, ValueError, StopIteration, RuntimeError) as error:
        raise CheckpointReadError(f"{path.name} is no control network, or one of a build that is not known here.") from error
    assign(network, state, path.name)
    return network


def named(state: Mapping[str, torch.Tensor], file: str) -> dict[str, torch.Tensor]:
    """The tensors by diffusers' names, one vector for SDXL's numbers (class_embedding), as the program's U-Nets have it.

    Raises:
        CheckpointReadError: they are those of something else.
    """
    inner = {name.removeprefix(PREFIX): tensor for name, tensor in state.items() if name.startswith(PREFIX)} or dict(state)
    for pattern, what in _OTHERS:
        if any(re.fullmatch(pattern, name) for name in inner):
            raise CheckpointReadError(f"{file} is {what}, which cannot be used here. Choose a control network.")
    if "controlnet_cond_embedding.conv_in.weight" in inner:
        return {name.replace("add_embedding.", "class_embedding."): tensor for name, tensor in inner.items()}
    if "input_hint_block.0.weight" not in inner:
        raise CheckpointReadError(f"{file} holds no control network. Choose one, such as control_v11p_sd15_canny.")
    hints = sorted({int(name.split(".")[1]) for name in inner if name.startswith("input_hint_block.")})
    downs = [int(name.split(".")[1]) for name in inner if re.fullmatch(r"input_blocks\.\d+\.0\.op\.weight", name)]
    blocks = min(downs, default=1_000) - 1
    return {new: tensor for name, tensor in inner.items() if (new := _moved(name, hints, blocks))}


def _moved(name: str, hints: list[int], blocks: int) -> str:
    """diffusers' name of one of cldm's; "" where there is none.

    Args:
        hints: the numbers of the convolutions that read the picture. blocks: residual blocks of a level.
    """
    module, _, leaf = name.rpartition(".")
    if module in _ENDS:
        return f"{_ENDS[module]}.{leaf}"
    place, number, rest = [*name.split(".", 2), "", ""][:3]
    if place == "input_hint_block":
        i = hints.index(int(number))
        part = "conv_in" if i == 0 else "conv_out" if i == len(hints) - 1 else f"blocks.{i - 1}"
        return f"controlnet_cond_embedding.{part}.{rest}"
    if place == "zero_convs":
        return f"controlnet_down_blocks.{number}.{rest.removeprefix('0.')}"
    if place == "middle_block":
        return _inner(f"mid_block.{MIDDLE[int(number)]}", rest)
    if place != "input_blocks":
        return ""
    level, layer = divmod(int(number) - 1, blocks + 1)
    slot, _, inner = rest.partition(".")
    if layer == blocks:
        return f"down_blocks.{level}.downsamplers.0.conv.{inner.removeprefix('op.')}"
    return _inner(f"down_blocks.{level}.{'resnets' if slot == '0' else 'attentions'}.{layer}", inner)


def _inner(place: str, name: str) -> str:
    """A transformer's parts are called alike on both sides."""
    found = next((old for old in RESNET if name.startswith(old + ".")), None)
    return f"{place}.{RESNET[found]}{name[len(found) :]}" if found else f"{place}.{name}"


def configuration(shapes: Shapes, like: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of diffusers' ControlNetModel, from the shapes of its parameters.

    Raises:
        KeyError, ValueError, StopIteration: it is none, or not whole.
    """
    levels = _count(shapes, r"down_blocks\.(\d+)\.")
    widths = tuple(shapes[f"down_blocks.{i}.resnets.0.conv1.weight"][0] for i in range(levels))
    depths = [_count(shapes, rf"down_blocks\.{i}\.attentions\.0\.transformer_blocks\.(\d+)\.") for i in range(levels)]
    middle = _count(shapes, r"mid_block\.attentions\.0\.transformer_blocks\.(\d+)\.")
    hint = "controlnet_cond_embedding."
    steps = [shapes[f"{hint}blocks.{i}.weight"][0] for i in range(1, _count(shapes, rf"{re.escape(hint)}blocks\.(\d+)\."), 2)]
    made: dict[str, Any] = {
        "in_channels": shapes["conv_in.weight"][1],
        "conditioning_channels": shapes[f"{hint}conv_in.weight"][1],
        "conditioning_embedding_out_channels": (shapes[f"{hint}conv_in.weight"][0], *steps),
        "block_out_channels": widths,
        "layers_per_block": _count(shapes, r"down_blocks\.0\.resnets\.(\d+)\."),
        "down_block_types": tuple("CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths),
        "transformer_layers_per_block": tuple(depth or middle or 1 for depth in depths),
        "mid_block_type": "UNetMidBlock2DCrossAttn" if middle else "UNetMidBlock2D",
        "attention_head_dim": _heads(like, len(widths)),
    }
    if middle:
        made["transformer_layers_per_block"] = (*made["transformer_layers_per_block"][:-1], middle)
    attended = next(shape for name, shape in shapes.items() if name.endswith("attn2.to_k.weight"))
    projected = next(shape for name, shape in shapes.items() if name.endswith("attentions.0.proj_in.weight"))
    made |= {"cross_attention_dim": attended[1], "use_linear_projection": len(projected) == 2}
    if (vector := shapes.get("class_embedding.linear_1.weight")) is not None:
        made |= {"class_embed_type": "projection", "projection_class_embeddings_input_dim": vector[1]}
    return made | {name: value for name, value in like.items() if not name.endswith(("_heads", "_head_dim"))}


def _heads(config: Mapping[str, Any], levels: int) -> tuple[int, ...]:
    """Of each level, as the U-Net has them; one of fewer levels than the U-Net has those of the first."""
    given = config.get("num_attention_heads") or config["attention_head_dim"]
    every = (given,) * levels if isinstance(given, int) else tuple(given)
    return (*every, *[every[-1]] * levels)[:levels]


def _count(shapes: Shapes, pattern: str) -> int:
    """How many numbers there are in the place of the group, counted from 0."""
    numbers = [int(found[1]) for name in shapes if (found := re.match(pattern, name))]
    return max(numbers, default=-1) + 1
