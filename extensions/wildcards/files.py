"""The files of wildcards: NAME.txt in the extension's own folder and below it, one choice a line."""

from __future__ import annotations

import fnmatch
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from webui.contract.errors import FieldError

from .grammar import Choices, choices_of

MOST_BYTES = 10 * 2**20
_NAME = re.compile(r"[\w\-. ]{1,80}(/[\w\-. ]{1,80}){0,7}")


class Shelf:
    """Finds, reads and writes them; what it has read once, it knows. Make one for each job or question.

    Args:
        own: the user's folder; only there is something written.
        others: further folders. A name that stands in several is the first one's.
    """

    def __init__(self, own: Path, *others: Path) -> None:
        self.own, self.others = own, others
        self._known: dict[str, Path] | None = None
        self._lines: dict[str, Choices | None] = {}

    def names(self) -> list[str]:
        return sorted(self._found())

    def lines(self, name: str) -> Choices | None:
        """The choices of a file, or of all files whose names fit a pattern like animals/*; None: there is none."""
        name = name.casefold()
        if name not in self._lines:
            found = {key.casefold(): path for key, path in self._found().items()}
            names = sorted(fnmatch.filter(found, name)) if "*" in name else [name] if name in found else []
            lines = (line for each in names for line in _choices(_text(found[each])))
            self._lines[name] = choices_of(lines) if names else None
        return self._lines[name]

    def text(self, name: str) -> str:
        """A file as it is written. Raises FieldError: there is none."""
        found = self._found()
        if name not in found:
            raise FieldError("name", f"No wildcard is called {name[:80]!r}.")
        return _text(found[name])

    def is_own(self, name: str) -> bool:
        return self._place(name).is_file()

    def write(self, name: str, text: str) -> None:
        """Make a file of the user's, or replace it: a reader sees the old one or the new one.

        Raises:
            FieldError: it cannot be called so, or is too large.
        """
        place, data = self._place(name), text.replace("\r\n", "\n").encode("utf-8", "replace")
        if len(data) > MOST_BYTES:
            raise FieldError("text", f"A wildcard can have {MOST_BYTES // 2**20} MB.")
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        beside.write_bytes(data)
        os.replace(beside, place)
        self._forget()

    def delete(self, name: str) -> None:
        """Take away a file of the user's. Raises FieldError: there is none."""
        if not self.is_own(name):
            raise FieldError("name", f"{name[:80]!r} is none of your own wildcards, so it stays.")
        self._place(name).unlink()
        self._forget()

    def _forget(self) -> None:
        self._known = None
        self._lines.clear()

    def _place(self, name: str) -> Path:
        if not _NAME.fullmatch(name) or any(part.startswith(".") or part.strip() != part for part in name.split("/")):
            words = "letters, digits, spaces, -, _ and dots, and / between folders"
            raise FieldError("name", f"A wildcard cannot be called {name[:80]!r}. A name has {words}.")
        return self.own / f"{name}.txt"

    def _found(self) -> dict[str, Path]:
        if self._known is None:
            self._known = {}
            for folder in reversed((self.own, *self.others)):
                self._known |= {path.relative_to(folder).with_suffix("").as_posix(): path for path in _files(folder)}
        return self._known


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.txt")) if folder.is_dir() else ():
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _text(path: Path) -> str:
    """UTF-8, or what it is elsewhere; at most MOST_BYTES of it."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES)
    except OSError:
        return ""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _choices(text: str) -> list[str]:
    """The lines that are neither empty nor comments."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
