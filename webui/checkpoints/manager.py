"""The checkpoints: which is chosen, which are in memory, and how one comes there.

A request that names a checkpoint uses it without changing anybody else's choice. A checkpoint that cannot be read
leaves everything as it was. What was used last goes last when memory is short (webui.checkpoints.tiers).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from webui.checkpoints import memory
from webui.checkpoints.arithmetic import Arithmetic, choose
from webui.checkpoints.catalog import Catalog, Entry
from webui.checkpoints.download import Shelf
from webui.checkpoints.load import files_of, has_changed, load, stamp, uncollected
from webui.checkpoints.model import Model
from webui.checkpoints.offloading import Wish
from webui.checkpoints.placing import AbandonedError, never, place, slots_of
from webui.checkpoints.prediction import prediction_of
from webui.checkpoints.resident import Budget, Resident
from webui.checkpoints.tiers import Loaded, Tiers
from webui.checkpoints.upscalers import Upscalers
from webui.contract.errors import CheckpointError, CheckpointReadError, UnknownCheckpointError, WebUIError

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
    prompt: str = ""
    """Words that the user wants behind every prompt for it."""
    negative_prompt: str = ""


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
        own_defaults: what the user set for the checkpoint at a path, by field of Defaults; it counts instead of its family's.
        is_shared: whether host memory is the device's memory; None: on a processor.
        wish: how networks take turns on a graphics card also where they would fit.
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
        is_shared: bool | None = None,
        own_defaults: Callable[[Path], Mapping[str, Any]] = lambda _: {},
        wish: Wish = "",
    ) -> None:
        self.catalog = catalog
        self._own_defaults = own_defaults
        self._on_loaded = on_loaded
        self.shelf = shelf
        self.upscalers = upscalers or Upscalers((), device)
        self.device = device
        self._chosen = chosen
        self._kept = kept
        self._dtype = dtype
        self._tiers = Tiers(
            device,
            int(memory.free_bytes(torch.device("cpu")) * host_memory_share),
            int(memory.free_bytes(device) * memory.DEVICE_SHARE),
            is_shared,
            wish=wish,
        )
        self._is_shared = is_shared
        self._reading = threading.Lock()  # one at a time; who asks what is in memory never waits for it
        self._changed = threading.Condition()
        self._wish = ""
        """Title that was chosen and is to be in memory; "" when that is done, or was overtaken."""
        self._proven = chosen
        """What is chosen again where a wish cannot be read."""
        self._remember: Callable[[str], object] = lambda _: None
        self._failure = ""
        self._loader: threading.Thread | None = None
        self._is_closing = False
        self._urgent: list[str] = []
        """Titles of what is needed now, by those who wait to read it."""
        self._read_now = ""

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
        chosen = self.catalog.titled(self._chosen)
        if chosen and not chosen.error and chosen.family and chosen.family.does:
            return chosen
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
        entry = self._readable(name)
        self._chosen = entry.title
        return entry

    def _readable(self, name: str) -> Entry:
        entry = self.find(name)
        if entry.error:
            raise CheckpointReadError(entry.error)
        return entry

    def defaults(self, name: str = "") -> Defaults:
        """What the user set for a checkpoint, and its family row for the rest; reads no weights."""
        return replace(self.family_defaults(name), **self._own_defaults(self.find(name).path))

    def family_defaults(self, name: str = "") -> Defaults:
        """Of a checkpoint's family row alone."""
        entry = self.find(name)
        if entry.family is None:
            raise CheckpointReadError(entry.error)
        row = entry.family
        return Defaults(row.label, row.sampler, "Automatic", row.steps, row.guidance, row.native_size, row.native_size)

    # -- what is loaded

    def resident(self) -> list[str]:
        """Titles of the checkpoints in memory, the last used one last."""
        return self._tiers.titles()

    def is_ready(self, name: str) -> bool:
        """Whether a checkpoint, by its title, can be used at once: it is on the device."""
        return self._tiers.is_ready(name)

    def resident_bytes(self) -> dict[str, int]:
        return {one.title: one.bytes for one in self._tiers.status()}

    def status(self) -> tuple[Resident, ...]:
        """What is in memory, the last used one last. Waits for no load."""
        return self._tiers.status()

    def budget(self) -> Budget:
        """How much memory loaded checkpoints take, and may take."""
        return self._tiers.budget()

    def loading(self) -> str:
        """Title of the checkpoint that is being read now; "" when none is."""
        return self._read_now

    def failure(self) -> str:
        """Why the checkpoint that was preferred last could not be read; "" where it could, and until it is known."""
        return self._failure

    @contextmanager
    def use(self, name: str = "") -> Iterator[Model]:
        """The model of a checkpoint, ready to draw while the block runs. Read again where its file has changed since.

        Raises:
            CheckpointError: unknown or unreadable; what was loaded stays.
            MemoryLimitError: there is no room for it.
        """
        loaded = self._held(self.find(name))
        try:
            yield loaded.model
        finally:
            self._tiers.release(loaded)

    @contextmanager
    def again(self, model: Model) -> Iterator[None]:
        """Have a model on the device that was handed out before, while the block runs: that very one, whatever its file is now.

        Raises:
            MemoryLimitError: there is no room for it.
        """
        loaded = self._tiers.hold_model(model)
        if loaded is None:  # it has left memory, and whoever asks has the last of it
            yield
            return
        self._ready(loaded)
        try:
            yield
        finally:
            self._tiers.release(loaded)

    def load(self, name: str) -> None:
        """Have a checkpoint in memory, ready to draw; the choice stays as it is. Takes as long as reading it does.

        Raises:
            CheckpointError, MemoryLimitError: what was loaded stays.
        """
        with self.use(name):
            pass

    def unload(self, name: str) -> None:
        """Give the memory of a checkpoint back, unless it is being used. A pin stays, for when it is loaded again.

        Raises:
            UnknownCheckpointError
        """
        self._tiers.drop(self._title(name))

    def pin(self, name: str) -> None:
        """Keep a checkpoint in memory from when it is loaded: it does not make room for others. Loads nothing.

        Raises:
            UnknownCheckpointError
        """
        self._tiers.pin(self._title(name))

    def unpin(self, name: str) -> None:
        """Take a pin back. Raises UnknownCheckpointError."""
        self._tiers.unpin(self._title(name))

    def make_room(self, bytes_: int) -> bool:
        """Let idle checkpoints leave the device until so many bytes are free there; whether they are now."""
        return self._tiers.make_room(bytes_)

    def take_turns(self, model: Model) -> bool:
        """Leave more of the device to a picture that is drawn with this model: see Tiers.take_turns."""
        return self._tiers.take_turns(model)

    def _title(self, name: str) -> str:
        """Also of a checkpoint that is in memory, and no longer on the disk."""
        return name if self._tiers.get(name) or self._tiers.is_pinned(name) else self.find(name).title

    # -- wishes

    def prefer(self, name: str, remember: Callable[[str], object] = lambda _: None) -> Entry:
        """Choose a checkpoint, and read it behind what is drawn meanwhile. Of several that are asked for before one is read the
        last one is. One that cannot be read is marked in the catalog, and the one from before is chosen again.

        Args:
            remember: told the title that is chosen: at once, and again, from another thread, where it had to be changed back.

        Raises:
            UnknownCheckpointError, CheckpointReadError: the old choice stays.
        """
        entry = self._readable(name)
        with self._changed:
            self._chosen = self._wish = entry.title
            self._remember, self._failure = remember, ""
            if self._loader is None and not self._is_closing:
                # not kept: OpenMP's helpers end with the thread that computed, and slow other threads down until then
                self._loader = threading.Thread(target=self._load_wishes, name="load", daemon=True)
                self._loader.start()
            remember(entry.title)
        return entry

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until no wish is open; whether none is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._loader is None, timeout)

    def close(self) -> None:
        """Give up what is read behind."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            loader = self._loader
        if loader is not None:
            loader.join(10)

    def _load_wishes(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._urgent or self._is_closing)
                title = self._wish
                if not title or self._is_closing:
                    self._loader, self._wish = None, ""
                    self._changed.notify_all()
                    return
            self._fulfil(title)

    def _fulfil(self, title: str) -> None:
        problem: WebUIError | None = None

        def is_unwanted() -> bool:
            return self._wish != title or any(needed != title for needed in self._urgent) or self._is_closing

        try:
            self._tiers.release(self._held(self.find(title), is_unwanted))
        except AbandonedError:
            return  # another one is wished for, or this one again when what is urgent is done
        except WebUIError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 (whatever one file does, the next wish is read)
            _log.exception("%s could not be loaded", title)
            problem = CheckpointReadError(f"{title} could not be loaded ({type(error).__name__}). The log says more.")
        with self._changed:
            if self._wish != title:
                return
            self._wish = ""
            if problem is None:
                self._proven = title
                return
            _log.error("%s", problem)
            self._failure = str(problem)
            if self._chosen == title and self._proven != title:
                self._chosen = self._proven
                with suppress(WebUIError):  # a full disk: then it falls back once more at the next start
                    self._remember(self._proven)

    # -- how one comes into memory

    def _held(self, entry: Entry, is_unwanted: Callable[[], bool] | None = None) -> Loaded:
        """A checkpoint on the device, held for whoever asks.

        Args:
            is_unwanted: whether reading it is to be given up, which may wait for others; None: it is needed now.
        """
        if (found := self._at_hand(entry)) is not None:
            return found
        needed = [entry.title] if is_unwanted is None else []
        with self._changed:
            self._urgent += needed
        try:
            with self._reading:
                entry = self._fresh(entry)
                if (found := self._at_hand(entry)) is not None:  # read by another thread meanwhile
                    return found
                self._read_now = entry.title
                try:
                    loaded = self._read(entry, is_unwanted or never)
                    loaded.users = 1
                    self._tiers.put(loaded)
                finally:
                    self._read_now = ""
        finally:
            with self._changed:
                for title in needed:
                    self._urgent.remove(title)
                self._changed.notify_all()
        self._on_loaded(loaded.entry)
        if not loaded.entry.sha256:
            threading.Thread(target=self._hash, args=(loaded,), name="hash", daemon=True).start()
        return self._ready(loaded)

    def _at_hand(self, entry: Entry) -> Loaded | None:
        """What was loaded of an entry, held and on the device, if it is still the same."""
        loaded = self._tiers.hold(entry.title)
        if loaded is None:
            return None
        is_same = loaded.entry.path == entry.path and loaded.entry.identity == entry.identity
        if not is_same or has_changed(loaded.stamp):
            self._tiers.release(loaded)
            return None
        return self._ready(loaded)

    def _ready(self, loaded: Loaded) -> Loaded:
        try:
            self._tiers.ready(loaded)
        except BaseException:
            self._tiers.release(loaded)
            raise
        return loaded

    def _fresh(self, entry: Entry) -> Entry:
        """The entry as the disk has it now."""
        loaded = self._tiers.get(entry.title)
        is_old = loaded is not None and has_changed(loaded.stamp)
        if not is_old and not entry.path.is_dir():
            try:
                is_old = entry.path.stat().st_size != entry.size
            except OSError:
                is_old = not entry.error
        if is_old:
            self.catalog.refresh()
            try:
                entry = self.catalog.find(entry.title)
            except UnknownCheckpointError:
                raise CheckpointReadError(f"{entry.path.name} is gone. Choose another checkpoint.") from None
        return entry

    @uncollected()
    def _read(self, entry: Entry, is_unwanted: Callable[[], bool]) -> Loaded:
        identity = entry.identity
        if entry.error or identity is None:
            raise CheckpointReadError(entry.error)
        as_found = stamp(files_of(entry.path, identity))
        if entry.size <= SMALL:
            entry = self._hashed(entry)
        try:
            model = load(entry.path, identity, entry.title, entry.checkpoint_name, self.shelf)
            arithmetic = self._arithmetic(model)
            slots = slots_of(model, arithmetic)
            self._tiers.prepare(sum(slot.bytes for slot in slots), entry.name)
            weights = place(model, self.device, arithmetic, is_unwanted, identity.autoencoder, self._is_shared, slots)
        except CheckpointError as error:
            if not has_changed(as_found):  # else it may be whole the next time
                self.catalog.mark(entry.title, str(error))
            raise
        if has_changed(as_found):
            raise CheckpointReadError(f"{entry.path.name} changed while it was read. Try again when it is wholly written.")
        loaded = Loaded(entry, model, weights, as_found)
        if "prediction" in identity.assumed and model.unet is not None:
            self._ask_prediction(loaded)
        return loaded

    def _ask_prediction(self, loaded: Loaded) -> None:
        """Of the network, since the file does not say it."""
        self._tiers.ready(loaded)
        loaded.entry = self.catalog.learn(loaded.entry.title, prediction=prediction_of(loaded.model))
        loaded.model.family = loaded.entry.family or loaded.model.family

    def _arithmetic(self, model: Model) -> Arithmetic:
        if self._dtype is not None or model.unet is None:  # an autoencoder alone is exact: there is nothing to be quick about
            return Arithmetic(self._dtype or torch.float32, channels_last=False)
        return choose(model.unet, model.family, self.device, self._kept / "arithmetic.json")

    def _hash(self, loaded: Loaded) -> None:
        loaded.entry = self._hashed(loaded.entry)
        loaded.model.name = loaded.entry.checkpoint_name

    def _hashed(self, entry: Entry) -> Entry:
        try:
            return self.catalog.hash(entry)
        except OSError as error:  # gone, or on a disk that is: whoever reads it says so
            _log.warning("%s has no hash: %s", entry.path.name, error.strerror or error)
            return entry
