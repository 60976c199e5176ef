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

from PIL import Image

from webui.contract.errors import FieldError
from webui.contract.request import Request, pictures_of
from webui.engine.pictures import DEFAULT_LIMITS, kind_of, upright
from webui.workspace.files import write_new

_log = logging.getLogger(__name__)
LIMITS = DEFAULT_LIMITS
DAYS = 7
"""A picture that no job names is forgotten so long after its last use."""
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}
_NAME = re.compile(r"[0-9a-f]{64}")


class Inputs:
    """Keeps pictures in a folder. A picture's name is the SHA-256 of its file, so the same one is kept once.

    A file is kept as it came, with its transparency, its depth of colour and its palette. Only the first frame of a
    moving picture is ever shown.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, picture: bytes | Image.Image, field: str = "image") -> str:
        """Keep a picture (a file of one of SUFFIXES, or pixels); its name.

        Args:
            field: where it came from, for the words of an error.

        Raises:
            FieldError: it is none, it is damaged, or too large.
            SaveError: the disk is full or may not be written to.
        """
        data = picture if isinstance(picture, bytes) else _png(picture)
        name = hashlib.sha256(data).hexdigest()
        if self._find(name) is None:
            write_new(self._folder / f"{name}{SUFFIXES[kind_of(data, field, LIMITS)]}", data)
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
            return upright(opened)

    def path(self, name: str, field: str = "image") -> Path:
        """The file of a picture, as it came. Raises FieldError as open does."""
        found = self._find(name)
        if found is None:
            raise FieldError(field, f"{_label(field)} {name[:16]!r} is not kept here (any more). Give the picture again.")
        return found

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def check(self, request: Request) -> None:
        """Raises FieldError for a picture that the request names and that is not kept."""
        for place, name in pictures_of(request).items():
            if not self.has(name):
                raise FieldError(
                    place.split(".")[0], f"{_label(place)} {name[:16]!r} is not kept here (any more). Give the picture again."
                )

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


def names_in(requests: Iterable[Request]) -> set[str]:
    """The pictures that some requests name."""
    return {name for request in requests for name in pictures_of(request).values()}


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _label(place: str) -> str:
    """Of a field, or of an option, as webui.contract.request.pictures_of names them: "conditioners.0.picture"."""
    field, *between = place.split(".")
    if not between:
        return field.replace("_", " ").capitalize()
    of = "the script" if field == "script_options" else f"{field.removesuffix('s')} {int(between[0]) + 1}"
    return f"{between[-1].replace('_', ' ').capitalize()} of {of}"
