"""What renders of all the toys look like on the whole, so that distances to them need no sprites.

Kept are mean and covariance of the judge's features, over scenes that no training sees, each toy as often as any other:
the 48 scenes of held_out.py are too few for a covariance of 128 features, and show the most loved toys alone.
`webui train pocket --stage held-out --sprites FOLDER` measures them anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from webui.contract.errors import StartError
from webui.training.frechet import frechet
from webui.training.scenes import to_tensor
from webui.training.toys.judge import HELD_OUT, SHIPPED, SIDE, ToyJudge, load_toy_judge
from webui.training.toys.paint import read_atlas
from webui.training.toys.scene import names, sample
from webui.training.worlds import PACK, toy_pack

STORED = Path(__file__).with_name("renders.safetensors")
FIRST = HELD_OUT + 20_000_000
COUNT = 8 * len(names())
"""Scenes: as many of each toy."""


@dataclass(frozen=True)
class Renders:
    """Features taken as a Gaussian."""

    mean: NDArray[np.float64]
    """(128,)"""
    covariance: NDArray[np.float64]
    """(128, 128)"""
    own: float
    """Frechet distance of other renders, one of each toy, to these: what 315 pictures have by chance and by bias."""


def load_renders(path: Path = STORED) -> Renders:
    """Those that were measured with the judge that is here.

    Raises:
        StartError: they were measured with another judge.
    """
    with safe_open(path, "pt") as stored:
        note = stored.metadata()
        if note["judge"] != _judge():
            raise StartError(f"{path} was measured with another judge: run webui train pocket --stage held-out again.")
        mean, covariance = (stored.get_tensor(name).double().numpy() for name in ("mean", "covariance"))
        return Renders(mean, covariance, float(note["own"]))


def write_renders(path: Path, sprites: Path, say: Callable[[str], None], count: int = COUNT) -> None:
    """Paint the scenes on the CPU, show them to the judge and keep what it sees."""
    judge = load_toy_judge()
    seen = features(judge, painted(sprites, FIRST, count))
    others = features(judge, painted(sprites, FIRST + count, min(count, len(names()))))
    values = {"mean": torch.from_numpy(seen.mean(0)).float(), "covariance": torch.from_numpy(np.cov(seen, rowvar=False)).float()}
    about = "mean and covariance of the toy judge's features of renders; made by: webui train pocket --stage held-out"
    note = {"about": about, "scenes": str(count), "judge": _judge(), "own": f"{frechet(others, seen):.3f}"}
    save_file(values, path, note)
    say(f"features of {count} scenes in {path}, which belongs at {STORED}")


def painted(sprites: Path, first: int, count: int) -> NDArray[np.uint8]:
    """Pictures (count, 128, 128, 3) of lone toys in turns, of the seeds from `first` on."""
    atlas = read_atlas(sprites, torch.device("cpu"))
    scenes = [sample(first + i, i % len(names()), alone=True) for i in range(count)]
    return np.concatenate([toy_pack(scenes[i : i + PACK], atlas, SIDE, first + i).pictures for i in range(0, count, PACK)])


@torch.no_grad()
def features(judge: ToyJudge, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pictures (B, H, W, 3) to features (B, 128)."""
    packs = [judge.features(to_tensor(pictures[i : i + 50])) for i in range(0, len(pictures), 50)]
    return torch.cat(packs).double().numpy()


def _judge() -> str:
    return hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
