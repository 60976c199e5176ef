"""Which commands extensions have, remembered: that is known only once they are loaded, and the help need not wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from webui.contract.errors import SaveError
from webui.contract.more_parts import CommandPart
from webui.contract.registry import Registry
from webui.workspace.files import read_json, write_json


def remember(file: Path, commands: Registry[CommandPart]) -> None:
    """Keep names and what they are for, for the next --help; written only where they are others than before."""
    found = {part.name: part.about for part in commands}
    if found != remembered(file):
        with suppress(SaveError):  # a folder that is only read: --help tells less
            write_json(file, found)


def remembered(file: Path) -> Mapping[str, str]:
    """Commands that extensions offered when they were loaded last."""
    values = read_json(file)
    found = values if isinstance(values, dict) else {}
    return {name: about for name, about in found.items() if isinstance(about, str)}
