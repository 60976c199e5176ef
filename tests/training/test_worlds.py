"""The scenes on disk: of shapes alone or of both worlds, with what is known of them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import sprite_colour
from webui.contract.errors import StartError
from webui.training import world
from webui.training.loop import Arithmetic
from webui.training.toys import scene as toys
from webui.training.toys.words import OTHER_NAMES
from webui.training.worlds import HELD_OUT, PACK, Worlds, render_shapes

CPU = Arithmetic(torch.device("cpu"))
COUNT = PACK + 30
ARRAYS = ("pictures", "depth", "boxes")
SIZE = 32


def fill(worlds: Worlds, workers: int = 1, stop_after: int = 1000) -> bool:
    packs = itertools.count(1)
    return worlds.render(CPU, workers, lambda _: None, lambda: next(packs) >= stop_after)


@pytest.fixture(scope="module")
def both(sprites, tmp_path_factory) -> Worlds:
    """Toys and shapes, rendered without a stop."""
    worlds = Worlds(tmp_path_factory.mktemp("both"), COUNT, SIZE, sprites)
    assert not worlds.is_full and worlds.filled == 0
    assert fill(worlds) and worlds.is_full
    return worlds


def test_four_of_five_scenes_show_toys_where_there_are_sprites(both, tmp_path):
    shows_toys = [both.is_toy(seed) for seed in range(100)]
    assert sum(shows_toys) == 80 and not shows_toys[0] and not shows_toys[5]
    assert not any(map(Worlds(tmp_path, 1, SIZE).is_toy, range(100)))


def test_each_fifth_picture_is_the_one_that_shapes_alone_would_have(both):
    for seed in (0, 5, 45):
        np.testing.assert_array_equal(both.pictures.array[seed], world.render(world.sample(seed), SIZE).rgb)


def test_a_picture_shows_the_toys_of_its_seed(both):
    seen = 0
    for seed in range(COUNT):
        if not both.is_toy(seed):
            continue
        for toy in toys.sample(seed).toys:
            if toy.tint:
                continue
            x, y = (toy.left + toy.width / 2) * SIZE, (toy.foot - toy.height / 2) * SIZE
            colour = both.pictures.array[seed, int(y), int(x)].astype(int)
            assert colour == pytest.approx(np.asarray(sprite_colour(toy.number)), abs=6), seed
            seen += 1
    assert seen > 40


def test_a_caption_fits_its_picture(both):
    """It names what the scene of that seed shows, or is empty; what the picture shows is the test before."""
    empty = 0
    for seed in range(COUNT):
        for k in range(5):
            text = both.caption(seed, k)
            empty += not text
            if not text:
                continue
            if both.is_toy(seed):
                for toy in toys.sample(seed).toys:
                    assert any(name in text for name in (toy.name, *OTHER_NAMES.get(toy.name, ()))), text
            else:
                assert text == world.caption(world.sample(seed), np.random.default_rng((7, seed, k)))
    assert 0.05 < empty / (5 * COUNT) < 0.16
    assert both.caption(3, 0) == both.caption(3, 0)


def test_boxes_and_depth_tell_where_the_toy_stands(both):
    for seed in (1, 2, 3, 4, 6):
        left, top, right, bottom = both.boxes.array[seed]
        assert (left, bottom) in [(pytest.approx(toy.left), pytest.approx(toy.foot)) for toy in toys.sample(seed).toys]
        depth = both.depth.array[seed]
        assert depth.shape == (SIZE // 2, SIZE // 2) and depth.min() == 0 and depth.max() == 1
        inside = depth[int((top + bottom) / 2 * SIZE / 2), int((left + right) / 2 * SIZE / 2)]
        assert inside > 0.1, "a toy is nearer than the wall"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_render_that_was_stopped_goes_on_to_the_same_bytes(both, sprites, tmp_path, workers):
    worlds = Worlds(tmp_path, COUNT, SIZE, sprites)
    assert not fill(worlds, stop_after=1)
    again = Worlds(tmp_path, COUNT, SIZE, sprites)
    assert again.filled == PACK and not again.is_full
    assert fill(again, workers) and again.is_full
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(again, name).array, getattr(both, name).array)


def test_another_kind_of_scenes_in_the_same_folder_is_refused(both, sprites, tmp_path):
    folder = Path(both.pictures.array.filename).parent
    with pytest.raises(StartError, match="holds scenes of toys and shapes, not of shapes: say with --sprites"):
        Worlds(folder, COUNT, SIZE)
    Worlds(tmp_path, 1, SIZE)
    with pytest.raises(StartError, match="holds scenes of shapes, not of toys and shapes: choose another --state"):
        Worlds(tmp_path, 1, SIZE, sprites)


def test_a_folder_from_before_there_were_toys_holds_shapes(sprites, tmp_path):
    Worlds(tmp_path, 1, SIZE)
    (tmp_path / "worlds.txt").unlink()
    (tmp_path / "depth.npy").unlink()
    with pytest.raises(StartError, match="holds scenes of shapes"):
        Worlds(tmp_path, 1, SIZE, sprites)
    worlds = Worlds(tmp_path, 1, SIZE)
    worlds.pictures.put(0, np.zeros((1, SIZE, SIZE, 3), np.uint8))
    assert worlds.pictures.is_full and not worlds.is_full, "its depth is still to be rendered"


def test_other_sizes_have_folders_of_their_own_and_show_the_same(both, sprites, tmp_path):
    large = Worlds(tmp_path, 6, 256, sprites)
    assert fill(large)
    assert large.pictures.array.shape == (6, 256, 256, 3) and large.depth.array.shape == (6, 128, 128)
    small = large.pictures.array.reshape(6, SIZE, 8, SIZE, 8, 3).mean((2, 4))
    assert np.abs(small - both.pictures.array[:6]).mean() < 4
    np.testing.assert_allclose(large.boxes.array[1:5], both.boxes.array[1:5])
    with pytest.raises(StartError, match=r"pictures\.npy holds scenes of another size"):
        Worlds(tmp_path, 6, SIZE, sprites)


def test_held_out_shapes_are_no_scenes_of_any_training():
    pack = render_shapes(HELD_OUT, 2, SIZE)
    np.testing.assert_array_equal(pack.pictures[1], world.render(world.sample(HELD_OUT + 1), SIZE).rgb)
