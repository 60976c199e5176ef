"""What a picture really needs beside the weights, against what was estimated before: never less, and not much more.

Each case runs in a process of its own on one thread: the checkpoint is opened, a small picture warms up the libraries, and then
the high-water mark of the process (VmHWM) is set back and read after the picture. This counts also what kernels take for a moment
and give back, which no allocator in torch knows of.

glibc keeps freed pieces of up to 32 MB for later; what it keeps is no need of the picture, and is left to KEEP_FREE. So the
processes of the bench give every piece back at once (MALLOC_MMAP_THRESHOLD_).

Pockets draw whole pictures through the program; of SD 1.5 the U-Net and the decoder are measured one at a time, so that 5 GB do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.bench import full_size
from webui.bench.opening import peak
from webui.bench.table import Row
from webui.contract.errors import StartError

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from webui.checkpoints.model import Model

MOST = 1.3
"""Times what was used that may be estimated."""
FILE = "sd15.safetensors"


@dataclass(frozen=True)
class Case:
    """One picture, or one part of its way."""

    checkpoint: str
    """Name of one that comes with the program, or a file of full size."""
    width: int
    height: int
    batch: int = 1
    part: str = "picture"
    """"picture", "network" (both sides of guidance) or "decoder"."""
    dtype: str = "float32"
    is_last: bool = False
    tile: int = 0
    """Pixels of a side that are decoded at once; 0: all."""

    def __str__(self) -> str:
        name = "SD 1.5" if self.checkpoint == FILE else self.checkpoint
        what = f"{name} {self.width} x {self.height}" + (f", {self.batch} pictures" if self.batch > 1 else "")
        what += f", {self.part}" if self.part != "picture" else ""
        what += f" in tiles of {self.tile}" if self.tile else ""
        return f"{what}, {self.dtype}" + (" channels_last" if self.is_last else "")


POCKETS = (
    Case("pocket", 256, 256),
    Case("pocket", 512, 512),
    Case("pocket", 512, 512, batch=4),
    Case("pocket", 768, 512),
    Case("pocket", 1024, 1024, tile=256),
    Case("pocket", 512, 512, dtype="bfloat16"),
    Case("pocket-inpainting", 512, 512),
    Case("pocket-upscaler", 512, 512),
)
FULL_SIZE = (
    Case(FILE, 256, 256, part="network"),
    Case(FILE, 512, 512, part="network"),
    Case(FILE, 256, 256, part="decoder"),
    Case(FILE, 256, 256, part="decoder", is_last=True),
    Case(FILE, 512, 512, part="decoder"),
)
LARGE = (
    Case("pocket", 1024, 768),
    Case(FILE, 512, 768, part="network"),
    Case(FILE, 768, 768, part="network"),
    Case(FILE, 512, 512, part="decoder", is_last=True),
    Case(FILE, 768, 768, part="decoder"),
    Case(FILE, 512, 512, part="decoder", tile=256),
)
CARD = (
    Case(FILE, 512, 512, dtype="float16"),
    Case(FILE, 512, 512, batch=8, dtype="float16"),
    Case(FILE, 1024, 768, batch=2, dtype="float16"),
)
"""On a graphics card, whole pictures."""


def bench(full: bool) -> list[Row]:
    """Pockets and SD 1.5 with random weights; in full also the large ones, and a card's where there is one."""
    import torch

    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        full_size.write(folder / FILE, full_size.sd15())
        for case in (*POCKETS, *FULL_SIZE, *(LARGE if full else ())):
            rows += _rows(case, folder, "cpu")
        if torch.cuda.is_available():
            for case in CARD:
                rows += _rows(case, folder, "cuda")
        else:
            print("memory: there is no graphics card here, so what pictures need on one was not measured", flush=True)
    return rows


def _rows(case: Case, folder: Path, device: str) -> list[Row]:
    told = _in_child(case, folder, device)
    if not told["used"]:
        print(f"memory: this system does not tell the most that a process held, so {case} was not measured", flush=True)
        return []
    share = told["estimated"] / told["used"]
    return [
        Row("memory", f"{case}: estimated / used", share, at_least=1.0, at_most=MOST),
        Row("memory", "  used beside the weights", told["used"] / 1e6, "MB"),
    ]


def _in_child(case: Case, folder: Path, device: str) -> dict[str, float]:
    command = [sys.executable, "-m", "webui.bench.memory", json.dumps(asdict(case)), str(folder), device]
    surroundings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings)
    if done.returncode:
        raise StartError(f"The bench's own process failed: {done.stderr.strip().splitlines()[-1:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


# ---------------------------------------------------------------- in a process of its own


def _child(case: Case, folder: Path, device: str) -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    if case.part == "picture":
        return _picture(case, folder, torch.device(device))
    return _part(case, folder)


def _used(run: Callable[[], object], warm: Callable[[], object], device: torch.device) -> float:
    """Bytes that were held at most while run went on, beside those from before."""
    import gc

    import psutil
    import torch

    warm()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return float(torch.cuda.max_memory_allocated() - before)
    had = peak(reset=True)
    now = float(psutil.Process().memory_info().rss)
    run()
    most = peak()
    return most - now if had and most else 0.0


def _picture(case: Case, folder: Path, device: torch.device) -> dict[str, float]:
    """Through the program, in one step with guidance."""
    import torch

    from webui.checkpoints.catalog import Catalog
    from webui.checkpoints.estimate import setting_of
    from webui.checkpoints.manager import Checkpoints
    from webui.contract.request import GenerationRequest
    from webui.engine import plan, ways
    from webui.engine.generate import generate, work_for
    from webui.main import built_in
    from webui.workspace.paths import Paths

    parts, _ = built_in()
    models = Paths(folder, Paths(Path.cwd()).project).models
    catalog = Catalog(models, [folder], parts.families, folder / "hashes.json")
    checkpoints = Checkpoints(catalog, "", device, folder, dtype=getattr(torch, case.dtype))
    family = plan.readable(checkpoints.find(case.checkpoint))

    def asked(width: int, height: int, batch: int) -> GenerationRequest:
        values: dict[str, Any] = {"prompt": "a red sphere", "negative_prompt": "blue", "guidance": 2.0, "steps": 1, "seed": 1}
        if "image" in family.needs or family.enlarges > 1:
            values["image"] = f"{width // family.enlarges}x{height // family.enlarges}"
        values |= {"checkpoint": case.checkpoint, "width": width, "height": height, "batch_size": batch, "tile": case.tile}
        return GenerationRequest(**values)

    def draw(request: GenerationRequest) -> list[object]:
        return [picture.image.size for picture in generate(request, checkpoints, parts, pictures=_picture_named)]

    whole = asked(case.width, case.height, case.batch)
    used = _used(lambda: draw(whole), lambda: draw(asked(64, 64, 1)), device)
    with checkpoints.use(case.checkpoint) as model:
        work = work_for(whole, model, (case.width, case.height), case.batch)
        assert work.setting == setting_of(model)
    return {"used": used, "estimated": float(ways.need(work, ways.plain(work)))}


def _picture_named(name: str) -> Image.Image:
    """A picture of a size that its name says."""
    from PIL import Image

    width, height = map(int, name.split("x"))
    return Image.linear_gradient("L").resize((width, height)).convert("RGB")


def _part(case: Case, folder: Path) -> dict[str, float]:
    """One network alone, of a file of full size."""
    import torch

    from webui.checkpoints import estimate
    from webui.engine import autoencoder
    from webui.engine.generate import table_of
    from webui.engine.guidance import guide

    model = _only(case, folder)
    pixels, setting = case.width * case.height, estimate.setting_of(model)
    family, factor = model.family, model.family.latent_factor

    def ask(width: int, height: int) -> None:
        latents = torch.zeros(1, family.latent_channels, height // factor, width // factor)
        with torch.inference_mode():
            if case.part == "network":
                side = _conditioning(model)
                guide(model, table_of(model), side, side, 7.0, 1)(latents, 1.0)
            else:
                autoencoder.decode(latents, model, case.tile)

    used = _used(lambda: ask(case.width, case.height), lambda: ask(64, 64), torch.device("cpu"))
    if case.part == "network":
        return {"used": used, "estimated": float(estimate.network(family, 2, pixels, setting))}
    seen = min(case.tile or case.width, case.width) * min(case.tile or case.height, case.height)
    needed = estimate.decoding_in_tiles(family, pixels, seen, setting) + pixels * estimate.PIXEL
    return {"used": used, "estimated": float(needed)}


def _only(case: Case, folder: Path) -> Model:
    """A model with one of its networks."""
    import torch

    from webui.checkpoints.arithmetic import Arithmetic
    from webui.checkpoints.families import FAMILIES
    from webui.checkpoints.identify import identify
    from webui.checkpoints.load import load
    from webui.checkpoints.placing import place
    from webui.contract.result import CheckpointName

    path = folder / case.checkpoint
    model = load(path, identify(path, FAMILIES), path.name, CheckpointName(path.stem))
    model.encoders = {}
    if case.part == "network":
        model.autoencoder = None
    else:
        model.unet = None
    place(model, torch.device("cpu"), Arithmetic(getattr(torch, case.dtype), case.is_last))
    return model


def _conditioning(model: Model) -> Any:
    import torch

    from webui.contract.parts import Conditioning

    return Conditioning(crossattn=torch.zeros(1, 77, model.family.context_width))


if __name__ == "__main__":
    print(json.dumps(_child(Case(**json.loads(sys.argv[1])), Path(sys.argv[2]), sys.argv[3])))
