"""The two guiders inside the program, over the pocket checkpoint."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from webui.contract.errors import FieldError
from webui.contract.parts import Inputs
from webui.contract.request import Chosen, GenerationRequest
from webui.engine.conditioning import condition
from webui.engine.generate import table_of
from webui.engine.guiders import Asked, guided
from webui.engine.references import References
from webui.testing import program

ASKED = GenerationRequest(prompt="a red cube", checkpoint="pocket", sampler="Euler", steps=3, seed=3, width=64, height=64)
PAG, DYNAMIC = "Perturbed attention", "Dynamic thresholding"


@pytest.fixture(scope="module")
def app():
    with program(Path(__file__).parent) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(app):
    """In float32, whatever is quickest here."""
    with app.checkpoints.use("pocket") as used:
        yield replace(used, unet=copy.deepcopy(used.unet).float())


def drawn(app, *guiders, **values):
    chosen = tuple(one if isinstance(one, Chosen) else Chosen(one) for one in guiders)
    return list(app.generate(replace(ASKED, guiders=chosen, **values)))


def pixels(app, *guiders, **values):
    return np.array(drawn(app, *guiders, **values)[0].image).astype(float)


def denoised(app, model, request, x, sigma):
    """What the guiders of a request answer at one step."""

    def conditioned(asked):
        return condition(asked, model, app.parts, [Inputs(size=(64, 64))])

    table, known = table_of(model), References(app.parts)
    with torch.inference_mode():
        return guided(request, model, table, conditioned(request), conditioned, len(x), known)(x, sigma)


def noisy(rows=1, sigma=3.0):
    return torch.randn(rows, 4, 8, 8, generator=torch.Generator().manual_seed(1)) * sigma


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_perturbed_attention_is_the_papers_formula(app, model, guidance):
    request, x = replace(ASKED, guidance=guidance, negative_prompt="blue"), noisy()

    def conditioned(asked):
        return condition(asked, model, app.parts, [Inputs(size=(64, 64))])

    network = Asked(request, model, table_of(model), conditioned(request), conditioned)
    names = [name for name in model.unet.attn_processors if name.startswith("mid_block") and "attn1" in name]

    def identity(attn, hidden_states, **_):
        scores = torch.eye(hidden_states.shape[1]).expand(len(hidden_states), -1, -1)
        return attn.to_out[0](scores @ attn.to_v(hidden_states))

    with torch.inference_mode():
        (prompt,) = network.predict(x, 3.0, network.sides[0])
        (perturbed,) = network.predict(x, 3.0, network.sides[0], attention=dict.fromkeys(names, identity))
    plain = denoised(app, model, request, x, 3.0)
    wanted = plain + 2.5 * (prompt - perturbed)
    ours = denoised(app, model, replace(request, guiders=(Chosen(PAG, {"scale": 2.5}),)), x, 3.0)
    assert torch.allclose(ours, wanted, atol=1e-4)
    assert (ours - plain).abs().max() > 0.01


def test_both_ways_through_the_network_answer_the_same(app, model):
    """Next to the network it is one call; behind another guider that changes nothing it is two."""
    nothing = Chosen(DYNAMIC, {"mimic": 20})
    for guider in (Chosen(PAG), Chosen(DYNAMIC, {"mimic": 2})):
        alone = replace(ASKED, guidance=5.0, guiders=(guider,))
        x = noisy(2)
        other = Chosen(PAG, {"scale": 0}) if guider.name == DYNAMIC else nothing
        first = denoised(app, model, alone, x, 3.0)
        assert torch.allclose(first, denoised(app, model, replace(alone, guiders=(other, guider)), x, 3.0), atol=1e-4)
        assert (first - denoised(app, model, replace(alone, guiders=()), x, 3.0)).abs().max() > 0.01
    twice = denoised(app, model, replace(ASKED, guidance=5.0, guiders=(Chosen(PAG), Chosen(PAG))), noisy(), 3.0)
    double = denoised(app, model, replace(ASKED, guidance=5.0, guiders=(Chosen(PAG, {"scale": 4}),)), noisy(), 3.0)
    assert torch.allclose(twice, double, atol=1e-4)


def test_scale_nothing_is_the_plain_picture_and_no_call(app):
    plain = pixels(app)
    assert (pixels(app, Chosen(PAG, {"scale": 0})) == plain).all()
    assert (pixels(app, PAG) != plain).any()
    assert (pixels(app) == plain).all(), "attention is as before"


def test_pictures_of_a_batch_are_the_same_as_alone(app):
    batch = drawn(app, PAG, Chosen(DYNAMIC, {"mimic": 2}), batch_size=2)
    for i, one in enumerate(batch):
        alone = drawn(app, PAG, Chosen(DYNAMIC, {"mimic": 2}), seed=3 + i)[0]
        assert alone.image.tobytes() == one.image.tobytes()


def test_a_checkpoint_without_attention_in_its_middle_is_told(app, model):
    unet = UNet2DConditionModel(**{**model.unet.config, "mid_block_type": "UNetMidBlock2D"}).eval()
    with pytest.raises(FieldError, match=r"Pocket.* has no self-attention in its middle, which Perturbed attention needs\."):
        denoised(app, replace(model, unet=unet), replace(ASKED, guiders=(Chosen(PAG),)), noisy(), 3.0)


def test_dynamic_thresholding_keeps_to_the_range_of_the_lower_guidance(app, model):
    x = noisy(2)
    strong, mild = (denoised(app, model, replace(ASKED, guidance=scale), x, 3.0) for scale in (15.0, 3.0))
    ours = denoised(app, model, replace(ASKED, guidance=15.0, guiders=(Chosen(DYNAMIC, {"mimic": 3.0}),)), x, 3.0)

    def reach(latents):
        return (latents - mild.mean((2, 3), keepdim=True)).abs().amax((2, 3))

    assert (reach(strong) > 1.5 * reach(mild)).any()
    assert (reach(ours) <= reach(mild) * 1.001).all()
    for i in range(4):  # the same picture, in another range
        assert torch.corrcoef(torch.stack([ours[0, i].flatten(), strong[0, i].flatten()]))[0, 1] > 0.95


def test_what_is_in_the_range_already_stays(app):
    mild = noisy(2)
    assert torch.allclose(in_range(app)(mild, mild, 0.9), mild, atol=1e-5)


def in_range(app):
    return app.parts.guiders[DYNAMIC].function.__globals__["in_range_of"]


def test_dynamic_thresholding_leaves_a_lower_guidance_alone(app):
    for guidance in (1.0, 3.0):
        plain = pixels(app, guidance=guidance)
        assert (pixels(app, Chosen(DYNAMIC, {"mimic": 3.0}), guidance=guidance) == plain).all()


def test_high_guidance_burns_less(app):
    """Of a picture with guidance 20 fewer channels are at their end."""

    def burnt(*guiders):
        values = pixels(app, *guiders, guidance=20.0, steps=8, width=128, height=128, prompt="a red ball and a blue cube")
        return ((values < 3) | (values > 252)).mean()

    assert burnt(DYNAMIC) < 0.1 < 0.4 < burnt()
