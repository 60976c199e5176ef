"""Which checkpoint is which, and what LCM's sampler does. Run with: python -m pytest extensions/few-step-families"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from webui.checkpoints.build import Build, choose
from webui.checkpoints.families import SD1, SD2, SDXL
from webui.contract.request import GenerationRequest
from webui.engine.schedules import ladder
from webui.engine.table import NoiseTable
from webui.testing import program


@pytest.fixture(scope="module")
def app():
    with program(Path(__file__).parent) as opened:
        yield opened


def chosen(app, row, name):
    """The family of a file of that name, built as a row says."""
    numbers = {column: getattr(row, column) for column in ("in_channels", "context_width", "network_width", "decoder_width")}
    encoders = frozenset((one.role, one.kind, one.prefix) for one in row.encoders)
    build = Build(row.network, encoders, row.autoencoder, numbers, row.in_channels - row.latent_channels, row.vector)
    return choose(build, list(app.parts.families), Path(f"{name}.safetensors"), None)


@pytest.mark.parametrize(("row", "file", "family"), [
    (SDXL, "sdxl_lightning_2step", "sdxl-lightning-2"), (SDXL, "sdxl_lightning_4step", "sdxl-lightning-4"),
    (SDXL, "SDXL-Lightning-8step_fp16", "sdxl-lightning-8"), (SDXL, "sdxl_lightning_4step_unet", "sdxl-lightning-4"),
    (SDXL, "Hyper-SDXL-1step-Unet-Comfyui.fp16", "hyper-sdxl-1"),
    (SDXL, "myMerge_LCM", "sdxl-lcm"), (SD1, "dreamshaper_8LCM", "sd1-lcm"),
    (SDXL, "sd_xl_base_1.0", "sdxl"), (SDXL, "sd_xl_turbo_1.0", "sdxl-turbo"), (SDXL, "someMerge_lightning", "sdxl"),
    (SDXL, "sdxl_lightning_1step_x0", "sdxl"), (SD1, "v1-5-pruned-emaonly", "sd1"), (SD1, "sdxl_lightning_4step", "sd1"),
    (SD2, "v2-1_512-lcm", "sd2"),
])  # fmt: skip
def test_a_checkpoint_is_known_by_its_build_and_its_name(app, row, file, family):
    assert chosen(app, row, file).name == family


def test_what_one_gets_who_asks_for_nothing(app):
    rows = app.parts.families
    for steps in (2, 4, 8):
        row = rows[f"sdxl-lightning-{steps}"]
        assert (row.steps, row.guidance, row.sampler, row.schedule, row.native_size) == (steps, 1.0, "Euler", "SGM Uniform", 1024)
    assert (rows["hyper-sdxl-1"].steps, rows["sd1-lcm"].sampler, rows["sd1-lcm"].native_size) == (1, "LCM", 512)
    assert all(row.encoders == SDXL.encoders for row in rows if row.name.startswith(("sdxl-lightning", "hyper")))


def test_lightnings_time_steps_are_those_of_the_model_card(app):
    """Trailing: the last of each of as many equal parts, 999, 749, 499, 249 for four."""
    table = NoiseTable.from_family(SDXL)
    sigmas = ladder(app.parts.samplers["Euler"], "SGM Uniform", 4, table, app.parts.schedules, "Uniform")
    times = [table.t(float(sigma)) for sigma in sigmas[:-1]]
    assert times == pytest.approx([999, 749, 499, 249], abs=1)


def test_hyper_begins_at_time_step_800(app):
    table = NoiseTable.from_family(SDXL)
    sigmas = ladder(app.parts.samplers["LCM"], "Hyper", 1, table, app.parts.schedules, "Uniform")
    assert sigmas.tolist() == pytest.approx([table.sigma(800), 0.0])
    assert len(ladder(app.parts.samplers["LCM"], "Hyper", 20, table, app.parts.schedules, "Uniform")) == 21


def test_lcm_goes_to_the_clean_latents_and_back_with_new_noise_alone(app):
    seen, unit = [], torch.full((1, 4, 8, 8), 3.0)

    def denoise(x, sigma):
        seen.append((float(x.mean()), float(sigma)))
        return torch.full_like(x, float(sigma))

    sample = app.parts.samplers["lcm"].function
    drawn = sample(denoise, torch.full((1, 4, 8, 8), 99.0), torch.tensor([10.0, 4.0, 0.0]), lambda sigma, sigma_next: unit)
    assert seen == [(99.0, 10.0), (10.0 + 4.0 * 3.0, 4.0)] and torch.equal(drawn, torch.full((1, 4, 8, 8), 4.0))


def test_the_turbo_that_comes_with_the_program_draws_with_it(app):
    request = GenerationRequest(prompt="a red cube", checkpoint="pocket-turbo", sampler="LCM", steps=4, seed=1)
    first, again, other = (next(app.generate(one)).image for one in (request, request, replace(request, seed=2)))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert first.convert("L").getextrema()[1] > 50, "it is black"
