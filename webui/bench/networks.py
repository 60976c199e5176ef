"""How often the networks are called for a picture, and whether the arithmetic that was chosen is the right one."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from webui.bench.table import Row
from webui.checkpoints.arithmetic import candidates, choose, measure
from webui.checkpoints.load import load
from webui.contract.request import GenerationRequest
from webui.engine.generate import generate
from webui.workspace.app import App


def bench_calls(app: App) -> list[Row]:
    """The U-Net once a step (both guidance sides in one call), the text encoder not for a prompt seen before, the
    decoder once."""
    counts: Counter[str] = Counter()

    def counting(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            counts[name] += 1

        return hook

    request = GenerationRequest(prompt="a red sphere on a checkered floor", steps=20, seed=1, sampler="DPM++ 2M")
    with app.checkpoints.use() as model:
        list(generate(request, app.checkpoints, app.parts))
        parts = {"unet": model.unet, "text": model.encoders["text"], "decoder": model.autoencoder.decoder}
        handles = [network.register_forward_hook(counting(name)) for name, network in parts.items()]
        list(generate(request, app.checkpoints, app.parts))
        for handle in handles:
            handle.remove()
    return [
        Row("calls", "U-Net, 20 steps with guidance", counts["unet"], exactly=20),
        Row("calls", "text encoder, a prompt seen before", counts["text"], exactly=0),
        Row("calls", "decoder", counts["decoder"], exactly=1),
    ]


def bench_arithmetic(app: App, full: bool) -> list[Row]:
    """The arithmetic that the probe chooses against the best of all, by the quickest of interleaved runs."""
    entry = app.checkpoints.find()
    assert entry.identity
    device, family = app.checkpoints.device, entry.identity.family
    model = load(entry.path, entry.identity, entry.title, entry.checkpoint_name)
    with tempfile.TemporaryDirectory() as folder:
        assert model.unet is not None
        chosen = choose(model.unet, family, device, Path(folder) / "kept.json")
    times = measure(model.unet, family, device, seconds=60 if full else 20, options=candidates(device))
    best = min(times.values())
    rows = [
        Row("arithmetic", f"{option}{' (chosen)' if option == chosen else ''}", spent * 1e3, "ms")
        for option, spent in times.items()
    ]
    rows.append(Row("arithmetic", f"threads {torch.get_num_threads()}: chosen / best", times[chosen] / best, at_most=1.10))
    return rows
