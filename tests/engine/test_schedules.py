import json
import math

import pytest
import torch

from tests.engine.tables import by_name, float32, sd1, zero_terminal_snr
from tests.shared import shared
from webui.contract.errors import PluginError, UnknownNameError
from webui.contract.parts import SamplerPart, SchedulePart
from webui.contract.registry import Registry
from webui.engine import builtin, schedules


def registry() -> Registry[SchedulePart]:
    parts: Registry[SchedulePart] = Registry("schedule")
    builtin.register_schedules(lambda name, function, aliases=(): parts.add(SchedulePart(name, function, aliases), "builtin"))
    return parts


SCHEDULES = registry()
SAMPLER = SamplerPart("test", lambda denoise, x, sigmas, noise: x)


def walk(name: str, steps: int, sampler: SamplerPart = SAMPLER, family: str = "Uniform", **options: object) -> list[float]:
    return schedules.ladder(sampler, name, steps, sd1(), SCHEDULES, family, options).tolist()


@pytest.mark.parametrize("table", ["SD 1", "zero terminal SNR"])
@pytest.mark.parametrize("part", SCHEDULES, ids=lambda part: part.name)
def test_every_number_of_steps_gives_just_so_many(part, table):
    noise = by_name(table)
    for steps in [*range(1, 151), 500, 501, 999, 1000, 1001]:
        sigmas = float32(part.function(steps, noise))
        assert len(sigmas) == steps + 1
        assert bool(sigmas.isfinite().all()), steps
        assert bool((sigmas.diff() < 0).all()), steps
        assert sigmas[-1] == 0


@pytest.mark.parametrize("part", SCHEDULES, ids=lambda part: part.name)
def test_one_step_starts_at_the_top(part):
    (first, last) = part.function(1, sd1())
    assert first == pytest.approx(14.6146, rel=1e-4) and last == 0


def test_closed_forms():
    table = sd1()
    low, high = table.sigma_min, table.sigma_max
    assert schedules.exponential(3, table)[1] == pytest.approx(math.sqrt(low * high))
    assert schedules.karras(3, table, rho=1.0)[1] == pytest.approx((low + high) / 2)
    assert schedules.karras(9, table, sigma_min=0.1, sigma_max=10.0)[0] == pytest.approx(10)
    assert schedules.kl_optimal(2, table)[1] == pytest.approx(math.tan((math.atan(low) + math.atan(high)) / 2))
    assert schedules.uniform(2, table) == pytest.approx([high, low, 0])
    assert schedules.sgm_uniform(2, table)[1] == pytest.approx(table.sigma(499.5))
    assert schedules.polyexponential(9, table) == schedules.exponential(9, table)
    # Beta(1/2, 1/2) is the arcsine distribution, whose quantile is sin^2(pi p / 2); Beta(1, 1) is uniform
    arcsine = [low + math.sin(math.pi * p / 8) ** 2 * (high - low) for p in (4, 3, 2, 1, 0)]
    assert schedules.beta(5, table, alpha=0.5, beta=0.5)[:-1] == pytest.approx(arcsine, rel=1e-12)
    assert schedules.beta(5, table, alpha=1.0, beta=1.0)[1] == pytest.approx(low + 0.75 * (high - low), rel=1e-12)


def test_turbo_and_simple_take_the_tables_own_levels():
    table = sd1()
    expected = table.sigmas[[999, 749, 499, 249]].tolist()
    assert schedules.turbo(4, table)[:-1] == expected
    assert schedules.simple(4, table)[:-1] == expected


def test_turbo_checkpoints_have_the_steps_of_their_demo():
    table = sd1()
    for steps, last in ((1, 999), (2, 899), (4, 699), (10, 99)):
        walked = schedules.sd_turbo(steps, table)
        assert walked == [*table.sigmas[range(999, last - 1, -100)].tolist(), 0.0] and len(walked) == steps + 1


def test_ddim_has_the_originals_time_steps_where_they_divide_the_table():
    table = sd1()
    for steps in (2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500):
        original = list(range(1, 1001, 1000 // steps))[::-1]
        assert schedules.ddim(steps, table)[:-1] == table.sigmas[original].tolist()


def same(ours: list[float], theirs: list[float], rel: float = 1e-5) -> None:
    assert float32(ours).tolist() == pytest.approx(float32(theirs).tolist(), rel=rel)


@pytest.mark.parametrize("name", ["schedules", "options"])
def test_levels_equal_the_published_ones(name):
    compared = 0
    for case in json.loads(shared(f"reference/schedules/{name}.json").read_text()):
        label, steps = case["schedule"], case["n"]
        if label == "Automatic":
            label = "Uniform"
        function = SCHEDULES[label].function
        options = {key: case[key] for key in ("rho", "sigma_min", "sigma_max", "alpha", "beta") if key in case}
        if "model" in case:
            options["trained_for"] = case["model"]
        ours, theirs = list(function(steps, by_name(case["table"]), **options)), case["sigmas"]
        if steps == 1 and (label == "DDIM" or "Align" in label):
            continue  # theirs starts at the bottom
        if label == "DDIM" and len(theirs) != steps + 1:
            continue  # theirs has a step too many
        if label == "KL Optimal":  # theirs ends at sigma_min, and its float32 tan is 1.3e-4 off near pi / 2
            same(ours[1:-1], theirs[1:-1])
            same(ours[:1], theirs[:1], 1e-3)
        else:
            same(ours, theirs)
        compared += 1
    assert compared == {"schedules": 186, "options": 36}[name]


def test_dropping_the_last_but_one_equals_the_published_ladders():
    sampler = SamplerPart("drops", SAMPLER.function, discard_penultimate=True)
    for case in json.loads(shared("reference/schedules/discard_penultimate.json").read_text()):
        ours, theirs = walk(case["schedule"], case["n"], sampler), case["sigmas"]
        assert len(ours) == case["n"] + 1
        if case["schedule"] == "KL Optimal":
            same(ours[:-1], theirs[:-1])
        elif len(theirs) == len(ours) and (case["schedule"], case["n"]) != ("DDIM", 5):
            same(ours, theirs)


def test_automatic_asks_the_sampler_then_the_family():
    own = SamplerPart("own", SAMPLER.function, schedule="Karras")
    assert walk("Automatic", 5, own, "Turbo") == walk("Karras", 5)
    assert walk("automatic", 5, SAMPLER, "Turbo") == walk("Turbo", 5)
    assert walk("", 5, SAMPLER, "Uniform") == walk("Uniform", 5)
    assert walk("Exponential", 5, own, "Turbo") == walk("exponential", 5)
    assert schedules.resolve(own, "Automatic", SCHEDULES, "Turbo").name == "Karras"
    assert schedules.resolve(own, "sgm_uniform", SCHEDULES, "Turbo").name == "SGM Uniform"


def test_a_sampler_with_its_own_ladder_walks_it_whatever_was_asked():
    own = SamplerPart("own", SAMPLER.function, ladder="DDIM")
    assert walk("Karras", 5, own) == walk("DDIM", 5)


def test_options_reach_the_schedule_that_has_them():
    assert walk("Karras", 5, rho=3.0) == float32(schedules.karras(5, sd1(), rho=3.0)).tolist()
    assert walk("Uniform", 5, rho=3.0) == walk("Uniform", 5)
    assert walk("Align Your Steps", 11, trained_for="sdxl")[1] == pytest.approx(6.315)


def test_an_unknown_schedule_is_named():
    with pytest.raises(UnknownNameError, match=r"No schedule is called 'karas'\. Did you mean 'Karras'\?"):
        walk("karas", 5)


@pytest.mark.parametrize("levels", [[3.0, 2.0, 0.0], [3.0, 2.0, 2.0, 0.0], [3.0, math.nan, 1.0, 0.0], [math.inf, 2.0, 1.0, 0.0]])
def test_a_strangers_broken_schedule_is_refused(levels):
    parts: Registry[SchedulePart] = Registry("schedule")
    parts.add(SchedulePart("broken", lambda steps, table: levels), "a stranger")
    with pytest.raises(PluginError, match="'broken'"):
        schedules.ladder(SAMPLER, "broken", 3, sd1(), parts, "broken")


def test_a_ladder_is_float32_and_needs_no_gradient():
    sigmas = schedules.ladder(SAMPLER, "Karras", 20, zero_terminal_snr(), SCHEDULES, "Uniform")
    assert sigmas.dtype == torch.float32 and sigmas.shape == (21,) and not sigmas.requires_grad
