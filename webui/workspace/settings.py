"""The settings, kept in one file of the user's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from webui.contract.errors import FieldError
from webui.contract.settings import Settings
from webui.workspace.files import read_json, write_json

_log = logging.getLogger(__name__)


class SettingsStore:
    """Reads once, writes at every change.

    Args:
        path: the file; it need not be there.
        on_change: (before, now), after each change; it returns at once and never raises.
    """

    def __init__(self, path: Path, on_change: Callable[[Settings, Settings], None] = lambda *_: None) -> None:
        self._path = path
        self._on_change = on_change
        self._lock = threading.Lock()
        self._now = self._read()

    @property
    def now(self) -> Settings:
        return self._now

    def change(self, **values: Any) -> Settings:
        """Change some settings and keep them.

        Raises:
            FieldError: unknown, or a value that is not allowed; nothing is changed.
            SaveError: changed for this run, but not kept.
        """
        for name in values:
            if name not in Settings.model_fields:
                raise FieldError(name, f"No setting is called {name!r}. Known: {', '.join(Settings.model_fields)}.")
        with self._lock:
            try:
                changed = Settings.model_validate({**self._now.model_dump(), **values})
            except ValidationError as error:
                first = error.errors()[0]
                name = str(first["loc"][0])
                raise FieldError(name, f"Setting {name!r} cannot be {first['input']!r}: {first['msg']}.") from None
            before, self._now = self._now, changed
            self._on_change(before, changed)
            write_json(self._path, changed.model_dump())
        return changed

    def _read(self) -> Settings:
        """What was kept; a value that is not allowed any more falls back to its default, the others stay."""
        values = read_json(self._path)
        if values is None:
            if self._path.exists():
                _log.warning(
                    "%s is damaged; the defaults are used, and the file is kept as %s.bad", self._path.name, self._path.name
                )
                self._path.replace(self._path.with_name(self._path.name + ".bad"))
            return Settings()
        try:
            return Settings.model_validate(values)
        except ValidationError as error:
            bad = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
            _log.warning("%s: %s are not allowed and were left at their defaults", self._path.name, ", ".join(map(str, bad)))
            rest = {name: value for name, value in values.items() if name not in bad} if isinstance(values, dict) else {}
            return Settings.model_validate(rest)
