"""Names of classes become their numbers, and what is no name is answered with the nearest one."""

from __future__ import annotations

import pytest

from webui.checkpoints.labels import names, number_of
from webui.contract.errors import FieldError


@pytest.mark.parametrize(
    "label, number",
    [("0", 0), ("tench", 0), ("Tinca tinca", 0), (" GOLDFISH ", 1), ("toilet paper", 999), ("1000", 1000), ("drake", 97)],
)
def test_a_class_is_found_by_number_name_or_synonym(label: str, number: int) -> None:
    assert number_of("class", label, 1001) == number


def test_every_name_of_the_list_leads_to_its_own_number() -> None:
    assert len(names("class")) == 1000
    assert len(set(map(str.casefold, names("class")))) == 1000
    for number, name in enumerate(names("class")):
        assert number_of("class", name, 1000) == number
    for number, name in enumerate(names("map")):
        assert number_of("map", name, 182) == number


def test_the_labels_of_a_map_count_from_person() -> None:
    assert (names("map")[0], names("map")[156], names("map")[168], names("map")[181]) == ("person", "sky-other", "tree", "wood")


def test_a_near_miss_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(FieldError) as told:
        number_of("class", "goldfsh", 1001)
    assert str(told.value) == "No class is called 'goldfsh'. Did you mean 'goldfish' (1)?"
    assert told.value.field == "class_label"


def test_a_name_of_two_classes_asks_for_the_number() -> None:
    with pytest.raises(FieldError, match=r"'crane' names 134 \(crane\) and 517 \(crane\). Use the number."):
        number_of("class", "crane", 1001)
    assert number_of("class", "crane (517)", 1001) == 517


def test_a_usual_name_wins_over_a_synonym_of_another() -> None:
    assert number_of("class", "harp", 1000) == 594  # 593 is the harmonica, also called mouth harp


def test_numbers_beyond_the_model_are_refused() -> None:
    with pytest.raises(FieldError, match=r"no class 1001\. It can be 0 to 1000"):
        number_of("class", "1001", 1001)
    with pytest.raises(FieldError, match=r"no label of a box -1\. It can be 0 to 8191"):
        number_of("boxes", "-1", 8192)


@pytest.mark.parametrize("kind, count", [("boxes", 8192), ("class", 30)])
def test_where_the_names_are_not_known_a_number_is_asked_for(kind: str, count: int) -> None:
    assert number_of(kind, "17", count) == 17
    with pytest.raises(FieldError, match=f"'dog' is not a number.*use 0 to {count - 1}"):
        number_of(kind, "dog", count)
