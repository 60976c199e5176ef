"""The pictures that requests refer to: kept by their content, so that a request stays plain text and a restart loses nothing."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from webui.contract.errors import FieldError
from webui.contract.request import PICTURES, GenerationRequest
from webui.workspace.files import write_new

_log = logging.getLogger(__name__)
MEGABYTES = 50
PIXELS = 8192 * 8192
DAYS = 7
"""A picture that no job names is forgotten so long after its last use."""
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
_NAME = re.compile(r"[0-9a-f]{64}")


class Inputs:
    """Keeps pictures in a folder. A picture's name is the SHA-256 of its file, so the same one is kept once.

    A file is kept as it came, with its transparency, its depth of colour and its palette. Only the first frame of a
    moving picture is ever shown.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, picture: bytes | Image.Image, field: str = "image") -> str:
        """Keep a picture (a PNG, JPEG or WebP file, or pixels); its name.

        Args:
            field: where it came from, for the words of an error.

        Raises:
            FieldError: it is none, it is damaged, or too large.
            SaveError: the disk is full or may not be written to.
        """
        data = picture if isinstance(picture, bytes) else _png(picture)
        if len(data) > MEGABYTES * 2**20:
            raise FieldError(
                field, f"{_label(field)} has {len(data) / 2**20:.0f} MB. It can have {MEGABYTES} MB; send a smaller one."
            )
        name = hashlib.sha256(data).hexdigest()
        if self._find(name) is None:
            write_new(self._folder / f"{name}{SUFFIXES[_kind(data, field)]}", data)
        self._touch(name)
        return name

    def open(self, name: str) -> Image.Image:
        """The pixels of a picture, turned as its EXIF says, in the mode that it came in.

        Raises:
            FieldError: it is not kept (any more).
        """
        path = self.path(name)
        self._touch(name)
        with Image.open(path, formats=tuple(SUFFIXES)) as opened:
            opened.load()
            return ImageOps.exif_transpose(opened)

    def path(self, name: str, field: str = "image") -> Path:
        """The file of a picture, as it came. Raises FieldError as open does."""
        found = self._find(name)
        if found is None:
            raise FieldError(field, f"{_label(field)} {name[:16]!r} is not kept here (any more). Give the picture again.")
        return found

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def check(self, request: GenerationRequest) -> None:
        """Raises FieldError for a picture that the request names and that is not kept."""
        for field in PICTURES:
            if name := getattr(request, field):
                self.path(name, field)

    def forget(self, named: Iterable[str], days: float = DAYS) -> int:
        """Remove the pictures that were not used for some days and are not among the `named`; how many."""
        keep, oldest, gone = set(named), time.time() - days * 86_400, 0
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            try:
                if path.stem not in keep and path.stat().st_mtime < oldest and path.is_file():
                    path.unlink()
                    gone += 1
            except OSError as error:
                _log.warning("%s could not be removed: %s", path.name, error.strerror)
        return gone

    def _find(self, name: str) -> Path | None:
        if not _NAME.fullmatch(name):
            return None
        return next((path for suffix in SUFFIXES.values() if (path := self._folder / f"{name}{suffix}").is_file()), None)

    def _touch(self, name: str) -> None:
        """Remember that it was used now."""
        path = self._find(name)
        with suppress(OSError):  # a folder that is only read: it grows no older for that
            if path is not None:
                os.utime(path)


def names_in(requests: Iterable[GenerationRequest]) -> set[str]:
    """The pictures that some requests name."""
    return {name for request in requests for field in PICTURES if (name := getattr(request, field))}


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _kind(data: bytes, field: str) -> str:
    """The format of a file, which was decoded whole to see that it can be."""
    try:
        with Image.open(io.BytesIO(data), formats=tuple(SUFFIXES)) as opened:
            width, height = opened.size
            if width * height <= PIXELS:
                opened.load()
                return str(opened.format)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        if data[:3] in (b"\x89PN", b"\xff\xd8\xff", b"RIF"):
            raise FieldError(field, f"{_label(field)} is damaged or too large to be read. Send it again.") from None
        raise FieldError(field, f"{_label(field)} is not a picture that can be read here. Send a PNG, JPEG or WebP.") from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError):  # what Pillow's decoders raise on damaged files
        raise FieldError(field, f"{_label(field)} is damaged: it cannot be decoded to its end. Send it again.") from None
    raise FieldError(
        field, f"{_label(field)} has {width} x {height} pixels. It can have {PIXELS:,} in all; make it smaller first."
    )


def _label(field: str) -> str:
    return field.replace("_", " ").capitalize()
