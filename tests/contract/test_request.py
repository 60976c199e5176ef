"""Requests from untrusted values: each thing that can be wrong is named in one sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from webui.contract.errors import FieldError
from webui.contract.request import (
    FIELDS,
    PICTURES,
    Box,
    EnlargeRequest,
    GenerationRequest,
    enlarge_request_from,
    limits,
    pictures_of,
    request_from,
    request_to_dict,
)

BOX = {"label": "17", "x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}


def test_a_request_survives_json() -> None:
    asked = GenerationRequest(
        prompt="a", boxes=(Box("17", 0.1, 0.2, 0.3, 0.4), Box("3", -0.5, 0, 1, 2)), class_label="tench", image="a" * 64,
        noise_level=20, strength=0.5, refiner="r", refiner_switch=0.75, original_width=1024, second_prompt="b",
    )  # fmt: skip
    assert request_from(json.loads(json.dumps(request_to_dict(asked)))) == asked


def test_boxes_may_be_lists_and_labels_numbers() -> None:
    asked = request_from({"boxes": [[17, 0.1, 0.2, 0.3, 0.4], {**BOX, "label": 17}, BOX]})
    assert asked.boxes == (Box("17", 0.1, 0.2, 0.3, 0.4),) * 3


def test_every_picture_is_a_field() -> None:
    assert set(PICTURES) <= set(FIELDS)


WRONG: dict[str, tuple[Any, str]] = {
    "text": ("a box", "Boxes 'a box' are not right. They must be a list of boxes."),
    "one box": ({"x": 1}, "Boxes {'x': 1} are not right. They must be a list of boxes."),
    "no place": ([BOX, {"label": "3"}], "Box 2 has no x. It must have label, x, y, width, height."),
    "too few": ([[1, 2, 3]], "Box 1 is [1, 2, 3]. It must have label, x, y, width, height."),
    "no width": ([{**BOX, "width": 0}], "Box 1: width 0 is not right. It must be a number above 0."),
    "words": ([BOX, BOX, {**BOX, "y": "top"}], "Box 3: y 'top' is not right. It must be a number."),
    "infinity": ([{**BOX, "x": float("inf")}], "Box 1: x inf is not right. It must be a number."),
    "no label": ([{**BOX, "label": None}], "Box 1: label None is not right. It must be the name or number of a class."),
    "more": ([{**BOX, "colour": "red"}], "Box 1 has 'colour', which no box has. It has label, x, y, width, height."),
    "many": ([BOX] * 31, "Boxes: 31 are too many. There can be 30."),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_box_is_named_with_what_is_wrong_in_it(case: str) -> None:
    boxes, sentence = WRONG[case]
    with pytest.raises(FieldError) as told:
        request_from({"boxes": boxes})
    assert (told.value.field, str(told.value)) == ("boxes", sentence)


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"strength": 1.5}, "Strength 1.5 is out of range. It can be 0 to 1."),
        ({"noise_level": 1000}, "Noise level 1000 is out of range. It can be 0 to 999."),
        ({"noise_level": "much"}, "Noise level 'much' is not right. It must be a whole number."),
        ({"aesthetic_score": 11}, "Aesthetic score 11 is out of range. It can be 0 to 10."),
        ({"refiner_switch": -0.1}, "Refiner switch -0.1 is out of range. It can be 0 to 1."),
        ({"original_width": -1}, "Original width -1 is out of range. It can be 0 to 65536."),
        ({"image": 5}, "Image 5 is not right. It must be text."),
        ({"image": "x" * 300}, "Image is too long. It can have 200 characters."),
        ({"class_label": 5}, "Class label 5 is not right. It must be text."),
        ({"long_prompt": "Wrap"}, "Long prompt 'Wrap' is unknown. It can be 'Continue' or 'Cut'."),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FieldError) as told:
        request_from(values)
    assert str(told.value) == sentence


def test_a_request_to_enlarge_survives_json_and_names_what_is_wrong() -> None:
    asked = EnlargeRequest(image="a" * 64, upscaler="4x", second_upscaler="Nearest", second_share=0.25, scale=1.5, width=100)
    assert enlarge_request_from(json.loads(json.dumps(request_to_dict(asked)))) == asked
    with pytest.raises(FieldError, match=r"Scale 9 is out of range. It can be 1 to 8\."):
        enlarge_request_from({"scale": 9})
    with pytest.raises(FieldError, match=r"No field is called .strength.\. Known: image, upscaler"):
        enlarge_request_from({"strength": 0.5})


def test_any_whole_number_of_pixels_can_be_asked() -> None:
    assert (request_from({"width": 579}).width, limits("width")) == (579, (64, 8192))
    assert limits("width", EnlargeRequest) == (0, 16384)


def test_a_request_tells_the_pictures_it_names() -> None:
    assert pictures_of(GenerationRequest(image="a", mask="b")) == {"image": "a", "mask": "b"}
    assert pictures_of(EnlargeRequest(image="a")) == {"image": "a"}
