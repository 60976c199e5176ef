"""webui verify FOLDER: the releases' own numbers against ours. Exit code 0 only where every check passes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from webui.contract.errors import StartError, WebUIError
from webui.contract.parts import Parts
from webui.verify.case import Case, CaseError, Check, read_case
from webui.verify.checks import Bench, computed, error_of
from webui.verify.opening import SAYING, SPOILED, check_family, identity_of, laid_out, open_folder, unsaid
from webui.verify.table import Row, heading, last_line

WITHOUT = ", file alone"
"""Marks the checks of the second pass, without the configuration"""
LIKE_A_CASE = ("*.npz", "*.ckpt", "*.safetensors", "*.yaml")


def verify(folder: Path, parts: Parts, models: Sequence[Path] = ()) -> int:
    """Check every case below a folder, and print a row for each check.

    Args:
        models: models/ folders, where files that are not bundled may lie.

    Returns:
        0 where every check passes, else 1.

    Raises:
        StartError: there is no such folder.
    """
    if not folder.is_dir():
        raise StartError(f"{folder} is not a folder. Give the folder of built cases.")
    own = [folder] if (folder / "case.json").exists() else []
    cases = [*own, *(path for path in sorted(folder.iterdir()) if _is_like_a_case(path))]
    widths = max([len(case.name) for case in cases] or [4]), 34
    rows: list[Row] = []
    print(heading(widths))
    for case in cases:
        for row in verify_case(case, parts, models):
            if isinstance(row, str):
                print(f"{case.name:<{widths[0]}}  {row}", flush=True)
                continue
            rows.append(row)
            print(row.line(widths), flush=True)
    if not rows:
        print(f"{folder} holds no cases: folders with case.json, arrays.npz and a built checkpoint.")
    print(last_line(rows))
    return 0 if rows and all(row.is_met for row in rows) else 1


def _is_like_a_case(path: Path) -> bool:
    return path.is_dir() and ((path / "case.json").exists() or any(True for kind in LIKE_A_CASE for _ in path.glob(kind)))


def verify_case(folder: Path, parts: Parts, models: Sequence[Path]) -> Iterator[Row | str]:
    """The rows of one case, and what is to be said of it: first with its configuration, then the file alone."""
    try:
        case = read_case(folder)
        if case.family not in parts.families:
            raise CaseError(f"The family {case.family!r} is not known here. Known: {', '.join(parts.families.names())}.")
    except CaseError as error:
        yield Row(folder.name, "case.json", problem=str(error))
        return
    with tempfile.TemporaryDirectory() as place:
        kept = Path(place)
        fits = all(Path(file).with_suffix(".yaml").name == configuration for file, configuration in case.checkpoints.items())
        told = case.folder if fits else laid_out(case, kept / "told", with_configuration=True)
        yield from _checked(case, told, parts, models, kept, "")
        alone = laid_out(case, kept / "alone", with_configuration=False)
        try:
            missing = _unsaid(case, told, alone, parts, models, kept)
        except WebUIError as error:
            yield Row(case.name, f"opening{WITHOUT}", problem=str(error), checks=len(case.checks))
            return
        spoiled = set().union(*(SPOILED[word] for word in missing))
        left = tuple(check for check in case.checks if check.kind not in spoiled)
        if missing:
            kinds = ", ".join(dict.fromkeys(check.kind for check in left)) or "nothing"
            yield f"without its configuration {kinds} can be checked: the file does not say {_listed(missing)}"
        if left:
            yield from _checked(replace(case, checks=left), alone, parts, models, kept, WITHOUT)


def _listed(missing: Sequence[str]) -> str:
    return " and ".join(SAYING[word] for word in missing)


def _unsaid(case: Case, told: Path, alone: Path, parts: Parts, models: Sequence[Path], kept: Path) -> list[str]:
    first, second = (open_folder(folder, parts, models, kept) for folder in (told, alone))
    words = {word: None for file in case.checkpoints for word in unsaid(identity_of(first, file), identity_of(second, file))}
    return list(words)


def _checked(case: Case, folder: Path, parts: Parts, models: Sequence[Path], kept: Path, mark: str) -> Iterator[Row]:
    checkpoints = open_folder(folder, parts, models, kept)
    try:
        first, *others = case.checkpoints
        check_family(case, identity_of(checkpoints, first), first)
        for file in others:
            identity_of(checkpoints, file)
        with checkpoints.use(first) as model:
            bench = Bench(case, checkpoints, parts, model)
            for check in case.checks:
                yield _row(check, bench, mark)
    except WebUIError as error:
        yield Row(case.name, f"opening{mark}", problem=str(error), checks=len(case.checks))


def _row(check: Check, bench: Bench, mark: str) -> Row:
    """One check: the output that is worst off, measured by what it may be off."""
    case, worst, seen = bench.case, (-1.0, "", 0.0, 0.0), set()
    try:
        for name, ours in computed(check, bench):
            error, tolerance = error_of(ours, check.tensor(name)), case.allowed(check.kind, name)
            share = error / tolerance if tolerance else (0.0 if error == 0 else float("inf"))
            worst = max(worst, (share, name, error, tolerance))
            seen.add(name)
        if missing := [name for name in check.expected() if name not in seen]:
            raise CaseError(f"Nothing of ours stands against {missing[0]}.")
    except WebUIError as problem:
        return Row(case.name, check.name + mark, problem=str(problem))
    except (RuntimeError, KeyError, ValueError, TypeError, IndexError) as problem:  # a wrong shape, a missing input
        return Row(case.name, check.name + mark, problem=f"{type(problem).__name__}: {str(problem).splitlines()[0][:200]}")
    _, name, error, tolerance = worst
    shown = f" {name}" if len(seen) > 1 else ""
    return Row(case.name, f"{check.name}{shown}{mark}", error, tolerance)
