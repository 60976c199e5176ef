"""The numbers behind names of things: ImageNet's classes, COCO-Stuff's labels, and what a layout model's boxes may be.

Sources: latent-diffusion's data/imagenet_clsidx_to_label.txt (class-conditional models count as it does); COCO-Stuff's
labels.txt, counted from 0 = person as in the label maps that taming-transformers publishes with its pictures of
landscapes. The numbering of the layout model's classes was never published: its boxes are labelled by number.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

from webui.contract.errors import FieldError

DATA = Path(__file__).parent / "data"
FILES = {"class": "imagenet_classes.txt", "map": "coco_stuff_labels.txt"}
FIELDS = {"class": "class_label", "boxes": "boxes", "map": "map"}
WORDS = {"class": "class", "boxes": "label of a box", "map": "label of a map"}
NO_CLASS = 1
"""Class models of 1001 rows have one more than there are classes: it stands for no class."""


@lru_cache
def _lines(kind: str) -> tuple[tuple[str, ...], ...]:
    """The names of each number, the usual one first; () for a kind without names."""
    if kind not in FILES:
        return ()
    text = (DATA / FILES[kind]).read_text(encoding="utf-8")
    return tuple(tuple(name.strip() for name in line.split(",")) for line in text.splitlines())


@lru_cache
def names(kind: str) -> tuple[str, ...]:
    """One name for each number ("tench"), no two alike ("crane (517)"); () where the kind has none."""
    first = [line[0] for line in _lines(kind)]
    folded = [name.casefold() for name in first]
    return tuple(name if folded.count(name.casefold()) == 1 else f"{name} ({i})" for i, name in enumerate(first))


@lru_cache
def _numbers(kind: str) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """(usual name -> numbers, any name -> numbers), in small letters."""
    usual: dict[str, list[int]] = defaultdict(list)
    every: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(_lines(kind)):
        usual[line[0].casefold()].append(number)
        for name in {name.casefold() for name in line} | {", ".join(line).casefold()}:
            every[name].append(number)
    return dict(usual), dict(every)


def number_of(kind: str, label: str, count: int) -> int:
    """The number of a class or label that the user named.

    Args:
        kind: "class", "boxes" or "map".
        label: a number in digits, or a name in any case of letters, a synonym too.
        count: how many there are in the model; the names are known only where it has as many as they are.

    Raises:
        FieldError: no such number or name, or several have that name.
    """
    field, thing, wanted = FIELDS[kind], WORDS[kind], label.strip().casefold()
    if re.fullmatch(r"[+-]?[0-9]{1,12}", wanted):
        if 0 <= int(wanted) < count:
            return int(wanted)
        raise FieldError(field, f"There is no {thing} {wanted}. It can be 0 to {count - 1}, or a name where names are known.")
    lines = _lines(kind)
    if len(lines) not in (count, count - NO_CLASS):
        raise FieldError(
            field, f"The {thing} {label[:60]!r} is not a number. The names of this model's are not known: use 0 to {count - 1}."
        )
    in_list = [number for number, name in enumerate(names(kind)) if name.casefold() == wanted]
    usual, every = _numbers(kind)
    found = in_list or usual.get(wanted) or every.get(wanted) or []
    if len(found) == 1:
        return found[0]
    if found:
        several = " and ".join(f"{number} ({', '.join(lines[number])})" for number in found)
        raise FieldError(field, f"{label[:60]!r} names {several}. Use the number.")
    near = difflib.get_close_matches(wanted, every, n=1)
    hint = f"Did you mean {lines[every[near[0]][0]][0]!r} ({every[near[0]][0]})?" if near else "Use a number."
    raise FieldError(field, f"No {thing} is called {label[:60]!r}. {hint}")
