"""Measured values beside their bounds: what `webui evaluate` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured value and its bounds."""

    name: str
    value: float
    unit: str
    ship: float
    aim: float
    is_ceiling: bool = False
    """The value may be at most the bound; otherwise at least."""

    def meets(self, bound: float) -> bool:
        if math.isnan(self.value):
            return False
        return self.value <= bound if self.is_ceiling else self.value >= bound

    def __str__(self) -> str:
        sign = "<=" if self.is_ceiling else ">="
        ship, aim = (
            f"{sign} {bound:g}{self.unit} {'holds' if self.meets(bound) else 'MISSED'}" for bound in (self.ship, self.aim)
        )
        return f"{self.name:<38}{self.value:8.2f}{self.unit:<4} ship {ship:<18} aim {aim}"


def verdict(rows: Sequence[Row]) -> int:
    """The exit code: 0 where every ship bound holds."""
    return 0 if all(row.meets(row.ship) for row in rows) else 1


def summary(name: str, rows: Sequence[Row]) -> str:
    shipped, aimed = sum(row.meets(row.ship) for row in rows), sum(row.meets(row.aim) for row in rows)
    word = "good to ship" if verdict(rows) == 0 else "NOT good to ship"
    return f"{name}: {word}, {shipped} of {len(rows)} ship bounds hold, {aimed} of {len(rows)} aims"
