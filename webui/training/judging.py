"""The judge's stage: a small network that names colour and shape of a lone thing, to score pictures with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from webui.contract.errors import StartError
from webui.training.loop import Arithmetic, Learner, draws, learn, read_state, write_state
from webui.training.networks import Judge
from webui.training.options import Goal
from webui.training.scenes import held_out_pictures, to_tensor
from webui.training.world import COLOURS, SHAPES, render_pack, sample
from webui.training.worlds import HELD_OUT, PACK, SIZE, Worlds

SEED = 5
RATE = 2e-3
SHIPPED = Path(__file__).with_name("judge.safetensors")


def train_judge(
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
    judge = Judge()
    arithmetic.put(judge)
    learner = Learner({"judge": judge}, list(judge.parameters()), RATE, 0.99, warm_steps=50)
    if (state := read_state(state_file)) is not None:
        learner.load(state)
    pictures = worlds.pictures.array
    at, names = single(0, len(pictures))
    is_ours = np.asarray([not worlds.is_toy(int(seed)) for seed in at])
    at, names = at[is_ours], names[is_ours]

    def loss(step: int) -> Tensor:
        rng, generator = draws(SEED, step)
        picked = np.sort(rng.integers(0, len(at), batch))
        x = to_tensor(pictures[at[picked]])
        if rng.uniform() < 0.5:
            x = x + torch.randn(x.shape, generator=generator) * (0.06 * rng.uniform())
        if rng.uniform() < 0.3:
            x = functional.avg_pool2d(x, 3, 1, 1)
        if rng.uniform() < 0.5:
            x = x.flip(3)
        with arithmetic():
            colour, shape = judge(x.to(arithmetic.device))
        wanted = torch.from_numpy(names[picked]).to(arithmetic.device)
        return functional.cross_entropy(colour.float(), wanted[:, 0]) + functional.cross_entropy(shape.float(), wanted[:, 1])

    def save() -> None:
        write_state(state_file, learner.state())

    done = learn(learner, goal, loss, batch, save=save, say=say, should_stop=should_stop, curve=state_file.with_suffix(".tsv"))
    if done:
        with learner.averaged():
            save_judge(judge, result, learner.clock.samples)
            colour, shape = accuracy(judge.cpu(), held_out_pictures(max(10, len(pictures) // 32)), HELD_OUT)
        say(f"judge on held-out renders: colour {colour:.2%}, shape {shape:.2%}; {result} belongs at {SHIPPED}")
    return done


def single(first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of the scenes first.. hold one thing (n,), and the numbers of its colour and shape (n, 2)."""
    scenes = [sample(first + i) for i in range(count)]
    at = [i for i, scene in enumerate(scenes) if len(scene.things) == 1]
    colours, shapes = list(COLOURS), list(SHAPES)
    names = [(colours.index(scenes[i].things[0].colour), shapes.index(scenes[i].things[0].shape)) for i in at]
    return np.asarray(at, np.int64), np.asarray(names, np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class Lone:
    """A rendered scene of one thing."""

    picture: NDArray[np.uint8]
    depth: NDArray[np.float16]
    box: NDArray[np.float32]
    colour: int
    shape: int


def lone_things(first: int, count: int) -> list[Lone]:
    """So many scenes of one thing, of the seeds from `first` on; see world.Pack for what is known of each."""
    found: list[Lone] = []
    while len(found) < count:
        pack = render_pack((range(first, first + PACK), SIZE))
        for at, (colour, shape) in zip(*single(first, PACK), strict=True):
            found.append(Lone(pack.pictures[at], pack.depth[at], pack.boxes[at], int(colour), int(shape)))
        first += PACK
    return found[:count]


@torch.no_grad()
def named(judge: Judge, pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] to the numbers of colour and shape (B, 2)."""
    packs = [torch.stack([scores.argmax(1) for scores in judge(pack)], 1) for pack in pictures.split(50)]
    return torch.cat(packs)


@torch.no_grad()
def features(judge: Judge, pictures: Tensor) -> NDArray[np.float64]:
    """Pictures (B, 3, H, W) in [-1, 1] to features (B, 64)."""
    return torch.cat([judge.features(pack) for pack in pictures.split(50)]).double().numpy()


def accuracy(judge: Judge, pictures: NDArray, first: int) -> tuple[float, float]:
    """Share of the lone things, in renders of the scenes from `first` on, whose colour and whose shape are named."""
    at, names = single(first, len(pictures))
    right = (named(judge, to_tensor(pictures[at])).numpy() == names).mean(0)
    return float(right[0]), float(right[1])


def save_judge(judge: Judge, path: Path, samples: int) -> None:
    """fp16, with a note of what it is."""
    note = {
        "about": "names colour and shape of a lone thing in the pocket world; made by: webui train pocket --stage judge",
        "colours": " ".join(COLOURS),
        "shapes": " ".join(SHAPES),
        "samples": str(samples),
    }
    save_file({name: value.half().cpu().contiguous() for name, value in judge.state_dict().items()}, path, note)


def load_judge(path: Path = SHIPPED) -> Judge:
    """The judge, in float32; the one that lies beside its recipe unless another is named."""
    with safe_open(path, "pt") as stored:
        note = stored.metadata()
    if note["colours"].split() != list(COLOURS) or note["shapes"].split() != list(SHAPES):
        raise StartError(f"The judge {path} knows other colours or shapes than the world has: train it again.")
    judge = Judge()
    judge.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return judge.eval()
