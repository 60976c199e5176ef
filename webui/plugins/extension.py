"""What an extension says of itself, before anything of it runs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webui.contract import VERSION
from webui.contract.errors import PluginError

MANIFEST = "extension.toml"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
BYTES = 65536
"""That a manifest may have."""


@dataclass(frozen=True)
class Extension:
    """One extension, as found at start."""

    name: str
    version: str
    folder: Path
    description: str = ""
    requirements: tuple[str, ...] = ()
    """Python packages that it needs, as pip names them."""
    permissions: tuple[str, ...] = ()
    """What it asks for, in its own words."""
    origin: str = "data"
    """Where it was found: "project", "data" (one of the folders) or "package" (installed in the environment)."""
    offers: tuple[str, ...] = ()
    """What came in with it: "sampler My Euler"."""
    error: str = ""
    """Why it is switched off; "" when it runs, or was not asked to."""
    details: str = ""
    """The traceback behind the error, for its author."""
    is_enabled: bool = True
    """False: the user has disabled it, so nothing of it was imported in this run."""

    @property
    def is_running(self) -> bool:
        return self.is_enabled and not self.error


KEYS = ("name", "version", "contract", "description", "requirements", "permissions")
"""Of a manifest."""


def read_manifest(path: Path) -> Extension:
    """The extension that an extension.toml describes.

    Raises:
        PluginError: it cannot be read, a field is missing or of another kind, or it was written for another contract.
    """
    values = values_of(path)
    for problem in problems_of(values, path.parent.name):
        raise PluginError(problem)
    return Extension(
        name=values["name"],
        version=values["version"],
        folder=path.parent,
        description=values.get("description", ""),
        requirements=tuple(values.get("requirements", ())),
        permissions=tuple(values.get("permissions", ())),
    )


def values_of(path: Path) -> dict[str, Any]:
    """What stands in an extension.toml, unchecked.

    Raises:
        PluginError: it is missing, too large or not TOML.
    """
    folder = path.parent.name
    if not path.is_file():
        raise PluginError(f"{folder} has no {MANIFEST}, so it is no extension of this program; see docs/extensions.md.")
    try:
        with path.open("rb") as file:
            text = file.read(BYTES + 1)
        if len(text) > BYTES:
            raise PluginError(f"{folder}/{MANIFEST} is larger than {BYTES:,} bytes.")
        return tomllib.loads(text.decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PluginError(f"{folder}/{MANIFEST} cannot be read: {error}") from error


def problems_of(values: dict[str, Any], folder: str) -> Iterator[str]:
    """A sentence for each thing for which an extension with such a manifest is not loaded."""
    named = True
    for key in ("name", "version", "contract"):
        if not isinstance(values.get(key), str):
            named = named and key != "name"
            yield f'{folder}/{MANIFEST} needs a line {key} = "...".'
    if named and not NAME.fullmatch(values["name"]):
        yield (
            f"{folder}/{MANIFEST} has the name {values['name'][:80]!r}. A name has up to 64 letters without accents, digits, "
            "dots, hyphens and underscores, and begins with a letter or a digit."
        )
    if isinstance(values.get("contract"), str) and values["contract"] != VERSION:
        yield (
            f"{values['name'] if named else folder} needs contract {values['contract']}, this program has contract {VERSION}. "
            "It was switched off, everything else works; docs/extensions.md says how to move it."
        )
    if not isinstance(values.get("description", ""), str):
        yield f"{folder}/{MANIFEST}: description is to be text in quotes."
    for key in ("requirements", "permissions"):
        given = values.get(key, [])
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            yield f'{folder}/{MANIFEST}: {key} is to be a list of texts, as in {key} = ["one", "two"].'
