"""What an extension says of itself, before anything of it runs."""

from __future__ import annotations

import re
import tomllib
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
    """Why it is switched off; "" when it runs."""
    details: str = ""
    """The traceback behind the error, for its author."""


def read_manifest(path: Path) -> Extension:
    """The extension that an extension.toml describes.

    Raises:
        PluginError: it cannot be read, a field is missing or of another kind, or it was written for another contract.
    """
    folder = path.parent.name
    if not path.is_file():
        raise PluginError(f"{folder} has no {MANIFEST}, so it is no extension of this program; see docs/extensions.md.")
    try:
        with path.open("rb") as file:
            text = file.read(BYTES + 1)
        if len(text) > BYTES:
            raise PluginError(f"{folder}/{MANIFEST} is larger than {BYTES:,} bytes.")
        values = tomllib.loads(text.decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PluginError(f"{folder}/{MANIFEST} cannot be read: {error}") from error
    for key in ("name", "version", "contract"):
        if not isinstance(values.get(key), str):
            raise PluginError(f'{folder}/{MANIFEST} needs a line {key} = "...".')
    if not NAME.fullmatch(values["name"]):
        raise PluginError(
            f"{folder}/{MANIFEST} has the name {values['name'][:80]!r}. A name has up to 64 letters without accents, digits, "
            "dots, hyphens and underscores, and begins with a letter or a digit."
        )
    if values["contract"] != VERSION:
        raise PluginError(
            f"{values['name']} needs contract {values['contract']}, this program has contract {VERSION}. "
            "It was switched off; everything else works."
        )
    if not isinstance(values.get("description", ""), str):
        raise PluginError(f"{folder}/{MANIFEST}: description is to be text in quotes.")
    return Extension(
        name=values["name"],
        version=values["version"],
        folder=path.parent,
        description=values.get("description", ""),
        requirements=_texts(values, "requirements", folder),
        permissions=_texts(values, "permissions", folder),
    )


def _texts(values: dict[str, Any], key: str, folder: str) -> tuple[str, ...]:
    given = values.get(key, [])
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise PluginError(f'{folder}/{MANIFEST}: {key} is to be a list of texts, as in {key} = ["one", "two"].')
    return tuple(given)
