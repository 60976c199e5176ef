"""What opening a full-size checkpoint costs, against reading the same bytes and copying them once.

Each side runs in a process of its own, one thread, imports and page cache warm; CPU seconds of that thread are
compared, since a shared disk or a second program would decide the wall clock.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from webui.bench import full_size
from webui.bench.table import Row
from webui.contract.errors import StartError

FILE = "full-size.safetensors"
TYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


def bench(full: bool) -> list[Row]:
    """SD 1.5 with random weights: in the file's own number format, and where it must be widened; in full also SDXL."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, shapes in {"SD 1.5": full_size.sd15(), **({"SDXL": full_size.sdxl()} if full else {})}.items():
            full_size.write(folder / FILE, shapes, "F16")
            chosen = str(_in_child(folder, "choose")["dtype"])
            if chosen != "float16":
                what = f"{name} in float16, opened as {chosen}: ours / load_file and .to"
                rows += _compare(folder, what, "float16", chosen, 5 if full else 3)
                full_size.write(folder / FILE, shapes, TYPES[chosen])
            rows += _compare(folder, f"{name} in {chosen}: ours / load_file and one copy", chosen, chosen, 5 if full else 3)
    return rows


def _compare(folder: Path, what: str, own: str, dtype: str, rounds: int) -> list[Row]:
    """A file of one number format, opened in another (or the same)."""
    size = (folder / FILE).stat().st_size
    took: dict[str, list[float]] = {"ours": [], "theirs": []}
    peaks = []
    for _ in range(rounds):  # interleaved, so that a slow minute meets both
        for side, seconds in took.items():
            told = _in_child(folder, side, dtype)
            seconds.append(float(told["seconds"]))
            if side == "ours":
                peaks.append(float(told["peak"]))
    ours, theirs = (statistics.median(took[side]) for side in ("ours", "theirs"))
    needed = size * full_size.KINDS[TYPES[dtype]] / full_size.KINDS[TYPES[own]]
    rows = [
        Row("open", what, ours / theirs, at_most=1.3),
        Row("open", f"  ours, of {size / 1e9:.2f} GB", ours, "CPU s"),
        Row("open", "  theirs", theirs, "CPU s"),
    ]
    if all(peaks):
        rows.append(Row("open", "  peak memory / bytes of the weights", statistics.median(peaks) / needed, at_most=1.15))
    return rows


def _in_child(folder: Path, side: str, dtype: str = "") -> dict[str, float | str]:
    command = [sys.executable, "-m", "webui.bench.opening", str(folder), side, dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"The bench's own process failed: {done.stderr.strip().splitlines()[-1:]}")
    told: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return told


def peak(reset: bool = False) -> float:
    """The most memory that this process ever held, in bytes; 0 where the system does not say (Linux does)."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return float(found[1]) * 1024 if found else 0.0


def measured(run: Callable[[], object]) -> dict[str, float]:
    """CPU seconds of this thread, and the most memory beyond what the process held before, in bytes."""
    before = peak(reset=True)
    start = time.thread_time()
    kept = run()
    spent = time.thread_time() - start
    highest = peak()
    del kept
    return {"seconds": spent, "peak": highest - before if highest and before else 0.0}


def _child(folder: Path, side: str, dtype: str) -> dict[str, float | str]:
    """Runs in a process of its own: one side of the comparison."""
    import torch

    torch.set_num_threads(1)
    with (folder / FILE).open("rb") as file:  # into the page cache
        while file.read(2**24):
            pass
    if side == "theirs":
        from safetensors.torch import load_file

        wanted = getattr(torch, dtype)

        def read() -> object:
            return {name: tensor.to(wanted, copy=True) for name, tensor in load_file(folder / FILE).items()}

        return dict(measured(read))
    from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: F401 (seconds of imports, which are not the file's)
    from transformers import CLIPTextModel  # noqa: F401

    from webui.checkpoints.catalog import Catalog
    from webui.checkpoints.families import FAMILIES
    from webui.checkpoints.manager import Checkpoints

    catalog = Catalog([], [folder], FAMILIES, folder / "hashes.json")
    checkpoints = Checkpoints(catalog, "", torch.device("cpu"), folder)
    catalog.refresh()

    def open_it() -> object:
        with checkpoints.use() as model:
            return model

    if side == "choose":
        with checkpoints.use() as model:
            return {"dtype": str(model.dtype).removeprefix("torch.")}
    return dict(measured(open_it))


if __name__ == "__main__":
    print(json.dumps(_child(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))
