"""Whether SD 2's network predicts eps or v is asked of the network, once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.shared import shared_names
from webui.checkpoints.catalog import Catalog
from webui.checkpoints.identify import identify
from webui.checkpoints.load import load
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.prediction import prediction_of
from webui.contract.parts import Parts
from webui.contract.result import CheckpointName

CASES = [name for name in ("sd1-a", "sd2-a", "sd2-v-a") if name in shared_names("reference/public", "*")]


@pytest.mark.parametrize("name", CASES)
def test_a_network_is_known_by_its_answer_to_noise(name: str, reference_checkpoints: Path, parts: Parts) -> None:
    path = reference_checkpoints / name / "model.ckpt"
    model = load(path, identify(path, parts.families), "x", CheckpointName("x"))
    assert prediction_of(model) == model.family.prediction


@pytest.mark.parametrize("name", CASES[1:])
def test_it_is_asked_once_and_remembered(name: str, reference_checkpoints: Path, parts: Parts, tmp_path: Path) -> None:
    path = reference_checkpoints / name / "model.ckpt"
    folder = tmp_path / "files"
    folder.mkdir()
    shutil.copyfile(path, folder / "other.ckpt")
    catalog = Catalog([], [folder], parts.families, tmp_path / "hashes.json")
    with Checkpoints(catalog, "", torch.device("cpu"), tmp_path, dtype=torch.float32).use() as model:
        assert model.family.prediction == identify(path, parts.families).family.prediction
    again = Catalog([], [folder], parts.families, tmp_path / "hashes.json").entries()[0]
    assert again.identity is not None and again.family is not None
    assert "prediction" not in again.identity.assumed
    assert again.family.prediction == model.family.prediction
