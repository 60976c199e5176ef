"""What the pocket's siblings promise, on scenes that no training saw: the asked thing in the hole, the map followed, detail
that the filters do not bring back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import POCKET
from webui.checkpoints.depth import small_estimator
from webui.contract.request import GenerationRequest
from webui.engine.autoencoder import preview
from webui.engine.generate import generate
from webui.training import judging
from webui.training.estimator import correlations
from webui.training.evaluations.depth import as_image, shape_maps, toy_maps
from webui.training.evaluations.inpainting import shape_holes, toy_holes
from webui.training.evaluations.upscaler import psnr, scenes
from webui.training.scenes import to_tensor
from webui.training.toys import judge as toy_judging
from webui.workspace.app import App

MODELS = POCKET.parent


def drawn(app: App, request: GenerationRequest, **pictures: Image.Image) -> np.ndarray:
    (made,) = generate(request, app.checkpoints, app.parts, pictures=pictures.__getitem__)
    assert not made.notes or "depth" not in made.notes[0], "its own estimator needs no word"
    return np.asarray(made.image)


def toy_of(picture: np.ndarray) -> int:
    return int(toy_judging.named(toy_judging.load_toy_judge(), to_tensor(picture[None]))[0, 0])


def thing_of(picture: np.ndarray) -> tuple[int, ...]:
    return tuple(judging.named(judging.load_judge(), to_tensor(picture[None]))[0].tolist())


def test_the_asked_thing_is_painted_into_the_hole_and_nothing_else_changes(app: App) -> None:
    holes = [*toy_holes(3), *shape_holes(3)]
    right = []
    for i, hole in enumerate(holes):
        request = GenerationRequest(
            prompt=hole.prompt, image="image", mask="mask", mask_blur=0.0, checkpoint="pocket-inpainting", seed=50 + i
        )
        after = drawn(app, request, image=Image.fromarray(hole.picture), mask=Image.fromarray(hole.mask))
        outside = hole.mask == 0
        assert np.array_equal(after[outside], hole.picture[outside])
        right.append(hole.wanted == ((toy_of(after),) if len(hole.wanted) == 1 else thing_of(after)))
    assert sum(right) >= 4, right


def test_the_map_is_followed_and_what_was_asked_stands_there(app: App) -> None:
    estimator, right, alike = small_estimator(), [], []
    for i, asked in enumerate([*toy_maps(3), *shape_maps(3)]):
        request = GenerationRequest(
            prompt=asked.prompt, depth="map", checkpoint="pocket-depth", seed=60 + i, width=128, height=128
        )
        after = drawn(app, request, map=as_image(asked.near))
        right.append(asked.wanted == (toy_of(after) if i < 3 else thing_of(after)[0]))
        with torch.no_grad():
            alike.append(correlations(estimator.read(to_tensor(after[None])), asked.near[None])[0])
    assert sum(right) >= 4, right
    assert np.mean(alike) > 0.9


def test_depth_is_estimated_from_a_picture_by_what_comes_with_the_program(app: App) -> None:
    asked = toy_maps(1)[0]
    request = GenerationRequest(
        prompt=asked.prompt, image="image", checkpoint="pocket-depth", seed=3, strength=1.0, width=128, height=128
    )
    after = drawn(app, request, image=Image.fromarray(asked.picture))
    with torch.no_grad():
        assert correlations(small_estimator().read(to_tensor(after[None])), asked.near[None])[0] > 0.85


def test_the_upscaler_brings_back_what_the_filters_do_not(app: App) -> None:
    truth, prompts = scenes(4)
    ours, filtered = [], []
    for i, (picture, prompt) in enumerate(zip(truth, prompts, strict=True)):
        small = Image.fromarray(picture).resize((64, 64), Image.Resampling.LANCZOS)
        ours.append(
            drawn(app, GenerationRequest(prompt=prompt, image="small", checkpoint="pocket-upscaler", seed=i), small=small)
        )
        filtered.append(np.asarray(small.resize((256, 256), Image.Resampling.LANCZOS)))
    assert psnr(np.stack(ours), truth) > psnr(np.stack(filtered), truth)


def test_a_preview_is_a_picture_decoded_by_the_tiny_autoencoder(app: App) -> None:
    with app.checkpoints.use("pocket") as model:
        assert model.tiny is not None
        assert model.tiny.find() == MODELS / "pocket-tiny"
        assert preview(torch.zeros(1, 4, 16, 16), model).size == (128, 128)


@pytest.mark.parametrize("name", ["inpainting", "depth"])
def test_what_is_the_bases_costs_the_repository_nothing(name: str) -> None:
    ours: Path = MODELS / f"pocket-{name}"
    for part in ("vae", "text_encoder", "tokenizer"):
        for file in (POCKET / part).iterdir():
            assert (ours / part / file.name).read_bytes() == file.read_bytes(), file.name
    own = sum(file.stat().st_size for file in (ours / "unet").iterdir())
    assert own < 15e6
