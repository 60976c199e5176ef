"""What `webui train` and `webui evaluate` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).parents[2] / "models"
"""Where the checkpoints lie that come with the program."""


@dataclass(frozen=True)
class Goal:
    """When a leg of training ends: after so many samples, or after so many seconds of training."""

    samples: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.samples:,} samples" if self.samples is not None else f"{(self.seconds or 0) / 60:.1f} minutes"


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What `webui train` was asked."""

    state: Path
    """All that the training keeps; about 1.9 GB with 32000 scenes."""
    worlds: Path | None = None
    """Where the rendered scenes are kept, for all recipes together; None: beside the state."""
    sprites: Path | None = None
    """Folder of the toys' sprites; without it the scenes show shapes only."""
    base: Path | None = None
    """The pocket checkpoint that the others begin from; None: the one that comes with the program."""
    stage: str = ""
    """One stage, of which a finished one goes on; "" is all that are not finished."""
    minutes: float | None = None
    """How long to train in all, or the one stage; None: by the number of samples."""
    samples: int | None = None
    """How many samples each stage that trains sees; None: as many as a good checkpoint takes."""
    init: Path | None = None
    """A checkpoint in diffusers layout to go on from."""
    device: str = "auto"
    threads: int = 0
    """Of the CPU; 0: as many as it has cores."""
    scenes: int = 32_000
    batch: int = 0
    """Samples of a step; 0: what suits the device."""
    without: tuple[str, ...] = ()
    """Of the turbo's losses, those that are left out, to compare."""
    features: str = "teacher"
    """What the turbo's adversary stands on."""
    output: Path | None = None
    """Where the checkpoint is written; None: beside the state."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What `webui evaluate` was asked."""

    checkpoint: Path
    sheet: Path
    """Where the contact sheet is saved, a PNG."""
    pictures: int = 0
    """How many are drawn; 0: as many as the bounds are meant for."""
    judged: int = 1000
    """Renders by which the judge of the shapes is scored, together with the second set, which begins behind them."""

    @staticmethod
    def of(name: str, models: Path = MODELS) -> Path:
        """Where the checkpoint of that evaluation lies that comes with the program."""
        return models / ("pocket" if name == "pocket" else f"pocket-{name}")
