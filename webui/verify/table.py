"""A row of the table: one check, how far off it is, and how far it may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    case: str
    what: str
    error: float | None = None
    """The largest, in parts of the largest expected number; None: it could not be computed"""
    tolerance: float | None = None
    problem: str = ""
    """Why it could not be computed"""
    checks: int = 1
    """How many it stands for: a checkpoint that does not open fails all of its own"""

    @property
    def is_met(self) -> bool:
        return not self.problem and self.error is not None and self.tolerance is not None and self.error <= self.tolerance

    def line(self, widths: tuple[int, int]) -> str:
        error, tolerance = ("-" if value is None else f"{value:.1e}" for value in (self.error, self.tolerance))
        verdict = "pass" if self.is_met else f"FAIL{f': {self.problem}' if self.problem else ''}"
        return f"{self.case:<{widths[0]}}  {self.what:<{widths[1]}}  {error:>13}  {tolerance:>9}  {verdict}"


def heading(widths: tuple[int, int]) -> str:
    return f"{'case':<{widths[0]}}  {'what':<{widths[1]}}  {'largest error':>13}  {'tolerance':>9}"


def last_line(rows: list[Row]) -> str:
    met = sum(row.checks for row in rows if row.is_met)
    return f"{met} of {sum(row.checks for row in rows)} checks pass"
