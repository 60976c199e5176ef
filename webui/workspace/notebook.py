"""What the user says of checkpoints: notes, and settings of their own. In one file of the state; never in a folder of models."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from webui.contract.errors import FieldError
from webui.contract.request import request_from
from webui.workspace.files import read_json, write_json

_log = logging.getLogger(__name__)
LONGEST_NOTES = 10_000
LONGEST_WORDS = 2_000
SETTINGS = ("sampler", "schedule", "steps", "guidance", "width", "height", "prompt", "negative_prompt")
"""Fields of a request that a checkpoint may have a default for."""


class Notebook:
    """Pages by the checkpoint's path.

    Args:
        path: JSON; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pages: dict[str, dict[str, Any]] = self._read()

    def notes(self, checkpoint: Path) -> str:
        return str(self._page(checkpoint).get("notes", ""))

    def defaults(self, checkpoint: Path) -> dict[str, Any]:
        """By field of a request; only those that the user set."""
        return dict(self._page(checkpoint).get("defaults", {}))

    def write_notes(self, checkpoint: Path, notes: str) -> None:
        """Raises FieldError (too long), SaveError."""
        if len(notes) > LONGEST_NOTES:
            raise FieldError("notes", f"Notes may be {LONGEST_NOTES:,} letters long; these are {len(notes):,}.")
        self._write(checkpoint, "notes", notes.strip())

    def write_defaults(self, checkpoint: Path, values: Mapping[str, Any]) -> None:
        """Take the place of those that were set before; {} leaves all to the family.

        Raises:
            FieldError: a field that has no default, or a value that a request could not have; nothing is changed.
            SaveError
        """
        self._write(checkpoint, "defaults", checked(values))

    def _page(self, checkpoint: Path) -> dict[str, Any]:
        return self._pages.get(str(checkpoint), {})

    def _write(self, checkpoint: Path, what: str, value: Any) -> None:
        with self._lock:
            page = {**self._page(checkpoint), what: value}
            pages = {**self._pages, str(checkpoint): {name: one for name, one in page.items() if one}}
            pages = {name: one for name, one in pages.items() if one}
            write_json(self._path, pages)
            self._pages = pages

    def _read(self) -> dict[str, dict[str, Any]]:
        values = read_json(self._path)
        if not isinstance(values, dict) and self._path.exists():
            kept = self._path.with_name(self._path.name + ".bad")
            _log.warning("%s is damaged, so no checkpoint has notes; the file is kept as %s", self._path.name, kept.name)
            with suppress(OSError):
                self._path.replace(kept)
        pages = {}
        for name, page in (values if isinstance(values, dict) else {}).items():
            if not isinstance(page, dict):
                continue
            own: dict[str, Any] = {"notes": str(page.get("notes", ""))}
            try:
                own["defaults"] = checked(page.get("defaults", {}))
            except (FieldError, AttributeError, TypeError) as problem:
                _log.warning("%s: the settings of %s are left out: %s", self._path.name, Path(name).name, problem)
            pages[name] = {key: one for key, one in own.items() if one}
        return pages


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they are kept. None and "" leave a field to the family. Raises FieldError."""
    for name in values:
        if name not in SETTINGS:
            short = str(name)[:60]
            raise FieldError(short, f"A checkpoint has no default for {short!r}. It may for {', '.join(SETTINGS)}.")
    own = {name: values[name] for name in SETTINGS if values.get(name) not in (None, "")}
    request = request_from(own)
    for name in ("prompt", "negative_prompt"):
        if len(str(own.get(name, ""))) > LONGEST_WORDS:
            raise FieldError(name, f"Words behind every prompt may be {LONGEST_WORDS:,} letters long.")
    return {name: getattr(request, name) for name in own}
