"""What belongs to one extension alone: its settings and its folder, below state/extensions/ of the data folder.

Nothing here goes away with the extension, so that one that is removed and comes again finds all as it was.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webui.contract.errors import FieldError
from webui.contract.options import Option
from webui.contract.parts import Parts
from webui.workspace.files import read_json, write_json

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OwnStore:
    """A webui.contract.own.Own: one extension's."""

    name: str
    place: Path
    parts: Parts
    """Where its settings are registered."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def folder(self) -> Path:
        made = self.place / "files"
        made.mkdir(parents=True, exist_ok=True)
        return made

    @property
    def options(self) -> tuple[Option, ...]:
        """Its settings, in the order in which it registered them."""
        return tuple(part.function for part in self.parts.settings if self.parts.settings.owner(part.name) == self.name)

    @property
    def settings(self) -> Mapping[str, Any]:
        """A kept value that is not allowed (any more) falls back to its default; the others stay."""
        kept, values = self._read(), dict[str, Any]()
        for option in self.options:
            values[option.name] = option.default
            if option.name in kept:
                with suppress(ValueError):
                    values[option.name] = option.value(kept[option.name])
        return values

    def change(self, **values: Any) -> None:
        known, changed = {option.name: option for option in self.options}, dict[str, Any]()
        for key, value in values.items():
            if key not in known:
                has = f"It has {', '.join(known)}." if known else "It has none."
                raise FieldError(key[:60], f"The extension {self.name} has no setting {_shown(key)}. {has}")
            try:
                changed[key] = known[key].value(value)
            except ValueError:
                words = f"Setting {key!r} of the extension {self.name} cannot be {_shown(value)}. It can be {known[key].range}."
                raise FieldError(key, words) from None
        with self._lock:
            write_json(self._file, {**self._read(), **changed})

    @property
    def _file(self) -> Path:
        return self.place / "settings.json"

    def _read(self) -> dict[str, Any]:
        values = read_json(self._file)
        if isinstance(values, dict):
            return values
        if self._file.exists():
            _log.warning("the settings of the extension %s are damaged; they are kept as settings.json.bad", self.name)
            with suppress(OSError):
                self._file.replace(self._file.with_name("settings.json.bad"))
        return {}


class Owns:
    """Makes each extension's own, once: whoever asks for one of a name gets the same.

    Args:
        folder: state/extensions of the data folder.
        parts: where settings are registered.
    """

    def __init__(self, folder: Path, parts: Parts) -> None:
        self._folder, self._parts = folder, parts
        self._made: dict[str, OwnStore] = {}

    def __call__(self, name: str) -> OwnStore:
        """Names have letters, digits, dots, hyphens and underscores; case does not tell them apart."""
        key = name.casefold()
        if key not in self._made:
            self._made[key] = OwnStore(name, self._folder / key, self._parts)
        return self._made[key]

    def setting(self, name: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change settings of an extension; all of its settings as they are then.

        Raises:
            FieldError: it has no such setting, or the value is not allowed.
            SaveError: it could not be kept.
        """
        own = self(name)
        own.change(**values)
        return own.settings


MakeOwn = Callable[[str], OwnStore]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
