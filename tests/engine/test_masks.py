import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from webui.contract.request import FILLS
from webui.engine import masks
from webui.engine.samplers.euler import sample_euler
from webui.engine.samplers.heun import sample_heun


def noisy(width, height, mode="RGB", seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, len(mode)), dtype=np.uint8)
    return Image.fromarray(values, mode)


def with_box(width, height, box, value=255):
    mask = Image.new("L", (width, height), 0)
    mask.paste(value, box)
    return mask


W, H = 90, 70
PLACES = {
    "a pixel": (40, 30, 41, 31), "left": (0, 30, 5, 40), "right": (85, 30, 90, 40), "top": (40, 0, 50, 3),
    "bottom": (40, 67, 50, 70), "top left": (0, 0, 1, 1), "top right": (89, 0, 90, 1), "bottom left": (0, 69, 1, 70),
    "bottom right": (89, 69, 90, 70), "all": (0, 0, 90, 70), "middle": (30, 20, 60, 50),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("padding", [0, 1, 32, 500])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_only_masked_is_pasted_back_on_the_pixel_and_nothing_else_changes_a_byte(place, padding, mode):
    original, mask = noisy(W, H, mode), with_box(W, H, place)
    for soft in (mask, masks.blurred(mask, 3), masks.blurred(mask, 0, 6), masks.feathered(mask, 4)):
        cut = masks.cut(soft, padding, (64, 64))
        assert cut.note == ""
        size = (cut.place[2] - cut.place[0], cut.place[3] - cut.place[1])
        drawn = noisy(*size, seed=1)
        result = masks.pasted(original, drawn, soft, cut.place)
        assert result.size == original.size and result.mode == mode
        values, before, after = np.array(soft), np.array(original), np.array(result)
        assert (after[values == 0] == before[values == 0]).all()
        fresh = np.zeros((H, W, 3), dtype=np.uint8)
        fresh[cut.place[1] : cut.place[3], cut.place[0] : cut.place[2]] = np.array(drawn)
        assert (after[values == 255][:, :3] == fresh[values == 255]).all()
        if mode == "RGBA":
            assert (after[values == 255][:, 3] == 255).all()


def test_an_empty_mask_is_the_whole_picture_and_says_so():
    cut = masks.cut(Image.new("L", (90, 70), 0), 0, (64, 64))
    assert cut.place == (0, 0, 90, 70) and "whole picture" in cut.note


def test_a_picture_drawn_at_another_size_lands_in_its_place():
    original = Image.new("RGB", (90, 70), "black")
    mask = with_box(90, 70, (30, 20, 60, 50))
    result = masks.pasted(original, Image.new("RGB", (512, 512), "white"), mask, (20, 10, 70, 60))
    assert result.convert("L").tobytes() == mask.tobytes()


@given(st.integers(1, 40), st.integers(1, 40), st.data())
@settings(max_examples=40, deadline=None)
def test_blur_reaches_two_and_a_half_deviations_and_no_farther(width, height, data):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    mask = with_box(width, height, (left, top, left + 1 + (width - left - 1) // 2, top + 1))
    deviation = data.draw(st.floats(0.1, 6))
    soft, reach = np.array(masks.blurred(mask, deviation)), int(2.5 * deviation + 0.5)
    near = np.array(mask.resize(mask.size))
    far = np.ones_like(near, dtype=bool)
    box = mask.getbbox()
    far[max(box[1] - reach, 0) : box[3] + reach, max(box[0] - reach, 0) : box[2] + reach] = False
    assert (soft[far] == 0).all() and soft.max() <= 255


def test_a_mask_that_fills_an_edge_stays_full_there_after_blur():
    soft = np.array(masks.blurred(with_box(60, 60, (0, 0, 30, 60)), 4))
    assert (soft[:, :15] == 255).all() and (soft[:, 45:] == 0).all() and (np.diff(soft[30].astype(int)) <= 0).all()
    assert 120 <= soft[30, 29] <= 160 and 95 <= soft[30, 30] <= 135
    assert (np.array(masks.blurred(Image.new("L", (9, 9), 255), 4)) == 255).all()


def test_blur_can_differ_across_and_down():
    soft = np.array(masks.blurred(with_box(60, 60, (20, 20, 40, 40)), 4, 0))
    assert (soft[19] == 0).all() and soft[30, 19] > 0
    assert masks.blurred(with_box(9, 9, (2, 2, 4, 4)), 0).tobytes() == with_box(9, 9, (2, 2, 4, 4)).tobytes()


def test_feather_softens_inwards_only_and_leaves_thin_strokes():
    mask = with_box(60, 60, (20, 20, 40, 40))
    soft = np.array(masks.feathered(mask, 4))
    assert (soft[np.array(mask) == 0] == 0).all() and soft[20, 30] == 64 and soft[23, 30] == 255
    line = np.array(masks.feathered(with_box(60, 60, (30, 0, 31, 60)), 4))
    assert line[30, 30] == 64
    assert (np.array(masks.feathered(Image.new("L", (20, 20), 255), 8)) == 255).all()


def test_inverting_twice_is_nothing():
    mask = noisy(20, 20).convert("L")
    assert masks.inverted(masks.inverted(mask)).tobytes() == mask.tobytes()


def test_fill_takes_the_neighbours_colours_and_changes_nothing_else():
    image = Image.new("RGB", (64, 64), (200, 10, 10))
    image.paste((10, 10, 200), (32, 0, 64, 64))
    mask = with_box(64, 64, (16, 16, 48, 48))
    hidden = image.copy()
    hidden.paste((0, 255, 0), (16, 16, 48, 48))
    result = np.array(masks.filled(hidden, mask))
    outside = np.array(mask) == 0
    assert (result[outside] == np.array(image)[outside]).all()
    assert result[..., 1].max() <= 11, "the hidden green shows nowhere"
    assert result[32, 17, 0] > 150 and result[32, 46, 2] > 150


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 1), (33, 65)])
def test_fill_works_on_any_size_and_on_a_mask_of_all_or_nothing(size):
    image = noisy(*size)
    assert masks.filled(image, Image.new("L", size, 0)).tobytes() == image.tobytes()
    assert set(masks.filled(image, Image.new("L", size, 255)).tobytes()) <= {127, 128}
    if size != (1, 1):
        one = Image.new("L", size, 255)
        one.putpixel((0, 0), 0)
        assert np.abs(np.array(masks.filled(image, one)).astype(int) - np.array(image)[0, 0]).max() <= 1


def test_latent_noise_and_latent_nothing_start_inside_the_mask_only():
    latents, noise = torch.randn(1, 4, 4, 4), torch.randn(1, 4, 4, 4)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    assert torch.equal(masks.start_latents(latents, mask, "latent noise", noise)[..., :2], noise[..., :2])
    assert torch.equal(masks.start_latents(latents, mask, "latent nothing", noise)[..., :2], torch.zeros(1, 4, 4, 2))
    for fill in FILLS:
        assert torch.equal(masks.start_latents(latents, mask, fill, noise)[..., 2:], latents[..., 2:])


def test_one_masked_pixel_frees_its_whole_latent_and_a_soft_one_its_share():
    mask = torch.zeros(1, 1, 13, 20)
    mask[..., 12, 19] = 1
    assert masks.at_latents(mask, 8).tolist() == [[[[0, 0, 0], [0, 0, 1]]]]
    soft = masks.at_latents(torch.full((1, 1, 16, 16), 0.25), 8, is_soft=True)
    assert soft.tolist() == [[[[0.25, 0.25], [0.25, 0.25]]]]


def test_a_place_of_a_strength_is_painted_in_that_share_of_the_steps():
    strength = torch.tensor([0.0, 0.05, 0.25, 0.5, 1.0]).view(1, 1, 1, 5)
    counts = sum(masks.painted(strength, done, 20) for done in range(20))
    assert counts.flatten().tolist() == [0, 1, 5, 10, 20]


@pytest.mark.parametrize("sampler, calls", [(sample_euler, 1), (sample_heun, 2)])
def test_held_places_come_out_as_the_original_and_free_ones_as_without_a_mask(sampler, calls):
    torch.manual_seed(0)
    original, unit = torch.randn(1, 4, 6, 6), torch.randn(1, 4, 6, 6)
    sigmas = torch.tensor([10.0, 5.0, 2.0, 0.5, 0.0])
    strength = torch.zeros(1, 1, 6, 6)
    strength[..., 3:] = 1

    def denoise(x, sigma):
        return x / (1 + float(sigma) ** 2)

    x = original + sigmas[0] * unit
    whole = sampler(denoise, x, sigmas, None)
    result = sampler(masks.held(denoise, original, strength, sigmas), x, sigmas, None)
    assert torch.allclose(result[..., :3], original[..., :3], atol=1e-5)
    assert torch.allclose(result[..., 3:], whole[..., 3:], atol=1e-5)


@pytest.mark.parametrize("sides", [(16, 0, 0, 0), (0, 24, 0, 0), (0, 0, 8, 0), (0, 0, 0, 40), (8, 16, 24, 32)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_outpainting_keeps_every_byte_of_the_picture_beyond_the_overlap(sides, mode):
    image = noisy(50, 40, mode)
    canvas, mask = masks.outpainted(image, *sides, overlap=6)
    left, top, right, bottom = sides
    assert canvas.size == mask.size == (50 + left + right, 40 + top + bottom) and canvas.mode == mode
    place = (left, top, left + 50, top + 40)
    assert canvas.crop(place).tobytes() == image.tobytes()
    values = np.array(mask)
    room = np.ones_like(values, dtype=bool)
    room[place[1] : place[3], place[0] : place[2]] = False
    assert (values[room] == 255).all()
    inside = values[place[1] : place[3], place[0] : place[2]]
    kept = inside[6 if top else 0 : 40 - 6 if bottom else 40, 6 if left else 0 : 50 - 6 if right else 50]
    assert (kept == 0).all()
    steps = np.diff(values.astype(int), axis=1 if left or right else 0)
    assert np.abs(steps).max() <= 255 // 6, "the mask has a step, which would be a seam"


def test_outpainting_a_picture_smaller_than_the_overlap_works():
    canvas, mask = masks.outpainted(noisy(1, 1), 8, 8, 8, 8, overlap=16)
    assert canvas.size == (17, 17) and mask.getpixel((8, 8)) == 0


@pytest.mark.parametrize("sides", [(40, 0, 0, 0), (0, 40, 0, 0), (0, 0, 9, 0), (0, 0, 0, 40), (40, 40, 40, 40)])
def test_what_is_drawn_around_a_picture_meets_it_without_a_seam_and_is_left_alone_far_away(sides):
    left, top, right, bottom = sides
    size, place = (60 + left + right, 50 + top + bottom), (left, top, left + 60, top + 50)
    image, drawn = Image.new("RGB", size, (100, 150, 200)), Image.new("RGB", size, (112, 141, 203))
    mask = Image.new("L", size, 255)
    mask.paste(0, place)
    done = np.asarray(masks.joined(Image.composite(drawn, image, mask), image, drawn, mask, place)).astype(int)
    assert (done[place[1] : place[3], place[0] : place[2]] == (100, 150, 200)).all()
    for axis in (0, 1):
        assert np.abs(np.diff(done, axis=axis)).max() <= 1, "a seam"
    if left:
        assert (done[:, 0] == (112, 141, 203)).all(), "33 pixels away nothing is changed"


def test_where_the_picture_itself_is_painted_at_its_border_the_room_is_left_as_it_was_drawn():
    image, drawn = Image.new("RGB", (100, 50), (100, 150, 200)), Image.new("RGB", (100, 50), (140, 100, 0))
    mask = Image.new("L", (100, 50), 255)
    assert masks.joined(drawn, image, drawn, mask, (0, 0, 60, 50)).tobytes() == drawn.tobytes()


def test_a_drift_of_the_colours_is_evened_out_inside_the_mask_only() -> None:
    image = Image.fromarray(np.tile(np.linspace(40, 200, 64, dtype=np.uint8)[None, :, None], (64, 1, 3)))
    mask = Image.new("L", image.size, 0)
    mask.paste(255, (20, 20, 44, 44))
    drawn = Image.fromarray(np.array(image) - np.array([12, 0, 8], dtype=np.uint8))
    even = np.array(masks.evened(drawn, image, mask)).astype(int)
    inside = np.array(mask) > 0
    assert np.abs(even - np.array(image).astype(int))[inside].max() <= 2
    assert np.array_equal(even[~inside], np.array(drawn).astype(int)[~inside])


def test_another_thing_that_was_drawn_around_the_mask_tells_nothing_of_its_colours() -> None:
    image, drawn = Image.new("RGB", (64, 64), (230, 230, 230)), Image.new("RGB", (64, 64), (20, 20, 20))
    mask = Image.new("L", image.size, 0)
    mask.paste(255, (20, 20, 44, 44))
    assert np.array_equal(np.array(masks.evened(drawn, image, mask)), np.array(drawn))
    assert masks.evened(drawn, image, Image.new("L", image.size, 255)) is drawn
