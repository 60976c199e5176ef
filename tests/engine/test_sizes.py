import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.contract.errors import FieldError
from webui.engine import sizes

side = st.integers(1, 4000)
size = st.tuples(side, side)


def test_832_x_1216_times_1_4_is_one_size_for_page_job_and_infotext():
    asked = sizes.enlarge((832, 1216), 1.4)
    assert asked.size == asked.scaled == (1165, 1702)
    assert asked.note == ""


def test_other_proportions_are_cropped_around_the_middle_and_said():
    asked = sizes.enlarge((832, 1216), to=(1000, 1000))
    assert asked.size == (1000, 1000) and asked.scaled == (1000, 1462) and asked.crop == (0, 231, 1000, 1231)
    assert "462 rows" in asked.note


@pytest.mark.parametrize("to, size", [((1664, 0), (1664, 2432)), ((0, 608), (416, 608)), ((990, 316), (990, 316))])
def test_a_side_of_0_follows_from_the_other(to, size):
    assert sizes.enlarge((832, 1216), to=to).size == size


@given(size, st.tuples(st.integers(1, 2000), st.integers(1, 2000)))
def test_any_wanted_size_comes_out_as_asked(source, to):
    asked = sizes.enlarge(source, to=to, most=10**9)
    assert asked.size == to
    assert asked.crop[0] >= 0 and asked.crop[2] <= asked.scaled[0] and asked.crop[3] <= asked.scaled[1]


@pytest.mark.parametrize("factor, to", [(0, (0, 0)), (-1, (0, 0)), (2, (-5, 100)), (100, (0, 0))])
def test_sizes_that_make_no_sense_are_refused_in_a_sentence(factor, to):
    with pytest.raises(FieldError, match=r"\.$"):
        sizes.enlarge((512, 512), factor, to)


@given(st.floats(0.001, 1), st.integers(1, 150))
def test_any_strength_above_0_walks_at_least_one_step_and_at_most_all(strength, steps):
    assert 1 <= sizes.steps_of(strength, steps) <= steps


@pytest.mark.parametrize(
    "strength, steps, walked",
    [(0, 20, 0), (0.05, 15, 1), (0.8, 1, 1), (1, 20, 20), (0.29, 100, 29), (0.57, 100, 57), (0.5, 9, 4)],
)
def test_the_steps_of_an_image_are_strength_times_steps(strength, steps, walked):
    assert sizes.steps_of(strength, steps) == walked


@given(size, size)
def test_placements_cover_or_lie_inside_the_frame_to_the_pixel(source, frame):
    crop, fill = sizes.placed(source, frame, "crop"), sizes.placed(source, frame, "fill")
    assert all(s >= f for s, f in zip(crop.scaled, frame, strict=True)) and (crop.left <= 0 and crop.top <= 0)
    assert all(1 <= s <= f for s, f in zip(fill.scaled, frame, strict=True)) and (fill.left >= 0 and fill.top >= 0)
    assert any(s == f for s, f in zip(fill.scaled, frame, strict=True))
    assert sizes.placed(source, frame, "stretch").scaled == frame


@given(size, st.data(), st.integers(0, 300), st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_a_region_lies_in_the_picture_around_its_whole_box_in_the_wanted_proportions(picture, data, padding, aspect):
    left, top = data.draw(st.integers(0, picture[0] - 1)), data.draw(st.integers(0, picture[1] - 1))
    box = left, top, data.draw(st.integers(left + 1, picture[0])), data.draw(st.integers(top + 1, picture[1]))
    cut = sizes.region(box, picture, padding, aspect)
    assert 0 <= cut[0] <= max(box[0] - padding, 0) and 0 <= cut[1] <= max(box[1] - padding, 0)
    assert picture[0] >= cut[2] >= min(box[2] + padding, picture[0]) and picture[1] >= cut[3] >= min(box[3] + padding, picture[1])
    width, height = cut[2] - cut[0], cut[3] - cut[1]
    misses = abs(width * aspect[1] - height * aspect[0])
    assert misses <= max(aspect) or width == picture[0] or height == picture[1]


def test_padding_0_and_the_same_proportions_is_the_masks_own_box():
    assert sizes.region((10, 20, 42, 52), (100, 100), 0, (512, 512)) == (10, 20, 42, 52)


def test_a_region_of_other_proportions_is_drawn_in_its_own():
    assert sizes.drawn_size((0, 0, 100, 100), (512, 512)) == (512, 512)
    assert sizes.drawn_size((0, 0, 100, 400), (512, 512)) == (256, 1024)


def test_a_picture_grows_only_outwards():
    assert sizes.grown((100, 50), 8, 0, 16, 24) == ((124, 74), (8, 0, 108, 50))
    for sides in [(0, 0, 0, 0), (-8, 0, 0, 64), (9000, 0, 0, 0)]:
        with pytest.raises(FieldError, match=r"\.$"):
            sizes.grown((100, 50), *sides)
