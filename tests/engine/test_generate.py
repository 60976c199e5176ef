"""The journey from a request to pictures, on the pocket checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from webui.contract.errors import FieldError, Interrupted, MemoryLimitError, UnknownCheckpointError, UnknownNameError
from webui.contract.request import LAST_SEED, GenerationRequest, request_from
from webui.contract.result import GeneratedImage, KeptImage, Progress
from webui.engine import plan, scripts
from webui.engine.generate import generate
from webui.workspace.app import App

QUICK = GenerationRequest(prompt="a red sphere on a green floor", steps=4, seed=3, width=128, height=128)


def drawn(app: App, request: GenerationRequest) -> list[GeneratedImage]:
    return list(generate(request, app.checkpoints, app.parts))


def pixels(picture: GeneratedImage) -> bytes:
    return picture.image.tobytes()


def test_the_picture_shows_the_colours_that_were_asked(app: App) -> None:
    (picture,) = drawn(app, GenerationRequest(prompt="a large red sphere on a blue floor in front of a white wall", seed=5))
    values = np.asarray(picture.image).astype(int)
    part = len(values) // 16
    middle = values[6 * part : 10 * part, 6 * part : 10 * part].mean((0, 1))
    foot, top = values[14 * part :, : 2 * part].mean((0, 1)), values[: 2 * part].mean((0, 1))
    assert middle[0] > middle[1] + 60 and middle[0] > middle[2] + 60, f"red in the middle, not {middle}"
    assert foot[2] > foot[0] + 20, f"a blue floor, not {foot}"
    assert top.min() > 120 and np.ptp(top) < 40, f"a white wall, not {top}"


def test_the_same_request_makes_the_same_bytes(app: App) -> None:
    assert pixels(drawn(app, QUICK)[0]) == pixels(drawn(app, QUICK)[0])


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DPM++ 2M", "DDIM"])
def test_a_picture_of_a_batch_is_the_same_alone(app: App, sampler: str) -> None:
    batch = drawn(app, replace(QUICK, sampler=sampler, batch_size=3))
    assert [picture.request.seed for picture in batch] == [3, 4, 5]
    for picture in batch:
        (alone,) = drawn(app, picture.request)
        assert pixels(alone) == pixels(picture)


def test_what_is_left_out_comes_from_the_family_row(app: App) -> None:
    complete = app.complete(GenerationRequest(prompt="x"))
    family = app.checkpoints.find().family
    assert family is not None
    assert (complete.steps, complete.guidance) == (family.steps, family.guidance)
    assert complete.width == complete.height == family.native_size
    assert complete.sampler == family.sampler
    assert complete.seed >= 0


def test_a_picture_carries_the_request_that_makes_it_again(app: App) -> None:
    (picture,) = drawn(app, GenerationRequest(prompt="a blue cube", steps=2, variation_strength=0.3))
    assert picture.request.seed >= 0
    assert picture.request.variation_seed >= 0
    assert pixels(drawn(app, picture.request)[0]) == pixels(picture)
    assert f"Seed: {picture.request.seed}" in picture.infotext


def test_an_empty_prompt_is_fine(app: App) -> None:
    assert drawn(app, GenerationRequest(steps=1, width=128, height=128))[0].image.size == (128, 128)


def test_prompts_of_any_length_fit_together(app: App) -> None:
    word = "red "
    for positive, negative in ((0, 75), (75, 0), (76, 1), (1, 151), (150, 74)):
        (picture,) = drawn(
            app, GenerationRequest(prompt=word * positive, negative_prompt=word * negative, steps=1, width=128, height=128)
        )
        assert picture.image.size == (128, 128)


def test_another_shape_comes_out_as_asked(app: App) -> None:
    (picture,) = drawn(app, replace(QUICK, width=200, height=72, steps=1))
    assert picture.image.size == (200, 72)


def test_guidance_0_and_1_both_mean_the_prompt_alone(app: App) -> None:
    zero, one = (drawn(app, replace(QUICK, guidance=scale))[0] for scale in (0.0, 1.0))
    assert pixels(zero) == pixels(one)


def test_every_sampler_draws_with_every_small_number_of_steps(app: App) -> None:
    for sampler in app.parts.samplers:
        for steps in (1, 2, 3):
            (picture,) = drawn(app, replace(QUICK, sampler=sampler.name, steps=steps))
            assert np.asarray(picture.image).std() > 1, f"{sampler.name}, {steps} steps"


class Counter:
    """An observer that stops after some steps."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.seen: list[Progress] = []
        self._stop_after = stop_after

    def should_stop(self) -> bool:
        return len(self.seen) >= self._stop_after

    def progress(self, progress: Progress) -> None:
        self.seen.append(progress)


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DPM++ 2M"])
def test_progress_counts_the_users_steps(app: App, sampler: str) -> None:
    counter = Counter()
    list(generate(replace(QUICK, sampler=sampler, batch_count=2), app.checkpoints, app.parts, counter))
    steps = [(progress.picture, progress.step) for progress in counter.seen]
    assert steps == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3), (2, 4)]
    fractions = [progress.fraction for progress in counter.seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1


def test_a_preview_is_a_picture_of_what_comes(app: App) -> None:
    counter = Counter()
    (picture,) = list(generate(replace(QUICK, steps=8), app.checkpoints, app.parts, counter))
    preview = counter.seen[-1].preview
    assert preview is not None
    shown = preview()
    assert shown.size == picture.image.size, "the pocket has a tiny decoder"
    assert np.corrcoef(np.asarray(picture.image).ravel(), np.asarray(shown).ravel())[0, 1] > 0.9


def test_interrupting_stops_before_the_next_network_call(app: App) -> None:
    counter = Counter(stop_after=2)
    with pytest.raises(Interrupted):
        list(generate(replace(QUICK, steps=50), app.checkpoints, app.parts, counter))
    assert len(counter.seen) == 2


def test_running_out_of_memory_is_a_sentence_and_the_next_picture_is_drawn(app: App) -> None:
    def greedy(denoise: object, x: torch.Tensor, sigmas: object, noise: object) -> torch.Tensor:
        return torch.empty(2**60)

    part = replace(app.parts.samplers["Euler"], name="Greedy", function=greedy, aliases=())
    app.parts.samplers.add(part, "test")
    try:
        with pytest.raises(MemoryLimitError, match="ran out on the way"):
            drawn(app, replace(QUICK, sampler="Greedy"))
    finally:
        app.parts.samplers.remove_owner("test")
    assert len(drawn(app, QUICK)) == 1


def test_a_job_taken_up_again_leaves_out_what_is_there(app: App) -> None:
    request = replace(QUICK, batch_size=2, batch_count=2)
    kept = KeptImage("", lambda: pytest.fail("nobody looks at it"))
    for there, due in (({0, 1}, [2, 3]), ({0, 1, 2}, [3]), ({1, 2}, [0, 3])):
        rest = list(scripts.draw(request, app.checkpoints, app.parts, kept=lambda i, there=there: kept if i in there else None))
        assert [(number, picture.request.seed) for number, picture in rest] == [(i, request.seed + i) for i in due]


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"steps": 0}, FieldError, "Steps 0 is out of range. It can be 1 to 1000."),
        ({"width": 63}, FieldError, "Width 63 is out of range. It can be 64 to 8192."),
        ({"sampler": "Eular"}, UnknownNameError, "No sampler is called 'Eular'. Did you mean 'Euler'?"),
        ({"schedule": "xyz"}, UnknownNameError, "No schedule is called 'xyz'."),
        ({"checkpoint": "nope"}, UnknownCheckpointError, "No checkpoint is called 'nope'."),
        ({"width": 8192, "height": 8192, "batch_size": 64}, MemoryLimitError, "Not enough memory for 8192 x 8192"),
        ({"sampler": "Euler", "sampler_options": {"push": 1}}, FieldError, "Euler has no option 'push'."),
    ],
)
def test_bad_input_gets_one_sentence(app: App, values: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as told:
        app.complete(request_from(values))
    assert str(told.value).startswith(words)
    assert "\n" not in str(told.value)


def test_seeds_go_on_at_0_after_the_last_one() -> None:
    request = GenerationRequest(seed=LAST_SEED, batch_size=2, width=64, height=64)
    (batch,) = plan.batches(request)
    assert batch.seeds == (LAST_SEED, 0)
