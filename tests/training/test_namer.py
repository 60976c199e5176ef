"""What names the things in latents: what they are called, that it learns them, and what a student hears of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from webui.training import world
from webui.training.loop import Arithmetic
from webui.training.namer import (
    ENOUGH,
    KINDS,
    MOST_NOISE,
    SHAPES_COUNT,
    Namer,
    Naming,
    _moved,
    load_namer,
    noised,
    train_namer,
    unnamed,
)
from webui.training.networks import alphas_cumprod
from webui.training.options import Goal
from webui.training.toys import scene as toys
from webui.training.worlds import Worlds

CPU = Arithmetic.choose("cpu")
ALPHAS = alphas_cumprod()


@pytest.fixture
def worlds(tmp_path) -> Worlds:
    return Worlds(tmp_path, 1, sprites=tmp_path)


def called(kind: int) -> tuple[str, ...]:
    if kind < len(toys.names()):
        return (toys.names()[kind],)
    colour, shape = divmod(kind - len(toys.names()), len(world.SHAPES))
    return list(world.COLOURS)[colour], world.SHAPES[shape]


def test_what_stands_in_a_scene_has_its_own_number(worlds):
    lone = pairs = 0
    for seed in range(300):
        kinds = worlds.things(seed)
        if worlds.is_toy(seed):
            there = [(toy.name,) for toy in toys.sample(seed).toys]
        else:
            there = [(thing.colour, thing.shape) for thing in world.sample(seed).things]
        assert [called(kind) for kind in kinds] == [there[0], there[-1]]
        lone, pairs = lone + (len(there) == 1), pairs + (len(there) == 2)
    assert lone > 200 and pairs > 20
    assert called(KINDS - 1) == (list(world.COLOURS)[-1], world.SHAPES[-1])


def test_words_tell_the_things_where_all_of_them_are_named(worlds):
    seen = {True: 0, False: 0}
    for seed in range(200):
        for k in range(2):
            text, tells = worlds.caption(seed, k), worlds.tells(seed, k)
            seen[tells] += 1
            if not text:
                assert not tells
            elif not worlds.is_toy(seed):
                missing = [
                    one for thing in world.sample(seed).things for one in (thing.colour, thing.shape) if not world.says(text, one)
                ]
                assert tells == (not missing), text
            else:
                assert tells
    assert min(seen.values()) > 20


def test_a_thing_that_is_named_surely_costs_nothing_and_two_share():
    scores = torch.full((3, KINDS), -1e4)
    scores[0, 7] = scores[1, 7] = 0.0
    scores[2, [7, 9]] = 0.0
    found = unnamed(scores, torch.tensor([[7, 7], [8, 8], [7, 9]]))
    assert found[0] == pytest.approx(0, abs=1e-6) and found[1] > 1000 and found[2] == pytest.approx(math.log(2), abs=1e-6)


def test_it_sees_latents_under_little_noise():
    z = torch.full((400, 4, 2, 2), 3.0)
    x, t = noised(z, ALPHAS, np.random.default_rng(1), torch.Generator().manual_seed(1))
    assert int(t.min()) >= 0 and int(t.max()) < MOST_NOISE * 1000
    assert (t < MOST_NOISE * 1000 / 4).float().mean() > 0.35, "mostly little"
    expected = ALPHAS[t].sqrt()[:, None, None, None] * z
    spread = ((x - expected) / (1 - ALPHAS[t]).sqrt()[:, None, None, None]).std()
    assert float(spread) == pytest.approx(1, abs=0.05)


def test_what_is_moved_leaves_its_border_behind():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(_moved(x, 0, 0), x)
    down = _moved(x, 1, 0)
    assert torch.equal(down[0, 0, 1:], x[0, 0, :-1]) and torch.equal(down[0, 0, 0], x[0, 0, 0])
    left = _moved(x, 0, -2)
    assert torch.equal(left[0, 0, :, :2], x[0, 0, :, 2:]) and torch.equal(left[0, 0, :, 3], x[0, 0, :, 3])


def test_it_learns_what_it_is_shown(tmp_path):
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(6, 4, 16, 16)).astype(np.float32)
    things = np.asarray([(i, i) for i in (0, 3, 17, 200, 320, 374)])
    state = tmp_path / "namer.pt"
    assert load_namer(state, CPU) is None
    assert train_namer(state, latents, things, ALPHAS, Goal(samples=16 * 60), CPU, 16, str, lambda: False)
    namer = load_namer(state, CPU)
    assert namer is not None
    named = namer(torch.from_numpy(latents), torch.zeros(6, dtype=torch.long)).argmax(1)
    assert named.tolist() == things[:, 0].tolist()


def test_a_student_hears_only_of_words_that_tell_the_things():
    torch.manual_seed(0)
    namer = Namer().requires_grad_(False)
    things = np.asarray([(1, 1), (2, 5), (330, 330)])
    naming = Naming(namer, things, lambda scene, wording: scene != 1 or wording == 4)
    drawn = torch.randn(3, 4, 16, 16, requires_grad=True)

    def heard(wording: int) -> torch.Tensor:
        of = np.asarray([0, 1, 2]), np.full(3, wording)
        return naming(drawn, *of, ALPHAS, np.random.default_rng(2), torch.Generator().manual_seed(2))

    some = heard(0)
    assert some[1] == 0 and some[0] > 0 and some[2] > 0 and (heard(4) > 0).all()
    seen = noised(drawn.detach(), ALPHAS, np.random.default_rng(2), torch.Generator().manual_seed(2))
    toy, _, shape = (unnamed(namer(*seen), torch.tensor(things)) - ENOUGH).tolist()
    assert float(some[0]) == pytest.approx(toy, rel=1e-5) and float(some[2]) == pytest.approx(SHAPES_COUNT * shape, rel=1e-5)
    (slope,) = torch.autograd.grad(some.sum(), drawn)
    moved = slope.abs().sum((1, 2, 3))
    assert moved[1] == 0 and moved[0] > 0 and moved[2] > 0


def test_who_is_named_surely_enough_is_not_pushed_further():
    class Sure(torch.nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            scores = torch.zeros(len(x), KINDS)
            scores[:, 1] = 9.0
            return scores + 0 * x.sum()

    naming = Naming(Sure(), np.asarray([(1, 1), (2, 2)]), lambda scene, wording: True)  # type: ignore[arg-type]
    drawn = torch.zeros(2, 4, 16, 16)
    found = naming(drawn, np.arange(2), np.zeros(2, np.int64), ALPHAS, np.random.default_rng(0), torch.Generator())
    assert found[0] == 0 and found[1] > 8
