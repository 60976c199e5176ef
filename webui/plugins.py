"""Finds extensions, asks every plugin separately, fills the registries.

pluggy ends a whole hook call at the first exception, so each plugin is asked by itself: one that fails is named and
switched off, and everything it had offered is taken back; the rest start.
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from webui.contract import PROJECT, VERSION, hookspecs
from webui.contract.errors import PluginError
from webui.contract.parts import ConditionerPart, Family, Parts, SamplerPart, SchedulePart


@dataclass(frozen=True)
class Extension:
    """One folder under extensions/, as found at start."""

    name: str
    version: str
    folder: Path
    error: str = ""
    """Why it is switched off; "" when it runs."""
    details: str = ""
    """The traceback behind the error, for its author."""


def manager() -> pluggy.PluginManager:
    made = pluggy.PluginManager(PROJECT)
    made.add_hookspecs(hookspecs)
    return made


def fill(parts: Parts, plugins: pluggy.PluginManager, name: str) -> None:
    """Ask the plugin of that name for its parts.

    Raises:
        PluginError: it raised, or took a name that is taken. Nothing of it stays.
    """

    def sampler(part_name: str, function: Any, **options: Any) -> None:
        parts.samplers.add(SamplerPart(part_name, function, **options), name)

    def schedule(part_name: str, function: Any, **options: Any) -> None:
        parts.schedules.add(SchedulePart(part_name, function, **options), name)

    def conditioner(part_name: str, function: Any, **options: Any) -> None:
        parts.conditioners.add(ConditionerPart(part_name, function, **options), name)

    def family(row: Family) -> None:
        parts.families.add(row, name)

    registers = {
        "register_samplers": sampler,
        "register_schedules": schedule,
        "register_conditioners": conditioner,
        "register_families": family,
    }
    plugin = plugins.get_plugin(name)
    others = [other for _, other in plugins.list_name_plugin() if other is not plugin]
    try:
        for hook, register in registers.items():
            plugins.subset_hook_caller(hook, others)(register=register)
    except (Exception, SystemExit) as error:  # an extension may raise anything; it must not take the program down
        for registry in parts.registries():
            registry.remove_owner(name)
        if isinstance(error, PluginError):
            raise
        raise PluginError(f"{name} failed while it offered its parts: {type(error).__name__}: {error}") from error


def load_extensions(parts: Parts, plugins: pluggy.PluginManager, folders: Iterable[Path]) -> tuple[Extension, ...]:
    """Load every extension of the folders, each by itself; a failing one comes back with its error."""
    found: list[Extension] = []
    for folder in folders:
        for manifest in sorted(folder.glob("*/extension.toml")):
            extension = Extension(manifest.parent.name, "", manifest.parent)
            try:
                extension = read_manifest(manifest)
                if any(other.name == extension.name for other in found):
                    raise PluginError(
                        f"An extension called {extension.name!r} is there already; this one in {folder.name} was left out."
                    )
                plugins.register(import_extension(extension), name=extension.name)
                fill(parts, plugins, extension.name)
            except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever it did is shown, and ends nothing)
                if plugins.has_plugin(extension.name):
                    plugins.unregister(name=extension.name)
                sentence = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
                extension = replace(extension, error=sentence, details=traceback.format_exc())
            found.append(extension)
    return tuple(found)


def read_manifest(path: Path) -> Extension:
    """The extension that an extension.toml describes.

    Raises:
        PluginError: a field is missing, or it was written for another contract.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PluginError(f"{path.parent.name}/extension.toml cannot be read: {error}") from error
    for key in ("name", "version", "contract"):
        if not isinstance(values.get(key), str):
            raise PluginError(f'{path.parent.name}/extension.toml needs a line {key} = "...".')
    if values["contract"] != VERSION:
        raise PluginError(
            f"{values['name']} needs contract {values['contract']}, this program has contract {VERSION}. "
            "It was switched off; everything else works."
        )
    return Extension(values["name"], values["version"], path.parent)


def import_extension(extension: Extension) -> ModuleType:
    """Import extension.py as a package of its own: its folder is not put on the common path, and `from . import x` finds
    its files."""
    name = "webui_extension_" + "".join(c if c.isalnum() else "_" for c in extension.name)
    path = extension.folder / "extension.py"
    if not path.exists():
        raise PluginError(f"{extension.name} has no extension.py.")
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(extension.folder)])
    if spec is None or spec.loader is None:
        raise PluginError(f"{extension.name}/extension.py cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
