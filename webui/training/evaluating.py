"""The evaluations by name, and the one way they are run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from webui.contract.errors import FieldError, UnknownNameError
from webui.training.evaluations import depth, inpainting, pocket, tiny, turbo, upscaler
from webui.training.options import EvaluateOptions
from webui.training.table import Row, summary, verdict

Measure = Callable[[EvaluateOptions, Callable[[str], None]], list[Row]]
EVALUATIONS: dict[str, Measure] = {
    "pocket": pocket.measure,
    "inpainting": inpainting.measure,
    "depth": depth.measure,
    "upscaler": upscaler.measure,
    "tiny": tiny.measure,
    "turbo": turbo.measure,
}
ALL = "all"


def run_evaluate(name: str, options: EvaluateOptions, say: Callable[[str], None] = print) -> int:
    """Measure, print row by row with a summary last. 0 where every ship bound holds, else 1; aims do not count.

    "all" measures one after the other what comes with the program, and prints one table at the end.
    """
    if name not in EVALUATIONS and name != ALL:
        raise UnknownNameError("evaluation", name, [*EVALUATIONS, ALL])
    if 0 < options.pictures < 10:
        raise FieldError("pictures", f"{options.pictures} pictures are too few to measure anything: take 10 or more.")
    table: dict[str, list[Row]] = {}
    for each in EVALUATIONS if name == ALL else [name]:
        asked = options
        if name == ALL:
            asked = replace(options, checkpoint=options.of(each), sheet=options.sheet.with_name(f"{each}.png"))
            say(f"--- {each}")
        table[each] = EVALUATIONS[each](asked, say)
    for each, rows in table.items():
        for row in rows:
            say(str(row) if name != ALL else f"{each:<11}{row}")
        say(summary(each, rows))
    return max(verdict(rows) for rows in table.values())
