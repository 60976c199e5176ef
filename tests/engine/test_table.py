import json
import math

import pytest
import torch

from tests.engine.tables import by_name, family, sd1
from tests.shared import shared
from webui.engine.table import NoiseTable

SPREAD = [0.0, 0.5, 10.25, 333.3, 500.0, 998.9, 999.0]


def test_constant_betas_give_the_closed_form():
    table = NoiseTable.from_betas([0.1] * 5)
    expected = [math.sqrt((1 - 0.9**k) / 0.9**k) for k in range(1, 6)]
    assert table.sigmas.tolist() == pytest.approx(expected, rel=1e-6)
    assert table.sigmas.dtype == torch.float32
    assert len(table) == 5


def test_table_rises_strictly_for_every_release():
    for start, end in [(0.00085, 0.012), (0.0015, 0.0195), (0.0015, 0.0155), (0.0015, 0.0205), (0.0001, 0.02)]:
        sigmas = NoiseTable.from_family(family(start, end)).sigmas
        assert len(sigmas) == 1000
        assert bool((sigmas.diff() > 0).all())


@pytest.mark.parametrize("t", SPREAD)
def test_time_and_noise_level_are_inverse(t):
    table = sd1()
    assert table.t(table.sigma(t)) == pytest.approx(t, abs=1e-9)


def test_whole_steps_give_the_table_itself():
    table = sd1()
    assert [table.sigma(t) for t in (0, 1, 500, 999)] == pytest.approx(table.sigmas[[0, 1, 500, 999]].tolist(), rel=1e-12)
    assert table.sigma(0) == pytest.approx(table.sigma_min, rel=1e-12)
    assert table.sigma(999) == pytest.approx(table.sigma_max, rel=1e-12)


def test_half_a_step_is_the_geometric_mean():
    table = sd1()
    assert table.sigma(10.5) == pytest.approx(math.sqrt(table.sigma(10) * table.sigma(11)))


def test_outside_the_table_the_nearest_end_is_taken():
    table = sd1()
    assert (table.t(0.0), table.t(1e-9), table.t(99.0), table.t(math.inf)) == (0, 0, 999, 999)
    assert (table.sigma(-5), table.sigma(2000)) == (table.sigma(0), table.sigma(999))
    assert table.t_of(torch.tensor([0.0, 1e-9, 99.0, math.inf])).tolist() == [0, 0, 999, 999]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_tensor_and_number_agree_in_any_shape(dtype):
    table = sd1()
    sigma = torch.tensor([[0.02, 0.3, 1.0], [2.5, 14.0, 20.0]], dtype=dtype)
    t = table.t_of(sigma)
    assert t.shape == sigma.shape and t.dtype == torch.float32
    assert t.flatten().tolist() == pytest.approx([table.t(s) for s in sigma.flatten().tolist()], rel=1e-6)
    assert table.t_of(sigma[0, 1]).shape == ()


def test_table_equals_the_releases():
    for row in json.loads(shared("reference/schedules/tables.json").read_text()):
        table = NoiseTable.from_family(family(row["start"], row["end"])) if "start" in row else by_name("zero terminal SNR")
        rel = 1e-6 if "start" in row else 1e-5
        assert table.sigmas[row["index"]].tolist() == pytest.approx(row["sigma"], rel=rel), row["name"]
        if "alphas_cumprod" in row:
            alphas = 1 / (table.sigmas.double()[row["index"]] ** 2 + 1)
            assert alphas.tolist() == pytest.approx(row["alphas_cumprod"], rel=1e-6)


def test_time_equals_k_diffusion():
    table = sd1()
    for row in json.loads(shared("reference/schedules/sigma_to_t.json").read_text()):
        if "sigma" in row:
            assert table.t(row["sigma"]) == pytest.approx(row["k_diffusion_t"], abs=1e-4)
            assert float(table.t_of(torch.tensor(row["sigma"]))) == pytest.approx(row["k_diffusion_t"], abs=1e-4)
        else:
            assert table.sigma(row["t"]) == pytest.approx(row["k_diffusion_sigma"], rel=2e-5)
            assert table.sigma(row["t"]) == pytest.approx(row["forge_sigma"], rel=1e-5)
