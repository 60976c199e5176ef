"""The stage of the small depth estimator: pictures of the worlds to how near everything on them is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from webui.checkpoints.depth import SmallDepthEstimator
from webui.training.loop import Arithmetic, Learner, draws, learn, read_state, write_state
from webui.training.options import Goal
from webui.training.scenes import to_tensor
from webui.training.worlds import HELD_OUT, Worlds, render_shapes

SEED, RATE = 8, 2e-3


def train_estimator(
    state_file: Path,
    result: Path,
    worlds: Worlds,
    goal: Goal,
    arithmetic: Arithmetic,
    batch: int,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Train, or go on from the state. True when the goal is reached; then `result` is written, in fp16."""
    torch.manual_seed(SEED)
    network = SmallDepthEstimator()
    arithmetic.put(network)
    learner = Learner({"estimator": network}, list(network.parameters()), RATE, 0.995)
    if (state := read_state(state_file)) is not None:
        learner.load(state)

    def loss(step: int) -> Tensor:
        rng, generator = draws(SEED, step)
        picked = np.sort(rng.integers(0, worlds.count, batch))
        x = to_tensor(worlds.pictures.array[picked])
        wanted = torch.from_numpy(worlds.depth.array[picked].astype(np.float32))[:, None]
        if rng.uniform() < 0.5:
            x, wanted = x.flip(3), wanted.flip(3)
        light, tone = (torch.rand((batch, channels, 1, 1), generator=generator) for channels in (1, 3))
        x = x * (0.8 + 0.3 * light) + (0.2 * tone - 0.1)
        if rng.uniform() < 0.5:  # what networks draw is not as clean as what is rendered
            x = x + torch.randn(x.shape, generator=generator) * (0.08 * rng.uniform())
        if rng.uniform() < 0.4:
            x = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        x = x.to(arithmetic.device, memory_format=torch.channels_last)
        with arithmetic():
            near = network.read(x)
        return map_loss(near.float(), wanted.to(arithmetic.device))

    def save() -> None:
        write_state(state_file, learner.state())

    done = learn(learner, goal, loss, batch, save=save, say=say, should_stop=should_stop, curve=state_file.with_suffix(".tsv"))
    if done:
        with learner.averaged():
            held_out = render_shapes(HELD_OUT, 64)
            alike = correlations(network.read(to_tensor(held_out.pictures).to(arithmetic.device)).detach(), held_out.depth)
            save_file({name: value.half().cpu().contiguous() for name, value in network.state_dict().items()}, result, NOTE)
        say(f"correlation with the depth of {len(alike)} held-out scenes: {alike.mean():.3f}")
        say(f"{result} belongs into webui/checkpoints/data")
    return done


NOTE = {"about": "estimates depth in the pocket's worlds; made by: webui train depth --stage estimator"}


def map_loss(near: Tensor, wanted: Tensor) -> Tensor:
    """L1 of two maps (B, 1, H, W), and of their slopes, so that edges stand where they are."""
    error = near - wanted
    return error.abs().mean() + 0.5 * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean())


def correlations(near: Tensor, wanted: NDArray) -> NDArray[np.float64]:
    """(B,) Pearson's correlation of maps (B, 1, H, W) with the wanted ones (B, H', W'), brought to their size."""
    maps = functional.interpolate(near.float().cpu(), size=wanted.shape[1:], mode="bilinear", antialias=True)
    pairs = zip(maps[:, 0].double().numpy(), wanted.astype(np.float64), strict=True)
    return np.asarray([np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs])
