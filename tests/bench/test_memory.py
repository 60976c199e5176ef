"""The bench of memory, on its smallest case: what was estimated is what is used, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.bench.memory import MOST, Case, _in_child, _rows
from webui.bench.table import Row
from webui.contract.errors import StartError


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell the most that a process held")
def test_a_picture_uses_what_was_estimated(tmp_path: Path) -> None:
    case = Case("pocket", 256, 256)
    told = _in_child(case, tmp_path, "cpu")
    assert told["used"] > 256 * 256 * 100, "a picture passed through the networks"
    assert 1 <= told["estimated"] / told["used"] <= MOST


def test_a_case_that_cannot_be_drawn_ends_the_bench_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No checkpoint is called"):
        _rows(Case("nothing of that name", 64, 64), tmp_path, "cpu")


@pytest.mark.parametrize(("value", "is_met"), [(0.99, False), (1.0, True), (1.3, True), (1.31, False)])
def test_a_row_may_have_a_bound_on_both_sides(value: float, is_met: bool) -> None:
    row = Row("memory", "estimated / used", value, at_least=1.0, at_most=MOST)
    assert row.is_met is is_met and row.bound == ">= 1 <= 1.3"
