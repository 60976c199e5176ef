"""Weights beside the checkpoints: files of models/FOLDER that an option of an extension may name (control networks and the
like)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from webui.checkpoints.download import Shelf
from webui.checkpoints.scan import LAYOUT, WEIGHTS, folders_of


def names(shelf: Shelf | None, folder: str) -> list[str]:
    """What there is to choose from, sorted: files with their suffix, folders in diffusers layout; below FOLDER, / between."""
    return sorted({name for name, _ in _places(shelf, folder)}, key=str.casefold)


def find(shelf: Shelf | None, folder: str, name: str) -> tuple[str, Path]:
    """(name as in `names`, where it is). The suffix may be left out, and a folder on the way to it, where that is clear.

    Raises:
        FileNotFoundError: none is called so, or several are; says which there are.
    """
    places = dict(reversed(list(_places(shelf, folder))))
    asked = name.replace("\\", "/").casefold()
    ways: tuple[Callable[[str], str], ...] = (str, _stem, _last, lambda one: _stem(_last(one)))
    for way in ways:
        found = [known for known in places if way(known).casefold() == asked]
        if len(found) == 1:
            return found[0], places[found[0]]
        if found:
            raise FileNotFoundError(f"{name!r} may be {' or '.join(sorted(found))} of models/{folder}.")
    known = ", ".join(names(shelf, folder)[:20])
    hint = f"There is {known}." if known else f"There is none yet: put one into models/{folder}."
    raise FileNotFoundError(f"No file of models/{folder} is called {name!r}. {hint}")


def _places(shelf: Shelf | None, folder: str) -> Iterator[tuple[str, Path]]:
    """(name, path); where two folders have the same name, the first one's comes first."""
    if shelf is None or not folder or folder.startswith(("/", "\\")) or ".." in Path(folder).parts:
        return
    is_known = folder in LAYOUT  # then it may be called otherwise, and lie elsewhere too
    roots = folders_of(folder, shelf.folders, shelf.more.get(folder, ())) if is_known else [one / folder for one in shelf.folders]
    for root in roots:
        for path in _below(root, frozenset()):
            yield path.relative_to(root).as_posix(), path


def _below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    try:
        own, entries = folder.resolve(), sorted(folder.iterdir())
    except OSError:
        return
    if own in above:  # a link that leads round in a circle
        return
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if (path / "config.json").is_file():
                yield path
            else:
                yield from _below(path, above | {own})
        elif path.suffix.lower() in WEIGHTS:
            yield path


def _stem(name: str) -> str:
    return next((name[: -len(suffix)] for suffix in WEIGHTS if name.lower().endswith(suffix)), name)


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]
