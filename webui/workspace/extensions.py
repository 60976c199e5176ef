"""Which extensions the user has disabled: one small file, read at start. Nothing of an extension's own is touched by it."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from pathlib import Path

from webui.workspace.files import read_json, write_json

_log = logging.getLogger(__name__)


class ExtensionSwitches:
    """The names that are disabled from the next start on, in any case of letters.

    The file is read each time, so that a command beside a running page changes the same list.

    Args:
        path: the file; it need not be there.
        are_all_off: this run was started with --disable-all-extensions.
    """

    def __init__(self, path: Path, are_all_off: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.are_all_off = are_all_off

    @property
    def disabled(self) -> tuple[str, ...]:
        return self._read()

    def is_enabled(self, name: str) -> bool:
        return name.casefold() not in map(str.casefold, self._read())

    def switch(self, name: str, is_enabled: bool) -> None:
        """Enable or disable an extension from the next start on.

        Raises:
            SaveError: it could not be kept; all is as before.
        """
        with self._lock:
            before = self._read()
            others = [one for one in before if one.casefold() != name.casefold()]
            after = sorted(others if is_enabled else [*others, name])
            if after != sorted(before):
                write_json(self._path, {"disabled": after})

    def _read(self) -> tuple[str, ...]:
        values = read_json(self._path)
        names = values.get("disabled") if isinstance(values, dict) else None
        if isinstance(names, list):
            return tuple(name for name in names if isinstance(name, str))
        if self._path.exists():
            kept = self._path.with_name(self._path.name + ".bad")
            _log.warning("%s is damaged, so no extension counts as disabled; the file is kept as %s", self._path.name, kept.name)
            with suppress(OSError):
                self._path.replace(kept)
        return ()
