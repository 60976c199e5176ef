"""Files of an extension brought into a folder: out of a zip, or copied. What would land outside, link elsewhere or grow without
end is refused before it is written."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from webui.contract.errors import InstallError
from webui.plugins.extension import MANIFEST

FILES_AT_MOST = 10_000
BYTES_AT_MOST = 2**30
"""Of all files of an extension together."""
ARCHIVE_AT_MOST = 2**29
"""Bytes of a zip."""
DIRECTORY_AT_MOST = 2**22
"""Bytes of the list of files at a zip's end."""
NAME_AT_MOST = 400
PIECE = 2**20
UNREAD = ("__pycache__", ".git")
"""Folders that do not belong to an extension, wherever they are."""
DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))])
"""Names that Windows keeps for itself, with any ending."""

DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, RuntimeError, ValueError, KeyError)
"""What zipfile raises for zips that are none."""
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How files in a zip may be packed; the others can be made to take any amount of memory."""

Stop = Callable[[], bool]


def unpack(archive: Path, into: Path, should_stop: Stop) -> None:
    """Unpack a zip into a new folder.

    Raises:
        InstallError: it is none, damaged, too large, or one of its files would not be a plain file inside the folder.
    """
    name = archive.name
    try:
        check_size(archive)
        with zipfile.ZipFile(archive) as opened:
            entries = _checked(opened, name)
            into.mkdir(parents=True)
            for entry, target in entries:
                if should_stop():
                    raise InstallError("It was cancelled.")
                _write(opened, entry, into / target)
    except DAMAGED as error:
        raise InstallError(f"{name} is no zip, or a damaged one ({_words(error)}). Fetch it again.") from None
    except OSError as error:
        raise InstallError(f"{name} could not be unpacked: {error.strerror or error}.") from None


def copy(folder: Path, into: Path, should_stop: Stop) -> None:
    """Copy a folder, without git's own and what Python left behind. Raises InstallError."""
    total = 0
    try:
        into.mkdir(parents=True)
        for number, (path, place) in enumerate(files_of(folder)):
            total += path.stat().st_size
            _check_limits(number + 1, total, folder.name)
            if should_stop():
                raise InstallError("It was cancelled.")
            (into / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, into / place)
    except OSError as error:
        raise InstallError(f"{folder} could not be copied: {error.strerror or error}.") from None


def check_tree(folder: Path) -> None:
    """Raises InstallError where a folder holds links, devices, or too much."""
    total = 0
    for number, (path, _) in enumerate(files_of(folder)):
        total += path.stat().st_size
        _check_limits(number + 1, total, folder.name)


def files_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """(file, its path inside with slashes), in order. Raises InstallError at the first that is no plain file."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in UNREAD)
        for name in [*folders, *sorted(files)]:
            path = Path(place, name)
            inside = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                kind = "a link, which could lead out of its folder" if stat.S_ISLNK(mode) else "no plain file"
                raise InstallError(f"{folder.name} has {inside}, which is {kind}: it was not installed.")
            if stat.S_ISREG(mode) and not name.endswith(".pyc"):
                yield path, inside


def digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files; what Python leaves behind (__pycache__) does not count."""
    whole = hashlib.sha256()
    for path, place in sorted(files_of(folder), key=lambda pair: pair[1]):
        whole.update(f"{len(place.encode('utf-8', 'surrogateescape'))}:".encode() + place.encode("utf-8", "surrogateescape"))
        whole.update(file_digest(path).encode())
    return whole.hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def root_of(folder: Path, label: str) -> Path:
    """The folder that has the manifest: this one, or the only one in it, as hosters pack a repository. Raises InstallError."""
    if (folder / MANIFEST).is_file():
        return folder
    inside = [path for path in folder.iterdir() if path.name != "__MACOSX"]
    if len(inside) == 1 and (inside[0] / MANIFEST).is_file():
        return inside[0]
    raise InstallError(f"{label} has no {MANIFEST}, so it is no extension of this program; see docs/extensions.md.")


def delete(folder: Path) -> None:
    """Delete a folder of ours; what cannot be deleted stays behind without a word."""

    def again(function: Callable[[str], object], path: str, _: object) -> None:
        try:  # git writes its objects read-only, and Windows deletes no such file
            os.chmod(path, stat.S_IWRITE)
            function(path)
        except OSError:
            pass

    shutil.rmtree(folder, onerror=again)


def check_size(archive: Path) -> None:
    """Look at the end of a zip before its list of files is read into memory: the list may be made to be endless.

    Raises:
        InstallError: it is no zip, or too large. OSError: it cannot be read.
    """
    size = archive.stat().st_size
    if size > ARCHIVE_AT_MOST:
        raise InstallError(f"{archive.name} has more than {ARCHIVE_AT_MOST // 2**20} MB, so it was not unpacked.")
    with archive.open("rb") as file:
        file.seek(max(0, size - 65557))
        end = file.read()
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or len(end) < at + 22:
        raise InstallError(f"{archive.name} is no zip, or only a part of one. Fetch it again.")
    directory = int.from_bytes(end[at + 12 : at + 16], "little")
    if directory > DIRECTORY_AT_MOST or end[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        raise InstallError(f"{archive.name} holds more than {FILES_AT_MOST:,} files, so it was not unpacked.")


def _checked(opened: zipfile.ZipFile, name: str) -> list[tuple[zipfile.ZipInfo, str]]:
    """The files of a zip with the paths that they get, once all of them are known to be harmless."""
    found: list[tuple[zipfile.ZipInfo, str]] = []
    seen: set[str] = set()
    total = 0
    for number, entry in enumerate(opened.infolist()):
        total += entry.file_size
        _check_limits(number + 1, total, name)
        _check_entry(entry, name)
        inside = entry.filename.rstrip("/")
        if entry.is_dir() or any(part in UNREAD for part in inside.split("/")):
            continue
        if inside.casefold() in seen:  # also by another case of letters, which not every disk tells apart
            raise InstallError(f"{name} has {inside!r} twice, so it was not unpacked.")
        seen.add(inside.casefold())
        found.append((entry, inside))
    return found


def _check_entry(entry: zipfile.ZipInfo, name: str) -> None:
    raw = entry.orig_filename
    parts = entry.filename.rstrip("/").split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    problem = ""
    if any(ord(letter) < 32 for letter in raw) or "\\" in raw or ":" in raw or len(raw) > NAME_AT_MOST:
        problem = "a name that is no plain path"
    elif any(part in ("", ".", "..") for part in parts):
        problem = "a path that leads out of its folder"
    elif any(part.split(".")[0].casefold() in DEVICES or part.endswith((".", " ")) for part in parts):
        problem = "a name that Windows cannot have"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "a link or a device in the place of a file"
    elif entry.flag_bits & 1:
        problem = "a password"
    elif entry.compress_type not in PACKED:
        problem = "packed in another way than zips commonly are"
    if problem:
        raise InstallError(f"{name} has {raw[:80]!r}, {problem}, so it was not unpacked.")


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    """One file; what comes out beyond the size that the list tells is never read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(entry) as source, target.open("xb") as file:
        while piece := source.read(PIECE):
            written += len(piece)
            if written > entry.file_size:
                raise InstallError(f"{target.name} is larger than its zip says, so it was not unpacked.")
            file.write(piece)


def _check_limits(files: int, total: int, name: str) -> None:
    if files > FILES_AT_MOST:
        raise InstallError(f"{name} holds more than {FILES_AT_MOST:,} files, so it was not installed.")
    if total > BYTES_AT_MOST:
        raise InstallError(f"{name} would take more than {BYTES_AT_MOST // 2**20} MB, so it was not installed.")


def _words(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__
