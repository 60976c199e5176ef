"""Which family a file or folder is, from its header alone. A `name.yaml` beside a file overrides the guess."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from webui.checkpoints.files import Shapes, read_json, read_shapes
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Family

UNET = "model.diffusion_model."
AUTOENCODER = "first_stage_model."
CLIP = "cond_stage_model.transformer."


@dataclass(frozen=True)
class Identity:
    """What a checkpoint is, before a weight of it was read."""

    family: Family
    """The row, with this file's own numbers in it: channels, widths, factor, scale, heads, betas, prediction."""
    is_folder: bool = False
    uses_average: bool = False
    """Whether the averaged weights (EMA) that the file also holds are the ones to draw with."""
    text_heads: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Heads of the text encoders by role, where a YAML says so; else width / 64, as in all releases."""
    statistics: Path | None = None
    """File of (mean, deviation) of image embeddings (unCLIP L)."""
    autoencoder: Path | None = None
    """A file whose autoencoder takes the place of the checkpoint's own (name.vae.safetensors)."""
    assumed: frozenset[str] = frozenset()
    """What neither the file nor a YAML says and the row had to: of "heads", "prediction", "latent_scale", "betas", "family"."""


def identify(path: Path, families: Iterable[Family]) -> Identity:
    """The family of a checkpoint.

    Raises:
        CheckpointReadError: it cannot be read, or is no checkpoint of a family that is known here.
    """
    rows = list(families)
    return _folder(path, rows) if path.is_dir() else _file(path, rows)


def _row(rows: list[Family], path: Path, channels: int, width: int, is_clip: bool) -> Family:
    """The row that fits; a CLIP encoder of a width that no row has is an SD 1 of another size."""
    fits = [
        row for row in rows if row.in_channels == channels and row.context_width == width and row.conditioners == ("clip-text",)
    ]
    if fits:
        return fits[0]
    if is_clip and channels == 4:
        return replace(next(row for row in rows if row.name == "sd1"), context_width=width, preview=None)
    raise CheckpointReadError(
        f"{path.name} is a checkpoint of a family that cannot be opened yet ({channels} input channels, context of {width}). "
        "Choose an SD 1 checkpoint."
    )


def _folder(path: Path, rows: list[Family]) -> Identity:
    index = read_json(path / "model_index.json")
    unet = read_json(path / "unet" / "config.json")
    scheduler_file = path / "scheduler" / "scheduler_config.json"
    scheduler = read_json(scheduler_file) if scheduler_file.exists() else {}
    encoder = index.get("text_encoder")
    is_clip = isinstance(encoder, list) and encoder[-1] == "CLIPTextModel" and not index.get("text_encoder_2")
    if is_clip:  # SD 2's folders name the same class, but hold OpenCLIP, which pads prompts differently
        is_clip = read_json(path / "text_encoder" / "config.json").get("hidden_act", "quick_gelu") == "quick_gelu"
    width, channels = unet.get("cross_attention_dim"), unet.get("in_channels")
    if not isinstance(width, int) or not isinstance(channels, int) or not is_clip:
        raise CheckpointReadError(
            f"{path.name} is a {index.get('_class_name', 'pipeline')} folder, which cannot be opened yet. "
            "Choose an SD 1 checkpoint."
        )
    row = _row(rows, path, channels, width, is_clip)
    row = replace(
        row,
        prediction="v" if scheduler.get("prediction_type") == "v_prediction" else "eps",
        native_size=int(unet.get("sample_size") or row.native_size // 8) * row.latent_factor,
        beta_start=float(scheduler.get("beta_start", row.beta_start)),
        beta_end=float(scheduler.get("beta_end", row.beta_end)),
    )
    return Identity(row, is_folder=True)


def _file(path: Path, rows: list[Family]) -> Identity:
    shapes = read_shapes(path)
    channels, width = _unet_inputs(shapes, path)
    is_clip = any(name.startswith(CLIP) for name in shapes)
    family = _row(rows, path, channels, width, is_clip)
    if not any(name.startswith(AUTOENCODER) for name in shapes) or not is_clip:
        missing = "a text encoder" if not is_clip else "an autoencoder"
        raise CheckpointReadError(f"{path.name} is not a whole checkpoint: it holds a U-Net, but not {missing}.")
    return _with_yaml(Identity(family, is_folder=False), path)


def _unet_inputs(shapes: Shapes, path: Path) -> tuple[int, int]:
    first = shapes.get(UNET + "input_blocks.0.0.weight")
    context = next(
        (shape for name, shape in shapes.items() if name.startswith(UNET) and name.endswith("attn2.to_k.weight")), None
    )
    if first is None:
        raise CheckpointReadError(
            f"{path.name} is not a checkpoint: it holds no U-Net. A LoRA or a VAE belongs into its own folder."
        )
    if context is None:
        raise CheckpointReadError(
            f"{path.name} is a checkpoint without a text encoder, which cannot be opened yet. Choose an SD 1 checkpoint."
        )
    return first[1], context[1]


def _with_yaml(identity: Identity, path: Path) -> Identity:
    """What the release's own configuration says beyond the shapes. It is read as data; no class it names is imported."""
    sidecar = path.with_suffix(".yaml")
    if not sidecar.exists():
        return identity
    try:
        values = yaml.safe_load(sidecar.read_text(encoding="utf-8"))["model"]["params"]
        unet: dict[str, Any] = values["unet_config"]["params"]
        text = (values.get("cond_stage_config", {}).get("params") or {}).get("text_config") or {}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointReadError(
            f"{sidecar.name} beside {path.name} cannot be read as a configuration ({type(error).__name__}). "
            "Mend it or take it away."
        ) from None
    row = identity.family
    row = replace(
        row,
        prediction="v" if values.get("parameterization") == "v" else "eps",
        latent_scale=float(values.get("scale_factor", row.latent_scale)),
        beta_start=float(values.get("linear_start", row.beta_start)),
        beta_end=float(values.get("linear_end", row.beta_end)),
    )
    return replace(
        identity, family=row, heads=unet.get("num_heads"), head_width=unet.get("num_head_channels"), text_heads=text.get("heads")
    )
