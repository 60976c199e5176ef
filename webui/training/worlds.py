"""The scenes that every recipe learns from, on disk: of both worlds, with what is known of them.

Scene i has the seed i. Where sprites are given four of five scenes show toys, else all show shapes. Scenes that no
training sees begin at HELD_OUT.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from webui.contract.errors import StartError
from webui.training import world
from webui.training.filling import Filling, fill
from webui.training.loop import Arithmetic
from webui.training.toys import scene as toys
from webui.training.toys import words as toy_words
from webui.training.toys.paint import describe, paint, read_atlas
from webui.training.world import Pack, render_pack, stretched

SIZE = 128
HELD_OUT = 10_000_000
PACK = 40
SHAPES_EVERY = 5
"""Where there are toys, each fifth scene still shows shapes."""
SHAPES = "shapes"


class Worlds:
    """The rendered scenes of one size in one folder.

    Args:
        sprites: folder of the toys' sprites; None: shapes only.
    """

    def __init__(self, folder: Path, count: int, size: int = SIZE, sprites: Path | None = None) -> None:
        self.size, self.sprites, self.count = size, sprites, count
        self.claim(folder, "pictures.npy")
        self.pictures = Filling(folder / "pictures.npy", (count, size, size, 3), np.uint8)
        self.depth = Filling(folder / "depth.npy", (count, size // 2, size // 2), np.float16)
        self.boxes = Filling(folder / "boxes.npy", (count, 4), np.float32)

    def claim(self, folder: Path, first: str) -> None:
        """Say in a folder which scenes its arrays are made of.

        Args:
            first: name of a file that is there once the folder holds anything. Before folders said it, all were of shapes.

        Raises:
            StartError: it holds scenes of another kind.
        """
        mark, kind = folder / "worlds.txt", SHAPES if self.sprites is None else f"toys and {SHAPES}"
        before = mark.read_text("utf-8") if mark.exists() else SHAPES if (folder / first).exists() else kind
        if before != kind:
            hint = "" if before == SHAPES else "say with --sprites where the sprites lie, or "
            raise StartError(f"{folder} holds scenes of {before}, not of {kind}: {hint}choose another --state folder.")
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(kind, "utf-8")

    @property
    def filled(self) -> int:
        """Scenes that are wholly there."""
        return min(filling.filled for filling in self._fillings)

    @property
    def is_full(self) -> bool:
        return self.filled == self.count

    def is_toy(self, seed: int) -> bool:
        return self.sprites is not None and seed % SHAPES_EVERY != 0

    def caption(self, seed: int, k: int) -> str:
        """Wording k of the scene, as training sees it; sometimes empty."""
        rng = np.random.default_rng((7, seed, k))
        return toy_words.caption(toys.sample(seed), rng) if self.is_toy(seed) else world.caption(world.sample(seed), rng)

    def things(self, seed: int) -> tuple[int, int]:
        """What stands in the scene, each one of namer.KINDS; a lone thing twice."""
        if self.is_toy(seed):
            found = [toy.number for toy in toys.sample(seed).toys]
        else:
            found = [self._kind(thing) for thing in world.sample(seed).things]
        return found[0], found[-1]

    @staticmethod
    def _kind(thing: world.Thing) -> int:
        return len(toys.names()) + list(world.COLOURS).index(thing.colour) * len(world.SHAPES) + world.SHAPES.index(thing.shape)

    def tells(self, seed: int, k: int) -> bool:
        """Whether wording k says what stands in the scene: both colour and shape, of each thing."""
        text = self.caption(seed, k)
        if self.is_toy(seed):
            return bool(text)
        return all(world.says(text, one.colour) and world.says(text, one.shape) for one in world.sample(seed).things)

    def render(self, arithmetic: Arithmetic, workers: int, say: Callable[[str], None], should_stop: Callable[[], bool]) -> bool:
        """Render what is missing; False when stopped on the way."""
        packs = self._packs(self.filled, arithmetic, workers)
        return fill(self._fillings, packs, say, "render", should_stop)

    @property
    def _fillings(self) -> tuple[Filling, ...]:
        return self.pictures, self.depth, self.boxes

    def _packs(self, start: int, arithmetic: Arithmetic, workers: int) -> Iterator[tuple[NDArray, ...]]:
        """Shapes come from several processes where the machine has the cores, toys from the training device."""
        if start == self.count:
            return
        atlas = None if self.sprites is None else read_atlas(self.sprites, arithmetic.device)
        spans = [range(i, min(i + PACK, self.count)) for i in range(start, self.count, PACK)]
        shapes = [[seed for seed in span if not self.is_toy(seed)] for span in spans]
        jobs = [(seeds, self.size) for seeds in shapes]
        if workers <= 1 or len(spans) <= 1:
            yield from (self._joined(*both, atlas) for both in zip(spans, map(render_pack, jobs), strict=True))
            return
        # spawned, not forked: a fork after torch has started its threads may hang
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield from (self._joined(*both, atlas) for both in zip(spans, pool.map(render_pack, jobs), strict=True))

    def _joined(self, span: range, shapes: Pack, atlas: Tensor | None) -> tuple[NDArray, ...]:
        seeds = [seed for seed in span if self.is_toy(seed)]
        if atlas is None or not seeds:
            return shapes.pictures, shapes.depth, shapes.boxes
        ours = toy_pack([toys.sample(seed) for seed in seeds], atlas, self.size, span[0])
        order = np.argsort([*(seed for seed in span if not self.is_toy(seed)), *seeds])
        both = ((shapes.pictures, ours.pictures), (shapes.depth, ours.depth), (shapes.boxes, ours.boxes))
        return tuple(np.concatenate(pair)[order] for pair in both)


def toy_pack(scenes: Sequence[toys.ToyScene], atlas: Tensor, size: int, seed: int) -> Pack:
    """Scenes of toys; grain and stars come from the seed."""
    painted = paint(describe(scenes), atlas, size, seed)
    pictures = ((painted.pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    boxes = []
    for scene in scenes:
        toy = scene.toys[int(np.random.default_rng((13, scene.seed)).integers(len(scene.toys)))]
        boxes.append((toy.left, toy.foot - toy.height, toy.left + toy.width, toy.foot))
    return Pack(pictures, stretched(painted.depth[:, 0].cpu().numpy()), np.asarray(boxes, np.float32))


def render_shapes(first: int, count: int, size: int = SIZE) -> Pack:
    """Scenes of shapes in a row; those that no training sees begin at HELD_OUT."""
    return render_pack((range(first, first + count), size))
