"""extensions.lock: which extensions were installed, and exactly what of them, so that the same set can be made elsewhere."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from webui.contract.errors import InstallError
from webui.plugins.extension import NAME
from webui.plugins.fetching import COMMIT
from webui.plugins.sources import KINDS

FORMAT = 1
BYTES = 2**20
"""That a lock file may have."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Row:
    """One installed extension."""

    name: str
    version: str
    """Its own; of a package that of the package."""
    kind: str
    """One of sources.KINDS."""
    source: str
    commit: str = ""
    """Of git."""
    sha256: str = ""
    """Of the zip, or of the package's wheel."""
    files: str = ""
    """SHA-256 over all files, see unpacking.digest; "" for a package, whose files pip keeps."""
    package: str = ""
    """Its name for pip."""

    @property
    def what(self) -> str:
        """What identifies it beside its version: the beginning of a commit or a checksum."""
        return f"commit {self.commit[:10]}" if self.commit else f"SHA-256 {(self.sha256 or self.files)[:10]}"

    @property
    def is_exact(self) -> bool:
        return bool(self.commit or self.sha256 or self.files)

    def is_same(self, other: Row) -> bool:
        """Whether both are the very same files."""
        mine, theirs = (self.commit, self.sha256, self.files), (other.commit, other.sha256, other.files)
        return (self.name.casefold(), self.kind) == (other.name.casefold(), other.kind) and any(
            one and one == another for one, another in zip(mine, theirs, strict=True)
        )


def read(path: Path) -> tuple[Row, ...]:
    """The rows of a lock file in the order in which they stand; () where there is no such file.

    Raises:
        InstallError: it is damaged, or of a later program.
    """
    try:
        with path.open("rb") as file:
            text = file.read(BYTES + 1)
        if len(text) > BYTES:
            raise InstallError(f"{path} is larger than {BYTES:,} bytes, so it is no list of extensions.")
        values = json.loads(text)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, RecursionError) as error:
        raise InstallError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is damaged'}.") from None
    if not isinstance(values, dict) or not isinstance(values.get("extensions"), list):
        raise InstallError(f"{path} is no list of extensions.")
    if values.get("format") != FORMAT:
        raise InstallError(f"{path} is of another version of the program ({values.get('format')!r} instead of {FORMAT}).")
    rows = tuple(_row(row, path) for row in values["extensions"])
    names = [row.name.casefold() for row in rows]
    if len(set(names)) < len(names):
        raise InstallError(f"{path} has two extensions of one name.")
    return rows


def write(path: Path, rows: Iterable[Row]) -> None:
    """Replace a lock file: beside, then renamed. Raises InstallError."""
    shown = [
        {key: value for key, value in asdict(row).items() if value}
        for row in sorted(rows, key=lambda row: row.name.casefold())
    ]  # fmt: skip
    values = {
        "about": "Extensions of Latent WebUI. Made again elsewhere by: webui extensions install --lock extensions.lock",
        "format": FORMAT,
        "extensions": shown,
    }
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            file.write(json.dumps(values, indent=1, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InstallError(f"{path.name} cannot be written: {error.strerror or error}.") from None


def _row(values: Any, path: Path) -> Row:
    known = tuple(Row.__dataclass_fields__)
    if not isinstance(values, dict) or not all(isinstance(values.get(key, ""), str) for key in known):
        raise InstallError(f"{path} has a line that is no extension.")
    row = Row(**{key: values.get(key, "") for key in known})
    sums = [_SHA256.fullmatch(each) for each in (row.sha256, row.files) if each]
    sums += [COMMIT.fullmatch(row.commit)] if row.commit else []
    if not (NAME.fullmatch(row.name) and row.kind in KINDS and row.source and all(sums)):
        raise InstallError(f"{path} has a line that is no extension ({row.name[:80]!r}).")
    return row
