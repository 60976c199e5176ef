"""The network that finds a picture's caption among others."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from webui.training.matcher import CAPTIONS, Matcher, told

WORDS = 12


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pairs(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Maps of pictures that show what their words say, at a place of their own."""
    words = noise(count, WORDS, seed=seed)
    maps = 0.3 * noise(count, WORDS, 4, 4, seed=seed + 1)
    maps[:, :, seed % 4, 1] += words
    return [maps, 0.1 * noise(count, 8, 2, 2, seed=seed + 2)], words


def test_it_learns_which_words_belong_to_a_picture_that_it_never_saw():
    torch.manual_seed(0)
    matcher = Matcher(pairs(2, 0)[0], WORDS)
    for step in range(200):
        matcher.learn(*pairs(16, 3 * step))
    maps, words = pairs(32, 10_000)
    with torch.no_grad():
        right, wrong = matcher.fits(maps, words), matcher.fits(maps, words.roll(1, 0))
    assert (right > wrong).float().mean() > 0.9
    assert right.mean() > math.log(1 / 8) > wrong.mean()


def test_a_share_is_told_of_what_was_found_and_old_captions_are_forgotten():
    torch.manual_seed(0)
    matcher = Matcher(pairs(2, 0)[0], WORDS)
    for step in range(CAPTIONS // 64 + 3):
        assert 0 <= float(matcher.learn(*pairs(64, step))) <= 1
    assert matcher._scores(*pairs(5, 1)).shape == (5, 5 + CAPTIONS)


def test_the_gradient_reaches_the_maps_and_its_own_step_does_not():
    torch.manual_seed(0)
    maps, words = pairs(4, 0)
    maps[0].requires_grad_()
    matcher = Matcher(maps, WORDS)
    matcher.learn(maps, words)
    assert maps[0].grad is None
    matcher.fits(maps, words).sum().backward()
    assert float(maps[0].grad.abs().max()) > 0


def test_it_goes_on_where_it_was_saved():
    torch.manual_seed(0)
    one = Matcher(pairs(2, 0)[0], WORDS)
    one.learn(*pairs(8, 1))
    torch.manual_seed(1)
    other = Matcher(pairs(2, 0)[0], WORDS)
    other.load(copy.deepcopy(one.state()))
    for matcher in (one, other):
        matcher.learn(*pairs(8, 2))
    assert torch.equal(one._scores(*pairs(3, 5)), other._scores(*pairs(3, 5)))


def test_words_are_told_by_their_mean_and_their_largest():
    context = torch.tensor([[[1.0, 0], [3, -2], [50, 50]]])
    assert told(context, torch.tensor([[1.0, 1, 0]])).tolist() == [[2, -1, 3, 0]]


@pytest.mark.parametrize("count", [1, 3])
def test_alone_in_the_world_a_caption_is_certain(count):
    """Without others there is only the batch to be told apart from."""
    maps, words = pairs(count, 0)
    fits = Matcher(maps, WORDS).fits(maps, words)
    assert fits.shape == (count,) and (fits.tolist() == [0] if count == 1 else bool((fits < 0).all()))
