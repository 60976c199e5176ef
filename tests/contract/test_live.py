"""What a page may send of its controls: each thing that can be wrong is named in one sentence."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.contract.errors import FieldError
from webui.contract.live import LiveInput, live_input_from

WHOLE = {
    "input": 17, "checkpoint": "", "prompt": "a fox", "negative_prompt": "", "seed": 5, "steps": 1, "width": 128, "height": 128,
    "strength": 0.6, "smooth": 0.3, "picture": True,
}  # fmt: skip


def test_the_whole_state_of_the_controls_is_read() -> None:
    assert dataclasses.asdict(live_input_from(json.loads(json.dumps(WHOLE)))) == WHOLE
    assert live_input_from({"input": 0}) == LiveInput(input=0)


def test_whole_numbers_do_where_numbers_are_asked() -> None:
    assert live_input_from({"input": 1, "strength": 1, "smooth": 2}) == LiveInput(input=1, strength=1.0, smooth=2.0)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input": None}, "Input None is not right. It must be a whole number."),
    ({"input": -1}, "Input -1 is out of range. It can be 0 to 9007199254740992."),
    ({"input": 1.5}, "Input 1.5 is not right. It must be a whole number."),
    ({"input": True}, "Input True is not right. It must be a whole number."),
    ({"input": "1"}, "Input '1' is not right. It must be a whole number."),
    ({"input": [1]}, "Input [1] is not right. It must be a whole number."),
    ({"seed": -1}, "Seed -1 is out of range. It can be 0 to 9223372036854775807."),
    ({"seed": 2**63}, "Seed 9223372036854775808 is out of range. It can be 0 to 9223372036854775807."),
    ({"steps": 0}, "Steps 0 is out of range. It can be 1 to 4."),
    ({"steps": 5}, "Steps 5 is out of range. It can be 1 to 4."),
    ({"width": 63}, "Width 63 is out of range. It can be 64 to 8192."),
    ({"height": 8193}, "Height 8193 is out of range. It can be 64 to 8192."),
    ({"strength": 1.01}, "Strength 1.01 is out of range. It can be 0 to 1."),
    ({"strength": float("nan")}, "Strength nan is not right. It must be a finite number."),
    ({"strength": None}, "Strength None is not right. It must be a number."),
    ({"smooth": float("inf")}, "Smooth inf is not right. It must be a finite number."),
    ({"smooth": -0.1}, "Smooth -0.1 is out of range. It can be 0 to 10."),
    ({"picture": 1}, "Picture 1 is not right. It must be true or false."),
    ({"picture": "data:image/png;base64,AAAA"}, "Picture 'data:image/png;base64,AAAA' is not right. It must be true or false."),
    ({"prompt": ["a"]}, "Prompt ['a'] is not right. It must be text."),
    ({"prompt": "x" * 100_001}, "Prompt is too long. It can have 100,000 characters."),
    ({"checkpoint": "x" * 1001}, "Checkpoint is too long. It can have 1,000 characters."),
]


@pytest.mark.parametrize("values, sentence", WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_value_is_named(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FieldError) as told:
        live_input_from({"input": 1, **values})
    assert (told.value.field, str(told.value)) == (next(iter(values)), sentence)


def test_a_missing_and_an_unknown_field_are_named() -> None:
    with pytest.raises(FieldError, match=r"^Input is missing\.$"):
        live_input_from({"prompt": "a fox"})
    with pytest.raises(FieldError, match=r"^No field is called 'sampler'\. Known: input, prompt, negative_prompt, checkpoint"):
        live_input_from({"input": 1, "sampler": "Euler"})
    with pytest.raises(FieldError) as told:
        live_input_from({"input": 1, "x" * 100_000: 1})
    assert len(str(told.value)) < 300 and len(told.value.field) < 100


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(WHOLE)) | st.text(max_size=8), anything, max_size=6))
def test_whatever_comes_is_an_input_or_one_sentence_about_a_field(values: dict[str, Any]) -> None:
    try:
        read = live_input_from(values)
    except FieldError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
    else:
        assert all(getattr(read, name) == value for name, value in values.items())
