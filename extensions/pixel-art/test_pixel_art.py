"""Scale2x and Scale3x against the rules written out pixel by pixel. Run with: python -m pytest extensions/pixel-art"""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from webui.contract.request import EnlargeRequest
from webui.testing import program


@pytest.fixture(scope="module")
def app():
    with program(Path(__file__).parent, takes_jobs=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def code(app):
    return sys.modules[app.parts.upscalers["Pixel art"].function.__module__]


def few_colours(width, height, seed=0):
    palette = np.array([[0, 0, 0], [255, 255, 255], [200, 30, 30]], np.uint8)
    return Image.fromarray(palette[np.random.default_rng(seed).integers(0, 3, (height, width))])


def plain_scale2x(e):
    """As https://www.scale2x.it/algorithm has it."""
    rows, columns = e.shape
    at = lambda y, x: e[min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)]  # noqa: E731
    made = np.empty((2 * rows, 2 * columns), e.dtype)
    for y in range(rows):
        for x in range(columns):
            b, d, f, h, m = at(y - 1, x), at(y, x - 1), at(y, x + 1), at(y + 1, x), at(y, x)
            square = [m] * 4
            if b != h and d != f:
                square = [d if d == b else m, f if b == f else m, d if d == h else m, f if h == f else m]
            made[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = np.reshape(square, (2, 2))
    return made


def plain_scale3x(p):
    rows, columns = p.shape
    at = lambda y, x: p[min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)]  # noqa: E731
    made = np.empty((3 * rows, 3 * columns), p.dtype)
    for y in range(rows):
        for x in range(columns):
            a, b, c, d, e, f, g, h, i = (at(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
            square = [e] * 9
            if b != h and d != f:
                square = [
                    d if d == b else e,
                    b if (d == b and e != c) or (b == f and e != a) else e,
                    f if b == f else e,
                    d if (d == b and e != g) or (d == h and e != a) else e,
                    e,
                    f if (b == f and e != i) or (h == f and e != c) else e,
                    d if d == h else e,
                    h if (d == h and e != i) or (h == f and e != g) else e,
                    f if h == f else e,
                ]
            made[3 * y : 3 * y + 3, 3 * x : 3 * x + 3] = np.reshape(square, (3, 3))
    return made


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (17, 23)])
def test_the_rules(code, size):
    for seed in range(5):
        colours = code.packed(few_colours(*size, seed))
        assert (code.scale2x(colours) == plain_scale2x(colours)).all()
        assert (code.scale3x(colours) == plain_scale3x(colours)).all()


def test_a_slanted_line_is_rounded_and_a_straight_one_is_not(code):
    slanted = code.scale2x(np.eye(6, dtype=np.uint32))
    assert slanted[4:6, 6:8].tolist() == [[0, 0], [1, 0]], "the pixel right of the line, filled where it touches the line twice"
    straight = np.zeros((4, 4), np.uint32)
    straight[1] = 1
    assert (code.scale2x(straight) == straight.repeat(2, 0).repeat(2, 1)).all()
    assert (code.scale3x(straight) == straight.repeat(3, 0).repeat(3, 1)).all()


@pytest.mark.parametrize(
    ("scale", "size"),
    [(1.0, 5), (1.5, 10), (2.0, 10), (2.5, 15), (3.0, 15), (4.0, 20), (5.0, 30), (6.0, 30), (7.0, 40), (8.0, 40)],
)
def test_it_goes_as_far_as_it_must(code, scale, size):
    assert code.rounded(few_colours(5, 5), scale).size == (size, size)


@pytest.mark.parametrize("name", ["Pixel art", "scale2x", "Pixel art (squares)"])
@pytest.mark.parametrize("scale", [2.0, 3.0, 4.0, 8.0])
def test_a_whole_factor_brings_in_no_new_colour(app, name, scale):
    image = few_colours(13, 9)
    request = EnlargeRequest(image=app.inputs.put(image), upscaler=name, scale=scale)
    made = app.enlarge(request).image
    assert made.size == (int(13 * scale), int(9 * scale))
    assert {colour for _, colour in made.getcolors()} <= {colour for _, colour in image.getcolors()}


def test_squares_are_squares(app):
    image = few_colours(13, 9)
    made = app.enlarge(EnlargeRequest(image=app.inputs.put(image), upscaler="Pixel art (squares)", scale=5.0)).image
    assert (np.array(made) == np.array(image).repeat(5, 0).repeat(5, 1)).all()


def test_any_other_factor_comes_out_in_its_size(app):
    image = few_colours(13, 9)
    image.putalpha(Image.new("L", image.size, 90))
    job = app.queue.submit(EnlargeRequest(image=app.inputs.put(image), upscaler="Pixel art", width=100, height=77), tab="upscale")
    ended = app.queue.wait(job.id, 60)
    assert (ended.state, ended.images[0].width, ended.images[0].height) == ("finished", 100, 77)
    assert "Postprocess upscaler: Pixel art" in ended.images[0].infotext
