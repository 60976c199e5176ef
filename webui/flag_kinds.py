"""Kinds of values on the command line: each reads a text, or says in half a sentence what it must be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Flag:
    names: tuple[str, ...]
    """Ours first, then the aliases."""
    about: str
    kind: Callable[[str], Any] | None = None
    """Reads the value; None: a switch."""
    value: str = ""
    """As the help shows the value."""
    into: str = ""
    """Field of Flags, request or options; "": our name with underscores."""
    adds: bool = False
    """May be given several times."""
    folder: str = ""
    """Adds to Flags.folders under this name."""
    splits: tuple[str, ...] = ()
    """Fields that the parts of the value go into, instead of `into`."""

    @property
    def target(self) -> str:
        return self.into or self.names[0].lstrip("-").replace("-", "_")


class Wrong(Exception):
    """A value is not of its kind. The text says what it must be."""


def whole(low: int | None = None, high: int | None = None) -> Callable[[str], int]:
    def read(text: str) -> int:
        rule = f"a whole number{f' from {low} to {high}' if low is not None else ''}"
        if not re.fullmatch(r"[+-]?[0-9]{1,30}", text) or (low is not None and high is not None and not low <= int(text) <= high):
            raise Wrong(f"it must be {rule}")
        return int(text)

    return read


def number(text: str) -> float:
    if not re.fullmatch(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})", text):
        raise Wrong("it must be a number")
    return float(text)


def words(text: str) -> str:
    return text


def name(text: str) -> str:
    if not text.strip():
        raise Wrong("it must not be empty")
    return text.strip()


def path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise Wrong("it must name a file or folder")
    return Path(text).expanduser().absolute()


def file(text: str) -> Path:
    found = path(text)
    if not found.is_file():
        raise Wrong("there is no such file")
    return found


def existing(text: str) -> Path:
    found = path(text)
    if not found.exists():
        raise Wrong("there is no such file or folder")
    return found


def one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        for choice in choices:
            if choice.casefold() == text.casefold():
                return choice
        raise Wrong(f"it can be {', '.join(choices)}")

    return read


def subpath(text: str) -> str:
    """A path with one slash in front and none behind."""
    parts = [part for part in text.split("/") if part]
    if not all(re.fullmatch(r"[\w.~-]+", part, re.ASCII) and part not in (".", "..") for part in parts):
        raise Wrong("it must be a path like /sd")
    return "".join(f"/{part}" for part in parts)


def logins(text: str) -> tuple[tuple[str, str], ...]:
    """user:password, or several with commas between. A comma not followed by user: belongs to the password."""
    pieces: list[str] = []
    for piece in text.strip().split(","):
        if pieces and ":" not in piece:
            pieces[-1] += f",{piece}"
        else:
            pieces.append(piece)
    found = [piece.strip().partition(":") for piece in pieces]
    if not all(user.strip() and password for user, _, password in found):
        raise Wrong("it must be user:password")
    return tuple((user.strip(), password) for user, _, password in found)


def login_file(text: str) -> tuple[tuple[str, str], ...]:
    """A file with one or more logins in each line."""
    try:
        lines = file(text).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(f"it cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8 text'})") from None
    found = [login for line in lines if line.strip() for login in logins(line)]
    if not found:
        raise Wrong("it must hold user:password in a line")
    return tuple(found)


def origins(text: str) -> tuple[str, ...]:
    found = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    if not all(part == "*" or re.fullmatch(r"https?://[^/\s]+", part) for part in found):
        raise Wrong("it must be origins like https://example.org, with commas between")
    return found


def listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error:
        raise Wrong("it must be a regular expression") from None
    return text


def pair(text: str) -> tuple[int, int]:
    """Two whole numbers with an x between: 1024x768."""
    found = re.fullmatch(r"([0-9]{1,9})[xX]([0-9]{1,9})", text.strip())
    if not found:
        raise Wrong("it must be two numbers like 1024x768")
    return int(found[1]), int(found[2])


def json_object(text: str) -> dict[str, Any]:
    """Named values in JSON."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)  # NaN, which JSON has not

    try:
        value = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Wrong('it must be named values in JSON, like {"push": 1.2}')
    return value


def with_options(text: str) -> tuple[str, dict[str, Any]]:
    """A name, or a name and its options in JSON: NAME:{"push": 1.2}."""
    found = re.fullmatch(r"(.+?)\s*:\s*(\{.*\})\s*", text, re.DOTALL)
    return (found[1].strip(), json_object(found[2])) if found else (name(text), {})


def chosen(text: str) -> tuple[tuple[str, dict[str, Any]]]:
    """As with_options, for a flag that may be given several times."""
    return (with_options(text),)


def json_list(text: str) -> list[Any]:
    """A list in JSON, or a file that holds one."""
    source = text
    if not text.lstrip().startswith("["):
        try:
            source = file(text).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise Wrong(f"it cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8 text'})") from None
    try:
        value = json.loads(source)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise Wrong("it must be a list in JSON, or a file that holds one")
    return value
