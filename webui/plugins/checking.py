"""One extension, looked over for its author: everything that is wrong with it, before a user meets it."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pluggy

from webui.contract.errors import PluginError, StartError
from webui.contract.parts import Parts
from webui.plugins.containing import Attempt
from webui.plugins.extension import KEYS, MANIFEST, Extension, problems_of, values_of
from webui.plugins.loading import MakeOwn, look_over
from webui.plugins.requirements import requirement_problem

LIMIT = 30.0
"""Seconds that its parts may take when they are tried; a checkpoint may be opened for it."""


@dataclass(frozen=True)
class Checked:
    extension: Extension
    """As it would be known after a start."""
    problems: tuple[str, ...]
    """A sentence each, those of the manifest first; () where nothing is wrong."""
    details: str = ""
    """The traceback of what it raised."""


Try = Callable[[Parts, str], Iterable[PluginError]]
"""(parts, name of an extension) -> what is wrong with its parts, which are called as the answer is gone through."""


def check(place: Path, parts: Parts, plugins: pluggy.PluginManager, pins: Mapping[str, str], tries: Try, own: MakeOwn) -> Checked:
    """Look over the extension of a folder: load it as at start, beside the parts that are there, and call what it offers.

    Args:
        place: its folder, or a file in it.
        parts, plugins: of the program; filled with it where nothing of it is wrong.
        pins: the versions that the program was tested with, by package; see requirements.pinned.
        tries: calls its parts.
        own: an extension's name to what is its own.

    Raises:
        StartError: there is no such folder.
    """
    folder = place.absolute() if place.is_dir() else place.absolute().parent
    if not place.exists():
        raise StartError(f"There is no folder {place}. Name the folder of an extension, the one with its {MANIFEST}.")
    try:
        values = values_of(folder / MANIFEST)
    except PluginError as error:
        return Checked(Extension(folder.name, "", folder, error=str(error)), (str(error),))
    manifest = [*problems_of(values, folder.name), *_unknown_keys(values, folder.name)]
    requirements = values.get("requirements")
    needs = [text for text in requirements if isinstance(text, str)] if isinstance(requirements, list) else []
    manifest += [problem for text in needs if (problem := requirement_problem(text, pins))]
    extension, faults = look_over(parts, plugins, folder, own)
    if not extension.error:
        faults = _tried(extension.name, parts, tries)
    details = extension.details or "".join(
        "".join(traceback.format_exception(fault.__cause__)) for fault in faults if fault.__cause__
    )
    loading = [str(fault) for fault in faults] or [extension.error] * bool(extension.error)
    return Checked(extension, tuple(dict.fromkeys([*manifest, *loading])), details)


def _tried(name: str, parts: Parts, tries: Try) -> list[PluginError]:
    found = tries(parts, name)  # what the program itself imports for that is no time of the extension's
    attempt = Attempt(f"trial of {name}", lambda: list(found))
    if not attempt.is_over(LIMIT):
        attempt.abandon()
        return [PluginError(f"{name} had not come to an end after {LIMIT:g} seconds when its parts were tried.")]
    if attempt.error is not None:
        return [PluginError(f"{name} failed when its parts were tried: {type(attempt.error).__name__}: {attempt.error}")]
    return attempt.answer or []


def _unknown_keys(values: Mapping[str, object], folder: str) -> Iterator[str]:
    for key in values:
        if key in KEYS:
            continue
        near = difflib.get_close_matches(key, KEYS, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(KEYS)}."
        yield f"{folder}/{MANIFEST} has an unknown line {key}. {hint}"
