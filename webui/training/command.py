"""The two commands of this room, as the command line calls them: `webui train` and `webui evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from webui.training.evaluating import run_evaluate
from webui.training.options import EvaluateOptions, TrainOptions
from webui.training.training import run_train


class Folders(Protocol):
    """Where things lie."""

    @property
    def project(self) -> Path: ...
    @property
    def outputs(self) -> Path: ...


def train(options: Mapping[str, Any], state: Path) -> int:
    """Answers the exit code.

    Args:
        options: "name" of the recipe and those fields of TrainOptions that were given.
        state: the program's own folder; the training keeps its things under training/NAME in it, the scenes of all
            recipes under training/worlds.
    """
    given = dict(options)
    name = given.pop("name")
    kept = state / "training"
    places = {"state": kept / name, "worlds": kept / ("worlds" if given.get("sprites") else "worlds-shapes")}
    if "state" in given:
        places["worlds"] = given["state"]
    return run_train(name, TrainOptions(**(places | given)), _say)


def evaluate(options: Mapping[str, Any], folders: Folders) -> int:
    """Answers the exit code.

    Args:
        options: "name" of the evaluation and those fields of EvaluateOptions that were given.
    """
    given = {key: value for key, value in options.items() if value}
    name = given.pop("name")
    checkpoint = Path(given.pop("checkpoint", EvaluateOptions.of(name, folders.project / "models")))
    sheet = folders.outputs / "evaluate" / f"{name}.png"
    return run_evaluate(name, EvaluateOptions(**({"checkpoint": checkpoint, "sheet": sheet} | given)), _say)


def _say(text: str) -> None:
    print(text, flush=True)  # line by line also where the output is a file
