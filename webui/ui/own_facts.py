"""What there is to choose of extensions' parts, and their own options: for script to draw the controls."""

from __future__ import annotations

from typing import Any

from webui.checkpoints import model_files
from webui.contract.options import Option, options_of
from webui.contract.registry import Registry
from webui.workspace.app import App

Row = dict[str, Any]


def own_facts(app: App) -> dict[str, Any]:
    """By kind and name the options of each part that can be chosen: samplers and schedules where they have any, all guiders,
    scripts and conditioners on request; the names that options of files and parts can have; and the scripts that run unasked
    and have no options, so that there is nothing to choose."""
    parts = app.parts
    with_options: dict[str, Registry[Any]] = {"sampler": parts.samplers, "schedule": parts.schedules}
    rows: dict[str, dict[str, tuple[Option, ...]]] = {}
    for kind, registry in with_options.items():
        every = {part.name: options_of(part.function) for part in registry}
        rows[kind] = {name: options for name, options in every.items() if options}
    rows["conditioners"] = {part.name: options_of(part.function) for part in parts.conditioners if part.on_request}
    rows["guiders"] = {part.name: options_of(part.function) for part in parts.guiders}
    rows["script"] = {part.name: options_of(part.function) for part in parts.scripts}
    every_option = [option for named in rows.values() for options in named.values() for option in options]
    told: dict[str, Any] = {
        kind: {name: [_row(option) for option in options] for name, options in named.items()} for kind, named in rows.items()
    }
    folders = sorted({option.of for option in every_option if option.kind == "file"})
    registries = sorted({option.of for option in every_option if option.kind == "part"})
    told["unasked"] = [part.name for part in parts.scripts if part.when is not None and not rows["script"][part.name]]
    told["files"] = {folder: model_files.names(app.shelf, folder) for folder in folders}
    told["parts"] = {name: _names(getattr(parts, name, None)) for name in registries}
    return told


def _names(registry: Any) -> list[str]:
    return registry.names() if isinstance(registry, Registry) else []


def _row(option: Option) -> Row:
    """What is empty is left out; 0 and false are not."""
    return {key: value for key, value in option.to_dict().items() if value not in (None, "", []) or value is False}
