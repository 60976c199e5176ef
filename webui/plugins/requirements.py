"""The Python packages that an extension needs, held against what is installed and against what the program and the other
extensions need."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

PROGRAM = "latent-webui"


@dataclass(frozen=True)
class Needs:
    """What follows from the requirements of one extension."""

    there: tuple[str, ...] = ()
    """Met by what is installed."""
    missing: tuple[str, ...] = ()
    """To be installed."""
    problems: tuple[str, ...] = ()
    """A sentence for each that cannot be had beside what is there."""


def needs_of(requirements: Iterable[str], pins: Mapping[str, str], others: Mapping[str, Iterable[str]]) -> Needs:
    """Sort the requirements of an extension.

    Args:
        requirements: as pip names packages.
        pins: versions that the program was tested with, by package; see pinned.
        others: requirements of the other extensions, by the extension's name.
    """
    there, missing, problems = [], [], []
    for text in dict.fromkeys(requirements):
        needed = _parsed(text)
        if needed is None or (needed.marker and not needed.marker.evaluate()):
            problems += [] if needed else [requirement_problem(text, pins)]
            continue
        name, installed = canonicalize_name(needed.name), installed_version(needed.name)
        own = own_version(name, pins)
        is_met = bool(installed) and not needed.url and needed.specifier.contains(installed, prereleases=True)
        if own and not is_met and _would_change(needed, own):
            problems.append(requirement_problem(text, pins))
        elif is_met:
            there.append(text)
        elif conflict := next((who for who, mine in others.items() if _collides(needed, installed, mine)), ""):
            what = f"{name} is installed in version {installed}" if installed else f"{name} is not installed"
            problems.append(
                f"The requirement {text!r} does not go together with what the extension {conflict} needs ({what}): "
                "update or remove one of the two."
            )
        else:
            missing.append(text)
    return Needs(tuple(there), tuple(missing), tuple(problems))


def constraints(pins: Mapping[str, str], others: Mapping[str, Iterable[str]]) -> str:
    """A constraint file for pip under which nothing of the program changes, and nothing that another extension needs.

    What the program has installed counts, not what it was tested with: on a machine where a pinned release cannot be had,
    launch.py took the nearest.
    """
    names = sorted({*pins, *program_needs(), "pip"})
    lines = [f"{name}=={version}" for name in names if (version := own_version(name, pins) or installed_version(name))]
    for requirements in others.values():
        for needed in filter(None, map(_parsed, requirements)):
            name = canonicalize_name(needed.name)
            if name not in names and str(needed.specifier) and not needed.url and (not needed.marker or needed.marker.evaluate()):
                lines.append(f"{name}{needed.specifier}")
    return "".join(f"{line}\n" for line in lines)


def pinned(constraints: Path) -> dict[str, str]:
    """Versions by package, as pip's constraint files have them; {} where there is no such file."""
    if not constraints.is_file():
        return {}
    lines = (line.split("#")[0].strip() for line in constraints.read_text("utf-8").splitlines())
    found = (re.fullmatch(r"([\w.-]+)==(\S+)", line) for line in lines)
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def requirement_problem(text: str, pins: Mapping[str, str]) -> str:
    """What is wrong with a package that an extension needs, on this machine; "" where it is there and fits."""
    try:
        needed = Requirement(text)
    except InvalidRequirement as error:
        return f"The requirement {text!r} is not written as pip names packages ({str(error).splitlines()[0]})."
    name = canonicalize_name(needed.name)
    if needed.marker and not needed.marker.evaluate():
        return ""
    installed, own = installed_version(name), own_version(name, pins)
    if own and _would_change(needed, own):
        return (
            f"The requirement {text!r} would change {name}, which the program needs in version {own}: "
            "let the extension do with that one."
        )
    if not installed:
        return (
            f"The requirement {text!r} is not installed. With the program's Python: "
            f'python -m pip install -c constraints.txt "{text}".'
        )
    if not needed.url and not needed.specifier.contains(installed, prereleases=True):
        return f"The requirement {text!r} is not met: {name} is installed in version {installed}."
    return ""


def own_version(name: str, pins: Mapping[str, str]) -> str:
    """In which version the program needs a package; "" where it is none of the program's. Torch has no pin, for its build
    depends on the machine: of those that the program names, the one that is installed counts."""
    if name not in pins and name not in program_needs():
        return ""
    return installed_version(name) or pins.get(name, "")


def installed_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def program_needs() -> set[str]:
    """Packages that the program itself names, and itself."""
    try:
        lines = importlib.metadata.requires(PROGRAM) or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    return {PROGRAM, *(canonicalize_name(Requirement(line).name) for line in lines)}


def _would_change(needed: Requirement, version: str) -> bool:
    return bool(needed.url) or not needed.specifier.contains(version, prereleases=True)


def _collides(needed: Requirement, installed: str, requirements: Iterable[str]) -> bool:
    """Whether another extension needs the same package as it is, or in other versions than this one."""
    for other in _of_package(needed.name, requirements):
        if needed.url or other.url:
            return True
        if installed and other.specifier.contains(installed, prereleases=True) and not _can_both(needed, other):
            return True
    return False


def _can_both(needed: Requirement, other: Requirement) -> bool:
    """Whether one exact version that either names is one that both allow. Ranges are left to pip, which knows the releases."""
    exact = [one.version for each in (needed, other) for one in each.specifier if one.operator == "==" and "*" not in one.version]
    return all(each.specifier.contains(version, prereleases=True) for version in exact for each in (needed, other))


def _of_package(name: str, requirements: Iterable[str]) -> Iterator[Requirement]:
    for other in filter(None, map(_parsed, requirements)):
        is_meant = not other.marker or other.marker.evaluate()
        if is_meant and canonicalize_name(other.name) == canonicalize_name(name):
            yield other


def _parsed(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None
