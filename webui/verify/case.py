"""A case: a tiny checkpoint of one family, inputs, and what the release's own code computes of them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from webui.contract.errors import WebUIError

CONDITIONING = ("crossattn", "vector", "concat")
OUTPUTS = {
    "tokens": ("ids",),
    "conditioning": CONDITIONING,
    "denoise": ("output",),
    "predict": ("denoised",),
    "encode": ("latents",),
    "decode": ("image",),
    "sample": ("base_latents", "latents", "image"),
}
"""What each kind of check compares."""
KEYS = {
    "tokens": {"prompt", "boxes", "encoder", "ids"},
    "conditioning": {"inputs", *CONDITIONING},
    "denoise": {"x", "t", *CONDITIONING, "output"},
    "predict": {"x", "sigma", "t", *CONDITIONING, "denoised"},
    "encode": {"image", "latents"},
    "decode": {"image", "latents"},
    "sample": {
        "inputs", "negative_inputs", "sampler", "steps", "guidance", "eta", "noise", "step_noise", "timesteps", "sigmas",
        "init_latents", "strength", "base_latents", "refiner", "latents", "image",
    },
}  # fmt: skip
REFINER_KEYS = {
    "checkpoint", "config", "inputs", "negative_inputs", "sampler", "steps", "guidance", "eta", "noise", "step_noise",
    "timesteps", "strength", "sigmas",
}  # fmt: skip
WORDS = {"kind", "prompt", "sampler", "checkpoint", "config"}
"""Keys whose texts are never names of arrays."""


class CaseError(WebUIError):
    """A case is not understood, or something that it needs is missing."""


@dataclass(frozen=True)
class Check:
    """One thing to compute, with its arrays in place of their names."""

    kind: str
    number: int
    """Among the checks of its kind"""
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.kind} {self.number}"

    def __getitem__(self, key: str) -> Any:
        if key not in self.values:
            raise CaseError(f"The check {self.name} has no {key!r}.")
        return self.values[key]

    def tensor(self, key: str) -> Tensor:
        return as_tensor(self[key], key)

    def expected(self) -> Iterator[str]:
        """Names of the outputs that it compares."""
        return (name for name in OUTPUTS[self.kind] if name in self.values)


@dataclass(frozen=True)
class Case:
    """One folder."""

    folder: Path
    family: str
    checkpoints: Mapping[str, str]
    """Files of weights, and of the configuration that belongs to each."""
    tolerance: Mapping[str, float]
    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    def allowed(self, kind: str, output: str) -> float:
        """The largest error that is allowed; a finer key ("conditioning.vector") before the kind's own."""
        for key in (f"{kind}.{output}", kind):
            if key in self.tolerance:
                return float(self.tolerance[key])
        raise CaseError(f"case.json names no tolerance for {kind}.")


def read_case(folder: Path) -> Case:
    """A case from its folder.

    Raises:
        CaseError: something of it is missing, damaged, or not known here.
    """
    try:
        values = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CaseError(f"case.json cannot be read ({type(error).__name__}: {error}).") from None
    arrays = _arrays(folder / "arrays.npz")
    try:
        checks = tuple(_checks(values["checks"], arrays))
        checkpoints = {values["checkpoint"]: values["config"]}
        checkpoints |= {
            check["refiner"]["checkpoint"]: check["refiner"]["config"] for check in checks if "refiner" in check.values
        }
        case = Case(folder, str(values["family"]), checkpoints, dict(values["tolerance"]), checks)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CaseError(f"case.json is not a case: {type(error).__name__}: {error}.") from None
    if not checks:
        raise CaseError("case.json has no checks.")
    for file in (name for pair in checkpoints.items() for name in pair):
        if not (folder / file).is_file():
            hint = " Build the case first." if file in checkpoints else ""
            raise CaseError(f"{file} is missing.{hint}")
    return case


def as_tensor(value: Any, name: str) -> Tensor:
    """Numbers or an array as float32 (or int64) values."""
    try:
        made = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError):
        raise CaseError(f"{name} is {value!r}, which is no array of arrays.npz.") from None
    return made.float() if made.is_floating_point() else made.long()


def _arrays(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: torch.from_numpy(np.array(stored[name])) for name in stored.files}
    except (OSError, EOFError, ValueError, BadZipFile, zlib.error, TypeError) as error:
        raise CaseError(f"arrays.npz cannot be read ({type(error).__name__}).") from None


def _checks(values: list[Mapping[str, Any]], arrays: Mapping[str, Tensor]) -> Iterator[Check]:
    counts: dict[str, int] = {}
    for value in values:
        kind = str(value["kind"])
        if kind not in KEYS:
            raise CaseError(f"A check of the kind {kind!r} is not known here. Known: {', '.join(KEYS)}.")
        _known(value, {"kind", *KEYS[kind]}, f"a check {kind!r}")
        if isinstance(value.get("refiner"), dict):
            _known(value["refiner"], REFINER_KEYS, "a refiner")
        check = Check(kind, counts.get(kind, 0), {key: _filled(key, item, arrays) for key, item in value.items()})
        if not list(check.expected()):
            raise CaseError(f"The check {check.name} names no output to compare.")
        counts[kind] = check.number + 1
        yield check


def _known(value: Mapping[str, Any], keys: set[str], where: str) -> None:
    if unknown := sorted(set(value) - keys):
        raise CaseError(f"{unknown[0]!r} in {where} is not known here.")


def _filled(key: str, value: Any, arrays: Mapping[str, Tensor]) -> Any:
    """A value with its array in place of the array's name, also within inputs."""
    if isinstance(value, dict):
        return {name: _filled(name, item, arrays) for name, item in value.items()}
    if isinstance(value, str) and key not in WORDS and value in arrays:
        return arrays[value]
    return value
