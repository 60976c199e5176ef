"""webui bench [NAME] [--json FILE] [--full]: exit code 0 only where every bound that is printed is met."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.bench.table import Row, show
from webui.contract.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from webui.workspace.app import App


@dataclass(frozen=True)
class Program:
    """What the roof lends: how the program is put together. The benches measure that very program."""

    open: Callable[[Path], App]
    """A workspace with a data folder, on the processor."""
    open_on_card: Callable[[Path], App]
    """The same on a graphics card, where there is one."""
    serve: Callable[[App, int], FastAPI]
    """The API of a workspace, for a port."""
    serve_page: Callable[[App, int], FastAPI]
    """The same with the page."""

    @contextmanager
    def workspace(self) -> Iterator[App]:
        """A workspace over the pocket checkpoint, in a folder that goes away."""
        with tempfile.TemporaryDirectory() as folder:
            app = self.open(Path(folder))
            try:
                yield app
            finally:
                app.close()


def _loop(program: Program, full: bool) -> list[Row]:
    from webui.bench.loop import bench as measure_loop

    with program.workspace() as app:
        return measure_loop(app.parts, full)


def _calls(program: Program, _full: bool) -> list[Row]:
    from webui.bench.networks import bench_calls

    with program.workspace() as app:
        return bench_calls(app)


def _arithmetic(program: Program, full: bool) -> list[Row]:
    from webui.bench.networks import bench_arithmetic

    with program.workspace() as app:
        return bench_arithmetic(app, full)


def _delivery(program: Program, full: bool) -> list[Row]:
    from webui.bench.edges import bench_delivery, free_port

    with program.workspace() as app:
        port = free_port()
        return bench_delivery(app, program.serve(app, port), port, full)


def _page(program: Program, full: bool) -> list[Row]:
    from webui.bench.edges import free_port
    from webui.bench.page import bench as measure_page

    with program.workspace() as app:
        port = free_port()
        return measure_page(app, program.serve_page(app, port), port, full)


def _start(_program: Program, full: bool) -> list[Row]:
    from webui.bench.edges import bench_start

    return bench_start(full)


def _extensions(_program: Program, full: bool) -> list[Row]:
    from webui.bench.extensions import bench as measure_extensions

    return measure_extensions(full)


def _open(_program: Program, full: bool) -> list[Row]:
    from webui.bench.opening import bench as measure_opening

    return measure_opening(full)


def _batching(program: Program, full: bool) -> list[Row]:
    from webui.bench.batching import bench as measure_batching

    with program.workspace() as app:
        return measure_batching(app, full)


def _swap(program: Program, full: bool) -> list[Row]:
    from webui.bench.swap import bench as measure_swaps

    return measure_swaps(program.open, program.open_on_card, full)


def _memory(_program: Program, full: bool) -> list[Row]:
    from webui.bench.memory import bench as measure_memory

    return measure_memory(full)


def _catalog(_program: Program, full: bool) -> list[Row]:
    from webui.bench.catalog import bench as measure_catalog

    return measure_catalog(full)


def _realtime(program: Program, full: bool) -> list[Row]:
    from webui.bench.edges import free_port
    from webui.bench.realtime import bench as measure_stream
    from webui.bench.realtime import bench_card

    with program.workspace() as app:
        port = free_port()
        rows = measure_stream(app, program.serve_page(app, port), port, full)
    return [*rows, *bench_card(program.open_on_card, program.serve)]


BENCHES: Mapping[str, Callable[[Program, bool], list[Row]]] = {
    "loop": _loop, "calls": _calls, "arithmetic": _arithmetic, "delivery": _delivery, "page": _page, "start": _start,
    "extensions": _extensions, "open": _open, "catalog": _catalog, "realtime": _realtime, "batching": _batching, "swap": _swap,
    "memory": _memory,
}  # fmt: skip


def bench(options: Mapping[str, Any], program: Program) -> int:
    """Measure one bench, or all; 0 where every bound is met, else 1."""
    name = options.get("name", "")
    if name and name not in BENCHES:
        raise StartError(f"No bench is called {name!r}. Known: {', '.join(BENCHES)}.")
    rows: list[Row] = []
    for known, measure in BENCHES.items():
        if name in ("", known):
            print(f"measuring {known} ...", flush=True)
            rows += measure(program, bool(options.get("full")))
    print(show(rows))
    if target := options.get("json"):
        values = {
            "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
            "rows": [asdict(row) | {"met": row.is_met} for row in rows],
        }
        Path(target).write_text(json.dumps(values, indent=1), encoding="utf-8")
    missed = [row for row in rows if not row.is_met]
    print(
        f"{len(missed)} bounds missed: {', '.join(f'{row.bench} ({row.what})' for row in missed)}"
        if missed
        else "Every bound is met."
    )
    return 1 if missed else 0
