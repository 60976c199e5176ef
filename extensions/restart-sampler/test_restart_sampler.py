"""Restart against the numbers of the published code, and against Heun's method, which it is where it never restarts."""

from __future__ import annotations

import json
import math
import os
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from webui.contract.request import GenerationRequest
from webui.testing import program

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("WEBUI_SHARED", HERE.parents[2] / "shared")) / "reference" / "samplers"
CODE = runpy.run_path(str(HERE / "extension.py"))
RESTART, WALK = CODE["sample_restart"], CODE["walk"]
LINES = (SHARED / "cases.json").read_text().splitlines() if (SHARED / "cases.json").exists() else []
CASES = [json.loads(line.strip().rstrip(",")) for line in LINES if '"restart/' in line]


@pytest.fixture(scope="module")
def app():
    with program(HERE) as opened:
        yield opened


class Mixture:
    """The ideal denoiser of a mixture of Gaussians (the reference's README has its formula); counts its calls."""

    def __init__(self, arrays, dtype):
        self.means, self.stds, self.weights = (torch.from_numpy(arrays[name]).to(dtype) for name in ("means", "stds", "weights"))
        self.called_at = []

    def __call__(self, x, sigma):
        self.called_at.append(float(sigma))
        variance = self.stds**2 + float(sigma) ** 2
        far = ((x[:, None] - self.means) ** 2).flatten(2).sum(-1)
        share = torch.softmax(torch.log(self.weights) - x[0].numel() / 2 * torch.log(variance) - far / (2 * variance), 1)
        each = (self.stds**2)[:, None, None, None] * x[:, None] + float(sigma) ** 2 * self.means
        return (share[:, :, None, None, None] * each / variance[:, None, None, None]).sum(1)


def options_of(case):
    options = dict(case["options"])
    for low, (points, times, high) in options.pop("restart_list", {}).items():
        options |= {"restart_from": float(low), "restarts": times, "restart_steps": points - 1, "restart_to": high}
    return options


@pytest.mark.skipif(not CASES, reason="the reference numbers are not here")
@pytest.mark.parametrize("kind", ["out64", "out32"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_it_computes_what_the_published_code_does(case, kind):
    arrays, outputs = np.load(SHARED / "arrays.npz"), np.load(SHARED / "outputs.npz")
    dtype = torch.float64 if kind == "out64" else torch.float32
    sigmas = torch.from_numpy(arrays["ladder/" + case["ladder"]]).to(dtype)
    draws = iter(torch.from_numpy(arrays["noise"]).to(dtype))
    denoise = Mixture(arrays, dtype)
    ours = RESTART(
        denoise, torch.from_numpy(arrays["start"]).to(dtype) * sigmas[0], sigmas, lambda *_: next(draws), **options_of(case)
    )
    due = torch.from_numpy(outputs[f"{case['id']}/{kind}"])
    assert len(denoise.called_at) == case["calls"]
    assert denoise.called_at == pytest.approx(case["called_at"], rel=1e-4)
    allowed = 1e-5 if kind == "out64" else max(1e-4, 4 * case["float32_error"])
    assert float((ours - due).abs().max() / due.abs().max()) <= allowed


def test_all_the_published_cases_are_here():
    if not (SHARED / "cases.json").exists():
        pytest.skip("the reference numbers are not here")
    assert len(CASES) >= 12


def test_below_20_steps_it_is_heun(app):
    request = GenerationRequest(prompt="a red cube", checkpoint="pocket", schedule="Karras", steps=6, width=64, height=64, seed=7)
    restart, heun = (next(app.generate(replace(request, sampler=name))).image for name in ("Restart", "Heun"))
    assert restart.tobytes() == heun.tobytes()


def test_it_goes_back_as_often_and_as_far_as_asked():
    levels = [10.0, 5.0, 2.0, 0.5, 0.1, 0.03, 0.0]
    steps = list(WALK(levels, 3, 4, 0.1, 2.0))
    assert [sigma for sigma, after in steps if after == pytest.approx(0.1)][:1] == [0.5]
    assert sum(sigma == pytest.approx(2.0) for sigma, _ in steps) == 1 + 3 and len(steps) == 6 + 3 * 4
    assert list(WALK(levels, 3, 4, 2.0, 0.1)) == list(WALK(levels, 0, 4, 0.1, 2.0)), "upwards there is nothing to take again"


def test_part_of_a_walk_keeps_its_ladder_and_ends_where_it_should():
    ladder = torch.linspace(10, 1, 41, dtype=torch.float64)
    asked = []
    made = RESTART(lambda x, sigma: asked.append(float(sigma)) or x * 0, torch.full((1, 1, 1, 1), 10.0), ladder, None)
    assert min(asked) == 1 and made.item() == pytest.approx(1), "a refiner goes on from here"


def test_noise_is_what_lifts_it_to_the_level_it_goes_back_to():
    lifted, seen = [], []

    def noise(sigma, sigma_next):
        lifted.append((sigma, sigma_next))
        return torch.ones(1, 1, 1, 1, dtype=torch.float64)

    def still(x, sigma):
        seen.append((round(float(sigma), 6), x.item()))
        return x  # nothing to take away: only noise moves it

    ladder = torch.tensor([4.0, 0.1, 0.0], dtype=torch.float64)
    RESTART(still, ladder[2:, None, None, None] * 0, ladder, noise, restarts=1, restart_steps=2, restart_to=4.0, s_noise=0.5)
    assert lifted == [(pytest.approx(0.1), pytest.approx(4.0))]
    assert [x for sigma, x in seen if sigma == 4.0] == [0, pytest.approx(0.5 * math.sqrt(4.0**2 - 0.1**2))]


def test_its_options_work_through_a_request_and_stand_in_the_infotext(app):
    request = GenerationRequest(
        prompt="a red cube", checkpoint="pocket", sampler="restart", steps=6, width=64, height=64, seed=7,
        sampler_options={"restarts": 1, "restart_steps": 3},
    )  # fmt: skip
    once = next(app.generate(request))
    assert once.request.sampler == "Restart" and '\\"restarts\\": 1' in once.infotext and "Schedule" not in once.infotext
    again, other = next(app.generate(once.request)), next(app.generate(replace(request, sampler_options={"restarts": 2})))
    assert again.image.tobytes() == once.image.tobytes() != other.image.tobytes()
