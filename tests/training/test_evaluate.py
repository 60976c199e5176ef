"""The evaluation: its distance, its prompts, its verdict, and a checkpoint that it must refuse."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from webui.contract.errors import CheckpointReadError, FieldError, UnknownNameError
from webui.training.drawing import Drawer
from webui.training.evaluating import run_evaluate
from webui.training.evaluations.pocket import held_out_prompts
from webui.training.export import export
from webui.training.frechet import frechet
from webui.training.networks import make_autoencoder, make_text_encoder, make_unet
from webui.training.options import EvaluateOptions
from webui.training.table import Row, summary, verdict
from webui.training.words import held_out, says


@pytest.fixture(scope="module")
def bad_checkpoint(tmp_path_factory) -> Path:
    """A checkpoint that was never trained."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bad") / "pocket"
    known = torch.tensor([320, 736, 49406, 49407])
    export(folder, make_autoencoder(), make_unet(), make_text_encoder(len(known) + 1), known)
    return folder


def test_the_frechet_distance_of_a_set_to_itself_is_zero():
    features = np.random.default_rng(0).normal(size=(200, 64))
    assert frechet(features, features) == pytest.approx(0, abs=1e-9)


def test_the_frechet_distance_of_shifted_gaussians_is_the_closed_form():
    rng = np.random.default_rng(1)
    base = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6))
    shift = np.asarray([1.0, -2.0, 0.5, 0.0, 3.0, 0.0])
    assert frechet(base, base + shift) == pytest.approx((shift**2).sum())
    # of covariances A and s^2 A the rest is (s - 1)^2 trace(A)
    spread = base.mean(0) + 3 * (base - base.mean(0))
    assert frechet(base, spread) == pytest.approx(4 * np.trace(np.cov(base.T)))


def test_the_frechet_distance_bears_features_without_variance():
    flat = np.random.default_rng(2).normal(size=(50, 8))
    flat[:, 3] = 1.0
    assert frechet(flat, flat + 1) == pytest.approx(8)


def test_the_prompts_were_never_seen_and_name_what_they_ask_for():
    singles, pairs = held_out_prompts(40, 6)
    assert (len(singles), len(pairs)) == (40, 6)
    for asked in singles:
        assert held_out(asked.text) and says(asked.text, asked.colour) and says(asked.text, asked.shape)
    assert all(held_out(asked.text) for asked in pairs)
    assert held_out_prompts(40, 6) == (singles, pairs)


def test_only_ship_bounds_decide_the_verdict():
    good = Row("colour", 97.5, " %", ship=97, aim=99)
    low = Row("distance", 1.4, "", ship=1.5, aim=1.25, is_ceiling=True)
    assert verdict([good, low]) == 0
    assert "2 of 2 ship bounds hold, 0 of 2 aims" in summary("pocket", [good, low])
    assert "holds" in str(good) and "MISSED" in str(good)
    bad = Row("distance", 1.6, "", ship=1.5, aim=1.25, is_ceiling=True)
    assert verdict([good, bad]) == 1
    assert "NOT good to ship" in summary("pocket", [good, bad])
    assert verdict([Row("distance", math.nan, "", ship=1.5, aim=1.25, is_ceiling=True)]) == 1


def test_an_untrained_checkpoint_is_measured_and_refused(bad_checkpoint, tmp_path):
    said: list[str] = []
    sheet = tmp_path / "sheets" / "contact.png"
    asked = EvaluateOptions(checkpoint=bad_checkpoint, sheet=sheet, pictures=12, judged=20)
    assert run_evaluate("pocket", asked, said.append) == 1
    assert said[-1].startswith("pocket: NOT good to ship")
    assert any(line.startswith("colour as asked, 10 prompts") and "MISSED" in line for line in said)
    assert any(line.startswith("toy as asked, 12 prompts") and "MISSED" in line for line in said)
    for drawn in (sheet, sheet.with_name("contact-toys.png")):
        assert Image.open(drawn).size == (8 * 128, 2 * 128)
    assert not (sheet.parent / "knows.json").exists(), "too few pictures to say what it draws well"


def test_a_new_export_says_nothing_of_what_an_older_one_knew(bad_checkpoint):
    (bad_checkpoint / "knows.json").write_text("{}")
    known = torch.tensor([320, 49406, 49407])
    export(bad_checkpoint, make_autoencoder(), make_unet(), make_text_encoder(len(known) + 1), known)
    assert not (bad_checkpoint / "knows.json").exists()


def test_a_picture_does_not_depend_on_its_batch(bad_checkpoint):
    drawer = Drawer.open(bad_checkpoint)
    together = drawer.draw(["a red sphere", "a blue cube"], [4, 5], steps=2)
    alone = drawer.draw(["a blue cube"], [5], steps=2)
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=0)


def test_what_cannot_be_evaluated_is_said_in_a_sentence(tmp_path):
    asked = EvaluateOptions(checkpoint=tmp_path, sheet=tmp_path / "sheet.png")
    with pytest.raises(UnknownNameError, match="Did you mean 'pocket'"):
        run_evaluate("pockets", asked)
    with pytest.raises(CheckpointReadError, match="no folder vae"):
        run_evaluate("pocket", asked)
    with pytest.raises(FieldError, match="too few"):
        run_evaluate("pocket", EvaluateOptions(checkpoint=tmp_path, sheet=tmp_path / "sheet.png", pictures=3))


def test_all_are_measured_one_after_the_other_and_printed_as_one_table(tmp_path, monkeypatch):
    asked = []

    def measure(value: float):
        def run(options: EvaluateOptions, say) -> list[Row]:
            asked.append((options.checkpoint.name, options.sheet.name))
            return [Row("share", value, " %", 80, 90)]

        return run

    monkeypatch.setattr("webui.training.evaluating.EVALUATIONS", {"pocket": measure(85), "tiny": measure(95)})
    said: list[str] = []
    options = EvaluateOptions(checkpoint=tmp_path / "x", sheet=tmp_path / "all.png")
    assert run_evaluate("all", options, said.append) == 0
    assert asked == [("pocket", "pocket.png"), ("pocket-tiny", "tiny.png")]
    assert [line.split()[0] for line in said[-4:]] == ["pocket", "pocket:", "tiny", "tiny:"]
    monkeypatch.setattr("webui.training.evaluating.EVALUATIONS", {"pocket": measure(85), "tiny": measure(7)})
    assert run_evaluate("all", options, said.append) == 1
    assert "tiny: NOT good to ship" in said[-1]
