"""webui extensions install | update | rollback | remove | lock: what is asked for is shown, and nothing runs before a yes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from webui.contract.errors import StartError
from webui.plugins.installing import Installer, Staged
from webui.plugins.lock import Row
from webui.plugins.sources import read_source

INSTALLING = {
    "install": "webui extensions install https://example.org/my-sampler.git",
    "update": "webui extensions update my-sampler",
    "rollback": "webui extensions rollback my-sampler",
    "remove": "webui extensions remove my-sampler",
    "lock": "",
}
"""What can be done, and how it looks where it needs a word."""
NEXT_START = "It runs from the next start on."


def change(action: str, word: str, options: Mapping[str, Any], installer: Installer) -> int:
    """One of INSTALLING; 0, or 1 where the user did not say yes.

    Raises:
        StartError, InstallError, UnknownNameError: it cannot be done; all is as before.
    """
    locked = options.get("lock")
    if locked and (action != "install" or word):
        raise StartError("--lock goes with install alone, and names all that is installed: webui extensions install --lock FILE.")
    if options.get("source") and action != "update":
        raise StartError(f"--from goes with update alone, as in: {INSTALLING['update']} --from my-sampler-2.zip.")
    if INSTALLING[action] and not word and not locked:
        raise StartError(f"webui extensions {action} needs a word more, as in: {INSTALLING[action]}.")
    if action == "lock" and word:
        raise StartError(f"{word!r} is one word too many for webui extensions lock.")
    if action == "install":
        return _install(word, locked, bool(options.get("yes")), installer)
    if action == "update":
        return _update(word, str(options.get("source", "")), bool(options.get("yes")), installer)
    if action == "rollback":
        row = installer.rollback(word)
        print(f"{row.name} is back in version {row.version}. {NEXT_START}")
    elif action == "remove":
        print(_removed(installer, word))
    else:
        _lock(installer, options.get("json"))
    return 0


def _install(word: str, locked: Path | None, says_yes: bool, installer: Installer) -> int:
    if locked is not None:
        staged = installer.stage_lock(locked, _tell)
        if not staged:
            print(f"All that {locked.name} names is there already.")
            return 0
    else:
        staged = [installer.stage(read_source(word, Path.cwd()), _tell)]
    return _put(staged, says_yes, installer)


def _update(word: str, source: str, says_yes: bool, installer: Installer) -> int:
    staged = installer.stage_update(word, read_source(source, Path.cwd()) if source else None, _tell)
    if staged.is_there:
        installer.discard(staged)
        print(f"{staged.row.name} {staged.row.version} is the newest that {staged.row.source} has.")
        return 0
    if staged.replaces and installer.is_changed(staged.replaces):
        print(f"The folder of {staged.row.name} was changed since it came; as it is, it is kept as the version before.")
    return _put([staged], says_yes, installer)


def _put(staged: list[Staged], says_yes: bool, installer: Installer) -> int:
    """Show, ask, install."""
    rest = list(staged)
    try:
        for one in staged:
            print(*shown(one), sep="\n")
        if not says_yes and not _agreed(len(staged)):
            print("Nothing was installed.")
            return 1
        while rest:
            row = installer.install(rest.pop(0), _tell)
            print(f"{row.name} {row.version} is installed. {NEXT_START}")
    finally:
        for one in rest:
            installer.discard(one)
    return 0


def shown(staged: Staged) -> list[str]:
    """What an extension asks for, in lines."""
    row, extension = staged.row, staged.extension
    version = f"{staged.replaces.version} -> {row.version}" if staged.replaces else row.version
    lines = [f"{row.name} {version}, from {row.source} ({row.what})"]
    lines += [f"  {extension.description}"] if extension.description else []
    lines.append(f"  asks for: {', '.join(extension.permissions) or 'nothing by name'}")
    if staged.needs.there:
        lines.append(f"  needs: {', '.join(staged.needs.there)} (there)")
    if staged.needs.missing:
        lines.append(f"  needs, to be installed by pip: {', '.join(staged.needs.missing)}")
    return list(map(_plain, lines))


def _plain(line: str) -> str:
    """Without what would move a terminal's cursor or change its colours: it is a stranger's text."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def _agreed(count: int) -> bool:
    """Whether the user says yes. Where nobody can be asked, nobody does."""
    what = "it" if count == 1 else f"these {count}"
    print("An extension is a program: it can do whatever you can do on this machine.")
    if not sys.stdin or not sys.stdin.isatty():
        print(f"Nobody can be asked here: with --yes, {what} would be installed now.")
        return False
    try:
        return input(f"Install {what}? [y/N] ").strip().casefold() in ("y", "yes")
    except EOFError:
        return False


def _removed(installer: Installer, word: str) -> str:
    row = installer.row(word)
    packages = " Packages that it needed stay, others may need them." if not row.package else ""
    row = installer.remove(word)
    back = INSTALLING["rollback"].replace("my-sampler", row.name)
    return f"{row.name} is removed; its settings stay, and {back} brings it back.{packages}"


def _lock(installer: Installer, target: Path | None) -> None:
    rows, left_out = installer.refresh()
    if target:
        target.write_text(json.dumps({"extensions": [asdict(row) for row in rows]}, indent=1, ensure_ascii=False), "utf-8")
    print(f"{installer.lock_file} has:", *map(_line, rows), *["  (none)"] * (not rows), sep="\n")
    if left_out:
        print(f"Not in it, for they came with the program or were put there by hand: {', '.join(left_out)}.")


def _line(row: Row) -> str:
    return f"  {row.name} {row.version}, from {row.source} ({row.what})"


def _tell(words: str) -> None:
    print(f"{words} ...", file=sys.stderr, flush=True)
