"""A file of weights, whatever its kind: its header without the weights, or its tensors. Told by content, not by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from webui.checkpoints.pickled import read_pickled
from webui.contract.errors import CheckpointReadError

Shapes = Mapping[str, tuple[int, ...]]
SUFFIXES = (".safetensors", ".ckpt")


def is_pickled(path: Path) -> bool:
    """Whether the file is torch's zip format; the name says nothing (safetensors bytes under .ckpt are common)."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def read_shapes(path: Path) -> Shapes:
    """Names and shapes of all tensors; reads the header only.

    Raises:
        CheckpointReadError: the file is truncated, damaged, or not a file of weights; one sentence says which.
    """
    try:
        if is_pickled(path):
            return {name: tuple(tensor.shape) for name, tensor in read_pickled(path, with_data=False).items()}
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, OSError) as error:
        raise CheckpointReadError(_why(path, error)) from None


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors by name, on the mapped file: pages are read when they are first used.

    Raises:
        CheckpointReadError: as read_shapes.
    """
    try:
        if is_pickled(path):
            return read_pickled(path)
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointReadError(_why(path, error)) from None


def _why(path: Path, error: Exception) -> str:
    text = str(error).lower()
    if isinstance(error, FileNotFoundError):
        return f"{path.name} is gone, or is a link that leads nowhere."
    if isinstance(error, OSError):
        return f"{path.name} cannot be opened: {error.strerror or error}."
    if "incomplete" in text or "too small" in text or "invalidoffset" in text.replace(" ", ""):
        return f"{path.name} is truncated: it holds less than its header says. Download it again."
    return f"{path.name} is not a checkpoint, or is damaged: its header cannot be read."


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file of a folder in diffusers layout.

    Raises:
        CheckpointReadError: missing, or not a JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointReadError(
            f"{path.parent.parent.name} is not a whole checkpoint: {path.parent.name}/{path.name} is missing."
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointReadError(f"{path.parent.name}/{path.name} cannot be read: {error}.") from None
    if not isinstance(values, dict):
        raise CheckpointReadError(f"{path.parent.name}/{path.name} is not a configuration.")
    return values
