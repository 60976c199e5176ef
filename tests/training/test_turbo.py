"""The recipe of a few-step student: stopped and gone on with, of other teachers, and an export that the program opens."""

from __future__ import annotations

import importlib
import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import POCKET
from tests.training.small import write_teacher
from webui.contract.errors import StartError, UnknownNameError
from webui.contract.request import GenerationRequest
from webui.training.artist import Artist
from webui.training.loop import read_state
from webui.training.options import MODELS, TrainOptions
from webui.training.recipes.turbo import TurboRecipe

SCENES, STEPS = 6, 3
UNET = Path("unet") / "diffusion_pytorch_model.safetensors"


def quiet(text: str) -> None:
    """Nothing is said."""


def run(state: Path, stage: str = "", should_stop=lambda: False, **changes) -> bool:
    asked = {"device": "cpu", "threads": 1, "scenes": SCENES, "batch": 2, "samples": 2 * STEPS}
    return TurboRecipe(TrainOptions(state=state, stage=stage, **(asked | changes)), quiet, should_stop).run()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("small") / "teacher")


@pytest.fixture(scope="module")
def trained(teacher, tmp_path_factory) -> Path:
    """A state folder in which every stage ran for a few steps, without a stop."""
    state = tmp_path_factory.mktemp("trained")
    assert run(state, base=teacher)
    return state


@pytest.fixture
def encoded(trained, tmp_path) -> Path:
    """A state folder whose scenes are encoded."""
    for name in ("pictures", "depth", "boxes", "latents", "tokens"):
        for end in ("npy", "filled"):
            (tmp_path / f"{name}.{end}").symlink_to(trained / f"{name}.{end}")
    shutil.copy(trained / "namer.pt", tmp_path)
    return tmp_path


def test_a_run_that_is_stopped_ends_with_the_same_bytes(trained, encoded, teacher):
    for calls in (2, 2):
        counter = itertools.count(1)
        assert not run(encoded, should_stop=lambda: next(counter) >= calls, base=teacher)  # noqa: B023
    assert read_state(encoded / "unet.pt")["clock"]["step"] == 2
    assert run(encoded, base=teacher)
    one, two = (read_state(state / "unet.pt")["critic"]["heads"] for state in (trained, encoded))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert (trained / "turbo" / UNET).read_bytes() == (encoded / "turbo" / UNET).read_bytes()


def test_a_student_begins_as_its_teacher_and_moves(trained, teacher):
    before, after = load_file(teacher / UNET), load_file(trained / "turbo" / UNET)
    moved = max(float((before[name] - after[name].float()).abs().max()) for name in before)
    assert 1e-4 < moved < 0.02


@pytest.mark.parametrize("without", [("adversarial",), ("distillation",), ("text",), ("naming",)])
def test_each_part_can_be_left_out(without, trained, encoded, teacher):
    assert run(encoded, "unet", base=teacher, without=without)
    state = read_state(encoded / "unet.pt")
    has_words = any(name.startswith("words") for name in state["critic"]["heads"])
    assert has_words == (without != ("text",))
    learnt = any(entry["step"] for entry in state["critic"]["optimiser"]["state"].values())
    assert learnt == (without != ("adversarial",))
    whole = read_state(trained / "unet.pt")["average"]
    assert not all(map(torch.equal, whole, state["average"])), "the student learns otherwise without it"


def test_without_naming_no_namer_is_needed_and_with_it_its_absence_is_said(encoded, teacher):
    (encoded / "namer.pt").unlink()
    with pytest.raises(StartError, match="run --stage namer first, or add --without naming"):
        run(encoded, "unet", base=teacher)
    assert run(encoded, base=teacher, without=("naming",))
    assert not (encoded / "namer.pt").exists()


def test_a_student_can_go_on_from_one_that_is_there(encoded, teacher, trained):
    """The rate of the only step is next to nothing, so what is exported is what it began from."""
    before = load_file(trained / "turbo" / UNET)
    for stage in ("unet", "export"):
        assert run(encoded, stage, base=teacher, init=trained / "turbo", samples=2)
    after = load_file(encoded / "turbo" / UNET)
    moved = max(float((before[name].float() - after[name].float()).abs().max()) for name in before)
    assert moved < 1e-3
    (encoded / "unet.pt").unlink()
    with pytest.raises(StartError, match=r"is no student of .*pocket: its U-Net has another shape"):
        run(encoded, "unet", base=POCKET, init=trained / "turbo")


def test_the_adversary_can_stand_on_the_judge(encoded, teacher):
    assert run(encoded, "unet", base=teacher, features="judge")
    heads = read_state(encoded / "unet.pt")["critic"]["heads"]
    widths = {value.shape[1] for name, value in heads.items() if name.startswith("bodies") and name.endswith(".0.weight")}
    assert widths == {64, 112, 144}


@pytest.mark.parametrize(("predicts", "layers"), [("v_prediction", 1), ("epsilon", 2)])
def test_a_teacher_may_predict_v_or_be_deeper(predicts, layers, encoded, tmp_path_factory):
    base = write_teacher(tmp_path_factory.mktemp("other") / "teacher", predicts, act="gelu", layers=layers)
    for stage in ("unet", "export"):
        assert run(encoded, stage, base=base)
    schedule = json.loads((encoded / "turbo" / "scheduler" / "scheduler_config.json").read_text("utf-8"))
    assert (schedule["prediction_type"], schedule["timestep_spacing"]) == (predicts, "trailing")
    assert (schedule["beta_start"], schedule["beta_schedule"]) == (0.00085, "scaled_linear")


def test_the_export_opens_as_a_turbo_and_draws_in_one_step(encoded):
    for stage in ("unet", "export"):
        assert run(encoded, stage, samples=2)
    folder = encoded / "turbo"
    artist = Artist(folder)
    assert (artist.family.name, artist.family.distilled_from) == ("pocket-turbo", "pocket")
    assert artist.draw(GenerationRequest(prompt="a fox", seed=1))[0].size == (128, 128)
    for part in ("vae", "text_encoder", "tokenizer"):
        for file in (POCKET / part).iterdir():
            assert (folder / part / file.name).read_bytes() == file.read_bytes()
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    assert index["_class_name"] == "StableDiffusionPipeline"
    library, name = index["scheduler"]
    scheduler = getattr(importlib.import_module(library), name).from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(4)
    assert scheduler.timesteps.tolist() == [999, 749, 499, 249], "diffusers walks the times that were trained"


def test_a_teacher_that_is_none_is_refused_in_a_sentence(encoded, tmp_path):
    with pytest.raises(StartError, match="not a checkpoint in diffusers layout, which could be the teacher"):
        run(encoded, base=tmp_path / "nothing")
    for other in ("pocket-inpainting", "pocket-depth", "pocket-upscaler"):
        with pytest.raises(StartError, match=f"{other} draws from more than words"):
            run(encoded, "unet", base=MODELS / other)
    broken = write_teacher(tmp_path / "broken")
    (broken / UNET).write_bytes(b"no weights")
    with pytest.raises(StartError, match="broken cannot be opened as a teacher: "):
        run(encoded, "unet", base=broken)
    with pytest.raises(StartError, match="broken has others: leave --features out"):
        (broken / "vae" / UNET.name).write_bytes(b"other latents")
        run(encoded, "unet", base=broken, features="judge")


def test_latents_of_another_scale_are_refused(encoded, tmp_path):
    other = write_teacher(tmp_path / "other")
    config = other / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | {"scaling_factor": 0.13025}), "utf-8")
    with pytest.raises(StartError, match=r"have the scale 0\.13025, not SD's 0\.18215"):
        run(encoded, "unet", base=other)


def test_what_cannot_be_trained_is_said_at_once(encoded, teacher):
    with pytest.raises(UnknownNameError, match="Did you mean 'adversarial'"):
        run(encoded, base=teacher, without=("adversary",))
    with pytest.raises(UnknownNameError, match="kind of features"):
        run(encoded, base=teacher, features="vit")
    with pytest.raises(StartError, match="nothing to learn"):
        run(encoded, base=teacher, without=("adversarial", "distillation"))


@pytest.mark.parametrize("stage", ["encode", "namer", "unet", "export"])
def test_a_stage_that_comes_too_early_says_which_one_is_first(stage, teacher, tmp_path):
    with pytest.raises(StartError, match="run --stage"):
        run(tmp_path, stage, base=teacher)
