"""What was found out about checkpoints, kept from one start to the next: reading the headers of thousands takes minutes.

A record counts while the file has the size and time that it had, and only for the very code that made it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from webui.checkpoints.build import Identity
from webui.checkpoints.scan import Found
from webui.contract.parts import Encoder, Family

_log = logging.getLogger(__name__)
CODE = (
    "build.py", "configuration.py", "families.py", "files.py", "folder_identity.py", "foreign.py", "identify.py", "pickled.py",
    "remembered.py", "scan.py", "layout",
)  # fmt: skip
"""What decides what a checkpoint is. Where it changes, all is found out again."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One checkpoint, as it was when it was last looked at."""

    found: Found
    facts: Mapping[str, str]
    """What was learnt of it besides (see Catalog.learn)."""
    identity: Identity | None
    error: str


class Remembered:
    """The records in a file. One that cannot be read, or is of other code, counts as empty.

    Args:
        path: JSON; written as a whole, beside and renamed.
        families: the rows, which a record names and changes.
    """

    def __init__(self, path: Path, families: Iterable[Family]) -> None:
        self._path = path
        self._rows = {row.name: row for row in families}
        self._version = _code() + hashlib.sha256(repr(sorted(self._rows.items())).encode()).hexdigest()[:16]

    def read(self) -> dict[Path, Record]:
        values = read_kept(self._path)
        if values.get("version") != self._version:
            return {}
        records: dict[Path, Record] = {}
        try:
            identities = [self._identity(one) for one in values["identities"]]
            for found, facts, number, error in values["records"]:
                record = Record(_found(found), facts, None if number is None else identities[number], error)
                records[record.found.path] = record
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as problem:
            _log.warning("%s is damaged (%s), so all headers are read again", self._path.name, problem)
            return {}
        return records

    def write(self, records: Iterable[Record]) -> None:
        """Thousands of fine-tunes are built alike, so what they are is written once."""
        numbers: dict[str, int] = {}
        by_object: dict[int, int] = {}
        rows = []
        for record in records:
            number = None
            if record.identity is not None:
                if id(record.identity) not in by_object:
                    try:
                        text = json.dumps(self._values(record.identity))
                    except TypeError:  # a family of an extension with columns that are no data: found out at each start
                        continue
                    by_object[id(record.identity)] = numbers.setdefault(text, len(numbers))
                number = by_object[id(record.identity)]
            found = [_plain(getattr(record.found, name)) for name in FOUND]
            rows.append((found, dict(record.facts), number, record.error))
        write_kept(self._path, {"version": self._version, "identities": [json.loads(text) for text in numbers], "records": rows})

    def _values(self, identity: Identity) -> dict[str, Any]:
        """An identity whose family is the row that it comes from, and the columns in which it differs."""
        row = self._rows[identity.family.name]
        columns = {field.name: getattr(identity.family, field.name) for field in dataclasses.fields(Family)}
        parts = {field.name: _plain(getattr(identity, field.name)) for field in dataclasses.fields(Identity)[1:]}
        differing = {name: _plain(value) for name, value in columns.items() if value != getattr(row, name)}
        return {"family": identity.family.name, "columns": differing, "parts": parts}

    def _identity(self, values: Mapping[str, Any]) -> Identity:
        columns = {name: _whole(value) for name, value in values["columns"].items()}
        parts = {name: _whole(value) for name, value in values["parts"].items()}
        for name in ("statistics", "autoencoder"):
            parts[name] = Path(parts[name]) if parts[name] else None
        for name in ("assumed", "kinds"):
            parts[name] = frozenset(parts[name])
        return Identity(dataclasses.replace(self._rows[values["family"]], **columns), **parts)


FOUND = tuple(field.name for field in dataclasses.fields(Found))


def _found(values: Sequence[Any]) -> Found:
    path, title, size, mark, number, config, preview, *rest = values
    beside, picture = (Path(one) if one else None for one in (config, preview))
    return Found(Path(path), title, size, tuple(mark), tuple(number), beside, picture, *rest)


def _plain(value: Any) -> Any:
    """As JSON has it. Raises TypeError for what is no data."""
    if isinstance(value, Encoder):
        return {"encoder": dataclasses.asdict(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(map(_plain, value))
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{type(value).__name__} is no plain value")


def _whole(value: Any) -> Any:
    """The other way round: all sequences of a row are tuples."""
    if isinstance(value, list):
        return tuple(_whole(one) for one in value)
    if isinstance(value, dict):
        return Encoder(**value["encoder"]) if set(value) == {"encoder"} else {key: _whole(one) for key, one in value.items()}
    return value


@cache
def _code() -> str:
    here = Path(__file__).parent
    files = [file for name in CODE for file in ([here / name] if name.endswith(".py") else sorted((here / name).glob("*.py")))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def read_kept(kept: Path) -> dict[str, Any]:
    try:
        values = json.loads(kept.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):  # not there yet, or damaged: found out again
        return {}
    return values if isinstance(values, dict) else {}


def write_kept(kept: Path, values: Mapping[str, Any]) -> None:
    """What cannot be kept is logged: it is found out again."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(".new")
        beside.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8", errors="surrogateescape")
        os.replace(beside, kept)
    except (OSError, UnicodeError) as error:
        _log.warning("%s could not be kept: %s", kept.name, error)
