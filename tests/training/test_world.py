"""The pocket world: the same pictures as the weights were trained on, and exact maps beside them."""

import importlib.util
import sys

import numpy as np
import pytest

from tests.shared import shared
from webui.training.render import FIRST_THING, FLOOR
from webui.training.scene import Scene, Thing
from webui.training.world import SHAPES, caption, held_out, render, sample, says, wording


def alone(shape: str, **changes) -> Scene:
    """A scene with one thing of that shape at a known place, before a wall."""
    values = {"shape": shape, "colour": "red", "size": "large", "r": 0.9, "x": 0.0, "z": 4.0, "yaw": 0.0}
    values |= {"rgb": (0.9, 0.1, 0.1), "gloss": 0.3}
    return scene_with(Thing(**(values | changes)))


def scene_with(*things: Thing) -> Scene:
    return Scene(
        seed=0,
        things=things,
        floor="plain",
        floor_colour="gray",
        floor_rgb=(0.5, 0.5, 0.5),
        back="wall",
        wall_colour="white",
        wall_rgb=(0.9, 0.9, 0.9),
        wall_z=7.0,
        light=(0.36, 0.8, -0.48),
        light_side="right",
        height=1.3,
        horizon=0.2,
        focal=2.0,
        pattern_scale=1.0,
        pattern_turn=0.0,
        stars=None,
        disc=None,
    )


def pixel_rays(scene: Scene, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (S, S) across and up of the rays through the middles of the pixels."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    return np.broadcast_to(axis / scene.focal, (size, size)), np.broadcast_to(
        ((-axis - scene.horizon) / scene.focal)[:, None], (size, size)
    )


def test_pictures_and_captions_are_those_of_the_prototype_byte_for_byte():
    path = shared("pocket/world.py")
    spec = importlib.util.spec_from_file_location("prototype_world", path)
    prototype = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = prototype
    spec.loader.exec_module(prototype)
    for seed in [*range(24), 10_000_001, 20_000_005]:
        theirs, ours = prototype.render(prototype.sample(seed), normals=True), render(sample(seed), normals=True)
        for name in ("rgb", "depth", "segments"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=f"{name} of seed {seed}")
        np.testing.assert_allclose(ours.normals, theirs.normals, atol=1e-6)
        assert list(ours.boxes) == theirs.boxes
    one, two = np.random.default_rng(3), np.random.default_rng(3)
    for seed in range(400):
        assert caption(sample(seed), one) == prototype.caption(prototype.sample(seed), two)
        assert wording(sample(seed), one) == prototype._caption(prototype.sample(seed), two)


def test_the_depth_of_a_sphere_is_the_closed_form():
    scene = alone("sphere")
    thing, view = scene.things[0], render(scene, 64)
    dx, dy = pixel_rays(scene, 64)
    # |o + t d - c| = r with o = (0, height, 0), d = (dx, dy, 1), c = (x, r, z)
    oy, oz = scene.height - thing.r, -thing.z
    a, b = dx**2 + dy**2 + 1, oy * dy + oz
    c = oy**2 + oz**2 - thing.r**2
    disc = b**2 - a * c
    depth = (-b - np.sqrt(np.maximum(disc, 0))) / a
    inside = disc > 0.15 * disc.max()  # near the outline the mean of four rays is not the depth of the middle
    assert (view.segments[inside] == FIRST_THING).all()
    np.testing.assert_allclose(view.depth[inside], depth[inside], atol=4e-3)


def test_the_depth_of_the_floor_is_that_of_the_plane():
    scene = alone("cube")
    view = render(scene, 64)
    _, dy = pixel_rays(scene, 64)
    floor = view.segments == FLOOR
    assert floor.sum() > 500
    np.testing.assert_allclose(view.depth[floor], (scene.height / -dy)[floor], rtol=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_box_encloses_its_segment_and_no_more(shape):
    view = render(alone(shape, x=0.3, yaw=0.4), 96)
    x0, y0, x1, y1 = view.boxes[0]
    mask = view.segments == FIRST_THING
    assert mask.sum() > 200
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    assert mask[y0].any() and mask[y1 - 1].any() and mask[:, x0].any() and mask[:, x1 - 1].any()


def test_a_ring_has_a_hole():
    view = render(alone("ring"), 96)
    x0, y0, x1, y1 = view.boxes[0]
    assert view.segments[(y0 + y1) // 2, (x0 + x1) // 2] != FIRST_THING


def test_a_thing_behind_another_is_hidden_where_they_overlap():
    big = alone("sphere").things[0]
    small = Thing("cube", "blue", "small", 0.4, 0.0, 6.0, 0.0, (0.1, 0.1, 0.9), 0.2)
    view = render(scene_with(big, small), 64)
    assert view.boxes[0] is not None
    assert view.boxes[1] is None


def test_normals_are_unit_vectors_and_look_at_the_camera():
    scene = alone("sphere")
    view = render(scene, 64, normals=True)
    on = view.segments == FIRST_THING
    np.testing.assert_allclose(np.linalg.norm(view.normals[on], axis=-1), 1, atol=1e-3)
    dx, dy = pixel_rays(scene, 64)
    towards = view.normals[..., 0] * dx + view.normals[..., 1] * dy + view.normals[..., 2]
    assert (towards[on] < 0.25).all()


def test_of_two_things_the_first_stands_left_and_captions_say_so():
    pairs = [scene for scene in map(sample, range(300)) if len(scene.things) == 2]
    assert 30 < len(pairs) < 80
    rng = np.random.default_rng(0)
    for scene in pairs[:20]:
        view = render(scene, 64)
        centres = [np.nonzero(view.segments == FIRST_THING + i)[1].mean() for i in (0, 1) if view.boxes[i]]
        assert len(centres) == 1 or centres[0] < centres[1]
        text = wording(scene, rng)
        left = scene.things[0]
        if " left of " in text and says(text, left.colour) and scene.things[1].colour != left.colour:
            assert says(text.split("left of")[0], left.colour)


def test_no_training_sees_a_held_out_wording():
    rng = np.random.default_rng(1)
    scenes = [sample(seed) for seed in range(500)]
    assert not any(held_out(caption(scene, rng)) for scene in scenes)
    share = np.mean([held_out(wording(scene, rng)) for scene in scenes for _ in range(4)])
    assert 0.02 < share < 0.06


def test_a_name_is_found_by_any_of_its_words():
    assert says("a grey ball, tiled floor", "gray")
    assert says("a grey ball, tiled floor", "sphere")
    assert not says("a grey ball, tiled floor", "cube")
