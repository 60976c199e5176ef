"""What is on the device, what waits in host memory, and who makes room for whom. The processor's memory stands for a device's:
the copies are real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from webui.bench import full_size
from webui.checkpoints.arithmetic import Arithmetic
from webui.checkpoints.catalog import Entry
from webui.checkpoints.families import FAMILIES
from webui.checkpoints.identify import identify
from webui.checkpoints.load import load
from webui.checkpoints.placing import place
from webui.checkpoints.tiers import Loaded, Tiers
from webui.contract.errors import MemoryLimitError
from webui.contract.result import CheckpointName

CPU = torch.device("cpu")
HALF = Arithmetic(torch.float16, channels_last=False)
PLENTY = 2**40


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("small") / "x.safetensors"
    full_size.write(made, full_size.small())
    return made


class Room:
    """Tiers with room for so many checkpoints, and what they are filled with."""

    def __init__(self, file: Path, host: float, device: float, is_shared: bool = False) -> None:
        self.file, self.identity, self.free = file, identify(file, FAMILIES), PLENTY
        self.size = self.make("size", is_shared).weights.bytes
        self.tiers = Tiers(CPU, int(host * self.size), int(device * self.size), is_shared, lambda _: self.free)
        self.is_shared = is_shared

    def make(self, name: str, is_shared: bool) -> Loaded:
        model = load(self.file, self.identity, name, CheckpointName(name))
        weights = place(model, CPU, HALF, is_shared=is_shared)
        return Loaded(Entry(name, name, self.file, 0, self.identity), model, weights, {})

    def use(self, names: str) -> None:
        """As the manager does, one after the other; read where it is not there."""
        for name in names:
            one = self.tiers.hold(name)
            if one is None:
                one = self.make(name, self.is_shared)
                one.users = 1
                self.tiers.put(one)
            self.tiers.ready(one)
            self.tiers.release(one)

    def where(self) -> str:
        """ "aD bH": a on the device, b in host memory alone, the last used one last; "aD-": and no copy in host memory."""
        told = []
        for title in self.tiers.titles():
            weights = self.tiers.get(title).weights  # type: ignore[union-attr]
            told.append(title + ("D" if weights.is_on_device else "H") + ("" if weights.is_on_host else "-"))
        return " ".join(told)


def test_what_was_used_longest_ago_leaves_the_device_and_waits_in_host_memory(file: Path) -> None:
    room = Room(file, host=10, device=2)
    room.use("abc")
    assert room.where() == "aH bD cD"
    room.use("a")
    assert room.where() == "bH cD aD"


def test_host_memory_has_a_limit_of_its_own(file: Path) -> None:
    room = Room(file, host=2, device=1)
    room.use("abcd")
    assert room.where() == "cH dD"


def test_what_is_on_the_device_can_do_without_its_copy(file: Path) -> None:
    room = Room(file, host=1, device=3)
    room.use("abc")
    assert room.where() == "aD- bD- cD"
    room.use("d")
    assert room.where() == "bD- cD- dD", "a was nowhere else, so it is read again when it is asked for"


def test_pinned_ones_leave_the_device_last_and_memory_never(file: Path) -> None:
    room = Room(file, host=1, device=2)
    room.tiers.pin("a")
    room.use("abc")
    assert room.where() == "aD cD-"
    room.use("d")
    assert room.where() == "aD dD-"
    with_two = Room(file, host=1, device=1)
    with_two.tiers.pin("a")
    with_two.use("ab")
    assert with_two.where() == "aH bD-", "the only place is for what is drawn with"


def test_what_is_in_use_is_never_moved(file: Path) -> None:
    room = Room(file, host=10, device=1)
    room.use("a")
    held = room.tiers.hold("a")
    assert held is not None
    place = next(held.model.autoencoder.parameters()).data_ptr()
    room.use("bc")
    assert room.where() == "aD bH cD" and next(held.model.autoencoder.parameters()).data_ptr() == place
    assert not room.tiers.drop("a")
    assert not room.tiers.make_room(PLENTY + 1)
    assert room.where() == "aD bH cH"
    room.tiers.release(held)
    assert room.tiers.drop("a") and room.where() == "bH cH"


def test_room_for_a_picture_is_made_only_as_far_as_it_must_be(file: Path) -> None:
    room = Room(file, host=10, device=10)
    room.use("abc")
    assert room.tiers.make_room(PLENTY)
    assert room.where() == "aD bD cD"
    room.free = 0
    assert not room.tiers.make_room(1)
    assert room.where() == "aH bH cH"


def test_where_both_are_one_memory_idle_ones_make_room_by_leaving(file: Path) -> None:
    room = Room(file, host=10, device=10, is_shared=True)
    room.tiers.pin("b")
    room.use("abc")
    assert room.where() == "aD bD cD"
    room.free = 0
    assert not room.tiers.make_room(1)
    assert room.where() == "bD"


def test_a_checkpoint_for_which_the_device_is_too_small_is_refused_and_stays_in_host_memory(file: Path) -> None:
    room = Room(file, host=10, device=10)
    room.use("a")
    one = room.make("b", False)
    one.users = 1
    room.tiers.put(one)
    room.free = 10
    with pytest.raises(MemoryLimitError, match="not enough memory for b"):
        room.tiers.ready(one)
    assert room.where() == "aH bH"
    room.free = PLENTY
    room.tiers.ready(one)
    assert room.where() == "aH bD"


def test_the_old_one_serves_while_the_next_is_read_where_there_is_memory_for_both(file: Path) -> None:
    room = Room(file, host=1, device=1, is_shared=True)
    room.use("a")
    room.tiers.prepare(room.size, "b")
    assert room.where() == "aD"
    room.use("b")
    assert room.where() == "bD"
    room.free = room.size
    with pytest.raises(MemoryLimitError):
        room.tiers.prepare(room.size * 2, "c")
    assert room.where() == "", "without room for both it made way"


def test_the_budget_counts_what_is_there(file: Path) -> None:
    room = Room(file, host=4, device=2)
    room.use("abc")
    budget = room.tiers.budget()
    assert (budget.device_used, budget.device_free) == (2 * room.size, 0)
    assert (budget.host_used, budget.host_free) == (3 * room.size, room.size)
    assert not budget.is_shared
    room.free = 7
    assert room.tiers.budget().host_free == 7, "no more than there is"
    assert [(one.where, one.bytes) for one in room.tiers.status()] == [
        ("host", room.size), ("device", room.size), ("device", room.size)
    ]  # fmt: skip


def test_an_outdated_one_counts_until_nobody_draws_with_it(file: Path) -> None:
    room = Room(file, host=10, device=10, is_shared=True)
    room.use("a")
    old = room.tiers.hold("a")
    assert old is not None
    room.tiers.put(room.make("a", True))
    assert room.tiers.get("a") is not old and room.tiers.hold_model(old.model) is old
    assert room.tiers.budget().host_used == 2 * room.size
    room.tiers.release(old)
    room.tiers.release(old)
    assert room.tiers.budget().host_used == room.size and room.tiers.hold_model(old.model) is None
