"""What the command line hands over reaches the recipe and the evaluation."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from webui.contract.errors import CheckpointReadError, StartError, UnknownNameError
from webui.training.command import evaluate, train


@dataclass(frozen=True)
class Folders:
    project: Path
    outputs: Path


def test_training_keeps_its_state_under_its_own_name(tmp_path):
    with pytest.raises(StartError, match="--stage encode first"):
        train({"name": "pocket", "stage": "unet", "device": "cpu", "threads": 1, "scenes": 2}, tmp_path)
    assert (tmp_path / "training" / "pocket").is_dir()
    with pytest.raises(StartError, match="--stage encode first"):
        train({"name": "pocket", "stage": "unet", "threads": 1, "scenes": 2, "state": tmp_path / "mine"}, tmp_path)
    assert (tmp_path / "mine").is_dir()


def test_the_shipped_checkpoint_is_evaluated_unless_another_is_named(tmp_path):
    folders = Folders(tmp_path / "project", tmp_path / "outputs")
    with pytest.raises(CheckpointReadError, match=r"project.models.pocket is not a checkpoint"):
        evaluate({"name": "pocket", "checkpoint": ""}, folders)
    with pytest.raises(CheckpointReadError, match="mine is not a checkpoint"):
        evaluate({"name": "pocket", "checkpoint": str(tmp_path / "mine")}, folders)
    with pytest.raises(UnknownNameError):
        evaluate({"name": "toys"}, folders)
