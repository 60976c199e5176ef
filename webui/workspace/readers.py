"""What a picture says of how it was made: read by ours, and where that finds nothing, by extensions' readers."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

from PIL import Image

from webui.contract.more_parts import ReaderPart
from webui.contract.parts import Parts
from webui.plugins.containing import Attempt
from webui.workspace.inputs import SUFFIXES
from webui.workspace.pictures import LONGEST, read_infotext
from webui.workspace.troubles import Troubles

SECONDS = 5.0
"""That one reader may take for a picture."""
LARGEST = 128 * 1024 * 1024
"""Bytes of a file that is shown to extensions."""


@dataclass(frozen=True)
class Readers:
    """Reads infotext. Pictures come from strangers: nothing in one can raise here, nor take longer than SECONDS a reader."""

    parts: Parts
    troubles: Troubles

    def __call__(self, data: bytes) -> str:
        """The infotext in a file's bytes, "" where nobody finds one (or it is no picture); at most LONGEST letters.

        Extensions' readers are asked in order, the first that answers something is believed.
        """
        ours = read_infotext(data)
        if (ours and not _is_foreign(ours)) or len(data) > LARGEST:
            return ours
        for part in self.parts.readers:
            if text := self._asked(part, data):
                return text
        return ours

    def _asked(self, part: ReaderPart, data: bytes) -> str:
        """Each is given an image of its own, opened and not decoded, so that one cannot spoil it for the next."""
        owner, where = self.parts.readers.owner(part.name), f"reader {part.name}"
        try:
            image = Image.open(io.BytesIO(data), formats=tuple(SUFFIXES))
        except Exception:  # noqa: BLE001 (Pillow raises many kinds on damaged files, and on pictures that are too large)
            return ""
        attempt = Attempt(where, lambda: part.function(image))
        if not attempt.is_over(SECONDS):
            attempt.abandon()
            self.troubles.add(owner, where, f"It had found no answer after {SECONDS:g} seconds.")
        elif attempt.error is not None:
            self.troubles.add(owner, where, attempt.error)
        elif not isinstance(attempt.answer, str):
            self.troubles.add(owner, where, f"It answered a {type(attempt.answer).__name__}, where text is due.")
        else:
            return attempt.answer[:LONGEST]
        return ""


def _is_foreign(text: str) -> bool:
    """Whether a text stands where infotext does, but is another program's own: a JSON object (Fooocus writes one)."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
