"""webui/ui/fields.py: what a control holds is what the request gets, digit for digit."""

from __future__ import annotations

import json

import pytest

from webui.contract.errors import FieldError
from webui.contract.request import LAST_SEED, Box, Chosen, EnlargeRequest, GenerationRequest
from webui.ui import own_text
from webui.ui.fields import FIELDS, enlarge_request_of, follow, request_of, values_of


def read(**values: object) -> GenerationRequest:
    return request_of(list(values), list(values.values()))


def test_a_request_read_back_from_the_controls_is_equal() -> None:
    asked = GenerationRequest(
        prompt="a (red:1.2) sphere", negative_prompt="blurry", sampler="DPM++ 2M", schedule="Karras", steps=7, guidance=4.5,
        width=512, height=64, seed=LAST_SEED, batch_size=2, batch_count=3, clip_skip=2, variation_seed=LAST_SEED - 1,
        variation_strength=0.25, noise_source="NV", emphasis="No norm", eta=0.5,
        class_label="goldfish", boxes=(Box("17", 0.1, 0.2, 0.3, 1 / 3), Box("traffic light", -0.5, 0.0, 1.0, 1.0)),
        image="a" * 64, strength=0.3, second_image="b" * 64, mix=0.7, mask="c" * 64, depth="d" * 64, map="e" * 64,
        noise_level=20, refiner="refiner", refiner_switch=0.6, second_prompt="b", second_negative_prompt="c",
        original_width=1024, original_height=0, crop_left=8, crop_top=0, target_width=512, target_height=64,
        resize="crop", mask_blur=1.5, mask_invert=True, masked_content="latent noise", only_masked=True, mask_padding=0,
        soft=True, extend_left=8, extend_top=0, extend_right=64, extend_bottom=1, match_colours=True, depth_near=0.9,
        depth_far=0.1, hires_scale=1.5, hires_width=0, hires_height=700, hires_upscaler="Lanczos", hires_steps=4,
        hires_strength=0.4, hires_prompt="d", hires_negative_prompt="e", tile=256,
        aesthetic_score=7.0, negative_aesthetic_score=1.5, long_prompt="Cut", sampler_options={"order": 2, "word": "ä"},
        schedule_options={"rho": 3.5, "sigma_min": None}, conditioners=(Chosen("Canny", {"picture": "f" * 64}), Chosen("Plain")),
        guiders=(Chosen("Twice", {"scale": 1.5}), Chosen("Twice", {"scale": 2.5})), script="Grid", script_options={"rows": 2},
        extras={"own": {"text": "a\nb", "ticks": ["x"], "on": False}},
    )  # fmt: skip
    assert request_of(list(FIELDS), values_of(asked)) == asked


@pytest.mark.parametrize("seed", [0, 2**53 + 1, LAST_SEED])
def test_a_seed_is_text_in_the_page_and_keeps_its_digits(seed: int) -> None:
    shown = values_of(GenerationRequest(seed=seed), ["seed"])
    assert shown == [str(seed)]
    assert read(seed=shown[0]).seed == seed
    assert read(seed=f" {seed} ").seed == seed


def test_a_request_to_enlarge_is_read_from_its_controls_and_leaves_open_what_is_empty() -> None:
    shown = {"upscaler": "Lanczos", "scale": 2, "width": "", "height": "700", "crop": None, "tile_overlap": 16.0, "guidance": "7"}
    assert enlarge_request_of({**shown, "image": "a" * 64, "steps": "", "noise_level": None}) == EnlargeRequest(
        image="a" * 64, height=700, crop=False, guidance=7.0
    )
    with pytest.raises(FieldError, match=r"Scale 9\.0 is out of range"):
        enlarge_request_of({"scale": 9})


def test_an_empty_control_asks_for_nothing() -> None:
    asked = read(
        steps=None, guidance=None, width="", eta=None, seed="", prompt=None, noise_level="", boxes="", original_width="",
        class_label=None, image=None,
    )  # fmt: skip
    assert asked == GenerationRequest()


def test_a_browsers_number_without_a_fraction_is_a_whole_one() -> None:
    assert read(steps=20.0, guidance=7).steps == 20
    assert read(guidance=7).guidance == 7.0


@pytest.mark.parametrize(
    "values, words",
    [
        ({"steps": 0}, "Steps 0 is out of range"),
        ({"steps": 5.5}, "whole number"),
        ({"width": 63}, "Width 63 is out of range"),
        ({"mask_blur": 65}, "Mask blur 65.0 is out of range"),
        ({"resize": "squash"}, "Resize 'squash' is unknown"),
        ({"seed": "seven"}, "Seed 'seven'"),
        ({"seed": str(LAST_SEED + 1)}, "Seed"),
        ({"batch_size": None}, "Batch size"),
        ({"prompt": ["a list"]}, "Prompt"),
        ({"boxes": "17 0.1 0.2\n"}, "Box 1 is .*It must have label, x, y, width, height"),
        ({"boxes": "17 0 0 1 1\n3 0 0 wide 1"}, "Box 2: width 'wide' is not right"),
        ({"boxes": "[1,"}, "Boxes .* are not right"),
        ({"noise_level": "much"}, "Noise level 'much'"),
        ({"original_width": "wide"}, "Original width 'wide'"),
    ],
)
def test_a_value_that_cannot_be_right_is_not_put_right_but_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(FieldError, match=words):
        read(**values)


def test_only_controls_that_show_the_old_default_take_the_new_one() -> None:
    before = {"steps": 20, "guidance": 4.0, "width": 128}
    now = {"steps": 25, "guidance": 7.5, "width": 512}
    assert follow(before, now, {"steps": 20, "guidance": 5, "width": 128.0}) == {"steps": 25, "width": 512}
    assert follow(before, before, {"steps": 20, "guidance": 4.0, "width": 128}) == {}


def test_boxes_are_written_in_lines_with_blanks_or_commas_or_as_json() -> None:
    boxes = (Box("17", 0.1, 0.2, 0.3, 0.4), Box("3", 0.0, 0.0, 1.0, 1.0))
    for words in (
        "17 .1 .2 .3 .4\n3 0 0 1 1",
        "17, 0.1, 0.2, 0.3, 0.4\n\n 3,0,0,1,1 ",
        '[["17", 0.1, 0.2, 0.3, 0.4], [3, 0, 0, 1, 1]]',
    ):
        assert read(boxes=words).boxes == boxes


def test_the_page_keeps_the_options_of_each_part_and_asks_with_those_of_the_chosen_one() -> None:
    kept = '{"sampler": {"LMS": {"order": 2}, "UniPC": {"order": 1}}, "scripts": {"Grid": {"rows": 2}}}'
    assert read(sampler="LMS", own=kept).sampler_options == {"order": 2}
    assert read(sampler="Euler", schedule="Karras", own=kept) == GenerationRequest(sampler="Euler", schedule="Karras")
    assert read(sampler="LMS", own="").sampler_options == {}
    assert read(own='{"script": "Grid", "scripts": {"Grid": {"rows": 2}}}').script_options == {"rows": 2}
    with pytest.raises(FieldError, match=r"Extras 'torn' is not right. It must be a set of named values"):
        read(sampler="LMS", own="torn")
    with pytest.raises(FieldError, match=r"Guiders 'A' are not right. They must be a list of names"):
        read(own='{"guiders": "A"}')


def test_what_is_switched_off_is_kept_and_not_asked_for() -> None:
    guiders = [{"name": "A", "options": {"x": 1}, "off": True}, {"name": "B"}]
    kept = json.dumps({"guiders": guiders, "conditioners": [{"name": "C", "off": False}]})
    asked = read(own=kept)
    assert (asked.guiders, asked.conditioners) == ((Chosen("B"),), (Chosen("C"),))


def test_what_a_request_says_takes_the_place_of_what_was_kept_and_the_rest_stays() -> None:
    before = '{"sampler": {"LMS": {"order": 2}}, "guiders": [{"name": "A"}], "script": "Grid", "scripts": {"Grid": {"rows": 2}}}'
    after = own_text.written({"sampler_options": {"order": 1}, "guiders": (), "extras": {"e": {"f": [1]}}}, "UniPC", "", before)
    assert json.loads(after) == {
        "sampler": {"LMS": {"order": 2}, "UniPC": {"order": 1}}, "script": "Grid", "scripts": {"Grid": {"rows": 2}},
        "extras": {"e": {"f": [1]}},
    }  # fmt: skip
    assert own_text.written({name: getattr(GenerationRequest(), name) for name in own_text.CARRIED}, "LMS", "") == ""
