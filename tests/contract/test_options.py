"""A part's own options are its keyword-only parameters: read, checked, refused with one sentence."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest

from webui.contract import Choice, Range, Suggest
from webui.contract.errors import FieldError, PluginError
from webui.contract.options import Option, checked, options_of

if TYPE_CHECKING:
    from torch import Tensor


def pushed(
    denoise,
    x: Tensor,  # is not there at run time, and need not be
    sigmas,
    noise,
    *,
    push: Annotated[float, Range(0, 2), "How far each step goes"] = 1.0,
    tries: Annotated[int, Range(1, 5)] = 2,
    any_number: float = 3,
    word: str = "",
    keep_end: bool = True,
    variant: Literal["first", "second"] = "first",
    side: Annotated[str, Choice("left", "right")] = "right",
    stop_at: Annotated[float | None, Range(0.1, 10)] = None,
    untold=0.5,
    eta: float = 1.0,
    s_tmax: float = math.inf,
): ...


OPTIONS = options_of(pushed)


def test_every_kind_of_parameter_becomes_its_option() -> None:
    assert (
        Option("push", "float", 1.0, 0, 2, 0.01, (), "Push", "How far each step goes"),
        Option("tries", "int", 2, 1, 5, 1, (), "Tries"),
        Option("any_number", "float", 3.0, label="Any number"),
        Option("word", "str", "", label="Word"),
        Option("keep_end", "bool", True, label="Keep end"),
        Option("variant", "choice", "first", choices=("first", "second"), label="Variant"),
        Option("side", "choice", "right", choices=("left", "right"), label="Side"),
        Option("stop_at", "float", None, 0.1, 10, 0.01, (), "Stop at", is_optional=True),
        Option("untold", "float", 0.5, label="Untold"),
    ) == OPTIONS


def test_what_a_request_has_a_field_for_is_no_option_of_the_part() -> None:
    assert not {"eta", "s_tmax"} & {option.name for option in OPTIONS}


def test_options_are_those_of_what_stands_behind_a_wrapper() -> None:
    @functools.wraps(pushed)
    def wrapped(*args: Any, **more: Any) -> Any:
        return pushed(*args, **more)

    class Callable_:
        def __call__(self, x: Any, *, push: Annotated[float, Range(0, 2)] = 1.5) -> None: ...

    assert options_of(wrapped) == OPTIONS
    assert options_of(functools.partial(pushed, push=0.5))[0].default == 0.5
    assert [(one.name, one.default, one.high) for one in options_of(Callable_())] == [("push", 1.5, 2)]
    assert options_of(max) == ()  # C code tells no signature


def wrong_type(*, at: list[int] = []) -> None: ...  # noqa: B006
def no_default(*, at: float) -> None: ...
def beyond(*, at: Annotated[float, Range(0, 2)] = 3.0) -> None: ...
def no_choice(*, at: Literal["a"] = "b") -> None: ...  # type: ignore[assignment]
def two_kinds(*, at: int | str = 1) -> None: ...
def unheard(*, at: Nowhere = 1) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def none_at_all(*, at: float = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013
def not_a_number(*, at: float = math.nan) -> None: ...
def ranged_text(*, at: Annotated[str, Range(0, 2)] = "") -> None: ...
def backwards(*, at: Annotated[float, Range(2, 0)] = 1) -> None: ...
def numbered(*, at: Literal[1, 2] = 1) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (wrong_type, "its option 'at' is list[int], but an option is bool, int, float, str, or Literal of texts."),
        (no_default, "its option 'at' needs a default, as in at: float = 1.0."),
        (beyond, "its option 'at' has the default 3.0, but can be 0 to 2."),
        (no_choice, "its option 'at' has the default 'b', but can be 'a'."),
        (two_kinds, "its option 'at' is int | str, but an option is"),
        (unheard, "its option 'at' has the type Nowhere, which cannot be read: name 'Nowhere' is not defined."),
        (none_at_all, "its option 'at' has the default None, but can be a number."),
        (not_a_number, "its option 'at' has the default nan, but can be a number."),
        (ranged_text, "its option 'at' has a range, so its type is float or int, not str."),
        (backwards, "cannot be read: Range(2, 0) is no range: it goes from a number to a greater one."),
        (numbered, "its option 'at' is Literal[1, 2], but an option is"),
    ],
)
def test_what_no_option_can_be_made_of_is_named(function: Callable[..., None], words: str) -> None:
    with pytest.raises(PluginError) as raised:
        options_of(function)
    assert words in str(raised.value)


@pytest.mark.parametrize("bounds", [(1, 1), (0, math.inf), (math.nan, 1), (0, 1, 0), (0, 1, 2), (True, 3)])
def test_a_range_goes_from_a_number_to_a_greater_one(bounds: tuple[float, ...]) -> None:
    with pytest.raises(PluginError):
        Range(*bounds)


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ({"push": 1}, {"push": 1.0}),
        ({"push": 0.0, "tries": 5}, {"push": 0.0, "tries": 5}),
        ({"stop_at": None, "word": "ä", "keep_end": False}, {"stop_at": None, "word": "ä", "keep_end": False}),
        ({"variant": "second", "side": "left"}, {"variant": "second", "side": "left"}),
    ],
)
def test_values_are_those_that_the_part_is_called_with(given: dict[str, Any], called: dict[str, Any]) -> None:
    found = checked("Pushed", OPTIONS, given, "sampler_options")
    assert found == called
    assert list(map(type, found.values())) == list(map(type, called.values()))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"push": 2.1}, "Option 'push' of Pushed cannot be 2.1. It can be 0 to 2."),
        ({"push": math.nan}, "Option 'push' of Pushed cannot be nan. It can be 0 to 2."),
        ({"push": True}, "Option 'push' of Pushed cannot be True. It can be 0 to 2."),
        ({"push": "1"}, "Option 'push' of Pushed cannot be '1'."),
        ({"push": 10**400}, "Option 'push' of Pushed cannot be 1000"),
        ({"any_number": math.inf}, "It can be a number."),
        ({"tries": 2.0}, "Option 'tries' of Pushed cannot be 2.0. It can be a whole number, 1 to 5."),
        ({"word": "x" * 10_001}, "It can be text."),
        ({"keep_end": 1}, "It can be true or false."),
        ({"variant": "third"}, "It can be 'first', 'second'."),
        ({"stop_at": 11}, "It can be 0.1 to 10 or nothing."),
        (
            {"pull": 1},
            "Pushed has no option 'pull'. It has push (0 to 2), tries (a whole number, 1 to 5), any_number (a number), ",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_range(given: dict[str, Any], words: str) -> None:
    with pytest.raises(FieldError) as raised:
        checked("Pushed", OPTIONS, given, "sampler_options")
    assert words in str(raised.value)
    assert raised.value.field == "sampler_options"


def test_an_option_is_plain_values_and_a_schema() -> None:
    push, *_, stop, _ = OPTIONS
    assert push.to_dict() == {
        "name": "push", "kind": "float", "default": 1.0, "low": 0, "high": 2, "step": 0.01, "choices": [], "label": "Push",
        "about": "How far each step goes", "is_optional": False, "suggestions": [], "of": "",
    }  # fmt: skip
    assert push.schema() == {
        "type": "number", "title": "Push", "default": 1.0, "minimum": 0, "maximum": 2, "description": "How far each step goes",
    }  # fmt: skip
    assert stop.schema()["type"] == ["number", "null"]


def test_a_text_may_have_suggestions_and_be_any_other() -> None:
    def sampled(*, field: Annotated[str, Suggest("Steps", "Seed"), "Which field"] = "Steps") -> None: ...

    (option,) = options_of(sampled)
    assert (option.kind, option.suggestions, option.about) == ("str", ("Steps", "Seed"), "Which field")
    assert option.value("something else") == "something else"

    def numbered(*, field: Annotated[int, Suggest("1")] = 1) -> None: ...

    with pytest.raises(PluginError, match="suggestions"):
        options_of(numbered)
