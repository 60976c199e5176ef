"""How soon 5,000 checkpoints are listed: at the very first look, at the next start, and when one asks again.

The files have the releases' own headers (SD 1.5, SDXL) and holes in the place of weights; most are hard links, so they take
no room. Their pages are in memory: it is the program that is measured, not the disk.
"""

from __future__ import annotations

import json
import math
import os
import struct
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from webui.bench import full_size
from webui.bench.table import Row
from webui.checkpoints.catalog import Catalog
from webui.checkpoints.families import FAMILIES
from webui.checkpoints.identify import identify
from webui.checkpoints.remembered import Record, Remembered
from webui.checkpoints.scan import Place

COUNT = 5000
DISTINCT = 10
PATIENCE = 0.5
"""As the page has it: what is not read after it is read behind."""


def bench(full: bool) -> list[Row]:
    with tempfile.TemporaryDirectory() as place:
        models = Path(place) / "models"
        write(models / "Stable-diffusion")
        kept = Path(place) / "hashes.json"
        fresh = Catalog([models], [], FAMILIES, kept, PATIENCE)
        listed = _timed(lambda: _expect(fresh))
        fresh.close()
        one = _timed(lambda: [identify(path, FAMILIES) for path in _firsts(models)]) / DISTINCT
        remember(models, kept)
        starts, agains, finds = [], [], []
        for _ in range(9 if full else 3):
            again = Catalog([models], [], FAMILIES, kept)
            starts.append(_timed(lambda: _expect(again), time.process_time))  # noqa: B023 (called at once)
            agains.append(_timed(again.refresh, time.process_time))  # nothing is read anew
            finds.append(_timed(lambda: again.find(f"set-{(COUNT - 1) % 40}/checkpoint-{COUNT - 1}.safetensors")))  # noqa: B023
    return [
        Row("catalog", f"{COUNT} files nobody knows: until they are listed", listed, "s", at_most=1.0),
        Row("catalog", "  one header read, which is done behind the page", 1000 * one, "ms"),
        Row("catalog", "  the same at the next start, all known again", min(starts), "CPU s", at_most=1.0),
        Row("catalog", "  looked at again", min(agains), "CPU s", at_most=0.5),
        Row("catalog", "  one of them found by its title", 1000 * min(finds), "ms", at_most=10),
    ]


def write(folder: Path, count: int = COUNT) -> None:
    """That many checkpoints in forty folders, every second in SDXL's layout."""
    for number in range(count):
        path = folder / f"set-{number % 40}" / f"checkpoint-{number}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        first = folder / f"set-{number % DISTINCT}" / f"checkpoint-{number % DISTINCT}.safetensors"
        if number < DISTINCT:
            write_hole(path, full_size.sdxl() if number % 2 else full_size.sd15())
        else:
            os.link(first, path)


def _firsts(models: Path) -> list[Path]:
    return [models / "Stable-diffusion" / f"set-{number}" / f"checkpoint-{number}.safetensors" for number in range(DISTINCT)]


def remember(models: Path, kept: Path) -> None:
    """What an earlier run would have found out: of each file what its header says, which many share here."""
    known = [identify(path, FAMILIES) for path in _firsts(models)]
    found = Place(models, is_models=True).look()
    numbers = [int(one.path.stem.rpartition("-")[2]) for one in found]
    records = [Record(one, {}, known[number % DISTINCT], "") for one, number in zip(found, numbers, strict=True)]
    Remembered(kept.with_name("identities.json"), FAMILIES).write(records)


def write_hole(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """A file of the whole size in float16 that takes the room of its header."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def _expect(catalog: Catalog) -> None:
    count = len(catalog.entries())
    assert count == COUNT, f"{count} of {COUNT} files were listed"


def _timed(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    run()
    return clock() - began
