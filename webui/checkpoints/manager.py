"""The loaded checkpoints: which are in memory, which is in use, which must go.

A request that names a checkpoint uses it without changing anybody else's choice. A checkpoint that cannot be read
leaves everything as it was. What was used last goes last when memory is short.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from webui.checkpoints import memory
from webui.checkpoints.arithmetic import Arithmetic, choose
from webui.checkpoints.catalog import Catalog, Entry
from webui.checkpoints.download import Shelf
from webui.checkpoints.load import load
from webui.checkpoints.model import Model
from webui.checkpoints.placing import place
from webui.checkpoints.prediction import prediction_of
from webui.checkpoints.resident import Budget, Resident
from webui.checkpoints.upscalers import Upscalers
from webui.contract.errors import CheckpointError, CheckpointReadError

_log = logging.getLogger(__name__)
SMALL = 512 * 2**20
"""Bytes up to which a file is hashed as it is loaded (under half a second); larger ones are hashed afterwards."""


@dataclass(frozen=True)
class Defaults:
    """What a checkpoint draws best with: its family row, as the page and the API show it."""

    family_label: str
    sampler: str
    schedule: str
    steps: int
    guidance: float
    width: int
    height: int


class Checkpoints:
    """Hands out models.

    Args:
        catalog: what lies in the folders.
        chosen: title of the checkpoint in use.
        device: to compute on.
        kept: folder for what is worth remembering (the chosen arithmetic).
        host_memory_share: of the memory that is free at start, for checkpoints that are not in use.
        shelf: files that are not bundled, and that some families need.
        dtype: the number format to compute in; None: the one that is found to be fastest here.
        upscalers: networks that enlarge finished pictures; None: there are none.
        on_loaded: is told of each checkpoint that came into memory; it must not raise, and returns at once.
    """

    def __init__(
        self,
        catalog: Catalog,
        chosen: str,
        device: torch.device,
        kept: Path,
        host_memory_share: float = 0.5,
        shelf: Shelf | None = None,
        dtype: torch.dtype | None = None,
        upscalers: Upscalers | None = None,
        on_loaded: Callable[[Entry], None] = lambda _: None,
    ) -> None:
        self.catalog = catalog
        self._on_loaded = on_loaded
        self.shelf = shelf
        self.upscalers = upscalers or Upscalers((), device)
        self.device = device
        self._chosen = chosen
        self._kept = kept
        self._dtype = dtype
        self._budget = int(memory.free_bytes(device) * host_memory_share)
        self._lock = threading.RLock()
        self._loading = threading.Lock()  # one load at a time; asking what is resident never waits for it
        self._models: OrderedDict[str, tuple[Entry, Model]] = OrderedDict()
        self._in_use: list[str] = []
        self._pinned: set[str] = set()

    # -- what there is

    def entries(self) -> list[Entry]:
        return self.catalog.entries()

    def refresh(self) -> None:
        self.catalog.refresh()

    def find(self, name: str = "") -> Entry:
        """The checkpoint of that name; "" is the one in use, or the first that can be opened where that one is gone or broken.

        Raises:
            UnknownCheckpointError
        """
        return self.catalog.find(name) if name else self._current()

    def _current(self) -> Entry:
        entries = self.entries()
        whole = [
            entry for entry in entries if not entry.error and entry.family and entry.family.does
        ]  # an autoencoder draws nothing
        whole.sort(key=lambda entry: bool(entry.family and (entry.family.needs or entry.family.does == "refine")))
        exact = [entry for entry in whole if entry.title == self._chosen]
        named = [entry for entry in whole if entry.name == self._chosen]
        if found := [*exact, *named, *whole]:
            return found[0]
        raise CheckpointReadError(
            "No checkpoint can be opened. "
            + (f"{entries[0].error}" if entries else "Put a .safetensors file into models/Stable-diffusion.")
        )

    @property
    def chosen(self) -> str:
        """Title of the checkpoint in use."""
        return self._current().title

    def choose(self, name: str) -> Entry:
        """Make a checkpoint the one that requests without a name use. Loads nothing.

        Raises:
            UnknownCheckpointError, CheckpointReadError: the old choice stays.
        """
        entry = self.find(name)
        if entry.error:
            raise CheckpointReadError(entry.error)
        self._chosen = entry.title
        return entry

    def defaults(self, name: str = "") -> Defaults:
        """Of a checkpoint's family row; reads no weights."""
        entry = self.find(name)
        if entry.family is None:
            raise CheckpointReadError(entry.error)
        row = entry.family
        return Defaults(row.label, row.sampler, "Automatic", row.steps, row.guidance, row.native_size, row.native_size)

    # -- what is loaded

    def resident(self) -> list[str]:
        """Titles of the checkpoints in memory, the last used one last."""
        with self._lock:
            return list(self._models)

    def resident_bytes(self) -> dict[str, int]:
        with self._lock:
            return {title: model.size_in_bytes() for title, (_, model) in self._models.items()}

    @contextmanager
    def use(self, name: str = "") -> Iterator[Model]:
        """The model of a checkpoint, kept in memory while the block runs.

        Raises:
            CheckpointError: unknown or unreadable; what was loaded stays.
        """
        entry = self.find(name)
        with self._lock:
            self._in_use.append(entry.title)
        try:
            yield self._model(entry)
        finally:
            with self._lock:
                self._in_use.remove(entry.title)

    def status(self) -> tuple[Resident, ...]:
        """What is in memory, the last used one last. Waits for no load."""
        with self._lock:
            return tuple(
                Resident(
                    title,
                    model.family.label,
                    model.size_in_bytes(),
                    "device",
                    title in self._pinned,
                    title in self._in_use,
                )
                for title, (_, model) in self._models.items()
            )

    def budget(self) -> Budget:
        """How much memory loaded checkpoints take, and may take."""
        used = sum(self.resident_bytes().values())
        free = max(min(self._budget - used, memory.free_bytes(self.device)), 0)
        return Budget(used, free, self._budget, used, free, self._budget, is_shared=self.device.type == "cpu")

    def load(self, name: str) -> None:
        """Have a checkpoint in memory, ready to draw; the choice stays as it is. Takes as long as reading it does.

        Raises:
            CheckpointError: what was loaded stays.
        """
        with self.use(name):
            pass

    def pin(self, name: str) -> None:
        """Keep a checkpoint in memory from when it is loaded: it does not make room for others. Loads nothing.

        Raises:
            UnknownCheckpointError
        """
        title = self.find(name).title
        with self._lock:
            self._pinned.add(title)

    def unpin(self, name: str) -> None:
        """Take a pin back. Raises UnknownCheckpointError."""
        title = self.find(name).title
        with self._lock:
            self._pinned.discard(title)
            self._make_room(title)

    def unload(self, name: str) -> None:
        """Give the memory of a checkpoint back, unless it is being used. A pin stays, for when it is loaded again."""
        with self._lock:
            title = self.find(name).title
            if title not in self._in_use:
                self._models.pop(title, None)

    def _model(self, entry: Entry) -> Model:
        with self._loading:
            with self._lock:
                if entry.title in self._models and self._models[entry.title][0].path == entry.path:
                    self._models.move_to_end(entry.title)
                    return self._models[entry.title][1]
            entry, model = self._load(entry)
            with self._lock:
                self._models[entry.title] = (entry, model)
                self._make_room(entry.title)
        self._on_loaded(entry)
        if not entry.sha256:
            threading.Thread(target=self._hash, args=(entry,), name="hash", daemon=True).start()
        return model

    def _load(self, entry: Entry) -> tuple[Entry, Model]:
        identity = entry.identity
        if entry.error or identity is None:
            raise CheckpointReadError(entry.error)
        if entry.size <= SMALL:
            entry = self.catalog.hash(entry)
        try:
            model = load(entry.path, identity, entry.title, entry.checkpoint_name, self.shelf)
            place(model, self.device, self._arithmetic(model))
            if "prediction" in identity.assumed and model.unet is not None:
                entry = self.catalog.learn(entry.title, prediction=prediction_of(model))
                model.family = entry.family or model.family
        except CheckpointError as error:
            self.catalog.mark(entry.title, str(error))
            raise
        return entry, model

    def _arithmetic(self, model: Model) -> Arithmetic:
        if self._dtype is not None or model.unet is None:  # an autoencoder alone is exact: there is nothing to be quick about
            return Arithmetic(self._dtype or torch.float32, channels_last=False)
        return choose(model.unet, model.family, self.device, self._kept / "arithmetic.json")

    def _hash(self, entry: Entry) -> None:
        hashed = self.catalog.hash(entry)
        with self._lock:
            if entry.title in self._models:
                _, model = self._models[entry.title]
                self._models[entry.title] = (hashed, model)
                model.name = hashed.checkpoint_name

    def _make_room(self, newest: str) -> None:
        """Drop the least recently used until the rest fits the budget."""
        sizes = self.resident_bytes()
        for title in list(self._models):
            if sum(sizes.values()) <= self._budget:
                return
            if title != newest and title not in self._in_use and title not in self._pinned:
                _log.info("%s leaves memory", title)
                del self._models[title]
                del sizes[title]
