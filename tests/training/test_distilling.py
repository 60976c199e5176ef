"""A teacher's answers, and the loss that compares a student's picture with them, against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.small import WIDTH, write_teacher
from webui.checkpoints.families import POCKET_TURBO
from webui.checkpoints.tokenizer import END, START
from webui.engine import schedules
from webui.engine.table import NoiseTable
from webui.training.distilling import LARGEST, OWN_OFTEN, TIMES, Teacher, _distance, _means, evenly, walked_to
from webui.training.loop import Arithmetic
from webui.training.networks import alphas_cumprod

CPU = Arithmetic.choose("cpu")
Answer = Callable[[Tensor, Tensor, Tensor], Tensor]


class Words:
    """A text encoder that answers the ids themselves, and keeps them."""

    def __call__(self, ids: Tensor) -> Any:
        self.ids = ids
        return SimpleNamespace(last_hidden_state=ids[:, :, None].double())


def teacher_of(answer: Answer, predicts_v: bool = False, pad: int = END) -> Teacher:
    """Whose network is a formula of (x, t, context)."""
    return Teacher(lambda x, t, c: SimpleNamespace(sample=answer(x, t, c)), Words(), alphas_cumprod(), predicts_v, pad)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def noised(teacher: Teacher, z: Tensor, t: Tensor, e: Tensor) -> Tensor:
    return teacher.share(t).sqrt() * z + (1 - teacher.share(t)).sqrt() * e


def test_clean_latents_are_told_from_noise_and_from_v_alike():
    z, e, t = noise(3, 4, 8, 8), noise(3, 4, 8, 8, seed=1), torch.tensor([10, 500, 999])
    of_noise = teacher_of(lambda x, t, c: e)
    a = of_noise.share(t)
    of_v = teacher_of(lambda x, t, c: a.sqrt() * e - (1 - a).sqrt() * z, predicts_v=True)
    for teacher in (of_noise, of_v):
        x = noised(teacher, z, t, e)
        torch.testing.assert_close(teacher.clean(teacher.unet, x, t, noise(3, 77, 4)), z, atol=2e-5, rtol=0)


def test_the_students_times_are_those_of_its_row():
    table = NoiseTable.from_family(POCKET_TURBO)
    walk = schedules.__dict__[POCKET_TURBO.schedule.lower().replace(" ", "_")](len(TIMES), table)
    assert [int(table.t(sigma)) for sigma in walk[:-1]] == sorted(TIMES, reverse=True)
    assert len(OWN_OFTEN) == len(TIMES) - 1 and max(TIMES) == len(alphas_cumprod()) - 1


@pytest.mark.parametrize("pad", [0, END])
def test_words_end_with_the_teachers_own_padding(pad):
    teacher = teacher_of(lambda x, t, c: x, pad=pad)
    ids = np.full((2, 77), END, np.uint16)
    ids[:, 0], ids[0, 1:4], ids[1, 1] = START, (320, 736, 900), 320
    teacher.context(ids)
    assert teacher.text.ids[0].tolist() == [START, 320, 736, 900, END, *[pad] * 72]
    assert teacher.text.ids[1].tolist() == [START, 320, END, *[pad] * 74]


@pytest.mark.parametrize(("act", "pad"), [("gelu", 0), ("quick_gelu", END)])
def test_the_padding_is_that_of_the_encoder(act, pad, tmp_path):
    """OpenCLIP's, which has the exact gelu, was trained with zeros behind the words."""
    teacher = Teacher.open(write_teacher(tmp_path / "teacher", "v_prediction", act), CPU)
    assert (teacher.pad, teacher.predicts_v) == (pad, True)
    assert teacher.context(np.full((1, 77), END, np.uint16)).shape == (1, 77, WIDTH)
    assert not any(p.requires_grad for network in (teacher.unet, teacher.text) for p in network.parameters())
    torch.testing.assert_close(teacher.alphas, alphas_cumprod())


def test_words_are_told_by_their_mean_from_the_start_to_the_first_end():
    ids = np.full((1, 77), END, np.uint16)
    ids[0, :3] = START, 320, 736
    context = torch.zeros(1, 77, 2)
    context[0, :4] = torch.tensor([[1.0, 0], [2, 0], [3, 0], [6, 4]])
    context[0, 4:] = 100
    assert _means(context, ids).tolist() == [[3, 1]]


def distance(teacher: Teacher, drawn: Tensor, guidance: float = 1.0, seed: int = 5) -> Tensor:
    context, unasked = torch.ones(len(drawn), 77, 4), torch.zeros(1, 77, 4)
    return _distance(teacher, drawn, context, unasked, guidance, noise(*drawn.shape, seed=9), np.random.default_rng(seed), CPU)


def test_no_time_of_the_student_drowns_the_others():
    sigma = torch.tensor([14.6, 4.1, 1.6, 0.7])
    alphas = 1 / (1 + sigma**2)
    assert (evenly(alphas) * sigma).tolist() == pytest.approx(sigma.sqrt().tolist(), rel=1e-4)


def seen_as(found: Callable[[Tensor], Tensor], asked: list[Tensor]) -> Teacher:
    """A teacher that takes anything for the latents `found(context)` answers, whatever the noise is.

    Args:
        asked: gets the times that it is asked at, of each call.
    """
    teacher = teacher_of(lambda x, t, c: x)

    def answer(x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        asked.append(t)
        a = teacher.share(t)
        return (x - a.sqrt() * found(context)) / (1 - a).sqrt()

    return replace(teacher, unet=teacher_of(answer).unet)


def half(context: Tensor) -> Tensor:
    return torch.full((len(context), 4, 8, 8), 0.5)


def weights(asked: list[Tensor]) -> Tensor:
    """c(t) of the pictures, which are shown to the teacher twice at the same time: with words and without."""
    (times,) = asked
    first, again = times.chunk(2)
    assert torch.equal(first, again) and first.min() >= 1 and first.max() <= 999
    return alphas_cumprod().sqrt()[first]


def test_a_students_own_walk_has_at_each_time_its_picture_and_that_times_noise():
    asked: list[Tensor] = []
    teacher = seen_as(lambda context: torch.full((len(context), 4, 32, 32), 0.5), asked)
    kinds = np.asarray([0, 1, 2, 2, 0, 1])
    x = walked_to(teacher, teacher.unet, torch.zeros(6, 77, 1), kinds, (4, 32, 32), torch.Generator().manual_seed(3))
    for of, kind in zip(x, kinds, strict=True):
        clean = of / teacher.alphas[TIMES[kind]].sqrt()
        sigma = float(teacher.sigma(TIMES[kind]))
        assert float(clean.std()) == pytest.approx(sigma, rel=0.05)
        assert float(clean.mean()) == pytest.approx(0.5, abs=0.15 * sigma)
    assert [(int(t[0]), len(t)) for t in asked] == [(999, 6), (749, 4), (499, 2)], "who has arrived is not walked on"


def test_the_noisier_the_less_the_teachers_answer_counts():
    drawn, asked = noise(40, 4, 8, 8), list[Tensor]()
    loss = distance(seen_as(half, asked), drawn)
    wanted = weights(asked) * (drawn - 0.5).pow(2).mean((1, 2, 3))
    torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=0)
    assert weights(asked).min() < 0.15 and weights(asked).max() > 0.85, "little noise and much"


def test_the_teacher_is_guided_and_its_answers_are_held():
    drawn = torch.zeros(6, 4, 8, 8)
    for guidance, held in ((1.0, 1.0), (2.4, 2.4), (100.0, LARGEST)):
        asked: list[Tensor] = []
        teacher = seen_as(lambda context: context.mean((1, 2))[:, None, None, None].expand(-1, 4, 8, 8), asked)
        loss = distance(teacher, drawn, guidance)
        torch.testing.assert_close(loss, weights(asked) * held**2, rtol=1e-3, atol=0)


def test_the_teachers_answer_is_a_target_and_no_way_for_the_gradient():
    drawn, asked = noise(4, 4, 8, 8).requires_grad_(), list[Tensor]()
    distance(seen_as(half, asked), drawn).mean().backward()
    wanted = 2 * weights(asked)[:, None, None, None] * (drawn.detach() - 0.5) / drawn.numel()
    torch.testing.assert_close(drawn.grad, wanted, atol=2e-6, rtol=1e-3)
