"""What extensions cost at start: fifty that register one sampler each, against none.

The whole start, from the command to a page that answers, is what the promise is about; but other programs on a machine move it
by more than extensions do. So the loading is also measured by itself, in processes of its own: by the clock and in CPU seconds.
Every round writes its extensions anew, so that their bytecode has to be made, as at the first start of all.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from webui.bench.edges import until_usable
from webui.bench.table import Row
from webui.contract.errors import StartError, WebUIError
from webui.workspace.own import Owns

COUNT = 50
CODE = '''"""A sampler of its own."""

from itertools import pairwise

import torch

from webui.contract import hookimpl


@hookimpl
def register_samplers(register):
    register("Sampler {number}", walk, aliases=("sampler_{number}",))


def walk(denoise, x, sigmas, noise):
    for sigma, sigma_next in pairwise(sigmas):
        x = torch.lerp(denoise(x, sigma), x, sigma_next / sigma)
    return x
'''


def write(data: Path, count: int = COUNT) -> None:
    """That many extensions into a data folder."""
    for number in range(count):
        folder = data / "extensions" / f"sampler-{number}"
        folder.mkdir(parents=True)
        (folder / "extension.toml").write_text(f'name = "sampler-{number}"\nversion = "1.0"\ncontract = "1"\n', "utf-8")
        (folder / "extension.py").write_text(CODE.format(number=number), "utf-8")


def bench(full: bool) -> list[Row]:
    without, with_all, took, spent = (list[float]() for _ in range(4))
    for number in range(9 if full else 5):
        for count in (0, COUNT) if number % 2 else (COUNT, 0):  # in turn, and neither always first
            with tempfile.TemporaryDirectory() as data:
                write(Path(data), count)
                (with_all if count else without).append(until_usable(Path(data)))
        with tempfile.TemporaryDirectory() as data:
            write(Path(data))
            told = _in_child(Path(data))
            took.append(told["seconds"])
            spent.append(told["cpu"])
    longer = statistics.median(b - a for a, b in zip(without, with_all, strict=True))
    return [
        Row("extensions", "to a usable page, without", statistics.median(without), "s"),
        Row("extensions", f"to a usable page, with {COUNT}", statistics.median(with_all), "s"),
        Row("extensions", f"{COUNT} of one sampler each: longer, median of pairs", longer, "s", at_most=0.5),
        Row("extensions", "  loading them alone, by the clock", statistics.median(took), "s", at_most=0.5),
        Row("extensions", "  loading them alone, CPU", statistics.median(spent), "CPU s"),
    ]


def _in_child(data: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "webui.bench.extensions", str(data)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"The bench's own process failed: {done.stderr.strip().splitlines()[-1:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def loading(data: Path) -> dict[str, float]:
    """Seconds that the extensions of a data folder take when all of the program's own parts are there.

    Raises:
        WebUIError: one of them was not loaded, so there is nothing to compare.
    """
    from webui.main import built_in
    from webui.plugins import load_extensions

    parts, plugins = built_in()
    clock, cpu = time.perf_counter(), time.process_time()
    extensions = load_extensions(parts, plugins, [data / "extensions"], Owns(data / "state", parts))
    spent = {"seconds": time.perf_counter() - clock, "cpu": time.process_time() - cpu}
    if failed := [one for one in extensions if one.error]:
        raise WebUIError(failed[0].error)
    return spent | {"loaded": float(len(extensions))}


if __name__ == "__main__":
    print(json.dumps(loading(Path(sys.argv[1]))))
