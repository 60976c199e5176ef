"""The adversary: what it stands on, what its heads are told, and how they learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.small import WIDTH, write_teacher
from webui.training.critic import Critic, Heads, TeacherFeatures, encoded, seen
from webui.training.distilling import Teacher
from webui.training.loop import Arithmetic

CPU = Arithmetic.choose("cpu")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Teacher:
    return Teacher.open(write_teacher(tmp_path_factory.mktemp("critic") / "teacher"), CPU)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_heads_learn_to_tell_maps_that_can_be_told():
    torch.manual_seed(0)
    real, drawn = ([noise(4, 8, 6, 6, seed=at) + shift, noise(4, 16, 3, 3, seed=at)] for at, shift in ((1, 1.0), (2, -1.0)))
    words, shown = noise(4, WIDTH), torch.ones(4)
    critic = Critic(real, WIDTH)
    losses = [float(critic.learn(real, drawn, words, shown)) for _ in range(60)]
    assert losses[0] == pytest.approx(2, abs=0.4), "heads that know nothing answer about 0"
    assert losses[-1] < 0.3
    with torch.no_grad():
        of_real, of_drawn = (critic.score(maps, real, words, shown).mean() for maps in (real, drawn))
    assert of_real > 0.5 and of_drawn < -0.5


def test_answers_that_are_far_enough_are_not_pushed_on():
    torch.manual_seed(0)
    critic = Critic([noise(2, 8, 4, 4)], 0)
    with torch.no_grad():
        for parameter in critic.heads.parameters():
            parameter.zero_()
        critic.heads.scores[0].bias.fill_(3)
    assert float(critic.learn([noise(2, 8, 4, 4)], [noise(2, 8, 4, 4)], noise(2, WIDTH), torch.zeros(2))) == pytest.approx(4)
    with torch.no_grad():
        critic.heads.scores[0].bias.fill_(-3)
    assert float(critic.learn([noise(2, 8, 4, 4)], [noise(2, 8, 4, 4)], noise(2, WIDTH), torch.zeros(2))) == pytest.approx(4)


def test_heads_answer_to_words_only_where_they_are_told_them():
    maps, picture = [noise(2, 8, 4, 4), noise(2, 16, 2, 2)], noise(2, 16)
    for told in (WIDTH, 0):
        heads = Heads([8, 16], told, 16)
        one, other = (heads(maps, noise(2, WIDTH, seed=at), picture) for at in (1, 2))
        assert [scores.shape for scores in one] == [(2, 16), (2, 4)]
        one, other = (torch.cat(scores, 1) for scores in (one, other))
        assert torch.equal(one, other) == (told == 0)
    one, other = (torch.cat(heads(maps, noise(2, WIDTH), times * picture), 1) for times in (1, 2))
    assert not torch.equal(one, other)


def test_every_map_counts_alike_however_many_places_it_has():
    maps, words, shown = [noise(2, 8, 8, 8), noise(2, 8, 1, 1)], noise(2, WIDTH), torch.zeros(2)
    critic = Critic(maps, 0)
    with torch.no_grad():
        for parameter in critic.heads.parameters():
            parameter.zero_()
        critic.heads.scores[1].bias.fill_(4)
    assert critic.score(maps, maps, words, shown).tolist() == [2, 2]


def test_real_pictures_with_other_words_are_refused():
    """Maps and words that belong together and that do not: only the words tell them apart."""
    kinds, words, shown = noise(8, 8), noise(8, WIDTH, seed=1), torch.zeros(8)
    maps = [kinds[:, :, None, None].expand(-1, -1, 4, 4).contiguous()]
    critic = Critic(maps, WIDTH)
    drawn, mistold = [maps[0] * 0], (maps, words.roll(1, 0))
    for _ in range(200):
        critic.learn(maps, drawn, words, shown, mistold)
    with torch.no_grad():
        right, wrong = (critic.score(maps, maps, told, shown).mean() for told in (words, words.roll(1, 0)))
    assert right > 0.3 and wrong < right - 0.5


def test_the_picture_is_told_only_of_what_the_student_was_shown():
    told = seen([noise(3, 8, 4, 4), noise(3, 16, 2, 2)], torch.tensor([1.0, 0.0, 1.0]))
    assert told.shape == (3, 16)
    assert told.norm(dim=1).tolist() == pytest.approx([1, 0, 1])


def test_the_gradient_reaches_the_latents_and_not_the_teacher(teacher):
    features, context = TeacherFeatures(teacher.unet, teacher.alphas, CPU), noise(2, 77, WIDTH)
    latents = noise(2, 4, 16, 16).requires_grad_()
    maps = features.maps(latents, context, torch.Generator().manual_seed(3))
    critic = Critic(maps, WIDTH)
    (-critic.score(maps, maps, noise(2, WIDTH), torch.ones(2)).mean()).backward()
    assert latents.grad is not None and float(latents.grad.abs().max()) > 0
    assert all(parameter.grad is None for parameter in teacher.unet.parameters())
    before = latents.grad.clone()
    critic.learn(maps, maps, noise(2, WIDTH), torch.ones(2))
    assert torch.equal(latents.grad, before), "the heads' own step ends at the maps"


def test_the_same_draws_give_the_same_maps(teacher):
    features, context, latents = TeacherFeatures(teacher.unet, teacher.alphas, CPU), noise(2, 77, WIDTH), noise(2, 4, 16, 16)
    one, same, other = (features.maps(latents, context, torch.Generator().manual_seed(at)) for at in (1, 1, 2))
    assert all(map(torch.equal, one, same)) and not any(map(torch.equal, one, other))


def test_maps_are_those_that_the_whole_network_computes(teacher):
    found: dict[str, Tensor] = {}
    block = teacher.unet.mid_block
    hook = block.register_forward_hook(lambda _module, _given, out: found.update(middle=out))
    x, t, context = noise(2, 4, 16, 16), torch.tensor([100, 700]), noise(2, 77, WIDTH)
    teacher.unet(x, t, context)
    hook.remove()
    maps = encoded(teacher.unet, x, t, context)
    torch.testing.assert_close(maps[-1], found["middle"])
    assert [tuple(each.shape[1:]) for each in maps] == [(8, 16, 16), (16, 8, 8), (16, 8, 8)]
