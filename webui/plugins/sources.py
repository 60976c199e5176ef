"""Where an extension can come from, read from what a user typed. Nothing is fetched here, and nothing that could be taken for an
option or a command gets past."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import url2pathname

from packaging.requirements import InvalidRequirement, Requirement

from webui.contract.errors import InstallError

Kind = Literal["git", "zip", "folder", "package"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LETTERS = 2000
"""Of a source, at most."""
KNOWN = "An extension comes from a git address (https://, ssh://, file://), a zip, a folder or as the name of a package."
_SCP = re.compile(r"(?P<user>\w[\w.-]*)@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<path>[^-:].*)")
"""git@host:path, as hosters show it."""
_REF = re.compile(r"[A-Za-z0-9][\w./+-]{0,199}")


@dataclass(frozen=True)
class Source:
    """One place that extensions come from."""

    kind: Kind
    place: str
    """A git address; a zip's address or absolute path; a folder's absolute path; a package with its versions."""
    ref: str = ""
    """Branch, tag or commit of git; "" is what its address has as its head."""

    def __str__(self) -> str:
        return f"{self.place}#{self.ref}" if self.ref else self.place

    @property
    def label(self) -> str:
        """A short name for it, such as that of its repository; fit for the name of a folder."""
        last = re.split(r"[/\\:]", self.place.rstrip("/\\"))[-1]
        plain = re.sub(r"[^\w.-]+", "-", re.sub(r"\.(git|zip)$", "", last)).strip("-.")
        return plain[:60] or "extension"

    @property
    def is_remote(self) -> bool:
        """Whether it is fetched over a network."""
        return self.kind == "package" or (self.kind in ("git", "zip") and "://" in self.place) or bool(_SCP.fullmatch(self.place))


def read_source(text: str, base: Path | None = None) -> Source:
    """The source that a user means.

    Args:
        base: folder that relative paths begin at; None where there is none, as on the page.

    Raises:
        InstallError: it is none, or one that is not taken; says why.
    """
    text = _checked(text)
    if "::" in text and not _SCP.fullmatch(text) and re.match(r"[\w+.-]+::", text):
        raise InstallError(f"{_short(text)} names a program for git to run, so it is not taken. {KNOWN}")
    if _SCP.fullmatch(text.partition("#")[0]):
        return _git(text)
    if re.match(r"[\w+.-]+:/", text) and not re.match(r"[A-Za-z]:[\\/]", text):
        return _address(text)
    path = Path(text).expanduser()
    if not path.is_absolute() and base is not None:
        path = base / path
    if path.is_absolute() and path.exists():
        return _local(path)
    if re.search(r"[\\/]", text) or text.startswith((".", "~")) or text.lower().endswith((".zip", ".git")):
        raise InstallError(_not_there(text, path))
    return _package(text)


def source_of(kind: str, text: str) -> Source:
    """The source that a lock file names, whose kind is known. Raises InstallError."""
    text = _checked(text)
    is_address = bool(re.match(r"[\w+.-]+:/", text)) and not re.match(r"[A-Za-z]:[\\/]", text)
    if kind == "package":
        return _package(text)
    if kind == "git":
        return _git(text)
    if kind in ("zip", "folder") and not is_address:
        path = Path(text)
        if not path.is_absolute():
            raise InstallError(f"{_short(text)} is no absolute path, so nobody knows where it begins.")
        if not path.exists():
            raise InstallError(_not_there(text, path))
        return Source("zip" if kind == "zip" else "folder", text)
    if kind == "zip":
        source = _address(text)
        if source.kind == "zip":
            return source
    raise InstallError(f"{_short(text)} is no source of the kind {_short(kind)!r}. {KNOWN}")


def _checked(text: str) -> str:
    text = text.strip()
    if not text:
        raise InstallError(f"There is no source. {KNOWN}")
    if len(text) > LETTERS or not text.isprintable():
        raise InstallError(f"That is no source: it is too long, or has letters that cannot be seen. {KNOWN}")
    if text.startswith("-"):
        raise InstallError(f"{_short(text)} looks like an option, so it is not taken as a source. {KNOWN}")
    return text


def _address(text: str) -> Source:
    """A source with a scheme."""
    plain = text.removeprefix("git+")
    parts = _split(plain)
    if parts.path.lower().endswith(".zip") and not text.startswith("git+"):
        _check_web(parts, plain)
        if parts.scheme == "file":
            return _local(_file_of(parts, plain))
        if parts.scheme in ("https", "http"):
            return Source("zip", plain.partition("#")[0])
    return _git(plain)


def _git(text: str) -> Source:
    place, _, ref = text.partition("#")
    if ref and (not _REF.fullmatch(ref) or ".." in ref):
        raise InstallError(f"{_short(ref)} is no name of a branch, a tag or a commit.")
    scp = _SCP.fullmatch(place)
    if scp:
        return Source("git", place, ref)
    parts = _split(place)
    if parts.scheme == "ssh":
        if not parts.path.strip("/"):
            raise InstallError(f"{_short(place)} names no repository.")
        _check_host(parts, place)
        if parts.username and not re.fullmatch(r"\w[\w.-]*", parts.username):
            raise InstallError(f"{_short(place)} names no user that git could log in as.")
        return Source("git", place, ref)
    _check_web(parts, place)
    if parts.scheme == "file":
        path = _file_of(parts, place)
        if not path.is_dir():
            raise InstallError(_not_there(place, path))
        return Source("git", path.as_uri(), ref)
    return Source("git", place, ref)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise InstallError(f"{_short(text)} is no address. {KNOWN}") from None
    return parts


def _check_web(parts: SplitResult, text: str) -> None:
    """Raises InstallError for what is not an address of https, or of a file; http is for this machine alone."""
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise InstallError(f"{_short(text)} names a file of another machine: write file:/// and its path, or mount it.")
        return
    _check_host(parts, text)
    if parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        raise InstallError(
            f"{_short(text)} would come in without encryption, so anybody on the way could change it. Write https:// instead."
        )
    if parts.scheme not in ("https", "http"):
        raise InstallError(f"Nothing is fetched over {_short(parts.scheme)}. {KNOWN}")
    if parts.username is not None:
        raise InstallError(
            "The address has a name or a password in it, which would be written down. Leave it out: git asks its own "
            "credential helper, or use ssh."
        )


def _check_host(parts: SplitResult, text: str) -> None:
    """Of a host nothing may be decoded, and none may look like an option of ssh."""
    host = parts.hostname or ""
    if not re.fullmatch(r"[a-z0-9_][a-z0-9._-]*|[0-9a-f:.]+", host, re.IGNORECASE) or "%" in parts.netloc:
        raise InstallError(f"{_short(text)} names no host.")
    if parts.password is not None:
        raise InstallError("The address has a password in it, which would be written down. Leave it out and use a key of ssh.")


def is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def _file_of(parts: SplitResult, text: str) -> Path:
    path = Path(url2pathname(parts.path))
    if not path.is_absolute() or "\0" in unquote(parts.path):
        raise InstallError(f"{_short(text)} is no address of a file.")
    return path


def _local(path: Path) -> Source:
    """A folder, a zip, or a bare repository of this machine."""
    if path.is_file():
        return Source("zip", str(path.resolve()))
    if (path / "HEAD").is_file() and (path / "objects").is_dir() and not (path / "extension.toml").exists():
        return Source("git", path.resolve().as_uri())
    if path.is_dir():
        return Source("folder", str(path.resolve()))
    raise InstallError(_not_there(str(path), path))


def _not_there(text: str, path: Path) -> str:
    if not path.is_absolute():
        return f"{_short(text)} begins nowhere: write the whole path. {KNOWN}"
    return f"There is no folder or zip {_short(text)}."


def _package(text: str) -> Source:
    try:
        needed = Requirement(text)
    except InvalidRequirement:
        raise InstallError(f"{_short(text)} is nothing that an extension comes from. {KNOWN}") from None
    if needed.url or needed.marker:
        raise InstallError(f"{_short(text)} is more than the name of a package and its versions. Name its address alone.")
    return Source("package", str(needed))


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:119]}…"
