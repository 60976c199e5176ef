"""Writing so that nothing is ever half there: beside, then renamed."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from webui.contract.errors import SaveError


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file, or make it; a reader sees the old one or the new one.

    Raises:
        SaveError: no room, no permission; the old file is still there.
    """
    with _beside(path, data) as written:
        os.replace(written, path)


def write_new(path: Path, data: bytes) -> bool:
    """Make a file that must not be there yet. False, and nothing written, where it is.

    Raises:
        SaveError: no room, no permission.
    """
    with _beside(path, data) as written:
        return _name(written, path)


@contextmanager
def _beside(path: Path, data: bytes) -> Iterator[Path]:
    """A finished hidden file beside `path`, to be renamed; what is left of it goes away. Raises SaveError."""
    beside = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield beside
    except OSError as error:
        raise SaveError(save_problem(path, error)) from error
    finally:
        with suppress(OSError):  # renamed already, or its folder cannot be reached
            beside.unlink()


def _name(beside: Path, path: Path) -> bool:
    """Give a finished file its name, unless the name is taken."""
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: claim the name first, then put the file over it
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        os.replace(beside, path)
    return True


def save_problem(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full: {path.name} could not be saved. Free some room; the picture is still shown here."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{path.parent.name} cannot be written to: {path.name} could not be saved. "
            "Check its permissions, or choose another --data-dir."
        )
    return f"{path.name} could not be saved: {error.strerror or error}."


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None where there is none or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_json(path: Path, values: Any) -> None:
    """Raises SaveError."""
    write_bytes(path, json.dumps(values, ensure_ascii=False, indent=1).encode("utf-8", "replace"))
