"""What it costs to go from one checkpoint to another, and what it leaves behind.

Full size: SD 1.5 with random weights in float16, in the releases' own keys; what is read is compared with reading the same
bytes and copying them once, each side in a process of its own with one thread, page cache and imports warm, in turn. Small:
the whole program with three checkpoints built alike and room for one, so that every swap reads its file and draws a picture.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from webui.bench import full_size
from webui.bench.opening import measured, peak
from webui.bench.table import Row
from webui.checkpoints import memory
from webui.contract.errors import StartError
from webui.contract.request import GenerationRequest
from webui.workspace.app import App

NAMES = ("one", "two", "three")
SWAPS = 200
CPU = torch.device("cpu")


def bench(open_: Callable[[Path], App], open_on_card: Callable[[Path], App], full: bool) -> list[Row]:
    """Swaps at full size (in full also of SDXL, where memory allows), 200 swaps of small ones, and what a broken file does.

    Args:
        open_, open_on_card: see Program.
    """
    sizes = {"SD 1.5": full_size.sd15(), **({"SDXL": full_size.sdxl()} if full else {})}
    rows = []
    for name, shapes in sizes.items():
        needed = 2.5 * 2 * sum(torch.Size(shape).numel() for shape in shapes.values())
        if needed > memory.free_bytes(CPU):
            print(f"swap: {name} is left out: two of them need {needed / 1e9:.0f} GB.", flush=True)
            continue
        with tempfile.TemporaryDirectory() as place:
            rows += _full_size(Path(place), name, shapes, 5 if full else 3)
    rows += _from_host(open_on_card)
    with tempfile.TemporaryDirectory() as place:
        return [*rows, *_many(open_, Path(place))]


# -- full size


def _full_size(folder: Path, name: str, shapes: full_size.Shapes, rounds: int) -> list[Row]:
    for seed, file in enumerate(NAMES[:2]):
        full_size.write(folder / f"{file}.safetensors", shapes, "F16", seed)
    took: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):  # interleaved, so that a slow minute meets both
        for side, seconds in took.items():
            seconds.append(_in_child(folder, side)["seconds"])
    ours, theirs = (statistics.median(took[side]) for side in ("ours", "theirs"))
    both = {name: statistics.median(values) for name, values in _many_children(folder, "both", rounds).items()}
    rows = [
        Row("swap", f"{name} in float16, first load: ours / load_file and one copy", ours / theirs, at_most=1.3),
        Row("swap", f"  ours, of {both['bytes'] / 1e9:.2f} GB", ours, "CPU s"),
        Row("swap", "  theirs", theirs, "CPU s"),
        Row("swap", "  the next of its family, built already: ours / theirs", both["second"] / theirs, at_most=1.3),
        Row("swap", f"{name}: between two that are resident, median", both["median"], "ms", at_most=10),
        Row("swap", "  the longest of 40", both["longest"], "ms"),
    ]
    if both["peak"]:
        rows.append(Row("swap", "  most memory while the second is read / bytes of both", both["peak"], at_most=1.1))
    return rows


def _many_children(folder: Path, side: str, rounds: int) -> dict[str, list[float]]:
    told = [_in_child(folder, side) for _ in range(rounds)]
    return {name: [one[name] for one in told] for name in told[0]}


def _in_child(folder: Path, side: str) -> dict[str, float]:
    command = [sys.executable, "-m", "webui.bench.swap", str(folder), side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"The bench's own process failed: {done.stderr.strip().splitlines()[-1:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _child(folder: Path, side: str) -> dict[str, float]:
    """Runs in a process of its own: one side of the comparison, or two checkpoints in memory."""
    torch.set_num_threads(1)
    for file in NAMES[: 2 if side == "both" else 1]:
        with (folder / f"{file}.safetensors").open("rb") as opened:  # into the page cache
            while opened.read(2**24):
                pass
    if side == "theirs":
        from safetensors.torch import load_file

        return measured(lambda: {name: tensor.clone() for name, tensor in load_file(folder / f"{NAMES[0]}.safetensors").items()})
    from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: F401 (seconds of imports, which are not the file's)
    from transformers import CLIPTextModel  # noqa: F401

    from webui.checkpoints.catalog import Catalog
    from webui.checkpoints.families import FAMILIES
    from webui.checkpoints.manager import Checkpoints

    catalog = Catalog([], [folder], FAMILIES, folder / "hashes.json")
    checkpoints = Checkpoints(catalog, NAMES[0], CPU, folder, host_memory_share=1.0, dtype=torch.float16)
    catalog.refresh()
    if side == "ours":
        return measured(lambda: checkpoints.load(NAMES[0]))
    before = peak(reset=True)
    for name in NAMES[:2]:
        began = time.thread_time()
        checkpoints.load(name)
        second = time.thread_time() - began
    highest, bytes_ = peak() - before, sum(one.bytes for one in checkpoints.status())
    times = []
    for i in range(40):
        began = time.perf_counter()
        with checkpoints.use(NAMES[i % 2]):
            times.append(1000 * (time.perf_counter() - began))
    return {
        "median": statistics.median(times),
        "longest": max(times),
        "peak": highest / bytes_ if before else 0.0,
        "bytes": bytes_ / 2,
        "second": second,
    }


# -- a graphics card


def _from_host(open_on_card: Callable[[Path], App]) -> list[Row]:
    """From host memory to the card, first picture included and what it takes without a swap taken off, against the bare copy."""
    if not torch.cuda.is_available():
        print("swap: from host memory is left out: here it is the device's memory.", flush=True)
        return []
    with tempfile.TemporaryDirectory() as place:
        folder = _data(Path(place), NAMES[:2], full_size.sd15())
        app = open_on_card(folder)
        try:
            return app.queue.machine.do(lambda: _measured_card(app))
        finally:
            app.close()


def _measured_card(app: App) -> list[Row]:
    def picture(name: str) -> float:
        began = time.perf_counter()
        _draw(app, name, 512)
        torch.cuda.synchronize()
        return time.perf_counter() - began

    for name in NAMES[:2]:
        picture(name)
    resident = statistics.median(picture(NAMES[1]) for _ in range(7))
    swaps = []
    for i in range(9):
        app.checkpoints.make_room(memory.total_bytes(app.checkpoints.device))  # all that is idle leaves for host memory
        swaps.append(picture(NAMES[i % 2]) - resident)
    bytes_ = app.checkpoints.status()[0].bytes
    host, card = torch.empty(bytes_, dtype=torch.uint8, pin_memory=True), torch.empty(bytes_, dtype=torch.uint8, device="cuda")
    copies = []
    for _ in range(9):
        began = time.perf_counter()
        card.copy_(host)
        torch.cuda.synchronize()
        copies.append(time.perf_counter() - began)
    ours, bare = statistics.median(swaps[1:]), statistics.median(copies[1:])
    return [
        Row("swap", f"SD 1.5 from host memory, {torch.cuda.get_device_name()}: ours / the bare copy", ours / bare, at_most=1.25),
        Row("swap", f"  ours, of {bytes_ / 1e9:.2f} GB", 1000 * ours, "ms"),
        Row("swap", "  the bare copy", 1000 * bare, "ms"),
    ]


# -- the whole program


def _data(folder: Path, names: tuple[str, ...], shapes: full_size.Shapes) -> Path:
    """A data folder with checkpoints of random values."""
    place = folder / "models" / "Stable-diffusion"
    place.mkdir(parents=True)
    for seed, name in enumerate(names):
        full_size.write(place / f"{name}.safetensors", shapes, "F16", seed)
    return folder


def _draw(app: App, name: str, side: int = 64) -> bytes:
    request = GenerationRequest(prompt="a fox", checkpoint=name, steps=1, guidance=1, width=side, height=side, seed=1)
    return next(app.generate(request)).image.tobytes()


def _many(open_: Callable[[Path], App], folder: Path) -> list[Row]:
    _data(folder, (*NAMES, "broken"), full_size.small())
    (folder / "settings.json").write_text('{"host_memory_share": 1e-9}', encoding="utf-8")  # room for the one in use
    app = open_(folder)
    try:
        return [*app.queue.machine.do(lambda: _swapped(app)), *_broken(app, folder)]
    finally:
        app.close()


def _swapped(app: App) -> list[Row]:
    process = psutil.Process()
    first = {name: _draw(app, name) for name in NAMES}
    after_one = process.memory_info().rss
    is_same, began = True, time.process_time()
    for i in range(SWAPS):
        name = NAMES[i % len(NAMES)]
        is_same = is_same and _draw(app, name) == first[name]
    spent = (time.process_time() - began) / SWAPS
    is_same = is_same and len(set(first.values())) == len(NAMES)
    return [
        Row(
            "swap",
            f"{SWAPS} swaps among three, each read from its file: resident memory / after the first round",
            process.memory_info().rss / after_one,
            at_most=1.02,
        ),
        Row("swap", "  checkpoints in memory at the end", len(app.checkpoints.resident()), exactly=1),
        Row("swap", "  every picture has the bytes of the first round's", float(is_same), exactly=1),
        Row("swap", "  a swap and its picture, 7 million values", 1000 * spent, "CPU ms"),
    ]


def _broken(app: App, folder: Path) -> list[Row]:
    """A file that was cut off after it was listed is chosen: the one before serves on, and what is wrong is told."""
    app.choose_checkpoint(NAMES[0])
    app.checkpoints.settle()
    before = app.queue.machine.do(lambda: _draw(app, ""))
    file = folder / "models" / "Stable-diffusion" / "broken.safetensors"
    os.truncate(file, file.stat().st_size // 2)
    app.choose_checkpoint("broken")
    app.checkpoints.settle()
    serves = app.checkpoints.find().name == NAMES[0] == Path(app.settings.now.checkpoint).stem
    is_same = app.queue.machine.do(lambda: _draw(app, "")) == before
    is_told = "broken.safetensors" in app.checkpoints.find("broken").error
    is_well = serves and is_same and is_told
    return [Row("swap", "a broken file is chosen: it is told, and the old one serves on", float(is_well), exactly=1)]


if __name__ == "__main__":
    print(json.dumps(_child(Path(sys.argv[1]), sys.argv[2])))
