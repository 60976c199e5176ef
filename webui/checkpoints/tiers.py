"""Which loaded checkpoints are on the device, and which wait in host memory, one copy away from it.

Each has networks of its own, made once when it is first read. So two of a family can be in use at the same moment (a job beside a
live stream, a refiner after its base), going from one to the other touches nothing where both are on the device, and what still
holds one of them draws with its weights and no others. A move between host and device is one copy of one piece of memory, and
points the tensors at it. Only what a compiler or a recording holds by its address is written to: see webui.engine.captured.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from webui.checkpoints import memory
from webui.checkpoints.catalog import Entry
from webui.checkpoints.estimate import setting_of
from webui.checkpoints.load import Stamp
from webui.checkpoints.model import Model
from webui.checkpoints.offloading import How, Turns, Wish, fetching, way_of, wished
from webui.checkpoints.placing import Weights
from webui.checkpoints.resident import Budget, Resident
from webui.contract.errors import MemoryLimitError

_log = logging.getLogger(__name__)
Free = Callable[[torch.device], int]
HOST = torch.device("cpu")


@dataclass(eq=False)
class Loaded:
    """A checkpoint in memory."""

    entry: Entry
    model: Model
    weights: Weights
    stamp: Stamp
    """Its files, as they were when it was read."""
    users: int = 0
    """Who draws with it now. With at least one it stays where it is."""
    turns: Turns | None = None
    """Of its networks on the device, where they are not all there at once."""


class Tiers:
    """All that is loaded, the last used one last. Its methods may be called from any thread, and none of them reads a file.

    Args:
        device: to compute on.
        host_limit, device_limit: bytes that may be kept; what is in use or pinned stays beyond them. On a processor both
            are the same memory, and the first counts.
        is_shared: whether host memory is the device's memory; None: on a processor.
        free: how much memory of a device can still be had.
        wish: how networks take turns on the device also where they would fit.
    """

    def __init__(
        self,
        device: torch.device,
        host_limit: int,
        device_limit: int,
        is_shared: bool | None = None,
        free: Free = memory.free_bytes,
        wish: Wish = "",
    ) -> None:
        self._wish: Wish = wish
        self._device, self._host_limit, self._device_limit, self._free = device, host_limit, device_limit, free
        self._is_shared = device.type == "cpu" if is_shared is None else is_shared
        self._lock = threading.RLock()
        self._moving = threading.Lock()  # held while weights are copied; what only asks never waits for it
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._outdated: list[Loaded] = []
        """Another one has taken their place, and somebody draws with them yet."""
        self._pinned: set[str] = set()

    # -- asking

    def titles(self) -> list[str]:
        with self._lock:
            return list(self._loaded)

    def get(self, title: str) -> Loaded | None:
        with self._lock:
            return self._loaded.get(title)

    def is_ready(self, title: str) -> bool:
        """Whether it is on the device."""
        with self._lock:
            one = self._loaded.get(title)
            return one is not None and (one.weights.is_on_device or one.turns is not None)

    def status(self) -> tuple[Resident, ...]:
        with self._lock:
            return tuple(
                Resident(
                    title,
                    one.model.family.label,
                    one.weights.bytes,
                    "device" if one.weights.is_on_device else "host",
                    title in self._pinned,
                    one.users > 0,
                )
                for title, one in self._loaded.items()
            )

    def budget(self) -> Budget:
        with self._lock:
            here, host = self._used()
        left = max(min(self._host_limit - host, self._free(HOST)), 0)
        if self._is_shared:
            return Budget(here, left, self._host_limit, here, left, self._host_limit, is_shared=True)
        left_here = max(min(self._device_limit - here, self._free(self._device)), 0)
        return Budget(here, left_here, self._device_limit, host, left, self._host_limit, is_shared=False)

    def _used(self) -> tuple[int, int]:
        """(bytes on the device, bytes in host memory); the same ones where both are one."""
        all_ = [*self._loaded.values(), *self._outdated]
        here = sum(one.weights.bytes for one in all_ if one.weights.is_on_device)
        return here, sum(one.weights.bytes for one in all_ if one.weights.is_on_host)

    # -- using

    def hold(self, title: str) -> Loaded | None:
        """A loaded checkpoint, which stays in memory until it is released; None: it is not loaded."""
        with self._lock:
            one = self._loaded.get(title)
            if one is not None:
                one.users += 1
                self._loaded.move_to_end(title)
            return one

    def hold_model(self, model: Model) -> Loaded | None:
        """As hold, by the model that was handed out; its turn to leave comes no later for that."""
        with self._lock:
            one = next((one for one in (*self._loaded.values(), *self._outdated) if one.model is model), None)
            if one is not None:
                one.users += 1
            return one

    def release(self, one: Loaded) -> None:
        with self._lock:
            one.users -= 1
            if not one.users and one.turns is not None:
                one.turns.leave()
            if not one.users and one in self._outdated:
                self._outdated.remove(one)
            self._trim()

    def ready(self, one: Loaded) -> None:
        """Bring a checkpoint that is held to the device.

        Raises:
            MemoryLimitError: there is no room for it beside what is in use.
        """
        if one.weights.is_on_device or one.turns is not None:
            return
        with self._moving:
            if not one.weights.is_on_device and one.turns is None:
                self.make_room(one.weights.bytes, self._device_limit)
                how = self._way(one.model)
                if how == "whole":
                    self._require(one.weights.bytes, self._device, one.entry.name)
                    one.weights.to_device()
                else:
                    self._take_turns(one, how)
        with self._lock:
            self._trim()

    def take_turns(self, model: Model) -> bool:
        """Let the parts of a model that is in use take turns on the device, to leave more of it to a picture; whether they do
        now and did not before."""
        with self._lock:
            one = next((one for one in [*self._loaded.values(), *self._outdated] if one.model is model), None)
        if one is None or self._is_shared or one.turns is not None:
            return False
        with self._moving:
            one.weights.leave_device()
            self._take_turns(one, "parts")
        return True

    def _way(self, model: Model) -> How:
        """Where it fits in none, the whole is tried, and refused."""
        if self._is_shared:
            return "whole"
        setting = replace(setting_of(model), is_processor=False)
        return wished(self._wish, model.family) or way_of(model, self._free(self._device), setting) or "whole"

    def _take_turns(self, one: Loaded, how: How) -> None:
        one.turns = Turns(fetching(self._device))
        one.turns.take(one.model, how, self._device)
        what = "layers of its network" if how == "layers" else "parts"
        one.model.note = (
            f"The {what} take turns on the graphics card because its memory is short."
            if wished(self._wish, one.model.family) is None
            else ""
        )
        _log.info("%s: its %s take turns on the device", one.entry.title, what)

    # -- what comes and goes

    def prepare(self, bytes_: int, name: str) -> None:
        """Make room in host memory for a checkpoint that is about to be read. What was used last serves on while that is done,
        if there is memory for both.

        Raises:
            MemoryLimitError: there is none even without all that could go.
        """
        with self._lock:
            for one in self._idle():
                if one is self._newest():
                    continue
                if self._used()[1] + bytes_ > self._host_limit or self._free(HOST) < bytes_ + memory.KEEP_FREE:
                    self._leave_host(one)
            for one in self._idle():
                if self._free(HOST) < bytes_ + memory.KEEP_FREE:
                    self._leave_host(one)
        self._require(bytes_, HOST, name)

    def put(self, one: Loaded) -> None:
        """Take a checkpoint that was read; it is in the place of an earlier one of its title."""
        with self._lock:
            before = self._loaded.pop(one.entry.title, None)
            if before is not None and before.users:
                self._outdated.append(before)
            self._loaded[one.entry.title] = one
            self._trim()

    def drop(self, title: str) -> bool:
        """Give the memory of a checkpoint back; whether it could be: not while it is in use."""
        with self._lock:
            one = self._loaded.get(title)
            if one is None or one.users:
                return one is None
            del self._loaded[title]
            return True

    def make_room(self, bytes_: int, limit: int | None = None) -> bool:
        """Let idle checkpoints leave the device, the least recently used first and pinned ones last, until so many more bytes
        can be had there (and, with a limit, are within it); whether they can now."""
        with self._lock:
            idle = [one for one in self._idle(pinned_too=not self._is_shared) if one.weights.is_on_device]
            for one in sorted(idle, key=lambda one: one.entry.title in self._pinned):
                is_within = limit is None or self._used()[0] + bytes_ <= limit
                if is_within and self._free(self._device) >= bytes_:
                    break
                self._leave_device(one)
        return self._free(self._device) >= bytes_

    def pin(self, title: str) -> None:
        with self._lock:
            self._pinned.add(title)

    def unpin(self, title: str) -> None:
        with self._lock:
            self._pinned.discard(title)
            self._trim()

    def is_pinned(self, title: str) -> bool:
        with self._lock:
            return title in self._pinned

    # -- inside

    def _idle(self, pinned_too: bool = False) -> list[Loaded]:
        """What nobody draws with, the least recently used first."""
        return [one for title, one in self._loaded.items() if not one.users and (pinned_too or title not in self._pinned)]

    def _trim(self) -> None:
        """Keep the limit of host memory. The last used one stays in memory."""
        for one in self._idle():
            if self._used()[1] <= self._host_limit:
                return
            if one is not self._newest() or (one.weights.is_on_device and not self._is_shared):
                self._leave_host(one)

    def _newest(self) -> Loaded | None:
        return next(reversed(self._loaded.values()), None)

    def _leave_host(self, one: Loaded) -> None:
        """Where it is on a device of its own it stays there, and is read again when it has left that."""
        if one.weights.is_on_device and not self._is_shared:
            one.weights.leave_host()
        else:
            self._forget(one)

    def _leave_device(self, one: Loaded) -> None:
        title = one.entry.title
        if self._is_shared or not (one.weights.is_on_host or title in self._pinned):
            self._forget(one)
        else:
            _log.info("%s leaves the device", title)
            one.weights.leave_device()

    def _forget(self, one: Loaded) -> None:
        _log.info("%s leaves memory", one.entry.title)
        del self._loaded[one.entry.title]

    def _require(self, bytes_: int, device: torch.device, name: str) -> None:
        free = self._free(device)
        if free < bytes_:
            raise MemoryLimitError(
                f"There is not enough memory for {name}: it needs {bytes_ / 1e9:.1f} GB, {free / 1e9:.1f} GB are free. "
                "Unload or unpin another checkpoint, or close other programs."
            )
