"""A measured row, and how rows are shown."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured number; it has a bound where the project promises one."""

    bench: str
    what: str
    value: float
    unit: str = ""
    at_most: float | None = None
    exactly: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool:
        if self.exactly is not None:
            return self.value == self.exactly
        return (self.at_most is None or self.value <= self.at_most) and (self.at_least is None or self.value >= self.at_least)

    @property
    def bound(self) -> str:
        if self.exactly is not None:
            return f"= {self.exactly:g}"
        least = "" if self.at_least is None else f">= {self.at_least:g}"
        most = "" if self.at_most is None else f"<= {self.at_most:g}"
        return " ".join(filter(None, (least, most)))


def show(rows: list[Row]) -> str:
    lines = [("bench", "what", "measured", "bound", "")]
    lines += [
        (
            row.bench,
            row.what,
            f"{row.value:.4g} {row.unit}".rstrip(),
            row.bound,
            "" if not row.bound else "met" if row.is_met else "MISSED",
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def cpu_seconds(run: Callable[[], object], rounds: int = 5) -> float:
    """Median CPU seconds (this process, user and system) of a call, after one warm-up."""
    run()
    gc.collect()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return statistics.median(times)
