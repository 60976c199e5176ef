"""Names what stands in a picture from its noised latents, so that a student can be told when its own pictures do not show
what was asked. It learns from renders alone. The judges, which score what is drawn, are other networks: they see pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from diffusers.models.embeddings import get_timestep_embedding
from numpy.typing import NDArray
from torch import Tensor, nn

from webui.training.loop import Arithmetic, Learner, draws, learn, put_average, read_state, write_state
from webui.training.networks import LATENT_CHANNELS
from webui.training.options import Goal
from webui.training.toys.scene import names
from webui.training.world import COLOURS, SHAPES

SEED, RATE = 9, 2e-3
KINDS = len(names()) + len(COLOURS) * len(SHAPES)
"""The toys, then each shape in each colour."""
WIDTHS = (48, 112, 176)
TIMES = 32
"""Values that tell the time."""
MOST_NOISE, AWAY_FROM_NOISE = 0.45, 1.5
"""Share of the times up to which latents are noised, and the exponent of what is drawn of it: mostly little. Under more noise
a thing can hardly be told, and a student would learn to draw it larger than it is."""
ENOUGH = 0.3
"""Nats from which on a thing is named surely enough: beyond, pictures would be drawn for this network's eyes."""
SHAPES_COUNT = 0.25
"""Of what a toy does: the few shapes are learnt at once, and then exaggerated."""
MOVED = 2
"""Cells by which latents are moved, so that a thing is known wherever it stands."""


class Namer(nn.Module):
    """Scores of KINDS from noised latents (B, 4, h, w) of times (B,). 1.2 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.start = nn.Conv2d(LATENT_CHANNELS, first, 3, 1, 1)
        self.time = nn.Sequential(nn.Linear(TIMES, 128), nn.SiLU(), nn.Linear(128, first))
        self.halve, self.halve_again = _layer(first, second, 2), _layer(second, third, 2)
        self.upper, self.lower = (nn.ModuleList(_layer(width, width) for _ in range(2)) for width in (second, third))
        self.kinds = nn.Linear(2 * third + second, KINDS)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        told = self.time(get_timestep_embedding(t, TIMES))
        x = self.halve(functional.silu(self.start(x) + told[:, :, None, None]))
        for layer in self.upper:
            x = x + layer(x)
        small, x = x.amax((2, 3)), self.halve_again(x)  # what is small is lost in a mean
        for layer in self.lower:
            x = x + layer(x)
        scores: Tensor = self.kinds(torch.cat([x.mean((2, 3)), x.amax((2, 3)), small], 1))
        return scores


def _layer(width: int, to: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, to, 3, stride, 1), nn.GroupNorm(8, to), nn.SiLU())


def unnamed(scores: Tensor, things: Tensor) -> Tensor:
    """(B,) how far the scores (B, KINDS) are from naming the things (B, 2), each of which is one of KINDS; a lone one stands
    twice. Cross entropy, in nats."""
    return -functional.log_softmax(scores.float(), 1).gather(1, things).mean(1)


def noised(latents: Tensor, alphas: Tensor, rng: np.random.Generator, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Clean latents (B, 4, h, w) as the namer sees them, and the times (B,).

    Args:
        alphas: (T,) share of the picture's variance that is left at each time.
    """
    share = rng.uniform(size=len(latents)) ** AWAY_FROM_NOISE * MOST_NOISE
    t = torch.from_numpy((share * len(alphas)).astype(np.int64)).to(latents.device)
    a = alphas[t][:, None, None, None]
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    return (a.sqrt() * latents + (1 - a).sqrt() * noise).contiguous(memory_format=torch.channels_last), t


def train_namer(
    state_file: Path,
    latents: NDArray,
    things: NDArray[np.int64],
    alphas: Tensor,
    goal: Goal,
    arithmetic: Arithmetic,
    batch: int,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Train, or go on from the state. True when the goal is reached.

    Args:
        latents: (N, 4, h, w) scaled. things: (N, 2) what stands in them, see `unnamed`.
        alphas: of the teacher.
    """
    torch.manual_seed(SEED)
    namer = Namer()
    arithmetic.put(namer)
    learner = Learner({"namer": namer}, list(namer.parameters()), RATE, 0.993, warm_steps=50, decay=0.05)
    if (state := read_state(state_file)) is not None:
        learner.load(state)

    def loss(step: int) -> Tensor:
        rng, generator = draws(SEED, step)
        picked = rng.integers(0, len(latents), batch)
        z = torch.from_numpy(latents[picked].astype(np.float32)).to(arithmetic.device)
        z = _moved(z, *rng.integers(-MOVED, MOVED + 1, 2)) * (0.9 + 0.2 * torch.rand((batch, 1, 1, 1), generator=generator)).to(z)
        with arithmetic():
            scores = namer(*noised(z, alphas, rng, generator))
        return unnamed(scores, torch.from_numpy(things[picked]).to(arithmetic.device)).mean()

    def save() -> None:
        write_state(state_file, learner.state())

    return learn(learner, goal, loss, batch, save=save, say=say, should_stop=should_stop, curve=state_file.with_suffix(".tsv"))


def _moved(x: Tensor, down: int, right: int) -> Tensor:
    """(B, C, h, w) moved by whole cells; what comes in is what stood at the border."""
    height, width = x.shape[2:]
    wider = functional.pad(x, (MOVED,) * 4, mode="replicate")
    return wider[:, :, MOVED - down : MOVED - down + height, MOVED - right : MOVED - right + width]


@dataclass(frozen=True)
class Naming:
    """What a student is told of its pictures: how far they are from showing the things of the scene whose words it drew."""

    network: Namer
    things: NDArray[np.int64]
    """(N, 2) of all scenes"""
    tells: Callable[[int, int], bool]
    """(scene, wording): whether those words say what stands there."""

    def __call__(
        self,
        drawn: Tensor,
        picked: NDArray[np.int64],
        wordings: NDArray[np.int64],
        alphas: Tensor,
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> Tensor:
        """(B,) in nats, for drawn latents (B, 4, h, w) of the picked scenes (B,) in those wordings (B,); 0 where a thing is named
        surely enough, or where the words tell too little."""
        told = [self.tells(int(scene), int(wording)) for scene, wording in zip(picked, wordings, strict=True)]
        scores = self.network(*noised(drawn, alphas, rng, generator))
        missing = functional.relu(unnamed(scores, torch.from_numpy(self.things[picked]).to(drawn.device)) - ENOUGH)
        weights = np.where(self.things[picked, 0] < len(names()), 1.0, SHAPES_COUNT) * told
        return missing * torch.from_numpy(weights).to(drawn)


def load_namer(state_file: Path, arithmetic: Arithmetic) -> Namer | None:
    """The running average of what was trained, frozen; None where nothing was."""
    state = read_state(state_file)
    if state is None:
        return None
    namer = Namer()
    put_average(state, namer)
    arithmetic.put(namer)
    return namer.eval().requires_grad_(False)
