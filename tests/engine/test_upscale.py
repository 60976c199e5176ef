from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from webui.contract.errors import FieldError, Interrupted
from webui.engine import upscale
from webui.engine.sizes import enlarge


@dataclass
class Doubler:
    """A network as the engine sees one: nearest neighbour, and a count of its calls."""

    name: str = "doubler"
    scale: int = 2
    align: int = 1
    can_tile: bool = True
    bytes_per_pixel: float = 100.0
    calls: int = 0
    largest: int = 0

    def run(self, pixels):
        self.calls += 1
        self.largest = max(self.largest, *pixels.shape[-2:])
        return F.interpolate(pixels, scale_factor=self.scale) if self.scale > 1 else 1 - pixels


def noisy(width, height, mode="RGB"):
    values = np.random.default_rng(0).integers(0, 256, (height, width, len(mode)), dtype=np.uint8)
    return Image.fromarray(values, mode)


@pytest.mark.parametrize("upscaler", [*upscale.BUILT_IN, Doubler()], ids=lambda u: u.name)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (37, 21)])
def test_every_upscaler_gives_exactly_the_size_that_was_announced(upscaler, mode, size):
    for target in (enlarge(size, 2), enlarge(size, 3.3), enlarge(size, to=(50, 81)), enlarge(size, to=(50, 81), crop=False)):
        result = upscale.enlarged(noisy(*size, mode), upscaler, target)
        assert result.size == target.size and result.mode == mode


def test_nearest_and_a_network_of_exact_scale_give_the_exact_pixels():
    image = noisy(9, 7)
    wanted = np.array(image).repeat(2, 0).repeat(2, 1)
    for upscaler in (upscale.BUILT_IN[2], Doubler()):
        assert (np.array(upscale.enlarged(image, upscaler, enlarge(image.size, 2), upscale.Tiles(size=4))) == wanted).all()


def test_a_network_runs_until_the_picture_is_large_enough_and_not_at_all_to_shrink():
    for factor, calls in ((2, 1), (3, 2), (4, 2), (0.5, 0), (1, 0)):
        network = Doubler()
        upscale.enlarged(noisy(10, 10), network, enlarge((10, 10), factor))
        assert network.calls == calls


def test_a_network_that_does_not_enlarge_runs_once_whatever_the_factor():
    for factor in (0.5, 1, 4):
        network = Doubler(scale=1)
        result = upscale.enlarged(Image.new("RGB", (8, 8), "white"), network, enlarge((8, 8), factor))
        assert network.calls == 1 and result.getextrema()[0] == (0, 0)


def test_alpha_is_enlarged_and_hidden_black_does_not_bleed_into_the_edges():
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 10, 20))
    result = np.array(upscale.enlarged(image, upscale.BUILT_IN[1], enlarge((20, 20), 2)))
    assert result[:, :14, 3].min() == 255 and result[:, 26:, 3].max() == 0
    assert result[result[..., 3] > 0][:, 0].min() > 250, "no dark seam"


def test_tiles_are_as_large_as_the_memory_allows_and_never_larger():
    network = Doubler(bytes_per_pixel=1000)
    assert upscale.tile_size(network, upscale.Tiles(memory=64 * 64 * 1000)) == 64
    assert upscale.tile_size(network, upscale.Tiles(size=48, memory=64 * 64 * 1000)) == 48
    assert upscale.tile_size(network, upscale.Tiles(size=4096, memory=64 * 64 * 1000)) == 64
    upscale.by_network(noisy(200, 150), network, upscale.Tiles(memory=64 * 64 * 1000, overlap=8))
    assert network.largest <= 64
    whole = Doubler(can_tile=False)
    upscale.by_network(noisy(200, 150), whole, upscale.Tiles(size=32))
    assert whole.calls == 1


def test_where_a_tile_is_too_much_for_the_card_smaller_ones_are_tried():
    @dataclass
    class Full(Doubler):
        def run(self, pixels):
            if pixels.shape[-1] > 40:
                raise torch.OutOfMemoryError("full")
            return super().run(pixels)

    image = noisy(100, 20)
    assert (np.array(upscale.by_network(image, Full())) == np.array(image).repeat(2, 0).repeat(2, 1)).all()


def test_an_output_of_8192_pixels_is_written_in_place():
    network = Doubler(scale=4)
    result = upscale.by_network(noisy(2048, 40), network, upscale.Tiles(size=256))
    assert result.size == (8192, 160) and network.largest <= 256


def test_a_wish_to_stop_ends_between_two_tiles():
    network = Doubler()
    with pytest.raises(Interrupted):
        upscale.by_network(noisy(100, 100), network, upscale.Tiles(size=32), should_stop=lambda: network.calls >= 2)
    assert network.calls == 2


def test_two_upscalers_are_mixed_by_visibility():
    first, second = Image.new("RGB", (4, 4), (0, 0, 0)), Image.new("RGB", (4, 4), (200, 100, 50))
    assert upscale.mixed(first, second, 0) is first and upscale.mixed(first, second, 1) is second
    assert upscale.mixed(first, second, 0.5).getpixel((0, 0)) == (100, 50, 25)
    with pytest.raises(FieldError):
        upscale.mixed(first, second, 1.5)
