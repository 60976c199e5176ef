"""The judge of the toys world: names the toy of a picture, its floor and what is behind.

It is trained on renders only, and scores what is drawn. `webui train pocket --stage toy-judge` makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as functional
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from webui.training.loop import Arithmetic, Learner, draws, learn, read_state, write_state
from webui.training.options import Goal
from webui.training.toys.paint import Numbers, describe, paint, read_atlas
from webui.training.toys.scene import BACKS, COLOURS, FLOORS, GROUNDS, ToyScene, names, sample

SEED, RATE = 6, 2e-3
SHIPPED = Path(__file__).with_name("judge.safetensors")
SIDE = 128
HELD_OUT = 30_000_000


class ToyJudge(nn.Module):
    """Scores of the toys, the floors, their colours, the backs, the walls' colours. 0.9 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 112, 144)
        layers = [nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(8, b), nn.SiLU()) for a, b in pairwise(widths)]
        last = widths[-1]
        deep: list[nn.Module] = []
        for _ in range(2):
            deep += [nn.Conv2d(last, last, 3, 1, 1), nn.GroupNorm(8, last), nn.SiLU()]
        self.layers = nn.ModuleList([*layers, nn.Sequential(*deep)])
        self.pool = nn.Linear(4 * last, 128)
        self.toy = nn.Linear(4 * last, len(names()))
        self.floor, self.floor_colour = nn.Linear(128, len(FLOORS)), nn.Linear(128, len(COLOURS))
        self.back, self.wall_colour = nn.Linear(128, len(BACKS)), nn.Linear(128, len(COLOURS))

    def pooled(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [-1, 1], S at least 128, to (B, 576): means of all, of the upper and lower half, maxima."""
        if pictures.shape[-1] > SIDE:
            pictures = functional.interpolate(pictures, size=(SIDE, SIDE), mode="area")
        for layer in self.layers:
            pictures = layer(pictures)
        half = pictures.shape[2] // 2
        upper, lower = pictures[:, :, :half].mean((2, 3)), pictures[:, :, half:].mean((2, 3))
        return torch.cat([pictures.mean((2, 3)), pictures.amax((2, 3)), upper, lower], 1)

    def features(self, pictures: Tensor) -> Tensor:
        """(B, 128), for distances between sets of pictures."""
        return self.pool(self.pooled(pictures))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        pooled = self.pooled(pictures)
        seen = functional.silu(self.pool(pooled))
        return self.toy(pooled), self.floor(seen), self.floor_colour(seen), self.back(seen), self.wall_colour(seen)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """How differently two sets of pictures (B, 3, H, W) look: squared differences of the unit vectors of the first four
        layers, after Zhang et al. 2018, arXiv:1801.03924."""
        total = a.new_zeros(())
        for layer in list(self.layers)[:4]:
            a, b = layer(a), layer(b)
            one, other = (functional.normalize(maps.float(), dim=1, eps=1e-3) for maps in (a, b))
            total = total + (one - other).pow(2).sum(1).mean() / 4
        return total


def asked_of(scene: ToyScene) -> tuple[int, int, int, int, int]:
    """What the judge should name in a scene of one toy; -1 where there is nothing to name."""
    colours = list(COLOURS)
    floor_colour = -1 if scene.floor in GROUNDS else colours.index(scene.floor_colour)
    wall_colour = colours.index(scene.wall_colour) if scene.back == "wall" else -1
    return (scene.toys[0].number, FLOORS.index(scene.floor), floor_colour, BACKS.index(scene.back), wall_colour)


def train_toy_judge(
    state_file: Path,
    result: Path,
    sprites: Path,
    goal: Goal,
    arithmetic: Arithmetic,
    batch: int,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Train on pictures painted on the way, or go on from the state. True when the goal is reached; then `result` is written."""
    torch.manual_seed(SEED)
    judge, atlas = ToyJudge(), read_atlas(sprites, arithmetic.device)
    arithmetic.put(judge)
    learner = Learner({"judge": judge}, list(judge.parameters()), RATE, 0.995)
    if (state := read_state(state_file)) is not None:
        learner.load(state)

    def loss(step: int) -> Tensor:
        rng, generator = draws(SEED, step)
        scenes = [sample(int(seed), alone=bool(rng.uniform() < 0.5)) for seed in rng.integers(0, 2**31, 2 * batch)]
        scenes = [scene for scene in scenes if len(scene.toys) == 1][:batch]
        x = paint(describe(scenes), atlas, SIDE, step).pictures
        light, tone = (torch.rand((len(scenes), c, 1, 1), generator=generator) for c in (1, 3))
        x = x * (0.85 + 0.25 * light).to(x) + (0.16 * tone - 0.08).to(x)
        if rng.uniform() < 0.5:
            x = x + torch.randn(x.shape, generator=generator).to(x) * (0.1 * rng.uniform())
        if rng.uniform() < 0.33:
            x = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        with arithmetic():
            scores = judge(x.contiguous(memory_format=torch.channels_last))
        wanted = torch.tensor([asked_of(scene) for scene in scenes], device=x.device)
        return sum(
            (functional.cross_entropy(s.float(), wanted[:, i], ignore_index=-1) for i, s in enumerate(scores)), x.new_zeros(())
        )

    def save() -> None:
        write_state(state_file, learner.state())

    done = learn(learner, goal, loss, batch, save=save, say=say, should_stop=should_stop, curve=state_file.with_suffix(".tsv"))
    if done:
        with learner.averaged():
            save_toy_judge(judge, result, learner.clock.samples)
            count = min(4 * len(names()), max(10, learner.clock.samples // 100))
            held_out = [sample(HELD_OUT + i, i % len(names()), alone=True) for i in range(count)]
            right = accuracy(judge, describe(held_out), atlas)
            say(f"it names {right:.1%} of the toys of {count} held-out renders; {result} belongs at {SHIPPED}")
    return done


@torch.no_grad()
def accuracy(judge: ToyJudge, scenes: Numbers, atlas: Tensor) -> float:
    """Share of the lone toys of described scenes that the judge names."""
    right = []
    for i in range(0, len(scenes["horizon"]), 50):
        part = {name: value[i : i + 50] for name, value in scenes.items()}
        named = judge(paint(part, atlas, SIDE, i).pictures)[0].argmax(1)
        right.append((named == part["toys"][:, 0].to(named.device)).float())
    return float(torch.cat(right).mean())


@torch.no_grad()
def named(judge: ToyJudge, pictures: Tensor) -> Tensor:
    """Pictures (B, 3, S, S) in [-1, 1] to the numbers (B, 5) that asked_of has."""
    return torch.cat([torch.stack([scores.argmax(1) for scores in judge(pack)], 1) for pack in pictures.split(50)])


def save_toy_judge(judge: ToyJudge, path: Path, samples: int) -> None:
    """fp16, with a note of what it is."""
    note = {
        "about": "names toy, floor and back in the toys world; made by: webui train pocket --stage toy-judge",
        "samples": str(samples),
    }
    save_file({name: value.half().cpu().contiguous() for name, value in judge.state_dict().items()}, path, note)


def load_toy_judge(path: Path = SHIPPED) -> ToyJudge:
    """The judge, in float32; the one that lies beside its recipe unless another is named."""
    judge = ToyJudge()
    judge.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return judge.eval()
