"""Extensions that are packages, and the packages that extensions need: pip, in the environment that the program runs in."""

from __future__ import annotations

import email.parser
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from webui.contract.errors import InstallError
from webui.plugins.extension import BYTES, MANIFEST
from webui.plugins.fetching import Failed, run
from webui.plugins.loading import ENTRY_POINTS
from webui.plugins.unpacking import DAMAGED, PACKED, Stop, check_size

TEXT_AT_MOST = 2**21
"""Bytes of a text in a wheel."""


@dataclass(frozen=True)
class Wheel:
    """What a package says of itself, read without running anything of it."""

    path: Path
    package: str
    version: str
    requires: tuple[str, ...]
    """Packages that it needs; those of its extras are left out."""
    module: str
    """Of its entry point."""


class Pip:
    """pip for one Python.

    Args:
        python: the interpreter whose packages are changed; "" is this one.
    """

    def __init__(self, python: str = "") -> None:
        self._python = python

    def download(self, requirement: str, into: Path, should_stop: Stop) -> Path:
        """The wheel of a package, nothing of which is run: a source package would have to run its own code to become one.

        Raises:
            InstallError: there is none.
        """
        into.mkdir(parents=True, exist_ok=True)
        try:
            self._run("download", ["--no-deps", "--only-binary", ":all:", "--dest", str(into), "--", requirement], should_stop)
        except Failed as error:
            if re.search(r"No matching distribution|Could not find a version", str(error)):
                raise InstallError(
                    f"There is no package {requirement} that could be looked at before it runs: the index has none, or only "
                    "sources. Install it from its git address or as a zip."
                ) from None
            raise InstallError(f"{requirement} could not be fetched: {reason(str(error))}") from None
        wheels = list(into.glob("*.whl"))
        if len(wheels) != 1:
            raise InstallError(f"pip fetched no wheel of {requirement}.")
        return wheels[0]

    def install(self, requirements: Sequence[str], constraints: Path, should_stop: Stop) -> None:
        """Install packages so that nothing which the constraints name changes. Raises InstallError."""
        words = ["--constraint", str(constraints), "--", *requirements]
        try:
            self._run("install", words, should_stop)
        except Failed as error:
            said = str(error)
            if "ResolutionImpossible" in said or "conflicting dependencies" in said:
                raise InstallError(
                    f"{_listed(requirements)} cannot be installed without changing what the program or another extension needs: "
                    f"{reason(said)}"
                ) from None
            raise InstallError(f"{_listed(requirements)} could not be installed: {reason(said)}") from None

    def put(self, wheel: Path, should_stop: Stop) -> None:
        """Put a wheel that is here in the place of whatever version is installed, and nothing else. Raises InstallError."""
        try:
            self._run("install", ["--no-deps", "--no-index", "--force-reinstall", "--", str(wheel)], should_stop)
        except Failed as error:
            raise InstallError(f"{wheel.name} could not be installed: {reason(str(error))}") from None

    def uninstall(self, package: str, should_stop: Stop) -> None:
        """Raises InstallError."""
        try:
            self._run("uninstall", ["--yes", "--", package], should_stop)
        except Failed as error:
            raise InstallError(f"{package} could not be removed: {reason(str(error))}") from None

    def _run(self, action: str, words: list[str], should_stop: Stop) -> str:
        target = ["--python", self._python] if self._python else []
        command = [sys.executable, "-P", "-m", "pip", *target, action, "--no-input", "--disable-pip-version-check", *words]
        try:
            return run(command, should_stop, {**os.environ, "PYTHONUTF8": "1"})
        except Failed as error:
            if "No module named pip" in str(error):
                raise InstallError("This Python has no pip, so no package can be installed: python -m ensurepip.") from None
            raise


def read_wheel(path: Path) -> Wheel:
    """Raises InstallError: it is none, or has no extension."""
    try:
        check_size(path)
        with zipfile.ZipFile(path) as opened:
            inside = next((name for name in opened.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)), "")
            metadata = email.parser.Parser().parsestr(_text(opened, inside))
            entries = ConfigParser(delimiters=("=",), interpolation=None)
            entries.optionxform = str  # type: ignore[assignment,method-assign]
            entries.read_string(_text(opened, inside.replace("METADATA", "entry_points.txt")))
    except (OSError, ConfigError, *DAMAGED) as error:
        raise InstallError(f"{path.name} cannot be read: {error}.") from None
    modules = list(entries[ENTRY_POINTS].values()) if entries.has_section(ENTRY_POINTS) else []
    package, version = str(metadata["Name"] or ""), str(metadata["Version"] or "")
    if not modules:
        raise InstallError(
            f'The package {package or path.name} is no extension of this program: it has no entry point "{ENTRY_POINTS}". '
            "Nothing of it was installed."
        )
    if len(modules) > 1:
        raise InstallError(f"The package {package} has {len(modules)} extensions; only packages with one can be installed here.")
    needs = [str(line) for line in metadata.get_all("Requires-Dist") or []]
    return Wheel(path, package, version, tuple(filter(None, map(_without_extras, needs))), modules[0].partition(":")[0].strip())


def take_manifest(wheel: Wheel, into: Path) -> None:
    """Write the manifest of a wheel, which lies beside its module, into a folder. Raises InstallError."""
    try:
        with zipfile.ZipFile(wheel.path) as opened:
            place = wheel.module.split(".")
            is_package = len(place) == 1 and f"{place[0]}/__init__.py" in opened.namelist()
            text = _text(opened, "/".join([*(place if is_package else place[:-1]), MANIFEST]), BYTES)
    except (OSError, *DAMAGED) as error:
        raise InstallError(f"{wheel.path.name} cannot be read: {error}.") from None
    if not text:
        raise InstallError(f"The package {wheel.package} has no {MANIFEST} beside its module {wheel.module}.")
    into.mkdir(parents=True, exist_ok=True)
    (into / MANIFEST).write_text(text, encoding="utf-8")


def keep(wheel: Path, folder: Path) -> Path:
    """A copy of a wheel as the only one in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / wheel.name
    if wheel != target:
        for old in folder.glob("*.whl"):
            old.unlink()
        shutil.copyfile(wheel, target)
    return target


def reason(said: str) -> str:
    """Why pip failed, in its own words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|error)\b:?", line)]
    told = re.sub(r"^(ERROR|error):\s*", "", errors[0]) if errors else (lines[-1] if lines else "pip ended without a reason")
    return f"{told[:300].rstrip('.')}."


def _text(opened: zipfile.ZipFile, name: str, length: int = TEXT_AT_MOST) -> str:
    """A text of a package; "" where it has none of that name."""
    if name not in opened.namelist():
        return ""
    entry = opened.getinfo(name)
    if entry.file_size > length or entry.compress_type not in PACKED:
        raise InstallError(f"{name} is larger than {length:,} bytes, or packed in another way than wheels commonly are.")
    return opened.read(entry).decode("utf-8")


def _without_extras(line: str) -> str:
    """A requirement of a package, or "" where only one of its extras has it."""
    try:
        needed = Requirement(line)
    except InvalidRequirement:
        return line  # told of as it stands
    return "" if needed.marker and "extra" in str(needed.marker) and not needed.marker.evaluate({"extra": ""}) else line


def _listed(requirements: Sequence[str]) -> str:
    return ", ".join(requirements)
