"""U-Nets in the original key layout, with cross-attention and without.

The original code (ldm, sgm) numbers its U-Net's blocks through; diffusers nests them. With n residual blocks a level,
input block i (i >= 1) is level (i - 1) // (n + 1), and the last of a level is its down-sampler; output blocks
likewise. Everything else is a renaming of the parts of a block.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webui.checkpoints.files import Shapes
from webui.checkpoints.layout.part import Part, Source, View, average_key, inside
from webui.contract.parts import Family

if TYPE_CHECKING:
    from torch import Tensor

UNET = "model.diffusion_model."
RESNET = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2", "out_layers.3": "conv2", "skip_connection": "conv_shortcut",
}  # fmt: skip
ENDS = {
    "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "class_embedding.linear_1", "label_emb.0.2": "class_embedding.linear_2",
    "label_emb": "class_embedding", "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out",
}  # fmt: skip
MIDDLE = ("resnets.0", "attentions.0", "resnets.1")
"""Names of modules in the releases, and here; control networks, copies of a U-Net's first half, have the same."""
_BLOCK = re.compile(r"(input_blocks|output_blocks)\.(\d+)\.(\d)\.(.+)")
_CONTEXT = ".1.transformer_blocks.0.attn2.to_k.weight"


@dataclass(frozen=True)
class Level:
    """One resolution of a U-Net."""

    first: str
    """Name of its first input block, "input_blocks.4"."""
    width: int
    has_attention: bool
    depth: int
    """Transformer blocks of each attention; 0 where it is a plain one."""


@dataclass(frozen=True)
class Tower:
    """What the names and shapes of a U-Net (without prefix) say of its build."""

    blocks: int
    """Residual blocks of a level."""
    levels: tuple[Level, ...]
    middle_depth: int
    has_transformers: bool
    resamples_by_resnet: bool
    scales_and_shifts: bool
    """Whether the time step scales and shifts the second norm, instead of being added before it."""

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(level.width for level in self.levels)


def tower(own: Shapes) -> Tower:
    """The build of a U-Net from the shapes behind its prefix.

    Raises:
        KeyError, ValueError: it is none, or not whole.
    """
    stems = {".".join(name.split(".")[:4]) for name in own}
    count = 1 + max(int(name.split(".")[1]) for name in own if name.startswith("output_blocks."))
    slots = [f"{slot}.{inner}" for slot in (1, 2) for inner in ("conv", "in_layers")]
    risers = [i for i in range(count) if any(f"output_blocks.{i}.{slot}" in stems for slot in slots)]
    blocks = risers[0] if risers else count - 1
    levels = []
    for i in range(1, count + 1, blocks + 1):
        first = f"input_blocks.{i}"
        width = own[f"{first}.0.out_layers.3.weight"][0]
        levels.append(Level(first, width, f"{first}.1.norm" in stems, _depth(own, f"{first}.1.")))
    return Tower(
        blocks=blocks,
        levels=tuple(levels),
        middle_depth=_depth(own, "middle_block.1."),
        has_transformers=any(".transformer_blocks." in name for name in own),
        resamples_by_resnet=f"input_blocks.{blocks + 1}.0.in_layers" in stems,
        scales_and_shifts=own["input_blocks.1.0.emb_layers.1.weight"][0] == 2 * levels[0].width,
    )


def _depth(own: Shapes, place: str) -> int:
    place += "transformer_blocks."
    return max((1 + int(name[len(place) :].split(".")[0]) for name in own if name.startswith(place)), default=0)


def unet(shapes: Shapes, family: Family, uses_average: bool = False) -> Part:
    """The U-Net of a file.

    Args:
        family: for what shapes do not say: the heads, and where x4's U-Net attends to nothing but the context.
        uses_average: whether the averaged copies of the weights are the ones to take.
    """
    own = inside(shapes, UNET)
    build = tower(own)
    common = {
        "in_channels": own["input_blocks.0.0.weight"][1],
        "out_channels": own["out.2.weight"][0],
        "block_out_channels": build.widths,
        "layers_per_block": build.blocks,
        "resnet_time_scale_shift": "scale_shift" if build.scales_and_shifts else "default",
    }
    configuration = _with_context(own, build, family) if build.has_transformers else _plain(build, family)
    heads = None if build.has_transformers else {width: _heads(width, family) for width in build.widths}
    sources: dict[str, Source] = {}
    ignored = set()
    for name, shape in own.items():
        average, raw = average_key(f"diffusion_model.{name}"), UNET + name
        has_copy = average in shapes
        key = average if has_copy and uses_average else raw
        moved = _moved(name, shape, build, heads)
        sources |= {new: Source(key, view) for new, view in moved.items()}
        if moved and has_copy:
            ignored.add(raw if uses_average else average)
    return Part("unet" if build.has_transformers else "plain-unet", common | configuration, sources, frozenset(ignored))


def _heads(width: int, family: Family) -> int:
    return max(1, width // family.head_width) if family.head_width else family.heads or 8


def _with_context(own: Shapes, build: Tower, family: Family) -> dict[str, Any]:
    """Arguments of diffusers' UNet2DConditionModel, beyond those that both kinds have."""
    attends = [level.has_attention for level in build.levels]
    context = next(shape[1] for name, shape in own.items() if name.endswith(_CONTEXT))
    projection = next(shape for name, shape in own.items() if name.endswith(".proj_in.weight"))
    configuration: dict[str, Any] = {
        "down_block_types": tuple("CrossAttnDownBlock2D" if yes else "DownBlock2D" for yes in attends),
        "up_block_types": tuple("CrossAttnUpBlock2D" if yes else "UpBlock2D" for yes in reversed(attends)),
        # the middle has the last one's depth, also where the last level itself attends to nothing (SDXL's refiner)
        "transformer_layers_per_block": tuple(level.depth or build.middle_depth for level in build.levels),
        "cross_attention_dim": context,
        "attention_head_dim": tuple(_heads(width, family) for width in build.widths),  # their number, whatever it is called
        "use_linear_projection": len(projection) == 2,
        "only_cross_attention": _only_cross(own, build, family, context),
    }
    if "label_emb.0.0.weight" in own:
        configuration |= {
            "class_embed_type": "projection",
            "projection_class_embeddings_input_dim": own["label_emb.0.0.weight"][1],
        }
    elif "label_emb.weight" in own:
        configuration["num_class_embeds"] = own["label_emb.weight"][0]
    return configuration


def _only_cross(own: Shapes, build: Tower, family: Family, context: int) -> tuple[bool, ...]:
    """Levels whose first attention looks at the context too, instead of at the picture itself (x4).

    Where keys are as wide as the context but not as the level, the shapes say so. Where all three are equally wide
    nothing in the file does: there the row, or the YAML, knows ("disable_self_attentions", level by level; all but the
    last level where the number of levels is another).
    """
    told = tuple(family.configuration.get("disable_self_attentions") or ())
    if told and len(told) != len(build.levels):
        told = (*[True] * (len(build.levels) - 1), False)
    only = []
    for i, level in enumerate(build.levels):
        keys = own.get(f"{level.first}.1.transformer_blocks.0.attn1.to_k.weight")
        is_ambiguous = keys is None or level.width == context
        only.append(bool(told and told[i]) if is_ambiguous else keys is not None and keys[1] == context)
    return tuple(only)


def _plain(build: Tower, family: Family) -> dict[str, Any]:
    """Arguments of diffusers' UNet2DModel, and "heads" where their number is given: it only knows their width."""
    way = "Resnet" if build.resamples_by_resnet else ""
    downs = {True: "AttnDownBlock2D", False: f"{way}DownsampleBlock2D" if way else "DownBlock2D"}
    ups = {True: "AttnUpBlock2D", False: f"{way}UpsampleBlock2D" if way else "UpBlock2D"}
    attends = [level.has_attention for level in build.levels]
    return {
        "down_block_types": tuple(downs[yes] for yes in attends),
        "up_block_types": tuple(ups[yes] for yes in reversed(attends)),
        "downsample_type": "resnet" if way else "conv",
        "upsample_type": "resnet" if way else "conv",
        "attention_head_dim": family.head_width or math.gcd(*build.widths),
        "attn_norm_num_groups": 32,  # else the middle's attention has no norm where the time step scales and shifts
        "heads": None if family.head_width else family.heads or 8,
    }


def _moved(name: str, shape: tuple[int, ...], build: Tower, heads: dict[int, int] | None) -> dict[str, View | None]:
    """The diffusers names of one key of the original U-Net (without prefix); none for what is not known.

    Args:
        heads: of plain attentions by their width; None in a U-Net of transformers.
    """
    module, _, leaf = name.rpartition(".")
    if module in ENDS:
        return {f"{ENDS[module]}.{leaf}": None}
    if name.startswith("middle_block.") and name.split(".")[1] in ("0", "1", "2"):
        _, number, inner = name.split(".", 2)
        return _inner(f"mid_block.{MIDDLE[int(number)]}", inner, shape, heads)
    found = _BLOCK.fullmatch(name)
    if not found:
        return {}
    side, number, slot, inner = found.groups()
    level, layer = divmod(int(number) - (side == "input_blocks"), build.blocks + 1)
    block = f"{'down_blocks' if side == 'input_blocks' else 'up_blocks'}.{level}"
    is_resnet = any(inner.startswith(part + ".") for part in RESNET)
    if side == "input_blocks" and layer == build.blocks:
        place = f"{block}.downsamplers.0"
        return {f"{place}.conv.{inner[3:]}": None} if inner.startswith("op.") else _inner(place, inner, shape, heads)
    if slot != "0" and (is_resnet or inner.startswith("conv.")):
        return _inner(f"{block}.upsamplers.0", inner, shape, heads)
    return _inner(f"{block}.{'resnets' if slot == '0' else 'attentions'}.{layer}", inner, shape, heads)


def _inner(place: str, name: str, shape: tuple[int, ...], heads: dict[int, int] | None) -> dict[str, View | None]:
    """A part of a residual block or of an attention. A transformer's parts are called alike on both sides."""
    for old, new in RESNET.items():
        if name.startswith(old + "."):
            return {f"{place}.{new}{name[len(old) :]}": None}
    if heads is None or ".attentions." not in place:
        return {f"{place}.{name}": None}
    part, _, leaf = name.rpartition(".")
    if part == "qkv":
        return {f"{place}.to_{letter}.{leaf}": _of_heads(i, heads[shape[0] // 3]) for i, letter in enumerate("qkv")}
    if part == "proj_out":  # a convolution over a line of places there, a matrix here
        return {f"{place}.to_out.0.{leaf}": (lambda tensor: tensor[:, :, 0]) if len(shape) == 3 else None}
    return {f"{place}.group_norm.{leaf}": None} if part == "norm" else {}


def _of_heads(number: int, heads: int) -> View:
    """Query, key or value of an attention block: the file has the three of the first head, then those of the next."""

    def view(tensor: Tensor) -> Tensor:
        width = tensor.shape[0] // 3
        parts = tensor.reshape(heads, 3, width // heads, -1)[:, number]
        return parts.reshape(width, -1) if tensor.ndim > 1 else parts.reshape(width)

    return view
