"""What an extension comes with from elsewhere: a repository through git, a zip over https. Nothing that was fetched is run."""

from __future__ import annotations

import io
import os
import re
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from webui.contract.errors import InstallError
from webui.plugins.sources import Source, is_this_machine
from webui.plugins.unpacking import ARCHIVE_AT_MOST, BYTES_AT_MOST, FILES_AT_MOST, NAME_AT_MOST, PIECE, Stop, delete

Tell = Callable[[str], None]
"""Takes a few words: what is being done."""
SECONDS = 900.0
"""That one call of git or pip may take."""
STEP = 0.1
LIST_AT_MOST = FILES_AT_MOST * (NAME_AT_MOST + 100)
"""Bytes of git's list of files."""
SILENCE = 30.0
"""Seconds without a byte after which a download has broken off."""
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
QUIET = (
    *(
        "-c",
        f"core.hooksPath={os.devnull}",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.autocrlf=false",
        "-c",
        "protocol.ext.allow=never",
    ),
    *("-c", "advice.detachedHead=false", "-c", "submodule.recurse=false"),
)
"""For git: nothing of the repository's or the user's runs on the way, and files come as they are."""


class Failed(Exception):
    """A program ended with an error; the text is what it said."""


def run(command: Sequence[str], should_stop: Stop, environment: Mapping[str, str], seconds: float = SECONDS) -> str:
    """Run a program without a shell and without a terminal; what it said.

    Raises:
        InstallError: it is not there, took too long, or should_stop said so.
        Failed: it ended with an error.
    """
    began = time.monotonic()
    if should_stop():
        raise InstallError("It was cancelled.")
    try:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(environment), start_new_session=True, text=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise InstallError(f"{Path(command[0]).name} cannot be started: {error.strerror or error}.") from None
    while True:
        try:
            said, _ = process.communicate(timeout=STEP)
            break
        except subprocess.TimeoutExpired:
            is_late = time.monotonic() - began > seconds
            if not (is_late or should_stop()):
                continue
            _end(process)
            raise InstallError(
                f"{Path(command[0]).name} had not come to an end after {seconds:.0f} seconds." if is_late else "It was cancelled."
            ) from None
    if process.returncode:
        raise Failed(said)
    return said


def _end(process: subprocess.Popen[str]) -> None:
    """With all that it started (git starts ssh, pip starts builds)."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


def clone(source: Source, into: Path, commit: str, should_stop: Stop) -> str:
    """The files of one commit of a repository in a new folder, without their history; the commit.

    Args:
        commit: that must come; "" takes what the source's ref, or its head, stands at.

    Raises:
        InstallError: git is missing, or cannot fetch it; says why.
    """
    wanted = commit or source.ref or "HEAD"

    def git(*words: str) -> str:
        return run(["git", "-C", str(into), *QUIET, *words], should_stop, _git_environment(source))

    into.mkdir(parents=True)
    try:
        git("init", "--quiet", "--template=")
        try:
            git("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", source.place, wanted)
            at = "FETCH_HEAD"
        except Failed:
            if not COMMIT.fullmatch(wanted):
                raise
            # a server that hands out branches only: the commit must be in one of them
            git("fetch", "--quiet", "--no-recurse-submodules", "--", source.place, "+refs/*:refs/all/*")
            at = wanted
        _check_listed(_beginning(["git", "-C", str(into), "ls-tree", "-r", "-l", "-z", at], LIST_AT_MOST + 1), source)
        git("checkout", "--quiet", "--detach", at)
        found = git("rev-parse", "--verify", "HEAD^{commit}").strip()
    except Failed as error:
        raise InstallError(f"git cannot fetch {source}: {_last(str(error))}") from None
    except InstallError as error:
        if str(error).startswith("git cannot be started"):
            raise InstallError("git is not there, so nothing comes from a git address: install git, or take a zip.") from None
        raise
    if commit and found != commit:
        raise InstallError(f"{source} gave the commit {found}, not {commit}.")
    delete(into / ".git")
    return found


def _beginning(command: Sequence[str], length: int) -> bytes:
    """The first bytes that a program says; it is ended when there are more. A tree can be made that is listed without end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    process = subprocess.Popen(
        list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=kept
    )  # fmt: skip
    with process, process.stdout or io.BytesIO() as said:
        beginning = said.read(length)
        process.kill()
    return beginning


def _check_listed(said: bytes, source: Source) -> None:
    """Look at the files of a commit before they are written. Raises InstallError."""
    lines = said.split(b"\0")[:-1]
    if len(said) > LIST_AT_MOST or len(lines) > FILES_AT_MOST:
        raise InstallError(f"{source} holds more than {FILES_AT_MOST:,} files, so it was not installed.")
    total = 0
    for line in lines:
        facts, _, name = line.partition(b"\t")
        mode, _, _, size = facts.split()
        kind = {b"120000": "a link, which could lead out of its folder", b"160000": "a part in another repository"}.get(mode)
        if kind:
            shown = name.decode("utf-8", "replace")[:80]
            raise InstallError(f"{source} has {shown!r}, which is {kind}, so it was not installed.")
        total += int(size)
    if total > BYTES_AT_MOST:
        raise InstallError(f"{source} would take more than {BYTES_AT_MOST // 2**20} MB, so it was not installed.")


def _git_environment(source: Source) -> dict[str, str]:
    """Ask nobody, and go over no other way than the one that was named: redirects and submodules could name another."""
    kept = {
        name: value for name, value in os.environ.items() if not re.match(r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT|COMMON)", name)
    }
    way = source.place.partition("://")[0] if "://" in source.place else "ssh"
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": way, "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C"}


def download(address: str, target: Path, should_stop: Stop, tell: Tell) -> None:
    """Fetch a zip over https into a new file.

    Raises:
        InstallError: it cannot be reached, is too large, or leads to an address that is not encrypted.
    """
    asked = urllib.request.Request(address, headers={"User-Agent": "latent-webui"})
    opener = urllib.request.build_opener(_Encrypted(), urllib.request.HTTPSHandler(context=_certificates()))
    done, told = 0, 0
    try:
        with opener.open(asked, timeout=SILENCE) as answer, target.open("xb") as file:
            while piece := answer.read(PIECE):
                done += len(piece)
                if done > ARCHIVE_AT_MOST:
                    raise InstallError(f"{address} has more than {ARCHIVE_AT_MOST // 2**20} MB, so it was not fetched.")
                if should_stop():
                    raise InstallError("It was cancelled.")
                file.write(piece)
                if done // (PIECE * 10) > told:
                    told = done // (PIECE * 10)
                    tell(f"Fetched {done // PIECE} MB")
            length = answer.headers.get("Content-Length", "")
    except urllib.error.HTTPError as error:
        raise InstallError(f"{address} cannot be fetched: it answers {error.code} ({error.reason}).") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InstallError(f"{address} cannot be fetched: {getattr(reason, 'strerror', None) or reason}.") from None
    if length.isdecimal() and int(length) != done:
        raise InstallError(f"{address} broke off after {done:,} of {int(length):,} bytes. Try again.")


class _Encrypted(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https alone."""

    def redirect_request(self, request: Any, file: Any, code: int, message: str, headers: Any, address: str) -> Any:
        parts = urlsplit(address)
        came_from_here = is_this_machine(urlsplit(request.full_url).hostname or "")
        if parts.scheme != "https" and not (came_from_here and parts.scheme == "http" and is_this_machine(parts.hostname or "")):
            raise InstallError(f"{request.full_url} leads to an address that is not https, so nothing was fetched from there.")
        return super().redirect_request(request, file, code, message, headers, address)


def _certificates() -> ssl.SSLContext:
    """The system's, and those that came with the program's packages where a Python has none of its own."""
    context = ssl.create_default_context()
    if not context.get_ca_certs() and not os.environ.get("SSL_CERT_DIR"):
        try:
            import certifi

            context.load_verify_locations(certifi.where())
        except ImportError:  # then the sentence of the connection says that nobody vouches for the other side
            pass
    return context


def _last(said: str) -> str:
    """The line that says why, without the words in front of it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if line.lower().startswith(("fatal:", "error:"))] or lines
    reason = re.sub(r"^(fatal|error):\s*", "", telling[0] if telling else "it ended without a reason", flags=re.IGNORECASE)
    return f"{reason[:300].rstrip('.')}."
