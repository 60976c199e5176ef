"""What belongs to one extension alone: its settings and its folder. Handed to its hooks and event handlers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Own(Protocol):
    """One extension's own. No other extension's settings or files are reached through it."""

    @property
    def name(self) -> str:
        """The extension's."""

    @property
    def folder(self) -> Path:
        """For its files, in the data folder; made when it is first asked for. It stays when the extension is removed."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the user has set, by the names that it registered (register_settings), as of now: a new mapping each time."""

    def change(self, **values: Any) -> None:
        """Set some of its settings.

        Raises:
            FieldError: it registered none of that name, or the value is not allowed; nothing is changed.
            SaveError: it could not be kept; all is as before.
        """
