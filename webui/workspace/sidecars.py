"""What other programs keep beside a checkpoint: its picture, and words about it. Read, and never written."""

from __future__ import annotations

import hashlib
import html
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from webui.checkpoints.catalog import Entry
from webui.contract.errors import MissingFileError
from webui.workspace.files import write_bytes

SIDE = 512
"""Pixels of a card's picture at most; what users keep is often a whole upscaled picture."""
LARGEST_FILE = 64 * 2**20
LARGEST_PICTURE = 100_000_000
"""Pixels that are opened."""
LONGEST = 4000
_TAGS = re.compile(r"<[^<>]{0,2000}>")
_LINES = re.compile(r"<\s*(?:br|/p|/li|/h\d)\b[^<>]*>", re.IGNORECASE)


def preview(entry: Entry, kept: Path) -> bytes:
    """The picture beside a checkpoint as a small WebP, made once.

    Args:
        kept: folder for the small ones.

    Raises:
        MissingFileError: there is none, or it is no picture.
    """
    if entry.preview is None:
        raise MissingFileError(f"{entry.name} has no picture beside it. Put one there, as {entry.name}.preview.png.")
    key = hashlib.sha256(f"{entry.preview}|{entry.preview_time}|{SIDE}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    small = kept / f"{key}.webp"
    try:
        return small.read_bytes()
    except OSError:
        pass
    data = _small(entry.preview)
    write_bytes(small, data)
    return data


def _small(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise MissingFileError(f"{path.name} is larger than {LARGEST_FILE // 2**20} MB, so it is not shown.")
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as opened:
            if opened.width * opened.height > LARGEST_PICTURE:
                raise MissingFileError(f"{path.name} has too many pixels to be shown on a card.")
            opened.draft("RGB", (SIDE, SIDE))
            opened.thumbnail((SIDE, SIDE))
            buffer = BytesIO()
            opened.convert("RGB").save(buffer, "WEBP", quality=82)
            return buffer.getvalue()
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        raise MissingFileError(f"{path.name} is no picture that can be opened, or is damaged.") from None


def words(entry: Entry) -> tuple[str, str]:
    """(name of the file beside a checkpoint, what it says of it as plain text); ("", "") where there is none."""
    for end, read in ((".json", _metadata), (".civitai.info", _civitai), (".description.txt", str), (".txt", str)):
        file = entry.path.with_name(entry.name + end)
        try:
            if file.stat().st_size > 2**20:
                continue
            text = file.read_text(encoding="utf-8-sig", errors="replace")
            found = read(text).strip()
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):  # not there, or not what it is called
            continue
        if found:
            return file.name, found[:LONGEST]
    return "", ""


def _metadata(text: str) -> str:
    """The convention's user metadata."""
    values: dict[str, Any] = json.loads(text)
    parts = [values.get("description"), values.get("notes"), _labelled("Activation text", values.get("activation text"))]
    return _joined([*parts, _labelled("Negative text", values.get("negative text"))])


def _civitai(text: str) -> str:
    values: dict[str, Any] = json.loads(text)
    trained = values.get("trainedWords")
    model = values.get("model") or {}
    named = " ".join(str(name) for name in (model.get("name"), values.get("name")) if name)
    about = values.get("description") or model.get("description")
    return _joined([named, _plain(str(about or "")), _labelled("Trained words", ", ".join(map(str, trained or ())))])


def _labelled(label: str, text: Any) -> str:
    return f"{label}: {text}" if text else ""


def _joined(parts: list[Any]) -> str:
    return "\n".join(str(part).strip() for part in parts if part)


def _plain(text: str) -> str:
    return html.unescape(_TAGS.sub("", _LINES.sub("\n", text)))
