"""The whole journey with a tiny checkpoint of every family: what each one is given, and what comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.engine.studio import Studio, picture, wish
from tests.shared import shared_names
from webui.contract.errors import FieldError, MissingFileError
from webui.contract.parts import Inputs, Parts
from webui.contract.request import Box, GenerationRequest
from webui.engine import plan
from webui.engine.generate import generate, table_of
from webui.engine.start import begin

CASES = [name for name in shared_names("reference/public", "*-a") if not name.startswith("autoencoder")]
REFINED = "sdxl-base-refiner-a"


@pytest.fixture(scope="module", params=CASES)
def studio(request: pytest.FixtureRequest, studios: Any) -> Iterator[Studio]:
    yield studios(request.param)


def test_every_family_draws_and_a_picture_of_a_batch_is_the_same_alone(studio: Studio) -> None:
    batch = studio.draw(replace(wish(studio.family), batch_size=2))
    size = (128, 128) if studio.family.enlarges == 4 else (64, 64)
    assert [drawn.image.size for drawn in batch] == [size] * 2
    assert batch[0].image.tobytes() != batch[1].image.tobytes()
    for drawn in batch:
        assert studio.bytes(drawn.request) == drawn.image.tobytes()


def test_everything_that_a_family_reads_changes_the_picture(studio: Studio) -> None:
    request = wish(studio.family)
    plain = studio.bytes(request)
    other: dict[str, Any] = {
        "prompt": "two cups of coffee",
        "negative_prompt": "two cups",
        "image": "second",
        "mask": "image",
        "depth": "second",
        "map": "mask",
        "class_label": "8",
        "boxes": (Box("4", 0.1, 0.2, 0.5, 0.5),),
        "noise_level": 200,
        "second_prompt": "two cups",
        "second_negative_prompt": "two cups",
        "original_width": 999,
        "crop_top": 50,
        "target_height": 999,
        "aesthetic_score": 1.0,
        "negative_aesthetic_score": 9.0,
    }
    reads = {name: value for name, value in other.items() if name in studio.family.inputs and name != "map"}
    if "image" in reads and not request.image:
        reads.pop("image")
    same = [name for name, value in reads.items() if studio.bytes(replace(request, **{name: value})) == plain]
    assert same == []


def test_what_a_family_needs_is_asked_for_in_one_sentence(studio: Studio) -> None:
    for need in studio.family.needs:
        fields = need.split("|")
        lacking = replace(wish(studio.family), **dict.fromkeys(fields, ""))  # type: ignore[arg-type]
        with pytest.raises(FieldError, match="give it"):
            studio.draw(lacking)


def test_a_picture_is_repainted_from_nearly_itself_to_nothing_of_it(studios: Any) -> None:
    studio = studios("sd1-a")
    request = replace(wish(studio.family), image="image", steps=10, guidance=1.0)
    untouched = studio.draw(replace(request, strength=0.0))[0]
    assert untouched.image.tobytes() == picture("image").resize((64, 64), Image.Resampling.LANCZOS).tobytes()
    assert studio.bytes(replace(request, strength=1.0)) == studio.bytes(replace(request, image=""))
    nearly = np.asarray(studio.draw(replace(request, strength=0.1))[0].image).astype(float)  # this autoencoder is no mirror
    distance = [
        float(np.abs(np.asarray(studio.draw(replace(request, strength=share))[0].image) - nearly).mean()) for share in (0.3, 0.9)
    ]
    assert 0 < distance[0] < distance[1]


@pytest.mark.parametrize(
    ("strength", "steps", "walked"), [(0.05, 15, 1), (0.8, 1, 1), (0.001, 4, 1), (0.5, 4, 2), (0.0, 4, 0), (1.0, 4, 4)]
)
def test_any_strength_above_zero_takes_a_step(strength: float, steps: int, walked: int) -> None:
    assert plan.walked(GenerationRequest(image="image", strength=strength, steps=steps)) == walked


def test_two_pictures_are_mixed_by_their_share(studios: Any) -> None:
    studio = studios("unclip-l-a")
    request = replace(wish(studio.family), second_image="second")
    first, second = replace(request, second_image=""), replace(request, image="second", second_image="")
    assert studio.bytes(replace(request, mix=0.0)) == studio.bytes(first)
    assert studio.bytes(replace(request, mix=1.0)) == studio.bytes(second)
    assert studio.bytes(replace(request, mix=0.5)) not in (studio.bytes(first), studio.bytes(second))


def test_the_refiner_takes_over_and_changes_the_picture(studios: Any) -> None:
    studio = studios(REFINED)
    request = replace(wish(studio.family), steps=5, sampler="Euler")
    alone = studio.bytes(request)
    (refined,) = studio.draw(replace(request, refiner="refiner", refiner_switch=0.6))
    assert refined.request.refiner == "refiner.safetensors" and refined.checkpoint.name == "base"
    assert refined.image.tobytes() != alone
    assert studio.bytes(replace(request, refiner="refiner", refiner_switch=1.0)) == alone


def test_a_checkpoint_that_goes_on_where_it_stopped_itself_changes_nothing(studios: Any) -> None:
    """The noisy latents and the noise of the steps are handed over exactly, for a sampler that keeps nothing of its steps."""
    studio = studios("sd1-a")
    for sampler in ("Euler", "Euler a", "DDIM", "Heun"):
        request = replace(wish(studio.family), steps=5, sampler=sampler)
        assert studio.bytes(replace(request, refiner=studio.file, refiner_switch=0.4)) == studio.bytes(request), sampler


def test_every_sampler_can_stop_on_the_way_and_be_gone_on_with(studios: Any) -> None:
    studio = studios("sd1-a")
    for sampler in studio.parts.samplers:
        request = replace(wish(studio.family), steps=6, sampler=sampler.name, refiner=studio.file, refiner_switch=0.5)
        assert len(studio.bytes(request)) == 64 * 64 * 3


def test_a_refiner_with_other_latents_is_refused(studios: Any) -> None:
    studio = studios("sd1-a", "ldm-class-a")
    other = next(entry.title for entry in studio.checkpoints.entries() if entry.title != studio.file)
    with pytest.raises(FieldError, match="latents differ"):
        studio.draw(replace(wish(studio.family), refiner=other))


class Watcher:
    def __init__(self) -> None:
        self.seen: list[tuple[int, int, float]] = []

    def should_stop(self) -> bool:
        return False

    def progress(self, progress: Any) -> None:
        self.seen.append((progress.step, progress.steps, progress.fraction))


def test_progress_goes_through_all_stages_without_falling(studios: Any) -> None:
    studio, watcher = studios(REFINED), Watcher()
    request = replace(wish(studio.family), steps=5, refiner="refiner", refiner_switch=0.4, batch_count=2, checkpoint=studio.file)
    pictures = list(generate(request, studio.checkpoints, studio.parts, watcher, pictures=picture))
    assert len(pictures) == 2
    assert [step for step, _, _ in watcher.seen] == [1, 2, 3, 4, 5] * 2
    fractions = [fraction for _, _, fraction in watcher.seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1


def test_unclip_l_without_its_statistics_names_the_file_and_goes_on_when_it_is_there(
    reference_checkpoints: Path, models: Path, parts: Parts, tmp_path: Path
) -> None:
    case = reference_checkpoints / "unclip-l-a"
    if not case.is_dir():
        pytest.skip("the case unclip-l-a is not here")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("model.ckpt", "case.json"):
        (folder / name).write_bytes((case / name).read_bytes())
    studio = Studio([folder], tmp_path / "models", tmp_path, parts)
    request = wish(studio.family)
    with pytest.raises(MissingFileError, match=r"webui fetch image-statistics.*ViT-L-14_stats\.th"):
        studio.draw(request)
    (tmp_path / "models" / "karlo").mkdir(parents=True)
    (tmp_path / "models" / "karlo" / "ViT-L-14_stats.th").write_bytes(
        (case / "checkpoints" / "karlo_models" / "ViT-L-14_stats.th").read_bytes()
    )
    assert len(studio.draw(request)) == 1


def test_a_turbo_that_is_asked_for_nothing_draws_as_its_release_does(studios: Any) -> None:
    studio = studios("sd-turbo-a")
    done = plan.complete(GenerationRequest(checkpoint=studio.file), studio.checkpoints, studio.parts)
    assert (done.steps, done.guidance, done.sampler, done.schedule) == (1, 0.0, "Euler a", "Automatic")
    case = json.loads((studio.folder / "case.json").read_text())
    arrays = np.load(studio.folder / "arrays.npz")
    calls: list[int] = []
    with studio.checkpoints.use(studio.file) as model:
        for check in (check for check in case["checks"] if check["kind"] == "sample"):
            request = replace(done, steps=check["steps"], width=64, height=64)
            (batch,) = plan.batches(request)
            walk = begin(request, batch, model, table_of(model), studio.parts, Inputs(size=(64, 64)))
            assert np.allclose(walk.sigmas.numpy(), arrays[check["sigmas"]], rtol=1e-5)
            handle = model.unet.register_forward_hook(lambda *_: calls.append(1))
            studio.draw(request)
            handle.remove()
            assert len(calls) == check["steps"]  # and never a second side for guidance
            calls.clear()
