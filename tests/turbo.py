"""A turbo checkpoint for tests: the pocket's weights under a schedule that says that they were distilled for few steps. It
draws poorly, and is told from the pocket as a distilled one would be."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tests.shared import ROOT

NAME = "swift"
"""Not the name of the one that comes with the program."""
_SCHEDULER = "EulerAncestralDiscreteScheduler"
_BETAS = ("beta_end", "beta_schedule", "beta_start", "num_train_timesteps", "prediction_type", "trained_betas")


def write_pocket(models: Path, name: str = "pocket") -> Path:
    """The pocket checkpoint, or a sibling, as a folder of links below a models/ folder."""
    return Path(shutil.copytree(ROOT / "models" / name, models / name, copy_function=os.symlink))


def write_turbo(models: Path, name: str = NAME) -> Path:
    """A turbo checkpoint below a models/ folder, with the schedule that webui.training.export.export_turbo writes."""
    folder = models / name
    shutil.copytree(ROOT / "models" / "pocket", folder, copy_function=os.symlink)
    config = folder / "scheduler" / "scheduler_config.json"
    betas = {key: value for key, value in json.loads(config.read_text("utf-8")).items() if key in _BETAS}
    _write(config, betas | {"_class_name": _SCHEDULER, "timestep_spacing": "trailing", "steps_offset": 0})
    index = folder / "model_index.json"
    _write(index, json.loads(index.read_text("utf-8")) | {"scheduler": ["diffusers", _SCHEDULER]})
    return folder


def _write(file: Path, values: dict[str, Any]) -> None:
    """In the place of the link."""
    file.unlink()
    file.write_text(json.dumps(values), "utf-8")
