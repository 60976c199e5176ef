"""Finds extensions and loads each by itself: whatever one of them does, it is named and switched off, and the rest start."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from webui.contract.errors import PluginError
from webui.contract.own import Own
from webui.contract.parts import Parts
from webui.plugins.containing import Attempt, Surroundings
from webui.plugins.extension import MANIFEST, Extension, read_manifest
from webui.plugins.offers import Offer, offers_of, take_in

ENTRY_POINTS = "webui.extensions"
"""Group under which an installed package names its module: its extension.toml lies beside it."""
PATIENCE = 0.5
"""Seconds after which the next extension need not wait for this one any more."""
MakeOwn = Callable[[str], Own]
LIMIT = 10.0
"""Seconds that one extension may take."""


@dataclass
class _Candidate:
    """One that was found, on its way."""

    extension: Extension
    entry: importlib.metadata.EntryPoint | None = None
    attempt: Attempt[tuple[ModuleType, list[Offer]]] | None = None
    faults: list[PluginError] | None = None
    """Takes all that is wrong with its parts, for who looks it over; else the first switches it off."""

    @property
    def package(self) -> str:
        """Name of its module."""
        return "webui_extension_" + "".join(c if c.isalnum() else "_" for c in self.extension.name)


def find_extensions(folders: Iterable[Path]) -> tuple[Extension, ...]:
    """What there is, as the manifests tell it; nothing of it is imported."""
    return tuple(replace(one.extension, is_enabled=False) for one in _found(folders))


def load_extensions(
    parts: Parts, plugins: pluggy.PluginManager, folders: Iterable[Path], own: MakeOwn, disabled: Collection[str] = ()
) -> tuple[Extension, ...]:
    """Load every extension of the folders, then those of installed packages. A failing one comes back with its error.

    Args:
        parts: is filled. plugins: where those that run are registered.
        folders: extensions/ of the project, then of the data folder; of two of one name the first is loaded.
        own: an extension's name to what is its own.
        disabled: names, in any case of letters, of which nothing is imported.
    """
    found, off = list(_found(folders)), {name.casefold() for name in disabled}
    for one in found:
        one.extension = replace(one.extension, is_enabled=one.extension.name.casefold() not in off)
    return _loaded(found, parts, plugins, own)


def look_over(parts: Parts, plugins: pluggy.PluginManager, folder: Path, own: MakeOwn) -> tuple[Extension, list[PluginError]]:
    """Load the extension of one folder as at start, and all that is wrong with it; it goes on behind the first fault."""
    one = _in_folder(folder, "data")
    one.faults = []
    (extension,) = _loaded([one], parts, plugins, own)
    return extension, one.faults


def _loaded(found: list[_Candidate], parts: Parts, plugins: pluggy.PluginManager, own: MakeOwn) -> tuple[Extension, ...]:
    around, names = Surroundings(), dict[str, Extension]()
    ours = {name.casefold() for name, _ in plugins.list_name_plugin()}
    for one in found:
        if not one.extension.is_enabled:
            continue
        if not one.extension.error and (reason := _taken(one.extension, names, ours)):
            one.extension = _off(one.extension, PluginError(reason))
        if one.extension.error:
            continue
        one.attempt = Attempt(f"extension {one.extension.name}", lambda one=one: _load(one, own))  # type: ignore[misc]
        if one.attempt.is_over(PATIENCE):
            around.restore(one.extension.folder, one.package)
    return tuple(_taken_in(one, parts, plugins, around) for one in found)


def _taken(extension: Extension, names: dict[str, Extension], ours: set[str]) -> str:
    """Why it cannot have its name; "" where it has it from now on."""
    name = extension.name.casefold()
    if name in ours:
        return f"{extension.name} is the name of a part of the program itself, so the extension needs another one."
    first = names.setdefault(name, extension)
    if first is extension:
        return ""
    return (
        f"An extension called {first.name!r} is there already, in {_place(first)}; the one in {_place(extension)} was left out."
    )


def _found(folders: Iterable[Path]) -> Iterator[_Candidate]:
    for number, folder in enumerate(folders):
        origin = "project" if number == 0 else "data"
        for place in sorted(one for one in folder.glob("*") if _may_be_one(one)):
            yield _in_folder(place, origin)
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        yield _of_package(entry)


def _in_folder(place: Path, origin: str) -> _Candidate:
    try:
        return _Candidate(replace(read_manifest(place / MANIFEST), origin=origin))
    except PluginError as error:
        return _Candidate(_off(Extension(_legible(place.name), "", place, origin=origin), error))


def _may_be_one(place: Path) -> bool:
    """Whether somebody thinks that this folder is an extension, of this program or of another."""
    if place.name.startswith((".", "_")) or not place.is_dir():
        return False
    return (place / MANIFEST).is_file() or (place / "scripts").is_dir() or any(place.glob("*.py"))


def _of_package(entry: importlib.metadata.EntryPoint) -> _Candidate:
    blank = Extension(entry.name, entry.dist.version if entry.dist else "", Path(), origin="package")
    try:
        spec = importlib.util.find_spec(entry.module.partition(".")[0])  # of a whole package, so that nothing runs yet
        if spec is None or spec.origin is None:
            raise PluginError(f"{entry.name} names the module {entry.module}, which is not there.")
        manifest = Path(spec.origin).parent.joinpath(*entry.module.split(".")[1:-1], MANIFEST)
        if not manifest.is_file():
            raise PluginError(f"{entry.name} has no {MANIFEST} beside its module {entry.module}.")
        return _Candidate(replace(read_manifest(manifest), origin="package"), entry)
    except (PluginError, ImportError, ValueError) as error:
        return _Candidate(_off(blank, error))


def _load(one: _Candidate, own: MakeOwn) -> tuple[ModuleType, list[Offer]]:
    module = import_extension(one.extension, one.package) if one.entry is None else one.entry.load()
    return module, offers_of(module, one.extension.name, own(one.extension.name), one.faults)


def _taken_in(one: _Candidate, parts: Parts, plugins: pluggy.PluginManager, around: Surroundings) -> Extension:
    """The extension as it is known from then on: in order, so that it does not matter who was quick."""
    extension, attempt = one.extension, one.attempt
    if attempt is None:
        return extension
    if not attempt.is_over(LIMIT):
        attempt.abandon()
        around.restore(extension.folder, one.package)
        return _off(extension, PluginError(f"{extension.name} had not loaded after {LIMIT:g} seconds."))
    around.restore(extension.folder, one.package)
    if attempt.error is not None or attempt.answer is None:
        error = attempt.error or PluginError(f"{extension.name} ended without a word.")
        return replace(_off(extension, error), details=_legible(attempt.details))
    module, offered = attempt.answer
    try:
        take_in(parts, offered, extension.name, one.faults)
        if one.faults:
            return _off(extension, one.faults[0])
        plugins.register(module, name=extension.name)
    except (PluginError, ValueError) as error:
        return _off(extension, error)
    return replace(extension, offers=tuple(map(str, offered)))


def _off(extension: Extension, error: BaseException) -> Extension:
    words = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
    return replace(extension, error=_legible(words))


def _legible(text: str) -> str:
    """Without the halves of letters that stand for a file name's bytes where these are no UTF-8: nothing could write them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _place(extension: Extension) -> str:
    return f"{extension.folder.parent.name}/{extension.folder.name} ({extension.origin})"


def import_extension(extension: Extension, package: str) -> Any:
    """Import extension.py as a package of its own: its folder is not put on the common path, and `from . import x` finds
    its files."""
    path = extension.folder / "extension.py"
    if not path.is_file():
        raise PluginError(f"{extension.name} has no extension.py.")
    spec = importlib.util.spec_from_file_location(package, path, submodule_search_locations=[str(extension.folder)])
    if spec is None or spec.loader is None:
        raise PluginError(f"{extension.name}/extension.py cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(package, None)
        raise
    return module
