"""The arithmetic (number format and memory layout) that is fastest here, found by trying, not by a flag.

bfloat16 is slower than float32 on some processors that advertise it, channels_last helps some networks and hurts
others: so the candidates run on a piece of the very network, interleaved, and the quickest call of each decides. The choice
is kept, since another arithmetic is another picture in its last bits.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from webui.contract.parts import Family

_log = logging.getLogger(__name__)
MARGIN = 0.91
"""A candidate must need less than this share of plain float32's time to be worth another picture in the last bits."""


@dataclass(frozen=True)
class Arithmetic:
    dtype: torch.dtype
    channels_last: bool

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __str__(self) -> str:
        return str(self.dtype).removeprefix("torch.") + (" channels_last" if self.channels_last else "")


def candidates(device: torch.device) -> list[Arithmetic]:
    """What may be chosen on a device, the plainest first. On a graphics card float32 is left out: it costs twice the
    memory, and half precision is what the releases were made for."""
    types = [torch.float32, torch.bfloat16, torch.float16] if device.type == "cpu" else [torch.float16, torch.bfloat16]
    return [Arithmetic(dtype, last) for dtype in types for last in (False, True)]


def measure(
    unet: nn.Module, family: Family, device: torch.device, seconds: float = 1.0, options: list[Arithmetic] | None = None
) -> dict[Arithmetic, float]:
    """Seconds of the quickest call of each candidate, interleaved, within about `seconds` in all.

    By the clock: what a processor spends while its threads wait for each other is no measure of how long a call takes, and of
    many calls one is not disturbed by other programs.

    The whole network is tried where a call of it is quick, else its first residual block with the attention behind it
    (the place where most of the work is).
    """
    options = [option for option in options or candidates(device) if device.type != "cpu" or not _is_emulated(option.dtype)]
    runs = _runs(unet, family, device, options)
    times: dict[Arithmetic, list[float]] = {option: [] for option in runs}
    first: dict[Arithmetic, float] = {}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 4 or (time.perf_counter() < end and rounds < 200):
        for option, run in runs.items():
            start = time.perf_counter()
            run()
            spent = time.perf_counter() - start
            if rounds:
                times[option].append(spent)
            else:
                first[option] = spent
        if not rounds:  # the first round is the warm-up, and shows what is hopeless here (emulated arithmetic)
            least = min(first.values())
            runs = {option: run for option, run in runs.items() if first[option] < 3 * least}
        rounds += 1
    return {option: min(values or [first[option]]) for option, values in times.items()}


def _is_emulated(dtype: torch.dtype) -> bool:
    """Whether this processor only imitates a number format: one call of a whole network would take seconds then. Told by
    a small convolution, in milliseconds."""
    if dtype == torch.float32:
        return False
    spent = {}
    for kind in (torch.float32, dtype):
        x, weight = torch.zeros(1, 64, 24, 24, dtype=kind), torch.zeros(64, 64, 3, 3, dtype=kind)
        times = []
        for _ in range(4):
            start = time.process_time()
            torch.conv2d(x, weight)
            times.append(time.process_time() - start)
        spent[kind] = min(times)
    return spent[dtype] > 4 * spent[torch.float32]


def _runs(
    unet: nn.Module, family: Family, device: torch.device, options: list[Arithmetic]
) -> dict[Arithmetic, Callable[[], None]]:
    """A call for each candidate, on networks of the same shapes."""
    is_quick = sum(parameter.numel() for parameter in unet.parameters()) < 50e6
    return {option: torch.inference_mode()((_whole if is_quick else _piece)(unet, family, device, option)) for option in options}


def _whole(unet: nn.Module, family: Family, device: torch.device, option: Arithmetic) -> Callable[[], None]:
    side = min(family.native_size // family.latent_factor, 64)
    network = _like(unet, device, option)
    x = torch.zeros(2, family.in_channels, side, side, device=device, dtype=option.dtype)
    told = blank_inputs(unet, 2, device, option.dtype)
    t = torch.full((2,), 500.0, device=device)

    def run() -> None:
        network(x, t, **told)
        _finish(device)

    return run


def blank_inputs(unet: Any, count: int, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Zeros for all that a U-Net is told beside the noisy latents and the time step, in its own argument names.

    Args:
        unet: diffusers' UNet2DConditionModel or UNet2DModel.
        count: pictures.
    """
    told = {}
    width = unet.config.get("cross_attention_dim")
    if width is not None:
        told["encoder_hidden_states"] = torch.zeros(count, 77, width, device=device, dtype=dtype)
    if unet.class_embedding is not None:
        features = unet.config.get("projection_class_embeddings_input_dim") or 1
        told["class_labels"] = torch.zeros(count, features, device=device)
    return told


def _piece(unet: Any, family: Family, device: torch.device, option: Arithmetic) -> Callable[[], None]:
    """The first residual block with an attention behind it, and this attention, at half the native size."""
    block = next((block for block in unet.down_blocks if hasattr(block, "attentions")), unet.mid_block)
    side = max(8, family.native_size // family.latent_factor // 2)
    resnet, attention = (_like(part, device, option) for part in (block.resnets[0], block.attentions[0]))
    x = torch.zeros(2, block.resnets[0].conv1.weight.shape[1], side, side, device=device, dtype=option.dtype)
    step = torch.zeros(2, block.resnets[0].time_emb_proj.weight.shape[1], device=device, dtype=option.dtype)
    told = blank_inputs(unet, 2, device, option.dtype)
    told.pop("class_labels", None)  # what the whole network makes part of its time step
    plainly: dict[str, Any] = {**told, "return_dict": False} if told else {}

    def run() -> None:
        attention(resnet(x.contiguous(memory_format=option.memory_format), step), **plainly)
        _finish(device)

    return run


def _like(network: nn.Module, device: torch.device, option: Arithmetic) -> nn.Module:
    """A network of the same shapes and other weights, on which the time does not depend: the real ones may lie on a file, where
    it costs a fault to touch them, or are on their way."""
    made = {
        id(parameter): nn.Parameter(torch.full(parameter.shape, 0.01, dtype=option.dtype, device=device), requires_grad=False)
        for parameter in network.parameters()
    }
    moved = nn.Module.to(copy.deepcopy(network, made), device=device, dtype=option.dtype)
    return nn.Module.to(moved, memory_format=option.memory_format)  # type: ignore[call-overload]


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def choose(unet: nn.Module, family: Family, device: torch.device, kept: Path) -> Arithmetic:
    """The arithmetic for a network on a device; measured once, then read from `kept` (a JSON file)."""
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{_processor()} x{torch.get_num_threads()}"
    size = sum(parameter.numel() for parameter in unet.parameters())
    key = f"{machine} / torch {torch.__version__} / {family.name} {size}"
    known = _read(kept)
    named = {str(option): option for option in candidates(device)}
    if known.get(key) in named:
        return named[known[key]]
    times = measure(unet, family, device)
    plain = next(iter(times))
    best = min(times, key=lambda option: times[option])
    chosen = best if times[best] < MARGIN * times[plain] else plain
    _log.info("arithmetic: %s (%s)", chosen, ", ".join(f"{option} {spent * 1e3:.1f} ms" for option, spent in times.items()))
    kept.parent.mkdir(parents=True, exist_ok=True)
    beside = kept.with_suffix(".new")
    beside.write_text(json.dumps({**known, key: str(chosen)}, indent=1), encoding="utf-8")
    os.replace(beside, kept)
    return chosen


def _read(kept: Path) -> dict[str, str]:
    try:
        values = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there yet, or damaged: measured again
        return {}
    return values if isinstance(values, dict) else {}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        import platform

        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "cpu")
