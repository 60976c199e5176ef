import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from webui.contract.request import RESIZE_MODES
from webui.engine import resizing


def noisy(width, height, mode="RGB", seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, len(mode)), dtype=np.uint8)
    return Image.fromarray(values if len(mode) > 1 else values[..., 0], mode)


small = st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(small, small, st.sampled_from(["stretch", "crop", "fill"]), st.sampled_from(["RGB", "RGBA", "L"]))
@settings(max_examples=120, deadline=None)
def test_any_picture_comes_into_any_frame_at_the_frames_size(source, frame, how, mode):
    assert resizing.resized(noisy(*source, mode), frame, how).size == frame


@pytest.mark.parametrize("how", RESIZE_MODES)
def test_the_same_size_comes_back_as_the_same_bytes(how):
    image = noisy(31, 17)
    assert resizing.resized(image, (31, 17), how).tobytes() == image.tobytes()


def test_a_band_of_one_pixel_to_fill_is_the_edge_drawn_out():
    image = Image.new("RGB", (100, 99), "red")
    assert resizing.resized(image, (100, 100), "fill").getextrema() == ((255, 255), (0, 0), (0, 0))


def test_crop_keeps_the_middle_and_fill_keeps_all():
    image = Image.new("RGB", (30, 10), "white")
    image.paste("black", (10, 0, 20, 10))
    assert resizing.resized(image, (10, 10), "crop").getextrema()[0] == (0, 0)
    whole = np.array(resizing.resized(image, (30, 30), "fill").convert("L"))
    assert (whole == np.array(image.convert("L"))[:1]).all()


@given(small, st.sampled_from([1, 4, 8, 64]))
@settings(max_examples=40, deadline=None)
def test_what_is_padded_for_the_autoencoder_is_cropped_again(source, factor):
    pixels = torch.rand(1, 3, *source)
    padded = resizing.padded_to(pixels, factor)
    assert padded.shape[-1] % factor == 0 and padded.shape[-2] % factor == 0
    assert torch.equal(resizing.cropped_to(padded, *source), pixels)


@pytest.mark.parametrize("name", resizing.LATENT_MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_latents_are_enlarged_by_every_named_way(name, dtype):
    latents = torch.randn(2, 4, 5, 7).to(dtype)
    assert resizing.resized_latents(latents, 11, 9, name).shape == (2, 4, 11, 9)
    assert resizing.resized_latents(latents, 11, 9, name).dtype == dtype
    assert resizing.resized_latents(latents, 5, 7, name) is latents


def test_colours_of_a_tinted_picture_come_back():
    original = Image.fromarray(np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8))
    tinted = original.point([min(255, int(v * 0.8 + 30)) for v in range(256)] * 3)
    far = np.abs(np.array(tinted).astype(int) - np.array(original)).mean()
    near = np.abs(np.array(resizing.colours_matched(tinted, original)).astype(int) - np.array(original)).mean()
    assert near < far / 8


def test_a_picture_matched_to_itself_stays_as_it_is():
    image = noisy(40, 40)
    for mask in (None, Image.new("L", (40, 40), 0)):
        difference = np.abs(np.array(resizing.colours_matched(image, image, mask)).astype(int) - np.array(image))
        assert difference.max() <= 1


def test_with_a_mask_only_what_was_not_masked_is_measured():
    original, mask = noisy(40, 40), Image.new("L", (40, 40), 0)
    mask.paste(255, (0, 0, 20, 40))
    drawn = original.copy()
    drawn.paste((255, 0, 255), (0, 0, 20, 40))
    difference = np.abs(np.array(resizing.colours_matched(drawn, original, mask)).astype(int) - np.array(drawn))
    assert difference.max() <= 1
    full = Image.new("L", (40, 40), 255)
    assert resizing.colours_matched(drawn, original, full).tobytes() == drawn.tobytes()
