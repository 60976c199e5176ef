"""`webui evaluate turbo`: its rows, its sheet, and the renders that it measures distances to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.conftest import POCKET
from tests.turbo import write_turbo
from webui.contract.errors import CheckpointReadError, StartError
from webui.training.evaluations.turbo import FOUR_STEPS, ONE_STEP, Score, compared, measure
from webui.training.frechet import between_gaussians
from webui.training.options import EvaluateOptions
from webui.training.table import verdict
from webui.training.toys.held_out import held_out_toys
from webui.training.toys.judge import load_toy_judge
from webui.training.toys.renders import COUNT, FIRST, STORED, features, load_renders, write_renders
from webui.training.toys.scene import names

TEACHER = Score(toys=0.96, shapes=0.9, toys_apart=30.0, shapes_apart=20.0)


def holds(student: Score, bounds: tuple[float, float]) -> list[bool]:
    return [row.meets(row.ship) for row in compared("1 step", student, TEACHER, bounds)]


def test_a_student_is_measured_by_its_teacher():
    assert holds(TEACHER, (100, 1)) == [True] * 4
    assert holds(Score(0.94, 0.87, 39.0, 26.1), ONE_STEP) == [True, False, True, False]
    rows = compared("1 step", Score(0.48, 0.9, 45.0, 10.0), TEACHER, ONE_STEP)
    assert [row.value for row in rows] == pytest.approx([50, 100, 1.5, 0.5])
    nothing = Score(0.0, 0.0, 0.0, 0.0)
    assert all(math.isnan(row.value) for row in compared("1 step", nothing, nothing, FOUR_STEPS))
    assert verdict(compared("1 step", nothing, nothing, FOUR_STEPS)) == 1


def test_weights_that_were_not_distilled_draw_poorly_in_one_step(tmp_path):
    said: list[str] = []
    sheet = tmp_path / "sheets" / "turbo.png"
    rows = measure(EvaluateOptions(checkpoint=write_turbo(tmp_path), sheet=sheet, pictures=2), said.append)
    assert verdict(rows) == 1
    assert [row.name.split(":")[0] for row in rows] == ["1 step"] * 4 + ["4 steps"] * 4
    lines = [line for line in said if "CPU seconds a picture" in line]
    runs = ["teacher, 1 step", "teacher, 4 steps", "teacher, 20 steps", "student, 1 step", "student, 4 steps"]
    assert [line.split(":")[0] for line in lines] == runs
    seconds = [float(line.rsplit("; ", 1)[1].split()[0]) for line in lines]
    assert seconds[0] < seconds[1] < seconds[2] and seconds[4] < seconds[2]
    assert Image.open(sheet).size == ((1 + 4) * 128, (1 + 5) * 128), "numbers and prompts stand beside the pictures"


def test_what_is_no_student_of_the_pocket_is_refused(tmp_path):
    with pytest.raises(CheckpointReadError, match=r"opens as .*, which is no few-step student of"):
        measure(EvaluateOptions(checkpoint=POCKET, sheet=tmp_path / "sheet.png"), lambda _: None)
    with pytest.raises(CheckpointReadError, match="not a checkpoint in diffusers layout"):
        measure(EvaluateOptions(checkpoint=tmp_path, sheet=tmp_path / "sheet.png"), lambda _: None)


def test_the_renders_that_are_kept_are_what_the_judge_sees():
    kept = load_renders()
    assert kept.mean.shape == (128,) and np.linalg.eigvalsh(kept.covariance).min() > 0
    assert 0 < kept.own < 40
    scenes = features(load_toy_judge(), held_out_toys(128).pictures)
    spread = (scenes.mean(0) - kept.mean) / np.sqrt(np.diag(kept.covariance) / len(scenes))
    assert np.abs(spread).mean() < 2, "the most loved toys look about as all do"
    assert COUNT == 2520 and COUNT % len(names()) == 0 and FIRST > 2 * 10_000_000


def test_renders_are_measured_anew_and_with_the_judge_that_is_here(sprites, tmp_path):
    said: list[str] = []
    write_renders(tmp_path / "renders.safetensors", sprites, said.append, count=24)
    assert said[0].startswith("features of 24 scenes")
    again = load_renders(tmp_path / "renders.safetensors")
    assert between_gaussians(again.mean, again.covariance, again.mean, again.covariance) == pytest.approx(0, abs=1e-3)
    assert STORED.stat().st_size < 70_000
    save_file(load_file(STORED), tmp_path / "other.safetensors", {"judge": "another", "own": "1"})
    with pytest.raises(StartError, match="measured with another judge: run webui train pocket --stage held-out"):
        load_renders(tmp_path / "other.safetensors")
    assert torch.equal(load_file(STORED)["mean"], torch.from_numpy(load_renders().mean).float())
