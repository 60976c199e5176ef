"""The recipes of the pocket's siblings: every stage for a few steps, stopped and gone on with, and an export that the program
opens as its family."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.conftest import POCKET
from webui.checkpoints.depth import SmallDepthEstimator, small_estimator
from webui.checkpoints.tiny import load_tiny
from webui.contract.errors import StartError
from webui.contract.request import GenerationRequest
from webui.training.artist import Artist
from webui.training.autoencoder import load_autoencoder, reconstruction
from webui.training.estimator import correlations
from webui.training.evaluations.inpainting import seam
from webui.training.loop import read_state
from webui.training.networks import (
    LARGE_SCALE,
    make_large_autoencoder,
    make_upscaler,
    mean_latents,
    start_carrying,
    start_linear,
)
from webui.training.options import TrainOptions
from webui.training.recipes.depth import as_asked
from webui.training.recipes.inpainting import mask_of
from webui.training.recipes.upscaler import fitted, guessed, shrunk, start_from_small
from webui.training.scenes import to_tensor
from webui.training.training import RECIPES
from webui.training.worlds import HELD_OUT, render_shapes

TRAINED = {
    "inpainting": ("unet",),
    "depth": ("unet", "estimator"),
    "upscaler": ("autoencoder", "unet"),
    "tiny": ("decoder", "encoder"),
}
SCENES = {"upscaler": 5}


def quiet(text: str) -> None:
    """Nothing is said."""


def options(name: str, state: Path, **changes) -> TrainOptions:
    asked = {"state": state, "device": "cpu", "threads": 1, "scenes": SCENES.get(name, 12), "batch": 2, "samples": 6}
    return TrainOptions(**(asked | changes))


def run(name: str, state: Path, stage: str = "", should_stop=lambda: False, **changes) -> bool:
    return RECIPES[name](options(name, state, stage=stage, **changes), quiet, should_stop).run()


@pytest.fixture(scope="module", params=TRAINED)
def trained(request, tmp_path_factory) -> tuple[str, Path]:
    """A state folder in which every stage ran for a few steps, without a stop."""
    state = tmp_path_factory.mktemp(request.param)
    assert run(request.param, state)
    for stage in set(TRAINED[request.param]) - set(RECIPES[request.param].stages):
        assert run(request.param, state, stage)
    return request.param, state


def test_a_run_that_is_stopped_in_every_stage_ends_with_the_same_bytes(trained, tmp_path):
    name, state = trained
    for stage in [*RECIPES[name].stages, *TRAINED[name]]:
        if stage in TRAINED[name] and not (tmp_path / f"{stage}.pt").exists():
            counter = itertools.count(1)
            assert not run(name, tmp_path, stage, lambda: next(counter) >= 2)  # noqa: B023
        if not (stage in TRAINED[name] and read_state(tmp_path / f"{stage}.pt")["clock"]["legs"]):
            assert run(name, tmp_path, stage)
    for file in sorted(path.relative_to(state) for path in state.rglob("*.safetensors")):
        assert (state / file).read_bytes() == (tmp_path / file).read_bytes(), file


def test_the_export_is_opened_as_its_family_and_draws(trained):
    name, state = trained
    if name == "tiny":
        picture = load_tiny(state / name)(torch.zeros(1, 4, 8, 8))
        assert picture.shape == (1, 3, 64, 64)
        return
    artist = Artist(state / name)
    assert artist.family.name == {"inpainting": "pocket-inpaint", "depth": "pocket-depth", "upscaler": "pocket-x4"}[name]
    small, white = Image.new("RGB", (64, 64), "gray"), Image.new("L", (64, 64), 255)
    asked = GenerationRequest(prompt="a fox", image="small", seed=1, steps=1)
    if name == "inpainting":
        asked = replace(asked, mask="white")
    if name == "depth":
        asked = GenerationRequest(prompt="a fox", depth="white", seed=1, steps=1, width=64, height=64)
    drawn = artist.draw(asked, {"small": small, "white": white})[0]
    assert drawn.size == ((256, 256) if name == "upscaler" else drawn.size)


def test_what_is_the_bases_stays_the_bases_byte_for_byte(trained):
    name, state = trained
    shared = {"inpainting": ("vae", "text_encoder", "tokenizer"), "upscaler": ("text_encoder", "tokenizer")}
    for part in shared.get("inpainting" if name == "depth" else name, ()):
        for file in (POCKET / part).iterdir():
            assert (state / name / part / file.name).read_bytes() == file.read_bytes()
    if name in ("inpainting", "depth"):
        first = load_file(state / name / "unet" / "diffusion_pytorch_model.safetensors")["conv_in.weight"].float()
        before = load_file(POCKET / "unet" / "diffusion_pytorch_model.safetensors")["conv_in.weight"].float()
        assert (first[:, :4] - before).abs().max() < 0.02, "it began with the base's weights"
        assert first.shape[1] == {"inpainting": 9, "depth": 5}[name]


@pytest.mark.parametrize("name", TRAINED)
def test_a_stage_that_comes_too_early_says_which_one_is_first(name, tmp_path):
    stages = RECIPES[name].stages
    for stage in stages[1:]:
        with pytest.raises(StartError, match="run --stage"):
            run(name, tmp_path, stage)


def test_a_base_that_is_none_is_refused(tmp_path):
    with pytest.raises(StartError, match="not a checkpoint in diffusers layout"):
        run("inpainting", tmp_path, base=tmp_path / "nothing")


def test_masks_hide_a_thing_a_part_a_side_or_all():
    box = np.asarray([0.4, 0.4, 0.6, 0.6], np.float32)
    masks = np.stack([mask_of(seed, box) for seed in range(300)])
    shares = masks.mean((1, 2))
    assert ((shares > 0) & (shares <= 1)).all()
    assert 0.03 < (shares == 1).mean() < 0.15
    assert masks[:, 64, 64].mean() > 0.6, "most hide what is there"
    assert np.array_equal(mask_of(7, box), mask_of(7, box))


def test_maps_are_told_as_the_engine_tells_them():
    near = torch.rand(3, 1, 64, 64)
    told = as_asked(near)
    assert told.shape == (3, 1, 16, 16)
    assert told.amin((1, 2, 3)).tolist() == [-1, -1, -1] and told.amax((1, 2, 3)).tolist() == pytest.approx([1, 1, 1])
    assert as_asked(torch.zeros(1, 1, 64, 64)).isfinite().all(), "a map of one depth"


def test_the_estimator_that_comes_with_the_program_sees_how_near_things_are():
    scenes = render_shapes(HELD_OUT + 300, 12)
    network = small_estimator()
    with torch.no_grad():
        assert correlations(network.read(to_tensor(scenes.pictures)), scenes.depth).min() > 0.95
        assert network(torch.zeros(1, 3, 300, 500)).shape == (1, 1, 64, 112)
    assert sum(p.numel() for p in SmallDepthEstimator().parameters()) * 2 < 3e6


def test_the_large_autoencoder_begins_as_one_that_passes_colours_through():
    torch.manual_seed(0)
    network = make_large_autoencoder()
    start_carrying(network)
    pictures = render_shapes(1, 2, 256).pictures
    assert reconstruction(network, pictures) > 21
    with torch.no_grad():
        assert mean_latents(network, to_tensor(pictures)).shape == (2, 4, 64, 64)
    assert LARGE_SCALE == 0.08333


def test_latents_of_the_upscalers_autoencoder_have_deviation_one(trained):
    name, state = trained
    if name != "upscaler":
        return
    latents = np.load(state / "latents.npy").astype(np.float32)
    assert latents.std() == pytest.approx(1, abs=0.1)
    assert load_autoencoder(state / name / "vae").config.scaling_factor == LARGE_SCALE


def test_a_seam_is_a_step_where_the_mask_begins():
    plain = np.full((1, 32, 32, 3), 100, np.uint8)
    mask = np.zeros((1, 32, 32), bool)
    mask[:, 8:24, 8:24] = True
    stepped = plain.copy()
    stepped[mask] = 130
    assert seam(plain, mask) == 0
    assert seam(stepped, mask) == 30


def test_the_upscalers_denoiser_begins_as_what_the_small_picture_tells():
    generator = torch.Generator().manual_seed(3)
    small = torch.rand((2, 3, 16, 16), generator=generator) * 2 - 1
    mixed = torch.einsum("bchw,dc->bdhw", small, torch.randn((4, 3), generator=generator))
    linear = fitted(small, mixed)
    unet = make_upscaler()
    start_linear(unet)
    start_from_small(unet, linear)
    noise = torch.randn(mixed.shape, generator=generator)
    with torch.no_grad():
        v = unet(
            torch.cat([noise, small], 1), torch.tensor([999, 999]), torch.zeros(2, 77, 96), class_labels=torch.tensor([0, 0])
        ).sample
    assert (-v - mixed).pow(2).mean() < 0.02 * mixed.var()


def test_latents_are_guessed_as_the_denoiser_draws_them_in_one_step():
    pictures = to_tensor(render_shapes(HELD_OUT + 40, 2, 256).pictures)
    small = shrunk(pictures, "bicubic")
    wanted = torch.einsum("bchw,dc->bdhw", small, torch.randn((4, 3), generator=torch.Generator().manual_seed(5)))
    unet = make_upscaler()
    start_linear(unet)
    start_from_small(unet, fitted(small, wanted))
    first, again = (
        guessed(unet, torch.zeros(1, 77, 96), pictures, torch.Generator().manual_seed(6)) * LARGE_SCALE for _ in range(2)
    )
    assert torch.equal(first, again)
    assert (first - wanted).pow(2).mean() < 0.03 * wanted.var()
