"""webui extensions [list | new NAME | check PATH | install SOURCE | update NAME | ...]: for those who use extensions, and for
those who write them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pluggy

from webui.contract.errors import StartError
from webui.contract.parts import Parts
from webui.plugins.checking import Try, check
from webui.plugins.extension import Extension
from webui.plugins.install_command import INSTALLING, change
from webui.plugins.installing import Installer
from webui.plugins.loading import MakeOwn
from webui.plugins.making import make
from webui.plugins.requirements import pinned

ACTIONS = {
    "list": "",
    "new": "webui extensions new my-sampler",
    "check": "webui extensions check extensions/my-sampler",
    **INSTALLING,
}
"""And how those that need a word look."""


@dataclass(frozen=True)
class Program:
    """What the roof lends."""

    folders: list[Path]
    """In which extensions lie, the user's last."""
    constraints: Path
    find: Callable[[], tuple[Parts, tuple[Extension, ...]]]
    """Loads all of them."""
    built_in: Callable[[], tuple[Parts, pluggy.PluginManager]]
    """The program's own parts, and who offers them."""
    tries: Try
    own: Callable[[Parts], MakeOwn]
    """With the registries: an extension's name to what is its own."""
    installer: Callable[[], Installer]


def run(options: Mapping[str, Any], program: Program) -> int:
    """One of ACTIONS; 0, or 1 where something is wrong with an extension that was checked, or the user did not say yes.

    Raises:
        StartError, InstallError, UnknownNameError: what was asked cannot be done.
    """
    action, word = options.get("action", "list"), options.get("name", "")
    if action not in ACTIONS:
        near = difflib.get_close_matches(action, ACTIONS, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(ACTIONS)}."
        raise StartError(f"webui extensions has no {action!r}. {hint}")
    if action in INSTALLING:
        return change(action, word, options, program.installer())
    if ACTIONS[action] and not word:
        raise StartError(f"webui extensions {action} needs a word more, as in: {ACTIONS[action]}.")
    if action == "new":
        return _new(word, program)
    if action == "check":
        return _check(word, program, options.get("json"))
    if word:
        raise StartError(f"{word!r} is one word too many for webui extensions list.")
    return _list(program.find()[1], options.get("json"))


def _list(extensions: tuple[Extension, ...], target: Path | None) -> int:
    print("extensions:", *(f"  {_line(one)}" for one in extensions), *["  (none)"] * (not extensions), sep="\n")
    if target:
        rows = [
            {
                "name": one.name, "version": one.version, "description": one.description, "origin": one.origin,
                "folder": str(one.folder), "requirements": one.requirements, "permissions": one.permissions,
                "offers": one.offers, "error": one.error, "is_enabled": one.is_enabled,
            }
            for one in extensions
        ]  # fmt: skip
        target.write_text(json.dumps({"extensions": rows}, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


def _line(one: Extension) -> str:
    is_off = f"is off: {one.error}" if one.error else "" if one.is_enabled else "is disabled"
    tells = is_off or ", ".join(one.offers) or "offers nothing"
    return f"{f'{one.name} {one.version}'.rstrip()} ({one.origin})  {tells}"


def _new(name: str, program: Program) -> int:
    parts, extensions = program.find()
    taken = {one.name: f"There is an extension called {one.name} already, in {one.folder}." for one in extensions}
    for own, _ in program.built_in()[1].list_name_plugin():
        taken[own] = f"{own} is the name of a part of the program itself."
    place = make(name, program.folders[-1], taken, parts.samplers)
    print(*(place / file for file in sorted(path.name for path in place.iterdir())), sep="\n")
    print(f"Its sampler is in the menu from the next start on. Its test: python -m pytest {place}")
    return 0


def _check(word: str, program: Program, target: Path | None) -> int:
    place = Path(word).expanduser()
    if not place.exists():  # a name is as good as a path
        place = next((folder / word for folder in program.folders if (folder / word).is_dir()), place)
    parts, plugins = program.built_in()
    checked = check(place, parts, plugins, pinned(program.constraints), program.tries, program.own(parts))
    extension, problems = checked.extension, checked.problems
    if target:
        told = {"name": extension.name, "version": extension.version, "offers": extension.offers, "problems": problems}
        target.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    if problems:
        print(*problems, sep="\n")
        if checked.details:
            print(f"\n{checked.details.rstrip()}")
        return 1
    print(f"{extension.name} {extension.version} is all right. It offers:")
    print(*(f"  {offer}" for offer in extension.offers or ["nothing"]), sep="\n")
    return 0
