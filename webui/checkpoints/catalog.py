"""The checkpoints that lie in the user's folders: found, named, identified, hashed.

Folders are looked at by threads of their own, so that nobody who asks ever waits for a disk that answers slowly: until it
does, what was known of it stands. What was found out is remembered by path, size and time (webui.checkpoints.remembered).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from webui.checkpoints.build import Identity
from webui.checkpoints.hashing import digest_of
from webui.checkpoints.identify import identify
from webui.checkpoints.knows import Knows, read_knows
from webui.checkpoints.remembered import Record, Remembered, read_kept, write_kept
from webui.checkpoints.scan import Found, Place, weights_of
from webui.contract.errors import CheckpointReadError, UnknownCheckpointError
from webui.contract.parts import Family
from webui.contract.result import CheckpointName

_log = logging.getLogger(__name__)
AT_ONCE = 4.0
"""Seconds between two tellings of what was identified meanwhile."""
REST = 1.5
"""Times what reading a header took, between two of them, when nobody waits for it: Python runs one thread at a time."""


@dataclass(frozen=True)
class Entry:
    """One checkpoint of the folders."""

    title: str
    """The path below its folder, as menus show it: "anime/wd.safetensors"; unique. Of two files of one title the first keeps
    it, the other gets the name of its place before it: "ComfyUI/anime/wd.safetensors"."""
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
    is_known: bool = True
    """False: it is listed, but what it is was not read yet. Catalog.find reads it."""
    config: Path | None = None
    """The releases' configuration beside it."""
    preview: Path | None = None
    """A picture beside it."""
    preview_time: int = 0
    """When that changed last, in ns."""

    @property
    def family(self) -> Family | None:
        return self.identity.family if self.identity else None

    @property
    def hash(self) -> str:
        return self.sha256[:10]

    @property
    def checkpoint_name(self) -> CheckpointName:
        return CheckpointName(self.name, self.hash)


@dataclass
class _Shelf:
    """A place and what was last seen there."""

    place: Place
    found: list[Found] = field(default_factory=list)
    is_looking: bool = False
    again: bool = False
    """Something may have changed since the look that is under way began."""


class Catalog:
    """All checkpoints below some folders. Listing reads headers once; a file that cannot be read is listed with its reason.

    Args:
        folders: models/ folders, or those of a program that has one; checkpoints lie in their Stable-diffusion/ (or
            checkpoints/), folders in diffusers layout also directly.
        extra: further folders that hold checkpoints directly (--ckpt-dir).
        families: the rows to choose from.
        kept: JSON file that keeps hashes by path, size and time; beside it learnt.json keeps what was found out otherwise, and
            identities.json what the headers said.
        patience: seconds that a caller waits for the disk; then it is answered what is known, and the look goes on. None: as
            long as it takes.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        extra: Sequence[Path],
        families: Iterable[Family],
        kept: Path,
        patience: float | None = None,
    ) -> None:
        places = [Place(folder, is_models=True) for folder in folders] + [Place(folder) for folder in extra]
        self._shelves = [_Shelf(place) for place in dict.fromkeys(places)]
        self._families = families
        self._kept = kept
        self._patience = patience
        self._changed = threading.Condition(threading.RLock())
        self._writing = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._records: dict[Path, Record] = {}
        self._knows: dict[Path, tuple[tuple[int, int, int], Knows | None]] = {}
        self._failures: dict[Path, tuple[tuple[int, int, int], str]] = {}
        self._hashes: dict[str, str] = read_kept(kept)
        self._learnt: dict[str, dict[str, str]] = read_kept(kept.with_name("learnt.json"))
        self._remembered: Remembered | None = None
        self._first_until: float | None = None
        """Until when those who ask wait for the first look, in time.monotonic()."""
        self._tell: Callable[[], None] = lambda: None
        self._is_closed = False

    def close(self) -> None:
        """Let looks that are under way end soon; what they have found out is kept."""
        self._is_closed = True

    @property
    def places(self) -> list[Place]:
        return [shelf.place for shelf in self._shelves]

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call `tell` from now on whenever the list differs from what it was; from any thread, and holding no lock."""
        self._tell = tell

    # -- looking

    @property
    def is_looking(self) -> bool:
        """Whether a folder or a header is being read."""
        with self._changed:
            return any(shelf.is_looking for shelf in self._shelves)

    def refresh(self) -> None:
        """Look again. What did not change is not read again."""
        self.look_again()
        self._wait(self._patience)

    def entries(self) -> list[Entry]:
        """As menus list them; those of which is_known is not set were found, but not read yet."""
        if self._first_until is None:
            self.look_again()
        if self._patience is None:
            self._wait_first(None)
        elif (left := (self._first_until or 0) - time.monotonic()) > 0:
            self._wait_first(left)
        with self._changed:
            return list(self._entries.values())

    def look_again(self) -> None:
        """Have every place looked at from now on, behind whoever says so."""
        with self._changed:
            if self._first_until is None:
                self._first_until = time.monotonic() + (self._patience or 0)
                self._recall()
            for shelf in self._shelves:
                shelf.again = shelf.is_looking
                if not shelf.is_looking:
                    shelf.is_looking = True
                    threading.Thread(target=self._look, args=(shelf,), name="catalog", daemon=True).start()

    def _wait(self, seconds: float | None) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self.is_looking, seconds)

    def _wait_first(self, seconds: float | None) -> None:
        """For the first look; later ones go on behind what is known."""
        with self._changed:
            if self._first_until != 0.0:
                self._wait(seconds)
                if not self.is_looking:
                    self._first_until = 0.0

    def _recall(self) -> None:
        """What was there last time, until it has been looked at."""
        self._remembered = Remembered(self._kept.with_name("identities.json"), self._families)
        self._records = self._remembered.read()
        if self._patience is None:
            return
        for shelf in self._shelves:
            shelf.found = [one.found for path, one in self._records.items() if path.is_relative_to(shelf.place.folder)]
        self._merge()

    def _look(self, shelf: _Shelf) -> None:
        goes_on = True
        try:
            while goes_on:
                found = shelf.place.look()
                with self._changed:
                    shelf.found = found
                self._publish()
                if self._read_new(found):
                    self._keep()
                with self._changed:
                    goes_on, shelf.again = shelf.again and not self._is_closed, False
                    shelf.is_looking = goes_on
                    self._changed.notify_all()
        finally:
            if goes_on:  # it failed: nobody waits for it for ever
                with self._changed:
                    shelf.is_looking = shelf.again = False
                    self._changed.notify_all()

    def _read_new(self, found: Sequence[Found]) -> bool:
        """Find out what the new ones are; whether there was one."""
        with self._changed:
            new = [one for one in found if not self._is_read(one)]
        began = told = time.monotonic()
        for one in new:
            if self._is_closed:
                break
            start = time.monotonic()
            self._read(one)
            if self._patience is not None and start - began > self._patience:  # nobody waits: make way for who draws or looks
                time.sleep(min(REST * (time.monotonic() - start), 0.1))
            if time.monotonic() - told > AT_ONCE:
                self._publish()
                told = time.monotonic()
        if new:
            self._publish()
        return bool(new)

    def _is_read(self, found: Found) -> bool:
        record = self._records.get(found.path)
        if found.problem:
            return True
        if record is None or record.found.mark != found.mark or record.facts != self._learnt.get(_key(found), {}):
            return False
        return not found.is_folder or self._knows.get(found.path, (None,))[0] == found.mark

    def _read(self, found: Found) -> None:
        """Open a file's header, or a folder's configuration."""
        facts = self._learnt.get(_key(found), {})
        identity, error, is_lasting = None, "", True
        try:
            identity = identify(found.path, self._families, facts)
        except CheckpointReadError as problem:
            error, is_lasting = str(problem), os.access(found.path, os.R_OK)
        except Exception as problem:  # noqa: BLE001 (one file must not hide the others)
            _log.exception("%s", found.path)
            error = f"{found.path.name} could not be looked at ({type(problem).__name__}). The log says more."
        knows = read_knows(found.path) if found.is_folder else None
        mark = found.mark if is_lasting else (-1, -1, -1)  # what the disk refused once is tried again
        with self._changed:
            self._records[found.path] = Record(replace(found, mark=mark), facts, identity, error)
            self._knows[found.path] = (mark, knows)

    def _keep(self) -> None:
        """Write down what was found out. Of what is not there any more only what lies on a disk that is away."""
        with self._changed:
            listed = {one.path for shelf in self._shelves for one in shelf.found}
            records = list(self._records.values())
        kept = [one for one in records if one.found.path in listed or not one.found.path.parent.exists()]
        with self._writing:
            if self._remembered is not None:
                self._remembered.write(kept)

    def _publish(self) -> None:
        if self._merge():
            self._tell()

    def _merge(self) -> bool:
        """Put the list together; whether it differs from what it was."""
        with self._changed:
            before, self._entries = self._entries, {}
            seen: dict[str, Found] = {}
            paths: set[Path] = set()
            for shelf in self._shelves:
                name = shelf.place.name
                for found in shelf.found:
                    first = seen.get(found.title)
                    if found.path in paths or (first and first.id == found.id != (0, 0)):
                        continue
                    title = _unique(found.title, name, seen)
                    paths.add(found.path)
                    seen[title] = found
                    made = self._entry(found, title)
                    old = before.get(title)
                    self._entries[title] = old if old == made else made
            return list(before.items()) != list(self._entries.items())

    def _entry(self, found: Found, title: str) -> Entry:
        record = self._records.get(found.path)
        is_known = self._is_read(found) or (record is not None and -1 in record.found.mark)
        identity = record.identity if record and is_known else None
        failed_at, failure = self._failures.get(found.path, (None, ""))
        error = found.problem or (failure if failed_at == found.mark else "") or (record.error if record and is_known else "")
        return Entry(
            title,
            found.path.name if found.is_folder else found.path.stem,
            found.path,
            found.size,
            identity,
            error,
            self._hashes.get(_key(found), ""),
            self._knows.get(found.path, (None, None))[1] if found.is_folder else None,
            is_known,
            found.config,
            found.preview,
            found.preview_time,
        )

    # -- asking for one

    def find(self, name: str) -> Entry:
        """The checkpoint of that title, path, name or hash, tried in this order; never another one. Of several with the same
        bytes the first answers to the hash.

        Raises:
            UnknownCheckpointError: none fits, or several do.
        """
        wanted = name.strip()
        found = self._find(name, self.entries()) if wanted else None
        if found is None and wanted:
            self.refresh()
            found = self._find(name, self.entries())
        if found is not None:
            return found if found.is_known else self._read_now(found)
        entries = self.entries()
        known = ", ".join(entry.title for entry in entries[:8]) or "there is none yet; put one into models/Stable-diffusion"
        raise UnknownCheckpointError(f"No checkpoint is called {name!r}. Known: {known}{', ...' if len(entries) > 8 else ''}.")

    def titled(self, title: str) -> Entry | None:
        """The checkpoint of exactly that title, read; None where there is none. Quick."""
        self.entries()
        with self._changed:
            entry = self._entries.get(title)
        return entry if entry is None or entry.is_known else self._read_now(entry)

    def _find(self, name: str, entries: Sequence[Entry]) -> Entry | None:
        wanted = name.strip()
        if wanted.endswith("]") and " [" in wanted:  # "name.safetensors [0a1b2c3d4e]", as A1111 titles it
            wanted, _, digest = wanted[:-1].rpartition(" [")
            for entry in entries:
                if digest and entry.sha256.startswith(digest) and wanted in (entry.title, entry.path.name, entry.name):
                    return entry
        with self._changed:
            if wanted in self._entries:
                return self._entries[wanted]
        for key in (_path, _file_name, _name):
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
            if len({entry.sha256 for entry in hits}) == 1:
                return hits[0]
        return None

    def _read_now(self, entry: Entry) -> Entry:
        """Find out what one is that nobody has looked at yet."""
        with self._changed:
            found = next((one for shelf in self._shelves for one in shelf.found if one.path == entry.path), None)
        if found is None:  # taken away meanwhile
            return entry
        self._read(found)
        self._publish()
        with self._changed:
            return self._entries.get(entry.title, entry)

    # -- what is found out otherwise

    def mark(self, title: str, error: str) -> None:
        """Remember that a checkpoint could not be loaded, so that the list shows why, until its file changes."""
        entry = self.titled(title)
        with self._changed:
            found = entry and next((one for shelf in self._shelves for one in shelf.found if one.path == entry.path), None)
            if found:
                self._failures[found.path] = (found.mark, error)
        self._publish()

    def learn(self, title: str, **facts: str) -> Entry:
        """Remember of a checkpoint what its header does not say: prediction="v" (asked of the network), or
        family="sdxl-turbo" (the user's word; it counts where the file is built so). The entry as it is now known.

        Raises:
            UnknownCheckpointError
        """
        entry = self.find(title)
        with self._changed:
            found = next(one for shelf in self._shelves for one in shelf.found if one.path == entry.path)
            self._learnt[_key(found)] = self._learnt.get(_key(found), {}) | facts
            learnt = dict(self._learnt)
        self._read(found)
        write_kept(self._kept.with_name("learnt.json"), learnt)
        self._keep()
        self._publish()
        with self._changed:
            return self._entries[entry.title]

    def hash(self, entry: Entry, is_gentle: Callable[[], bool] | None = None) -> Entry:
        """The entry with its SHA-256; reads the whole file the first time (about a second for 2 GB).

        Args:
            is_gentle: asked between pieces; where it says True, reading makes way for others. None: as quick as it can be.

        Raises:
            OSError: the file cannot be read.
        """
        weights = weights_of(entry.path)
        if entry.sha256 or not weights.is_file():
            return entry
        status = weights.stat()
        digest = digest_of(weights, is_gentle)
        after = weights.stat()
        if digest is None or (status.st_size, status.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            return entry  # it changed while it was read, or the program ends
        with self._changed:
            self._hashes[f"{entry.path}|{status.st_size}|{status.st_mtime_ns}"] = digest
            kept = dict(self._hashes)
            if (known := self._entries.get(entry.title)) and known.path == entry.path:
                self._entries[entry.title] = replace(known, sha256=digest)
        with self._writing:
            write_kept(self._kept, kept)
        return replace(entry, sha256=digest)


def _unique(title: str, place: str, taken: Mapping[str, object]) -> str:
    """A title that no other has: as it is, behind the name of its place, or with a number."""
    if title not in taken:
        return title
    named = f"{place}/{title}"
    numbers = (named, *(f"{named} ({number})" for number in range(2, len(taken) + 3)))
    return next(name for name in numbers if name not in taken)


def _path(entry: Entry) -> str:
    return str(entry.path)


def _file_name(entry: Entry) -> str:
    return entry.path.name


def _name(entry: Entry) -> str:
    return entry.name


def _key(found: Found) -> str:
    """Under which a file is remembered: its path, size and time."""
    return f"{found.path}|{found.mark[0]}|{found.mark[1]}"
