"""A case's checkpoints through the program's own doors: with the configuration beside them, and without it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch

from webui.checkpoints.build import Identity
from webui.checkpoints.catalog import Catalog
from webui.checkpoints.download import Shelf
from webui.checkpoints.manager import Checkpoints
from webui.contract.parts import Family, Parts
from webui.verify.case import KEYS, Case, CaseError

ASSUMED = {
    "heads": {"heads", "head_width", "configuration"},
    "prediction": {"prediction", "name"},
    "latent_scale": {"latent_scale"},
    "betas": {"beta_start", "beta_end"},
    "family": {"name"},
}
"""What a file may not say (Identity.assumed), and which columns of the row that concerns. Another name is another row."""
SAYING = {
    "heads": "how its attention is built",
    "prediction": "eps or v",
    "latent_scale": "how its latents are scaled",
    "betas": "its noise levels",
    "family": "which family it is of",
    "statistics": "where its image statistics lie",
}
SPOILED = {
    "heads": {"denoise", "predict", "sample"},
    "prediction": {"predict", "sample"},
    "latent_scale": {"conditioning", "encode", "decode", "sample"},
    "betas": {"predict", "sample"},
    "family": set(KEYS),
    "statistics": {"conditioning", "sample"},
}
"""Kinds of checks for which the file alone is not enough, if it does not say the word."""


def open_folder(folder: Path, parts: Parts, models: Sequence[Path], kept: Path) -> Checkpoints:
    """What lies in a folder, on the CPU and in float32.

    Args:
        models: models/ folders, where files that are not bundled may lie.
    """
    catalog = Catalog([], [folder], parts.families, kept / "hashes.json")
    shelf = Shelf([folder, folder.parent, *models])
    return Checkpoints(catalog, "", torch.device("cpu"), kept, dtype=torch.float32, shelf=shelf)


def laid_out(case: Case, target: Path, with_configuration: bool) -> Path:
    """A folder with all that lies beside the case's checkpoints, each one's configuration under the name that goes with
    its file, or without it."""
    configurations = set(case.checkpoints.values())
    target.mkdir(parents=True)
    for path in case.folder.iterdir():
        if path.name not in configurations:
            _linked(path, target / path.name)
    if with_configuration:
        for checkpoint, configuration in case.checkpoints.items():
            _linked(case.folder / configuration, (target / checkpoint).with_suffix(".yaml"))
    return target


def _linked(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source.absolute(), target_is_directory=source.is_dir())
    except OSError:  # a system, or a user, without symbolic links
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)


def identity_of(checkpoints: Checkpoints, file: str) -> Identity:
    """Raises CaseError with what the catalog has against the file."""
    entry = checkpoints.find(file)
    if entry.error or entry.identity is None:
        raise CaseError(entry.error or f"{file} was not identified.")
    return entry.identity


def check_family(case: Case, identity: Identity, file: str) -> None:
    """Raises CaseError where a file is taken for another family than the case's, and not for want of any sign of it (a Turbo
    has the keys, the shapes and the configuration of what it was made from, and often only its name tells; a v checkpoint
    of SD 2 differs from an eps one in its numbers only)."""
    if identity.family.name != case.family and {"family", "prediction"}.isdisjoint(identity.assumed):
        raise CaseError(f"{file} is taken for {identity.family.name}, the case says {case.family}.")


def unsaid(told: Identity, alone: Identity) -> list[str]:
    """What the configuration says otherwise than the family's row, and the file cannot say: then the file alone is not
    enough.

    Raises:
        CaseError: they differ in something that the file does say.
    """
    words = [word for word in sorted(alone.assumed) if word in ASSUMED]
    is_other = told.family.name != alone.family.name and not {"family", "prediction"}.isdisjoint(words)
    differ = {field.name for field in fields(Family) if getattr(told.family, field.name) != getattr(alone.family, field.name)}
    allowed = set().union(*(ASSUMED[word] for word in words)) if not is_other else differ
    if wrong := sorted(differ - allowed):
        known = ", ".join(f"{name} {getattr(alone.family, name)!r} and not {getattr(told.family, name)!r}" for name in wrong)
        raise CaseError(f"without the configuration the file is taken for another: {known}.")
    found = [word for word in words if ASSUMED[word] & differ]
    return [*found, *(["statistics"] if told.statistics is not None and alone.statistics is None else [])]
