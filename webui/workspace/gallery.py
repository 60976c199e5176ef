"""The finished pictures on the disk: outputs/txt2img-images/DATE/00012-SEED.png; grids of scripts in outputs/txt2img-grids."""

from __future__ import annotations

import re
import time
from pathlib import Path

from webui.contract.errors import FieldError
from webui.contract.request import EnlargeRequest, GenerationRequest
from webui.contract.result import Result
from webui.contract.settings import Settings
from webui.workspace import pictures
from webui.workspace.files import write_new

FOLDERS = {
    "txt2img": "txt2img-images",
    "img2img": "img2img-images",
    "inpaint": "img2img-images",
    "depth": "img2img-images",
    "upscale": "extras-images",
}
WEBP_MOST = 16383
"""Pixels of a side; a larger picture is saved as PNG."""


class Gallery:
    """Saves pictures below one folder; never overwrites one, whatever else writes there."""

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs

    def save(self, picture: Result, tab: str, settings: Settings) -> str:
        """Write a picture with its infotext.

        Returns:
            Its path below the outputs folder, with slashes.

        Raises:
            SaveError: the disk is full or may not be written to.
        """
        kind = "png" if settings.image_format == "webp" and max(picture.image.size) > WEBP_MOST else settings.image_format
        mark = "" if isinstance(picture.request, EnlargeRequest) else f"-{picture.request.seed}"
        data = encoded(picture, kind, settings)
        place = FOLDERS.get(tab, f"{tab}-images")
        if isinstance(picture.request, GenerationRequest) and picture.request.script:  # it made this itself of others: a grid
            place = place.removesuffix("-images") + "-grids"
        folder = self.outputs / place / time.strftime("%Y-%m-%d")
        number = next_number(folder)
        while True:
            path = folder / f"{number:05d}{mark}.{kind}"
            if write_new(path, data):
                return path.relative_to(self.outputs).as_posix()
            number += 1

    def find(self, relative: str) -> Path | None:
        """The file of a path below the outputs folder; None for anything outside it, hidden, or gone."""
        root = self.outputs.resolve()
        try:
            path = (root / relative).resolve()
        except (OSError, ValueError):
            return None
        inside = path.is_relative_to(root) and not any(part.startswith(".") for part in path.relative_to(root).parts)
        return path if inside and path.is_file() and path.suffix in (".png", ".jpg", ".webp") else None


def encoded(picture: Result, kind: str, settings: Settings) -> bytes:
    """A picture as a file of a kind ("png", "jpg", "jpeg", "webp"), with its infotext unless the settings say no.

    Raises:
        FieldError: another kind.
    """
    text = picture.infotext if settings.write_infotext else ""
    if kind == "png":
        return pictures.png_bytes(picture.image, text)
    if kind == "webp":
        return pictures.webp_bytes(picture.image, text, settings.image_quality)
    if kind in ("jpg", "jpeg"):
        return pictures.jpeg_bytes(picture.image, text, settings.image_quality)
    raise FieldError("output", f"A picture cannot be saved as {kind!r}. It can be png, jpg or webp.")


def next_number(folder: Path) -> int:
    """One more than the largest number a file in the folder begins with, whatever its ending."""
    if not folder.is_dir():
        return 0
    numbers = [int(found[1]) for path in folder.iterdir() if (found := re.match(r"(\d{1,9})(?=[-_.])", path.name))]
    return max(numbers, default=-1) + 1
