"""The loop that every stage trains with: a rate that falls, a running average, calm lines, and a state on disk.

What a step sees is a function of the step's number alone, so a run that was stopped and goes on ends with the same
bytes as one that was not (where its goal is a number of samples; a goal on the clock depends on the machine).
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from webui.contract.errors import StartError
from webui.training.options import Goal

SAVE_EVERY_SECONDS = 180.0
SAY_EVERY_SECONDS = 20.0


@dataclass
class Clock:
    """How far the training is: in all, and in the leg that runs. A leg ends when its goal is reached."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    legs: int = 0
    leg_step: int = 0
    leg_samples: int = 0
    leg_seconds: float = 0.0

    def share(self, goal: Goal) -> float:
        """How much of the leg is done, 0 to 1 and above."""
        if goal.samples is not None:
            return self.leg_samples / max(goal.samples, 1)
        return self.leg_seconds / max(goal.seconds or 0.0, 1e-9)

    def tick(self, samples: int, seconds: float) -> None:
        self.step, self.leg_step = self.step + 1, self.leg_step + 1
        self.samples, self.leg_samples = self.samples + samples, self.leg_samples + samples
        self.seconds, self.leg_seconds = self.seconds + seconds, self.leg_seconds + seconds

    def end_leg(self) -> None:
        self.legs, self.leg_step, self.leg_samples, self.leg_seconds = self.legs + 1, 0, 0, 0.0


@dataclass(frozen=True)
class Arithmetic:
    """Where and how training computes: float32 on the CPU, bfloat16 autocast and large batches on a GPU."""

    device: torch.device
    autocast: torch.dtype | None = None
    large_batches: bool = False

    @classmethod
    def choose(cls, name: str) -> Arithmetic:
        """ "auto" takes a GPU that torch can use, and else the CPU."""
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu":
            return cls(torch.device("cpu"))
        if not torch.cuda.is_available():
            raise StartError(f"The device {name!r} cannot be used: torch sees no GPU. Leave --device out to train on the CPU.")
        return cls(torch.device(name), torch.bfloat16, large_batches=True)

    def __call__(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.autocast is None else torch.autocast(self.device.type, self.autocast)

    def put(self, network: nn.Module) -> None:
        """Moves it to the device, with channels last, which both kinds of device prefer."""
        network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]


@dataclass
class Learner:
    """What one stage trains: its networks by name, the optimiser, the running average, the clock."""

    networks: dict[str, nn.Module]
    parameters: list[nn.Parameter]
    rate: float
    average_rate: float
    warm_steps: int = 100
    decay: float = 1e-3
    """Of the weights, a step at rate 1."""
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.AdamW(self.parameters, lr=self.rate, betas=(0.9, 0.99), weight_decay=self.decay)
        self.average = [p.detach().clone() for p in self.parameters]

    def state(self) -> dict[str, Any]:
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "clock": asdict(self.clock),
        }

    def load(self, state: dict[str, Any]) -> None:
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        _copy(state["average"], self.average)
        self.clock = Clock(**state["clock"])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the networks are their own running average: what is exported."""
        trained = [p.detach().clone() for p in self.parameters]
        _copy(self.average, self.parameters)
        try:
            yield
        finally:
            _copy(trained, self.parameters)

    def update(self, loss: Tensor, share: float) -> None:
        """One step of the optimiser and of the average; the rate falls as a cosine over the leg."""
        falling = 0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, share)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * min(1.0, (self.clock.leg_step + 1) / self.warm_steps) * falling
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        keep = min(self.average_rate, (2 + self.clock.step) / (11 + self.clock.step))  # quick at first
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.parameters), 1 - keep)


@torch.no_grad()
def _copy(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    for value, into in zip(source, target, strict=True):
        into.copy_(value)


def learn(
    learner: Learner,
    goal: Goal,
    loss: Callable[[int], Tensor],
    batch: int,
    *,
    save: Callable[[], None],
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    curve: Path,
    about: Callable[[], str] = str,
) -> bool:
    """Train until the leg's goal; True when it is reached, False when it was stopped. Saved in both cases.

    Args:
        curve: a table of samples seen, seconds of training and mean loss, to which lines are added.
        loss: step number to loss; must draw only from `draws(seed, step)`.
        about: asked at each save for more words to say, such as an error on known scenes.
    """
    losses: list[Tensor] = []
    saved = said = last = time.monotonic()
    while (share := learner.clock.share(goal)) < 1:
        if should_stop():
            save()
            _note(curve, learner.clock, losses)
            return False
        value = loss(learner.clock.step)
        learner.update(value, share)
        losses.append(value.detach())
        now = time.monotonic()
        learner.clock.tick(batch, now - last)
        last = now
        if now - said > SAY_EVERY_SECONDS:
            said = now
            say(_line(learner.clock, goal, losses))
            _note(curve, learner.clock, losses)
        if now - saved > SAVE_EVERY_SECONDS:
            save()
            if words := about():
                say(words)
            saved = last = time.monotonic()
    _note(curve, learner.clock, losses)
    learner.clock.end_leg()
    save()
    if words := about():
        say(words)
    return True


def _note(curve: Path, clock: Clock, losses: list[Tensor]) -> None:
    """A line of the curve, of the losses since the last one, which are forgotten then."""
    if not losses:
        return
    with curve.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write("samples\tseconds\tloss\n")
        file.write(f"{clock.samples}\t{clock.seconds:.0f}\t{torch.stack(losses).mean().item():.5f}\n")
    losses.clear()


def _line(clock: Clock, goal: Goal, losses: list[Tensor]) -> str:
    share = min(1.0, clock.share(goal))
    left = clock.leg_seconds * (1 / max(share, 1e-6) - 1)
    mean = torch.stack(losses).mean().item()
    speed = clock.leg_samples / max(clock.leg_seconds, 1e-9)
    return f"{share:4.0%} of {goal} · {clock.samples:,} seen · loss {mean:.4f} · {speed:.1f} a second · {left / 60:.0f} min left"


def draws(seed: int, step: int) -> tuple[np.random.Generator, torch.Generator]:
    """The random numbers of one step, for numpy and for torch on the CPU: a function of seed and step."""
    rng = np.random.default_rng((seed, step))
    return rng, torch.Generator().manual_seed(int(rng.integers(2**62)))


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Written beside and renamed, so that a state on disk is always whole."""
    beside = path.with_name(path.name + ".new")
    try:
        torch.save(state, beside)
    except RuntimeError as error:  # torch's own writer tells a full disk this way
        raise StartError(f"The training state {path} could not be written: {str(error).splitlines()[0]}") from error
    os.replace(beside, path)


def read_state(path: Path) -> dict[str, Any] | None:
    """The saved state, its tensors on the CPU; None without one."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def put_average(state: Mapping[str, Any], network: nn.Module) -> None:
    """What is exported of a learner of one network: its running average."""
    _copy(state["average"], list(network.parameters()))


def parameters_of(networks: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [p for network in networks for p in network.parameters()]


class StopSignal:
    """Ctrl C asks the loop to save and end; a second Ctrl C ends at once. Use in a with-block."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.asked

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
