"""The checkpoints that lie in the user's folders: found, named, identified, hashed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from webui.checkpoints import configuration
from webui.checkpoints.build import Identity
from webui.checkpoints.files import SUFFIXES
from webui.checkpoints.identify import beside, identify
from webui.checkpoints.knows import FILE, Knows, read_knows
from webui.contract.errors import CheckpointReadError, UnknownCheckpointError
from webui.contract.parts import Family
from webui.contract.result import CheckpointName

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One checkpoint of the folders."""

    title: str
    """The path below its folder, as menus show it: "anime/wd.safetensors"; unique."""
    name: str
    """The stem, as infotext has it."""
    path: Path
    size: int
    """Bytes on the disk."""
    identity: Identity | None
    error: str = ""
    """Why it cannot be opened; "" when nothing is known against it."""
    sha256: str = ""
    """Of the file (of a folder's U-Net); "" until it was computed."""
    knows: Knows | None = None
    """What it can draw, where its folder says so."""

    @property
    def family(self) -> Family | None:
        return self.identity.family if self.identity else None

    @property
    def hash(self) -> str:
        return self.sha256[:10]

    @property
    def config(self) -> Path | None:
        return configuration.beside(self.path)

    @property
    def checkpoint_name(self) -> CheckpointName:
        return CheckpointName(self.name, self.hash)


class Catalog:
    """All checkpoints below some folders. Listing reads headers once; a file that cannot be read is listed with its reason.

    Args:
        folders: models/ folders; checkpoints lie in their Stable-diffusion/, folders in diffusers layout also directly.
        extra: further folders that hold checkpoints directly (--ckpt-dir).
        families: the rows to choose from.
        kept: JSON file that keeps hashes by path, size and time; learnt.json beside it keeps what was found out otherwise.
    """

    def __init__(self, folders: Sequence[Path], extra: Sequence[Path], families: Iterable[Family], kept: Path) -> None:
        self._places = [(folder, folder / "Stable-diffusion") for folder in folders]
        self._extra = list(extra)
        self._families = families
        self._kept = kept
        self._lock = threading.RLock()
        self._entries: dict[str, Entry] = {}
        self._seen: dict[Path, tuple[tuple[int, int, int], Entry]] = {}
        self._hashes = _read_kept(kept)
        self._learnt: dict[str, dict[str, str]] = _read_kept(kept.with_name("learnt.json"))
        self._listed = False

    def refresh(self) -> None:
        """Look again. What did not change is not read again."""
        found: dict[str, Entry] = {}
        for models, checkpoints in self._places:
            for path in [*_folders_in(models), *_checkpoints_in(checkpoints)]:
                root = models if path.parent == models else checkpoints
                self._add(found, path, root)
        for folder in self._extra:
            for path in _checkpoints_in(folder):
                self._add(found, path, folder)
        with self._lock:
            self._entries = found
            self._listed = True

    def _add(self, found: dict[str, Entry], path: Path, root: Path) -> None:
        title = path.relative_to(root).as_posix()
        if title in found:
            if found[title].path.resolve() == path.resolve():
                return
            title = f"{root.parent.name}/{title}"
        found[title] = replace(self._entry(path), title=title)

    def _entry(self, path: Path) -> Entry:
        weights = _weights(path)
        try:
            status = weights.stat() if weights.exists() else path.stat()
        except OSError as problem:
            why = f"cannot be opened: {problem.strerror}" if path.exists() else "is a link that leads nowhere"
            return Entry(path.name, path.stem, path, 0, None, f"{path.name} {why}.")
        mark = (status.st_size, status.st_mtime_ns, _time_beside(path))
        known = self._seen.get(path)
        if known and known[0] == mark:
            return self._hashed(known[1], mark)
        identity, error = None, ""
        try:
            identity = identify(path, self._families, self._learnt.get(_key(path, mark)))
        except CheckpointReadError as problem:
            error = str(problem)
        size = _folder_size(path) if path.is_dir() else status.st_size
        name, knows = (path.name, read_knows(path)) if path.is_dir() else (path.stem, None)
        entry = Entry(path.name, name, path, size, identity, error, knows=knows)
        self._seen[path] = (mark, entry)
        return self._hashed(entry, mark)

    def _hashed(self, entry: Entry, mark: tuple[int, int, int]) -> Entry:
        return replace(entry, sha256=self._hashes.get(_key(entry.path, mark), ""))

    def entries(self) -> list[Entry]:
        if not self._listed:
            self.refresh()
        with self._lock:
            return list(self._entries.values())

    def find(self, name: str) -> Entry:
        """The checkpoint of that title, path, name or hash, tried in this order; never another one.

        Raises:
            UnknownCheckpointError: none fits, or several do.
        """
        entries = self.entries()
        wanted = name.strip()
        if wanted.endswith("]") and " [" in wanted:  # "name.safetensors [0a1b2c3d4e]", as A1111 titles it
            wanted, _, digest = wanted[:-1].rpartition(" [")
            exact = [
                entry
                for entry in entries
                if digest and entry.sha256.startswith(digest) and wanted in (entry.title, entry.path.name, entry.name)
            ]
            if len(exact) == 1:
                return exact[0]
        for key in (_title, _path, _file_name, _name):
            hits = [entry for entry in entries if key(entry) == wanted]
            if len(hits) == 1:
                return hits[0]
            if len(hits) > 1:
                raise UnknownCheckpointError(
                    f"{name!r} fits several checkpoints: {', '.join(hit.title for hit in hits)}. Use one of these names."
                )
        digest = wanted.lower()
        if len(digest) >= 8 and all(c in "0123456789abcdef" for c in digest):
            hits = [entry for entry in entries if entry.sha256.startswith(digest)]
            if len(hits) == 1:
                return hits[0]
        known = ", ".join(entry.title for entry in entries[:8]) or "there is none yet; put one into models/Stable-diffusion"
        raise UnknownCheckpointError(f"No checkpoint is called {name!r}. Known: {known}{', ...' if len(entries) > 8 else ''}.")

    def mark(self, title: str, error: str) -> None:
        """Remember that a checkpoint could not be loaded, so that the list shows why."""
        with self._lock:
            if title in self._entries:
                self._entries[title] = replace(self._entries[title], error=error)

    def learn(self, title: str, **facts: str) -> Entry:
        """Remember of a checkpoint what its header does not say: prediction="v" (asked of the network), or
        family="sdxl-turbo" (the user's word; it counts where the file is built so). The entry as it is now known.

        Raises:
            UnknownCheckpointError
        """
        entry = self.find(title)
        weights = _weights(entry.path)
        status = weights.stat()
        key = _key(entry.path, (status.st_size, status.st_mtime_ns, 0))
        with self._lock:
            self._learnt[key] = self._learnt.get(key, {}) | facts
            self._seen.pop(entry.path, None)
            known = replace(self._entry(entry.path), title=entry.title)
            self._entries[entry.title] = known
            _write_kept(self._kept.with_name("learnt.json"), self._learnt)
        return known

    def hash(self, entry: Entry) -> Entry:
        """The entry with its SHA-256; reads the whole file the first time (about a second for 2 GB)."""
        weights = _weights(entry.path)
        if entry.sha256 or not weights.is_file():
            return entry
        status = weights.stat()
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._lock:
            self._hashes[_key(entry.path, (status.st_size, status.st_mtime_ns, 0))] = digest
            entry = replace(entry, sha256=digest)
            if entry.title in self._entries:
                self._entries[entry.title] = replace(self._entries[entry.title], sha256=digest)
            _write_kept(self._kept, self._hashes)
        return entry


def _title(entry: Entry) -> str:
    return entry.title


def _path(entry: Entry) -> str:
    return str(entry.path)


def _file_name(entry: Entry) -> str:
    return entry.path.name


def _name(entry: Entry) -> str:
    return entry.name


def _folders_in(models: Path) -> list[Path]:
    """Folders in diffusers layout that lie in models/ itself."""
    return sorted(path.parent for path in models.glob("*/model_index.json"))


def _checkpoints_in(folder: Path) -> list[Path]:
    """Files and folders that are, or look like, checkpoints. A folder that is linked into itself is not entered again."""
    found: list[Path] = []
    above: dict[str, frozenset[tuple[int, int]]] = {}
    for place, folders, files in os.walk(folder, followlinks=True):
        status, parents = os.stat(place), above.get(os.path.dirname(place), frozenset())
        if (status.st_dev, status.st_ino) in parents:
            folders.clear()
            continue
        above[place] = parents | {(status.st_dev, status.st_ino)}
        if "model_index.json" in files or (Path(place) != folder and _looks_like_one(Path(place), folders)):
            found.append(Path(place))  # one without its index is listed, with the reason why it does not open
            folders.clear()
            continue
        folders.sort()
        found += [Path(place) / name for name in sorted(files) if name.lower().endswith(SUFFIXES) and ".vae." not in name.lower()]
    return found


def _looks_like_one(place: Path, folders: list[str]) -> bool:
    """Whether a folder without an index has the parts of one in diffusers layout."""
    names = {"unet", "vae", "transformer", "vqvae"} & set(folders)
    return len(names) > 1 or any((place / name / "config.json").is_file() for name in names)


def _time_beside(path: Path) -> int:
    """When what lies beside a checkpoint changed last; 0 where nothing does."""
    times = []
    for file in (configuration.beside(path), beside(path), path / FILE):
        with contextlib.suppress(OSError):  # taken away meanwhile
            times += [file.stat().st_mtime_ns] if file else []
    return max(times, default=0) + len(times)


def _folder_size(path: Path) -> int:
    size = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            size += file.stat().st_size if file.is_file() else 0
    return size


def _weights(path: Path) -> Path:
    """The file that stands for a checkpoint: itself, or a folder's U-Net."""
    return path / "unet" / "diffusion_pytorch_model.safetensors" if path.is_dir() else path


def _key(path: Path, mark: tuple[int, int, int]) -> str:
    """Under which a file is remembered: its path, size and time."""
    return f"{path}|{mark[0]}|{mark[1]}"


def _read_kept(kept: Path) -> dict[str, Any]:
    try:
        values = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there yet, or damaged: found out again
        return {}
    return values if isinstance(values, dict) else {}


def _write_kept(kept: Path, values: Mapping[str, Any]) -> None:
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(".new")
        beside.write_text(json.dumps(values, indent=1), encoding="utf-8")
        os.replace(beside, kept)
    except OSError as error:
        _log.warning("%s could not be kept: %s", kept.name, error)
