from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.conftest import POCKET
from webui.contract.errors import Interrupted
from webui.engine import tiling


def convolutions(scale=2, reach=3):
    """A random network that looks `reach` pixels far and enlarges."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.Tanh()]
    for _ in range(reach - 2):
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.Tanh()]
    network = nn.Sequential(*layers, nn.Conv2d(8, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)).requires_grad_(False)
    return network.eval()


def in_tiles(run, source, scale, **options):
    result = torch.full((1, 3, source.shape[-2] * scale, source.shape[-1] * scale), float("nan"))
    written = torch.zeros(result.shape[-2:], dtype=torch.int32)

    def write(top, left, block):
        result[..., top : top + block.shape[-2], left : left + block.shape[-1]] = block
        written[top : top + block.shape[-2], left : left + block.shape[-1]] += 1

    tiling.run_tiles(
        run,
        lambda top, left, bottom, right: source[..., top:bottom, left:right],
        write,
        tuple(source.shape[-2:]),
        out=scale,
        **options,
    )
    assert bool((written == 1).all()), "every pixel is written once"
    return result


@given(st.integers(1, 300), st.integers(1, 80), st.integers(0, 40), st.sampled_from([1, 2, 4, 8]))
def test_spans_cover_a_side_once_and_never_see_more_than_a_tile(length, tile, overlap, align):
    spans, used = tiling.spans(length, tile, overlap, align)
    assert spans[0].start == 0 and spans[-1].end == length
    assert all(left.end == right.start for left, right in pairwise(spans))
    assert all(0 <= s.first <= s.start < s.end <= s.last <= length and s.first % align == 0 for s in spans)
    assert all(s.last - s.first <= max(tile, align) for s in spans)
    if len(spans) > 1:
        assert all(s.end - s.start >= used for s in spans) and used <= overlap


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(0, 20), st.sampled_from([1, 4]))
@settings(max_examples=60, deadline=None)
def test_any_size_in_any_tiles_gives_exactly_scale_times_the_input(height, width, tile, overlap, align):
    source = torch.rand(1, 3, height, width)
    result = in_tiles(lambda x: F.interpolate(x, scale_factor=3), source, 3, tile=tile, overlap=overlap, align=align)
    assert torch.allclose(result, F.interpolate(source, scale_factor=3), atol=1e-6)


@pytest.mark.parametrize("tile", [24, 32, 41])
@pytest.mark.parametrize("size", [(50, 60), (61, 23), (90, 7)])
def test_tiles_equal_the_whole_where_half_the_overlap_covers_the_receptive_field(tile, size):
    run, source = convolutions(reach=3), torch.rand(1, 3, *size)
    assert torch.allclose(in_tiles(run, source, 2, tile=tile, overlap=6), run(source), atol=1e-4)


def test_the_inside_of_tiles_equals_the_whole_where_the_overlap_covers_the_receptive_field():
    run, source = convolutions(reach=6), torch.rand(1, 3, 70, 70)
    difference = (in_tiles(run, source, 2, tile=32, overlap=6) - run(source)).abs().amax((0, 1))
    spans, used = tiling.spans(70, 32, 6)
    inside = torch.zeros(140, dtype=torch.bool)
    for span in spans:
        inside[2 * (span.start + used // 2) : 2 * (span.end - used // 2)] = True
    assert float(difference[inside][:, inside].max()) < 1e-4


def test_blended_overlaps_on_a_smooth_gradient_show_no_step_above_1_in_255():
    gradient = torch.linspace(0, 1, 200).expand(1, 3, 150, 200)

    def moody(x):  # every tile comes out a little brighter or darker, by what it happens to hold
        return F.interpolate(x, scale_factor=2, mode="bilinear") + (x.mean() - 0.5) * 0.02

    result = in_tiles(moody, gradient, 2, tile=64, overlap=16)
    assert float(result.diff(dim=-1).abs().max()) < 1 / 255 + 1 / 400 / 2
    assert float(result.diff(dim=-2).abs().max()) < 1 / 255


def test_progress_counts_every_tile_and_a_wish_to_stop_is_heard_before_the_next_one():
    told = []
    source = torch.rand(1, 3, 40, 40)
    with pytest.raises(Interrupted):
        in_tiles(lambda x: x, source, 1, tile=16, overlap=2, told=lambda *n: told.append(n), should_stop=lambda: len(told) == 3)
    assert [done for done, _ in told] == [1, 2, 3] and told[0][1] > 4


def test_a_network_that_gives_another_size_is_found_out():
    with pytest.raises(ValueError, match="came out as"):
        in_tiles(lambda x: x[..., 1:], torch.rand(1, 3, 40, 40), 1, tile=16)


@pytest.fixture(scope="module")
def pocket():
    return AutoencoderKL.from_pretrained(POCKET / "vae").eval().requires_grad_(False)


def scene(height, width):
    """Sky, ground, and a disc: dark here, bright there, as it takes to see what group norms do to tiles."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    picture = torch.stack([y, 0.5 * x, -y]).clone()
    picture[:, (x - 0.4) ** 2 + (y + 0.3) ** 2 < 0.1] = torch.tensor([1.0, 0.9, -0.6])[:, None]
    picture[:, y > 0.3] = torch.tensor([-0.8, -0.5, -0.9])[:, None]
    return picture[None]


def test_encoding_and_decoding_in_tiles_is_that_at_once_where_one_tile_holds_all(pocket):
    pixels = scene(64, 96)
    latents = tiling.encode(lambda x: pocket.encode(x).latent_dist.mean, pixels, 8)
    assert torch.allclose(latents, pocket.encode(pixels).latent_dist.mean, atol=1e-5)
    assert torch.allclose(tiling.decode(lambda z: pocket.decode(z).sample, latents, 8), pocket.decode(latents).sample, atol=1e-5)


def test_tiles_with_shared_norms_behind_a_whole_middle_are_the_picture_decoded_at_once(pocket):
    latents = pocket.encode(scene(320, 320)).latent_dist.mean
    whole = pocket.decode(latents).sample.clamp(-1, 1)
    first, second = tiling.halves(pocket.decoder)
    features = first(pocket.post_quant_conv(latents))

    def run(x):
        return second(x).clamp(-1, 1)

    plain = tiling.decode(run, features, 8, tile=24, overlap=8)
    parts = tiling.samples((40, 40), 20, 2)
    look = torch.cat([features[..., top:bottom, left:right] for top, left, bottom, right in parts])
    with tiling.shared_norms(pocket.decoder, lambda: run(look)):
        shared = tiling.decode(run, features, 8, tile=24, overlap=8)
    far, near = (plain - whole).abs(), (shared - whole).abs()
    assert float(near.mean()) < float(far.mean()) / 2
    assert float(near.mean()) * 127.5 < 1
    assert torch.equal(pocket.decode(latents).sample.clamp(-1, 1), whole), "the norms are the network's own again"


def test_norms_are_given_back_after_an_error_too(pocket):
    latents = torch.randn(1, 4, 8, 8)
    before = pocket.decode(latents).sample
    with pytest.raises(ZeroDivisionError), tiling.shared_norms(pocket, lambda: pocket.decode(latents)):
        raise ZeroDivisionError
    assert torch.equal(pocket.decode(latents).sample, before)


def test_norms_shared_by_one_whole_look_change_nothing(pocket):
    latents = torch.randn(1, 4, 8, 8)
    with tiling.shared_norms(pocket, lambda: pocket.decode(latents)):
        inside = pocket.decode(latents).sample
    assert torch.allclose(inside, pocket.decode(latents).sample, atol=1e-4)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 40), st.integers(1, 4))
def test_samples_lie_in_the_picture_and_are_of_one_size(height, width, side, count):
    parts = tiling.samples((height, width), side, count)
    assert 1 <= len(parts) <= count**2
    assert all(0 <= top < bottom <= height and 0 <= left < right <= width for top, left, bottom, right in parts)
    assert len({(bottom - top, right - left) for top, left, bottom, right in parts}) == 1
