"""X/Y/Z plot: the same picture again and again, with other values of one, two or three fields, and labelled grids of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Any

from webui.contract import Choice, Range, Suggest, hookimpl
from webui.contract.errors import FieldError
from webui.contract.request import GenerationRequest

from .axes import Axis, axis_of
from .grid import Sheet, smaller

Place = tuple[int, int, int]
"""Of a cell: which value of x, y and z."""
FIELD = "Steps, Sampler, Seed, Prompt S/R, any field, or an option like sampler_options.push"
FIELDS = Suggest(
    "Steps", "Sampler", "Schedule type", "CFG Scale", "Seed", "Prompt S/R", "Prompt order", "Size", "Checkpoint name",
    "Denoising strength", "Variation strength", "Clip skip", "Hires upscaler", "Refiner checkpoint", "Eta",
)  # fmt: skip
VALUES = "5, 10, 20 or 1-5, 1-10(+3), 1-10[4]"


@hookimpl
def register_scripts(register):
    register("X/Y/Z plot", plot, aliases=("xyz plot", "XY plot"), count=count)


def plot(
    request: GenerationRequest,
    *,
    x_field: Annotated[str, FIELDS, FIELD] = "",
    x_values: Annotated[str, VALUES] = "",
    y_field: Annotated[str, FIELDS, FIELD] = "",
    y_values: Annotated[str, VALUES] = "",
    z_field: Annotated[str, FIELDS, "One grid for each of its values"] = "",
    z_values: Annotated[str, VALUES] = "",
    grid: Annotated[str, Choice("with labels", "without labels", "none")] = "with labels",
    margin: Annotated[int, Range(0, 200), "Pixels between pictures"] = 0,
) -> Iterator[Any]:
    """All cells are checked before the first is drawn. What costs most to change (the checkpoint) changes least often."""
    axes = axes_of(request, x_field, x_values, y_field, y_values, z_field, z_values)
    places = in_order(axes)
    filled = yield [cell(request, axes, place) for place in places]
    drawn: dict[Place, Any] = {}
    for place, asked in zip(places, filled, strict=True):
        pictures = yield asked
        if grid != "none":
            drawn[place] = smaller([picture.image for picture in pictures], len(places))
    if grid != "none":
        x, y, z = axes
        for number in range(len(z.values)):
            sheet = Sheet(
                [[drawn[i, j, number] for i in range(len(x.values))] for j in range(len(y.values))],
                x.labels if grid == "with labels" else (),
                y.labels if grid == "with labels" else (),
                z.labels[number] if grid == "with labels" and z.field else "",
                margin,
            )
            yield sheet.drawn()


def count(request: GenerationRequest, *, grid: str, margin: int, **values: str) -> int:
    """Pictures and grids. What is wrong with an axis is said here, before the job is queued."""
    axes = axes_of(request, **values)
    cells = len(axes[0].values) * len(axes[1].values) * len(axes[2].values)
    return cells * request.pictures + (0 if grid == "none" else len(axes[2].values))


def axes_of(
    request: GenerationRequest, x_field: str, x_values: str, y_field: str, y_values: str, z_field: str, z_values: str
) -> tuple[Axis, Axis, Axis]:
    """Raises FieldError: a field or a value is wrong, nothing is varied, or something twice."""
    asked = (("X", x_field, x_values), ("Y", y_field, y_values), ("Z", z_field, z_values))
    x, y, z = (axis_of(request, letter, field, values) for letter, field, values in asked)
    fields = [axis.field for axis in (x, y, z) if axis.field and not axis.is_repeatable]
    if not any(axis.field for axis in (x, y, z)):
        raise FieldError("script_options", "X/Y/Z plot has nothing to vary. Give x_field and x_values, like Steps and 5, 10, 20.")
    for field in fields:
        if fields.count(field) > 1:
            raise FieldError("script_options", f"Two axes vary {field}. Vary it on one of them.")
    return x, y, z


def in_order(axes: tuple[Axis, Axis, Axis]) -> list[Place]:
    """The cells as they are drawn: the axis that is dear to change is the outermost, else z, y, x."""
    outer = sorted((2, 1, 0), key=lambda number: -axes[number].cost)
    ranges = [range(len(axes[number].values)) for number in outer]
    return [tuple(indices[outer.index(number)] for number in range(3)) for indices in itertools.product(*ranges)]  # type: ignore[misc]


def cell(request: GenerationRequest, axes: tuple[Axis, Axis, Axis], place: Place) -> GenerationRequest:
    """The request of one cell. What names a part comes before that part's options, and both before the rest."""
    chosen = sorted(zip(axes, place, strict=True), key=lambda pair: pair[0].turn)
    for axis, index in chosen:
        if axis.field:
            request = axis.apply(request, axis.values[index])
    return request
