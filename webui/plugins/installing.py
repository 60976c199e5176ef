"""Installing extensions: fetched beside, looked at, and only then, when the user has said yes, put in their place by one rename.

The version before is kept, so that what is new and broken can be taken back; settings (state/extensions/NAME) are touched by
nothing here.

    staged = installer.stage(source)      fetched, its manifest and requirements checked; nothing of it has run
    installer.install(staged)             or installer.discard(staged)
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from webui.contract import VERSION
from webui.contract.errors import InstallError, PluginError, UnknownNameError
from webui.plugins import fetching, lock, packages, unpacking
from webui.plugins.extension import MANIFEST, NAME, Extension, read_manifest, values_of
from webui.plugins.fetching import Tell
from webui.plugins.loading import find_extensions
from webui.plugins.lock import Row
from webui.plugins.packages import Pip
from webui.plugins.requirements import Needs, constraints, needs_of, pinned
from webui.plugins.sources import Source, source_of
from webui.plugins.unpacking import DEVICES, Stop

STAGES = ".part-"
"""How the folders begin in which extensions are made ready; those that find extensions pass over a dot."""
OLD_SECONDS = 24 * 3600.0
"""After which such a folder was left behind by a program that is gone."""


@dataclass(frozen=True)
class Places:
    """Where things lie."""

    folders: tuple[Path, ...]
    """In which extensions are found; the last one is where they are installed."""
    versions: Path
    """Keeps the version before of each, by name."""
    lock: Path
    constraints: Path
    """The versions that the program was tested with."""

    @property
    def target(self) -> Path:
        return self.folders[-1]


@dataclass(frozen=True)
class Staged:
    """An extension that is here, but not installed."""

    row: Row
    """As it would be written down."""
    extension: Extension
    """What it says of itself."""
    needs: Needs
    stage: Path
    """Goes away when it is installed or discarded."""
    files: Path
    """Its folder; of a package its wheel."""
    replaces: Row | None = None
    """What it is a new version of."""
    before: Extension | None = None
    """What that one says of itself."""
    is_there: bool = False
    """The very same is installed already, so that there is nothing to do."""


def _silent(_words: str) -> None:
    """Tells nobody."""


def _never() -> bool:
    return False


class Installer:
    """Installs, updates, takes back and removes extensions of one data folder.

    Args:
        own_names: names that parts of the program itself have.
        pip: of the Python whose packages are meant.
    """

    def __init__(self, places: Places, own_names: Collection[str] = (), pip: Pip | None = None) -> None:
        self._places = places
        self._own = {name.casefold() for name in own_names}
        self._pip = pip or Pip()
        self._lock = threading.Lock()

    # ------------------------------------------------------------ what there is

    @property
    def lock_file(self) -> Path:
        return self._places.lock

    def rows(self) -> tuple[Row, ...]:
        """What was installed here and is still there. Raises InstallError where the list cannot be read."""
        return tuple(row for row in lock.read(self._places.lock) if row.package or self._folder(row).is_dir())

    def before(self, name: str) -> Row | None:
        """The version that rollback brings back."""
        if not NAME.fullmatch(name):  # it becomes part of a path
            return None
        try:
            (row,) = lock.read(self._kept(name) / "before.lock")
        except (InstallError, ValueError):
            return None
        return row if (self._kept(name) / "before").is_dir() else None

    def row(self, name: str) -> Row:
        """Of the installed extension of that name, in any case of letters.

        Raises:
            UnknownNameError: there is no such extension.
            InstallError: it was not installed by this program, which then does not know where it comes from.
        """
        rows = self.rows()
        found = next((row for row in rows if row.name.casefold() == name.casefold()), None)
        if found:
            return found
        extensions = self._found()
        hand = next((one for one in extensions if one.name.casefold() == name.casefold()), None)
        if hand is None:
            raise UnknownNameError("extension", name[:80], sorted({row.name for row in rows} | {one.name for one in extensions}))
        raise InstallError(
            f"{hand.name} was not installed but came with the program or was put there by hand ({_place(hand)}), so it is "
            "neither updated nor deleted here. It can be disabled."
        )

    def is_changed(self, row: Row) -> bool:
        """Whether anything in the folder of an installed one is not as it came."""
        try:
            return bool(row.files) and unpacking.digest(self._folder(row)) != row.files
        except (InstallError, OSError):  # a link that came in later
            return True

    def refresh(self) -> tuple[tuple[Row, ...], tuple[str, ...]]:
        """Write the lock file anew; (what is in it, the names of those that were not installed here)."""
        with self._lock:
            rows = self.rows()
            lock.write(self._places.lock, rows)
        ours = {row.name.casefold() for row in rows}
        project = self._places.folders[0] if len(self._places.folders) > 1 else None
        return rows, tuple(
            one.name for one in self._found() if one.name.casefold() not in ours and one.folder.parent != project
        )  # fmt: skip

    # ------------------------------------------------------------ making ready

    def stage(
        self,
        source: Source,
        tell: Tell = _silent,
        should_stop: Stop = _never,
        pin: Row | None = None,
        replaces: Row | None = None,
    ) -> Staged:
        """Fetch an extension and look at it. Nothing of it runs.

        Args:
            tell: is told what is being done.
            pin: a row of a lock file; exactly that must come.
            replaces: the installed one of which a new version is meant.

        Raises:
            InstallError: it cannot be had, is none, its name is taken, or it would change what the program needs.
        """
        self._sweep()
        stage = self._places.target / f"{STAGES}{secrets.token_hex(6)}"
        try:
            self._places.target.mkdir(parents=True, exist_ok=True)
            stage.mkdir()
            staged = self._staged(source, stage, tell, should_stop, pin)
            staged = replace(staged, replaces=replaces, before=self._extension(replaces) if replaces else None)
            if pin is not None and replaces is None:
                staged = self._beside_what_is_there(staged)
            self._check_name(staged)
            if staged.needs.problems:
                raise InstallError(f"{staged.row.name} was not installed. {' '.join(staged.needs.problems)}")
        except BaseException as error:
            unpacking.delete(stage)
            if isinstance(error, OSError):
                raise InstallError(f"{source} cannot be made ready: {error.strerror or error}.") from None
            raise
        return staged

    def stage_update(self, name: str, source: Source | None = None, tell: Tell = _silent, should_stop: Stop = _never) -> Staged:
        """Fetch what is there now of an installed extension; its `is_there` says that nothing is new.

        Args:
            source: where it comes from, from now on; None is where it came from.

        Raises:
            UnknownNameError, InstallError
        """
        row = self.row(name)
        staged = self.stage(source or self._source(row), tell, should_stop, replaces=row)
        return replace(staged, is_there=staged.row.is_same(row))

    def stage_lock(self, path: Path, tell: Tell = _silent, should_stop: Stop = _never) -> list[Staged]:
        """Fetch all that a lock file names, exactly that; if one of them cannot be had, none is kept.

        Raises:
            InstallError
        """
        if not path.is_file():
            raise InstallError(
                f"There is no file {path}. Where extensions are installed, it is extensions.lock of the data folder."
            )
        staged: list[Staged] = []
        try:
            for row in lock.read(path):
                if not row.is_exact:
                    raise InstallError(f"{path.name} does not say which {row.name} it means: it has no commit and no checksum.")
                there = next((mine for mine in self.rows() if mine.is_same(row)), None)
                if there is None:
                    staged.append(self.stage(source_of(row.kind, row.source), tell, should_stop, pin=row))
        except BaseException:
            for one in staged:
                self.discard(one)
            raise
        return staged

    def discard(self, staged: Staged) -> None:
        unpacking.delete(staged.stage)

    # ------------------------------------------------------------ changing

    def install(self, staged: Staged, tell: Tell = _silent, should_stop: Stop = _never) -> Row:
        """Put an extension in its place, and the packages that it needs and that are missing into the environment.

        Raises:
            InstallError: nothing of the extension is left; packages that pip had installed by then stay.
        """
        try:
            with self._lock:
                self._check_name(staged)  # another one may have come meanwhile
                lock.read(self._places.lock)  # where it is damaged, nothing is begun
                if staged.needs.missing:
                    tell(f"Installing {', '.join(staged.needs.missing)}")
                    limits = staged.stage / "constraints.txt"
                    limits.write_text(self._constraints(staged.row.name), encoding="utf-8")
                    self._pip.install(staged.needs.missing, limits, should_stop)
                tell(f"Putting {staged.row.name} in its place")
                with self._undone() as undo:
                    if staged.replaces:
                        self._put_aside(staged.replaces, undo)
                    self._put(staged, undo)
                    self._note(staged.row.name, staged.row)
                return staged.row
        finally:
            self.discard(staged)

    def rollback(self, name: str) -> Row:
        """Bring back the version before; the one that was there becomes the version before. Also undoes a removal.

        Raises:
            InstallError: there is none; all is as it was.
            UnknownNameError: no extension of that name was ever installed here.
        """
        before = self.before(name)
        if before is None:
            row = self.row(name)
            raise InstallError(f"There is no version before {row.version} of {row.name}.")
        with self._lock:
            now = next((row for row in self.rows() if row.name.casefold() == name.casefold()), None)
            kept = self._kept(name)
            if now is None:
                self._check_free(before.name, before)
            with self._undone() as undo:
                self._move(kept / "before", kept / "back", undo)
                if now is not None:
                    self._put_aside(now, undo)
                if before.package:
                    self._pip.put(_wheel(kept / "back"), _never)
                    self._move(kept / "back", kept / "now", undo)
                else:
                    self._move(kept / "back", self._folder(before), undo)
                self._note(name, before)
            if now is None:
                (kept / "before.lock").unlink(missing_ok=True)
            return before

    def remove(self, name: str) -> Row:
        """Take an extension away; its settings stay, the packages that it needed too, and rollback brings it back.

        Raises:
            UnknownNameError, InstallError
        """
        row = self.row(name)
        with self._lock, self._undone() as undo:
            self._put_aside(row, undo)
            if row.package:
                self._pip.uninstall(row.package, _never)
            self._note(name, None)
        return row

    # ------------------------------------------------------------ inside

    def _staged(self, source: Source, stage: Path, tell: Tell, should_stop: Stop, pin: Row | None) -> Staged:
        """Fetched and read, without a look at what is there."""
        tell(f"Fetching {source}" if source.is_remote else f"Reading {source}")
        place, sum_ = stage / source.label, ""
        commit = ""
        if source.kind == "package":
            return self._staged_package(source, stage, should_stop, pin)
        if source.kind == "git":
            commit = fetching.clone(source, place, pin.commit if pin else "", should_stop)
            unpacking.check_tree(place)
        elif source.kind == "zip":
            archive = Path(source.place)
            if source.is_remote:
                archive = stage / f"{source.label}.zip"
                fetching.download(source.place, archive, should_stop, tell)
            sum_ = unpacking.file_digest(archive)
            _check_sum(source, sum_, pin.sha256 if pin else "")
            unpacking.unpack(archive, place, should_stop)
        else:
            unpacking.copy(Path(source.place), place, should_stop)
        tell(f"Looking at {source.label}")
        root = unpacking.root_of(place, source.label)
        files = unpacking.digest(root)
        _check_sum(source, files, pin.files if pin else "")
        extension = _described(root)
        row = Row(extension.name, extension.version, source.kind, str(source), commit, sum_, files)
        return Staged(row, extension, self._needs(extension.name, extension.requirements), stage, root)

    def _staged_package(self, source: Source, stage: Path, should_stop: Stop, pin: Row | None) -> Staged:
        exact = f"{pin.package}=={pin.version}" if pin and pin.package else source.place
        path = self._pip.download(exact, stage / "wheel", should_stop)
        sum_ = unpacking.file_digest(path)
        _check_sum(source, sum_, pin.sha256 if pin else "")
        wheel = packages.read_wheel(path)
        packages.take_manifest(wheel, stage / source.label)
        extension = replace(_described(stage / source.label, is_package=True), origin="package")
        row = Row(extension.name, wheel.version, "package", str(source), sha256=sum_, package=wheel.package)
        needs = self._needs(extension.name, [*wheel.requires, *extension.requirements])
        return Staged(row, extension, needs, stage, path)

    def _beside_what_is_there(self, staged: Staged) -> Staged:
        """One of a lock file whose other version is installed replaces that one."""
        mine = next((row for row in self.rows() if row.name.casefold() == staged.row.name.casefold()), None)
        return replace(staged, replaces=mine, before=self._extension(mine)) if mine else staged

    def _needs(self, name: str, requirements: Sequence[str]) -> Needs:
        return needs_of(requirements, pinned(self._places.constraints), self._others(name))

    def _constraints(self, name: str) -> str:
        return constraints(pinned(self._places.constraints), self._others(name))

    def _others(self, name: str) -> dict[str, tuple[str, ...]]:
        return {one.name: one.requirements for one in self._found() if one.name.casefold() != name.casefold()}

    def _found(self) -> tuple[Extension, ...]:
        return find_extensions(self._places.folders)

    def _check_name(self, staged: Staged) -> None:
        name, replaces = staged.row.name, staged.replaces
        if replaces and name.casefold() != replaces.name.casefold():
            raise InstallError(
                f"What {staged.row.source} has now is called {name}, not {replaces.name}, so {replaces.name} was not updated. "
                f"To have it too: webui extensions install {staged.row.source}"
            )
        if replaces and bool(replaces.package) != bool(staged.row.package):
            raise InstallError(f"{name} would be a {staged.row.kind} instead of a {replaces.kind}: remove it first.")
        self._check_free(name, staged.row, replaces)

    def _check_free(self, name: str, row: Row, replaces: Row | None = None) -> None:
        """Raises InstallError, naming both, where the name is taken."""
        if name.casefold() in self._own:
            raise InstallError(f"{name} is the name of a part of the program itself, so {row.source} was not installed.")
        if replaces is not None:
            return
        for one in self._found():
            if name.casefold() == one.name.casefold():
                version = f" {one.version}" if one.version else ""
                raise InstallError(
                    f"An extension called {one.name}{version} is there already, in {_place(one)}; the {name} {row.version} of "
                    f"{row.source} was not installed. Update or remove the first one, or keep it."
                )
        if not row.package and (taken := next((p for p in self._beside() if p.name.casefold() == name.casefold()), None)):
            raise InstallError(f"{taken} is there already, so the {name} {row.version} of {row.source} was not installed.")

    def _beside(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from self._places.target.iterdir()

    def _extension(self, row: Row) -> Extension | None:
        """What an installed one says of itself; None where that cannot be read."""
        with contextlib.suppress(PluginError):
            if not row.package:
                return read_manifest(self._folder(row) / MANIFEST)
        return next((one for one in self._found() if one.name.casefold() == row.name.casefold()), None)

    def _source(self, row: Row) -> Source:
        return source_of(row.kind, row.source)

    def _folder(self, row: Row) -> Path:
        return self._places.target / row.name

    def _kept(self, name: str) -> Path:
        """Where the version before lies: before/ and before.lock; of a package the wheel of the present one in now/, too."""
        return self._places.versions / name.casefold()

    def _note(self, name: str, row: Row | None) -> None:
        """Write down what is installed under a name now; read just before, for another program may have written meanwhile."""
        others = [one for one in lock.read(self._places.lock) if one.name.casefold() != name.casefold()]
        lock.write(self._places.lock, [*others, *([row] if row else [])])

    def _put(self, staged: Staged, undo: list[tuple[Path, Path]]) -> None:
        row = staged.row
        if not row.package:
            self._move(staged.files, self._folder(row), undo)
            return
        kept = self._kept(row.name)
        if staged.replaces is not None:
            old = _wheel(kept / "before")
            try:
                self._pip.put(staged.files, _never)
            except InstallError:
                self._pip.put(old, _never)
                raise
        else:
            self._pip.put(staged.files, _never)
        packages.keep(staged.files, kept / "now")

    def _put_aside(self, row: Row, undo: list[tuple[Path, Path]]) -> None:
        """Make the installed one the version before; the one that was that until now goes away in the end."""
        kept = self._kept(row.name)
        kept.mkdir(parents=True, exist_ok=True)
        if (kept / "before").exists():
            self._move(kept / "before", kept / f"old-{secrets.token_hex(4)}", undo)
        self._move(kept / "now" if row.package else self._folder(row), kept / "before", undo)
        if (kept / "before.lock").exists():
            self._move(kept / "before.lock", kept / f"old-{secrets.token_hex(4)}.lock", undo)
        lock.write(kept / "before.lock", [row])

    def _move(self, place: Path, target: Path, undo: list[tuple[Path, Path]]) -> None:
        """Rename, across disks too; noted, so that it can be undone."""
        if target.exists():  # a file, or an empty folder, would be replaced without a word
            raise InstallError(f"{target} is there already, so nothing was changed.")
        try:
            os.rename(place, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise InstallError(f"{place.name} cannot be moved ({error.strerror}), so nothing was changed.") from None
            shutil.move(place, target)
        undo.append((place, target))

    @contextlib.contextmanager
    def _undone(self) -> Iterator[list[tuple[Path, Path]]]:
        """A list of moves; where the block fails they are undone, last first. Then what is older than the version before goes."""
        moves: list[tuple[Path, Path]] = []
        try:
            yield moves
        except BaseException as error:
            for place, target in reversed(moves):
                if place.name == "before.lock":
                    place.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    shutil.move(target, place)
            if isinstance(error, OSError):
                raise InstallError(f"Nothing was changed: {error.strerror or error}.") from None
            raise
        for _, target in moves:
            if target.name.startswith("old-"):
                unpacking.delete(target) if target.is_dir() else target.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Delete what a program that was killed has left behind."""
        for place in self._places.target.glob(f"{STAGES}*"):
            with contextlib.suppress(OSError):
                if time.time() - place.stat().st_mtime > OLD_SECONDS:
                    unpacking.delete(place)


def asks(staged: Staged) -> dict[str, object]:
    """What an extension asks for, as both edges show it before anything of it runs."""
    row, extension, before = staged.row, staged.extension, staged.before
    known = set(before.permissions) if before else set()
    return {
        "name": row.name,
        "version": row.version,
        "description": extension.description,
        "kind": row.kind,
        "source": row.source,
        "what": row.what,
        "permissions": list(extension.permissions),
        "new_permissions": [one for one in extension.permissions if one not in known] if before else [],
        "there": list(staged.needs.there),
        "missing": list(staged.needs.missing),
        "replaces": staged.replaces.version if staged.replaces else "",
        "is_there": staged.is_there,
    }


def _described(folder: Path, is_package: bool = False) -> Extension:
    """What an extension says of itself, once it is sure that it can be installed. Raises InstallError."""
    try:
        values = values_of(folder / MANIFEST)
        contract = values.get("contract")
        if isinstance(contract, str) and contract != VERSION:
            name = values.get("name", folder.name)
            raise InstallError(
                f"{name} needs contract {contract[:20]}, this program has contract {VERSION}, so it was not installed; "
                "look for a version of it that fits."
            )
        extension = read_manifest(folder / MANIFEST)
    except PluginError as error:
        raise InstallError(f"It was not installed. {error}") from None
    name = extension.name
    if name.endswith(".") or name.split(".")[0].casefold() in DEVICES:
        raise InstallError(f"{name} cannot be the name of a folder everywhere, so it was not installed.")
    if not is_package and not (folder / "extension.py").is_file():
        raise InstallError(f"{name} has no extension.py, so it was not installed.")
    return extension


def _check_sum(source: Source, found: str, expected: str) -> None:
    if expected and found != expected:
        raise InstallError(
            f"{source} is not what the lock file means: its SHA-256 is {found[:16]}…, not {expected[:16]}…. It was not installed."
        )


def _wheel(folder: Path) -> Path:
    found = sorted(folder.glob("*.whl"))
    if not found:
        raise InstallError(f"{folder.parent.name} was not kept, so it cannot be brought back.")
    return found[0]


def _place(extension: Extension) -> str:
    if extension.origin == "package":
        return "an installed package"
    return f"extensions/{extension.folder.name} of the {extension.origin} folder"
