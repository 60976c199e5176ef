"""The releases' own configuration, a `name.yaml` beside a checkpoint: read as data, no class that it names is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Encoder, Family

LONGEST = 2**20
"""Bytes of a configuration that is still read as one."""
LAYERS = {"last": -1, "penultimate": -2}


@dataclass(frozen=True)
class Told:
    """What a configuration says of a checkpoint, in either of the two layouts (ldm's and sgm's)."""

    values: Mapping[str, Any]
    """"model.params" of the file."""
    name: str = ""
    """Of the file."""

    @property
    def _is_sgm(self) -> bool:
        return "network_config" in self.values

    @property
    def _unet(self) -> Mapping[str, Any]:
        return _params(self.values.get("network_config" if self._is_sgm else "unet_config"))

    @property
    def prediction(self) -> str | None:
        """ "eps" or "v"; None for an autoencoder."""
        if self._is_sgm:
            denoiser = _params(self.values.get("denoiser_config"))
            scaling = str((denoiser.get("scaling_config") or {}).get("target", ""))
            return "v" if scaling.endswith("VScaling") else "eps"
        if "unet_config" not in self.values:
            return None
        return "v" if self.values.get("parameterization") == "v" else "eps"

    @property
    def uses_average(self) -> bool | None:
        return self.values.get("use_ema")

    @property
    def statistics(self) -> str:
        """Path of the image embeddings' mean and deviation, from the checkpoint's folder; "" where it names none."""
        return str(_params(self.values.get("noise_aug_config")).get("clip_stats_path") or "")

    def columns(self, row: Family) -> dict[str, Any]:
        """What it says of a row's columns."""
        out: dict[str, Any] = {}
        if self.prediction is not None:
            out["prediction"] = self.prediction
        if "scale_factor" in self.values and not self.values.get("scale_by_std"):  # else it was measured, and is in the file
            out["latent_scale"] = float(self.values["scale_factor"])
        out |= {
            column: float(self.values[name])
            for column, name in (("beta_start", "linear_start"), ("beta_end", "linear_end"))
            if name in self.values
        }
        heads, width = self._unet.get("num_heads"), self._unet.get("num_head_channels")
        if width not in (None, -1):
            out |= {"head_width": int(width), "heads": None}
        elif heads not in (None, -1):
            out |= {"heads": int(heads), "head_width": None}
        alone = self._unet.get("disable_self_attentions")
        if isinstance(alone, list) and alone != [True] * (len(alone) - 1) + [False]:  # else as the row has it
            out["configuration"] = {**row.configuration, "disable_self_attentions": tuple(bool(yes) for yes in alone)}
        noising = _params(self.values.get("low_scale_config" if "low_scale_config" in self.values else "noise_aug_config"))
        if row.noise_levels and noising:
            out["noise_levels"] = int(noising.get("max_noise_level", row.noise_levels))
            out["input_schedule"] = _schedule(noising.get("noise_schedule_config"), row.input_schedule)
        return out

    def encoders(self, row: Family, layers: Callable[[Encoder], int]) -> tuple[Encoder, ...]:
        """The row's encoders, with the layer that it says counts.

        Args:
            layers: how many layers the file has of an encoder.
        """
        parts = iter(self._texts)
        out = []
        for encoder in row.encoders:
            part = next(parts, {}) if encoder.kind in ("clip", "openclip") else {}
            out.append(_told_layer(encoder, str(part.get("target", "")), _params(part), layers))
        return tuple(out)

    def contradiction(self, numbers: Mapping[str, Any], network: str) -> str:
        """What it says otherwise than the file, as "says 9 input channels, but the file has 4"; "" where nothing is.

        Args:
            numbers: columns of the row, as the file has them.
            network: "context", "plain" or "none", as the file has it.
        """
        has_network = bool(self._unet)
        if has_network != (network != "none"):
            says, holds = "a U-Net", "an autoencoder alone"
            return f"describes {says if has_network else holds}, but the file holds {holds if has_network else says}"
        first = self.values if not has_network else _params(self.values.get("first_stage_config"))
        mults, context = _params({"params": first.get("ddconfig")}).get("ch_mult"), self._unet.get("context_dim")
        said = {
            "input channels": (self._unet.get("in_channels"), "in_channels"),
            "output channels": (self._unet.get("out_channels"), "latent_channels"),
            "channels on the first level": (self._unet.get("model_channels"), "network_width"),
            "numbers in a word's vector": (context[0] if isinstance(context, list) and context else context, "context_width"),
            "pixels for each latent": (2 ** (len(mults) - 1) if isinstance(mults, list) else None, "latent_factor"),
        }
        for words, (value, column) in said.items():
            if value is not None and numbers.get(column, value) != value:
                return f"says {value} {words}, but the file has {numbers[column]}"
        return ""

    @property
    def _texts(self) -> list[Mapping[str, Any]]:
        """Its text encoders, in order."""
        if not self._is_sgm:
            part = self.values.get("cond_stage_config")
            return [part] if isinstance(part, dict) else []
        models = _params(self.values.get("conditioner_config")).get("emb_models") or []
        return [model for model in models if isinstance(model, dict) and model.get("input_key") == "txt"]

    def text_heads(self, row: Family) -> dict[str, int]:
        """Heads of the text encoders by role, where it says their size."""
        encoders = [_params(part) for part in self._texts]
        roles = [encoder.role for encoder in row.encoders if encoder.kind in ("clip", "openclip")]
        sizes = [(encoder.get("text_config") or {}).get("heads") for encoder in encoders]
        return {role: int(heads) for role, heads in zip(roles, sizes, strict=False) if heads}


def _params(part: Any) -> Mapping[str, Any]:
    """The "params" of a part; {} where it is absent, or a mere name ("__is_first_stage__")."""
    if not isinstance(part, dict):
        return {}
    values = part.get("params")
    return values if isinstance(values, dict) else {}


def _schedule(part: Any, default: str) -> str:
    """Noise schedule of an input, as Family.input_schedule has it."""
    if not isinstance(part, dict):
        return default
    if str(part.get("beta_schedule", "linear")) == "squaredcos_cap_v2":
        return "cosine"
    return f"linear:{float(part.get('linear_start', 1e-4)):g}:{float(part.get('linear_end', 2e-2)):g}"


def _told_layer(encoder: Encoder, target: str, values: Mapping[str, Any], layers: Callable[[Encoder], int]) -> Encoder:
    layer = values.get("layer", "last")
    if target.endswith("FrozenCLIPEmbedder") and layer == "hidden" and values.get("layer_idx") is not None:
        # it counts the embedding as 0, and the final norm does not follow
        return replace(encoder, layer=int(values["layer_idx"]) - layers(encoder) - 1, has_norm=False)
    if target.endswith(("FrozenCLIPEmbedder", "FrozenOpenCLIPEmbedder")) and layer in LAYERS:
        return replace(encoder, layer=LAYERS[layer], has_norm=True)
    if target.endswith("FrozenOpenCLIPEmbedder2") and layer in LAYERS:
        return replace(encoder, layer=LAYERS[layer], has_norm=bool(values.get("legacy", True)))
    return encoder


def beside(path: Path) -> Path | None:
    """The configuration of a checkpoint: name.yaml, or the config.yaml of the first releases' folders (model.ckpt, last.ckpt)."""
    if path.is_dir():
        return None
    names = [path.with_suffix(".yaml")]
    if path.stem in ("model", "last"):
        names.append(path.with_name("config.yaml"))
    return next((name for name in names if name.is_file()), None)


def read(path: Path) -> Told | None:
    """The configuration beside a checkpoint; None where there is none.

    Raises:
        CheckpointReadError: it cannot be read, or is no configuration of the releases' format.
    """
    sidecar = beside(path)
    if sidecar is None:
        return None
    try:
        if sidecar.stat().st_size > LONGEST:
            raise ValueError
        values = yaml.safe_load(sidecar.read_text(encoding="utf-8"))["model"]["params"]
        if not isinstance(values, dict):
            raise TypeError
        told = Told(values, sidecar.name)
        if told.values.get("parameterization", "eps") not in ("eps", "v") or (not told.prediction and "ddconfig" not in values):
            raise ValueError
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise CheckpointReadError(unreadable(sidecar.name, path)) from None
    return told


def unreadable(name: str, path: Path) -> str:
    return f"{name} beside {path.name} cannot be read as a configuration. Mend it or take it away."
