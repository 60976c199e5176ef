"""The releases' own configuration, a `name.yaml` beside a checkpoint: read as data, no class that it names is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Family


@dataclass(frozen=True)
class Told:
    """What a configuration says of a checkpoint, in either of the two layouts (ldm's and sgm's)."""

    values: Mapping[str, Any]
    """"model.params" of the file."""

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
        if "scale_factor" in self.values:
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
        levels = _params(self.values.get("low_scale_config")).get("max_noise_level")
        if levels and row.noise_levels:
            out["noise_levels"] = int(levels)
        return out

    def text_heads(self, row: Family) -> dict[str, int]:
        """Heads of the text encoders by role, where it says their size."""
        if self._is_sgm:
            models = (_params(self.values.get("conditioner_config")).get("emb_models")) or []
            encoders = [_params(model) for model in models if isinstance(model, dict) and model.get("input_key") == "txt"]
        else:
            encoders = [_params(self.values.get("cond_stage_config"))]
        roles = [encoder.role for encoder in row.encoders if encoder.kind in ("clip", "openclip")]
        sizes = [(encoder.get("text_config") or {}).get("heads") for encoder in encoders]
        return {role: int(heads) for role, heads in zip(roles, sizes, strict=False) if heads}


def _params(part: Any) -> Mapping[str, Any]:
    """The "params" of a part; {} where it is absent, or a mere name ("__is_first_stage__")."""
    if not isinstance(part, dict):
        return {}
    values = part.get("params")
    return values if isinstance(values, dict) else {}


def read(path: Path) -> Told | None:
    """The configuration beside a checkpoint; None where there is none.

    Raises:
        CheckpointReadError: it cannot be read, or is no configuration of the releases' format.
    """
    sidecar = path.with_suffix(".yaml")
    if not sidecar.exists():
        return None
    wrong = f"{sidecar.name} beside {path.name} cannot be read as a configuration. Mend it or take it away."
    try:
        told = Told(yaml.safe_load(sidecar.read_text(encoding="utf-8"))["model"]["params"])
        if not isinstance(told.values, dict):
            raise TypeError
        float(told.values.get("scale_factor", 1)), float(told.values.get("linear_start", 1)), told.prediction
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        raise CheckpointReadError(wrong) from None
    return told
