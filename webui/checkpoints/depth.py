"""Where an estimate of depth comes from: the checkpoint's own network, one that was fetched, or the small one that comes with
the program.

The small one was trained on the worlds of the pocket checkpoint (`webui train depth --stage estimator`): toys and shapes
on a floor. On photographs MiDaS, which SD 2's own file holds, sees far more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from webui.checkpoints.download import Shelf
from webui.checkpoints.folder import weights
from webui.checkpoints.networks import assign, build


@dataclass(frozen=True)
class DepthSource:
    """The depth estimator of a checkpoint, read when it is first needed.

    Args:
        own: reads the one that the checkpoint holds; None: it holds none.
        path: of the checkpoint; a fetched estimator beside it comes first.
        shelf: where a fetched one may lie.
    """

    own: Callable[[], nn.Module] | None
    path: Path
    shelf: Shelf | None

    @property
    def is_small(self) -> bool:
        """Whether there is none but the one that comes with the program."""
        return self.own is None and self._fetched is None

    @property
    def _fetched(self) -> Path | None:
        return None if self.shelf is None else self.shelf.find("depth-estimator", self.path)

    def __call__(self) -> nn.Module:
        """(1, 3, H, W) in [-1, 1] -> (1, 1, h, w), larger is nearer."""
        if self.own is not None:
            return self.own()
        folder = self._fetched
        if folder is None:
            return small_estimator()
        # Intel/dpt-hybrid-midas, a folder with the network's weights in transformers' names
        state = {f"network.{key}": tensor for key, tensor in weights(folder).items()}
        return assign(build("depth", {}), state, folder.name).float()


WEIGHTS = Path(__file__).parent / "data" / "depth.safetensors"


class SmallDepthEstimator(nn.Module):
    """How near everything on a picture is: a pyramid of convolutions down to 1/32 and up again to 1/2. 1.3 M parameters."""

    WIDTHS = (16, 40, 64, 96, 112)
    SIDE, STEP = 128, 32

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(_Level(a, b, 2) for a, b in pairwise((3, *self.WIDTHS)))
        self.middle = nn.Sequential(_Level(112, 112, 1), _Level(112, 112, 1))
        below = list(reversed(self.WIDTHS))
        self.up = nn.ModuleList(_Level(a + b, b, 1) for a, b in pairwise(below))
        self.out = nn.Conv2d(below[-1], 1, 3, 1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 1, h, w), about 0 the farthest and 1 the nearest; the shorter side becomes 128
        pixels, of which h, w are half."""
        height, width = pixels.shape[2:]
        by = self.SIDE / min(height, width)
        size = tuple(max(self.STEP, round(side * by / self.STEP) * self.STEP) for side in (height, width))
        weight = self.out.weight
        x = pixels.to(weight.device, torch.float32)
        if (height, width) != size:
            x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
        return self.read(x.to(weight.dtype))

    def read(self, x: Tensor) -> Tensor:
        """The same of pictures whose sides are multiples of 32, as they are."""
        kept = []
        for level in self.down:
            x = level(x)
            kept.append(x)
        x = x + self.middle(x)
        for level, beside in zip(self.up, reversed(kept[:-1]), strict=True):
            x = level(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), beside], 1))
        return self.out(x)


class _Level(nn.Sequential):
    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(into, out, 3, stride, 1), nn.GroupNorm(8, out), nn.SiLU(),
            nn.Conv2d(out, out, 3, 1, 1), nn.GroupNorm(8, out), nn.SiLU(),
        )  # fmt: skip


def small_estimator(file: Path = WEIGHTS) -> SmallDepthEstimator:
    """The one that comes with the program, in float32."""
    network = SmallDepthEstimator()
    network.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    return network.eval().requires_grad_(False)
