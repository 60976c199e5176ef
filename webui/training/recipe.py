"""What all recipes share: stages on one state folder that can be stopped and go on."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import torch

from webui.contract.errors import StartError, UnknownNameError
from webui.training.loop import Arithmetic, read_state
from webui.training.options import MODELS, Goal, TrainOptions


class Recipe(ABC):
    """The stages of one checkpoint. A stage is a method of that name with a line before it: True when it is finished."""

    name: ClassVar[str]
    stages: ClassVar[tuple[str, ...]]
    """In order."""
    asked_stages: ClassVar[tuple[str, ...]] = ()
    """Run only when asked for."""
    samples: ClassVar[Mapping[str, int]]
    """How many each stage that trains sees where nothing is said."""
    batches: ClassVar[Mapping[str, tuple[int, int]]]
    """Samples of a step, on the CPU and on a GPU."""

    def __init__(self, options: TrainOptions, say: Callable[[str], None], should_stop: Callable[[], bool]) -> None:
        if options.stage and options.stage not in self.stages + self.asked_stages:
            raise UnknownNameError("stage", options.stage, self.stages + self.asked_stages)
        self.options, self.say, self.should_stop = options, say, should_stop
        self.arithmetic = Arithmetic.choose(options.device)
        self.threads = options.threads or os.cpu_count() or 1
        self.output = options.output or options.state / self.name
        self.base = options.base or MODELS / "pocket"

    def run(self) -> bool:
        """False when it was stopped."""
        torch.set_num_threads(self.threads)
        self.options.state.mkdir(parents=True, exist_ok=True)
        self.begin()
        for stage in [self.options.stage] if self.options.stage else self.stages:
            if not self.options.stage and self.is_finished(stage):
                self.say(f"{stage}: finished before")
                continue
            if not getattr(self, f"_{stage.replace('-', '_')}")():
                return False
        return True

    def begin(self) -> None:  # noqa: B027  (most have nothing to do here)
        """Before the first stage."""

    @abstractmethod
    def _export(self) -> bool:
        """What was trained, as a checkpoint."""

    def is_finished(self, stage: str) -> bool:
        """Whether a stage that trains has reached its goal once; the others see for themselves what is left to do."""
        if stage not in self.samples:
            return False
        state = read_state(self.state_of(stage))
        return bool(state and state["clock"]["legs"])

    def state_of(self, stage: str) -> Path:
        return self.options.state / f"{stage}.pt"

    def goal(self, stage: str) -> Goal:
        if self.options.minutes is not None:
            return Goal(seconds=self.options.minutes * 60 * self.share_of_time(stage))
        return Goal(samples=self.samples[stage] if self.options.samples is None else self.options.samples)

    def share_of_time(self, stage: str) -> float:
        """Of the minutes asked for: in proportion to what the stages would see, unless one stage is asked for."""
        if self.options.stage:
            return 1.0
        trained = [name for name in self.stages if name in self.samples]
        return self.samples[stage] / sum(self.samples[name] for name in trained) if stage in trained else 1.0

    def batch(self, stage: str) -> int:
        small, large = self.batches[stage]
        return self.options.batch or (large if self.arithmetic.large_batches else small)

    def named(self, stage: str) -> Callable[[str], None]:
        return lambda text: self.say(f"{stage}: {text}")

    def need(self, there: bool, what: str, stage: str) -> None:
        """Raises StartError where a stage comes too early."""
        if not there:
            raise StartError(f"{what}: run --stage {stage} first.")
