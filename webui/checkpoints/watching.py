"""Sees files come and go in the folders of models, and hashes checkpoints when nothing else is to be done.

Where a folder cannot be watched (a share of another machine, a system that has no watches left), it is looked at whenever a
page opens or a name is not known, as always.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from webui.checkpoints.catalog import Catalog, Entry
from webui.checkpoints.hashing import Stopped, lower_priority

_log = logging.getLogger(__name__)
TOGETHER_MS = 1000
"""Changes within so long are one: a folder that is copied tells of hundreds."""
SUFFIXES = frozenset((
    "", ".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".yaml", ".json", ".png", ".jpg", ".jpeg", ".webp",
))  # fmt: skip
"""What counts: weights, what lies beside them, and folders, which have none."""
SETTLED_SECONDS = 10.0
"""A file that changed later than that may still be on its way here."""
UNTIL_FIRST_HASH = 20.0
"""Seconds that are left to the start and the first picture."""


class Watcher:
    """Watches from start() to close(), in threads of its own.

    Args:
        catalog: is looked at again when files change.
        on_files: is called then too, for whatever else lies in the same folders; from any thread.
        is_busy: whether something is being drawn, so that hashing waits.
        hashes: False leaves hashing to when a checkpoint is used (--no-hashing).
    """

    def __init__(self, catalog: Catalog, on_files: Callable[[], None], is_busy: Callable[[], bool], hashes: bool = True) -> None:
        self._catalog = catalog
        self._on_files = on_files
        self._is_busy = is_busy
        self._hashes = hashes
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, until_first_hash: float = UNTIL_FIRST_HASH) -> None:
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        for place in self._catalog.places:  # each by itself: a disk that does not answer must not keep the others
            self._run(self._watch, place.folder)
        if self._hashes:
            self._run(self._hash_all, until_first_hash)

    def close(self, timeout: float = 3.0) -> None:
        """Stop, and wait that long for what is under way."""
        self._stop.set()
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0))

    def _run(self, task: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=task, args=args, name=f"watcher {len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    # -- watching

    def _watch(self, folder: Path) -> None:
        try:
            from watchfiles import watch
        except ImportError:
            return
        try:
            if not folder.is_dir():
                return
            changes = watch(
                folder,
                watch_filter=lambda _, path: Path(path).suffix.lower() in SUFFIXES,
                debounce=TOGETHER_MS,
                step=100,
                stop_event=self._stop,
                rust_timeout=1000,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )
            for _ in changes:
                self._catalog.look_again()
                self._on_files()
        except (OSError, RuntimeError) as problem:  # no watches left, a file system without them
            _log.info("%s cannot be watched (%s). It is looked at when a page opens.", folder.name, problem)

    # -- hashing

    def _hash_all(self, first: float) -> None:
        lower_priority()
        failed: set[tuple[Path, int]] = set()
        if self._stop.wait(first):
            return
        while not self._stop.is_set():
            entry = self._next(failed)
            if entry is None:
                self._stop.wait(5.0)
                continue
            try:
                done = self._catalog.hash(entry, self._make_way)
            except OSError as problem:
                _log.info("%s cannot be hashed: %s", entry.path.name, problem)
                done = entry
            if not done.sha256:
                failed.add((entry.path, entry.size))

    def _next(self, failed: set[tuple[Path, int]]) -> Entry | None:
        """The smallest that has no hash yet."""
        newest = time.time() - SETTLED_SECONDS
        wanting = [
            entry
            for entry in self._catalog.entries()
            if not entry.sha256 and entry.is_known and entry.identity and (entry.path, entry.size) not in failed
        ]
        for entry in sorted(wanting, key=lambda one: one.size):
            try:
                if entry.path.stat().st_mtime < newest:
                    return entry
            except OSError:
                continue
        return None

    def _make_way(self) -> bool:
        while self._is_busy() and not self._stop.is_set():
            self._stop.wait(0.5)
        if self._stop.is_set():
            raise Stopped
        return True
