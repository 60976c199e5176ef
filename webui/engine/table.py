"""The noise table: which noise level each training step of a network stands for."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from webui.contract.parts import Family


@dataclass(frozen=True, eq=False)
class NoiseTable:
    """Noise levels by training step, and the way between them: log sigma, interpolated linearly.

    Time steps are fractions and never rounded; outside the table the nearest end is taken, both ways.

    Args:
        sigmas: (T,) float32 on the CPU, rising. x = clean + sigma * noise, in units of the scaled latents, whose own
            standard deviation is about 1 (SD 1: 0.029 to 14.6, T = 1000).

    Source: Crowson, k-diffusion, DiscreteSchedule. Interpolation is done in float64 here, so that the levels of
    the table come back exactly.
    """

    sigmas: Tensor
    _logs: tuple[float, ...] = field(init=False, repr=False)
    _steps: dict[tuple[float, torch.device], Tensor] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_logs", tuple(self.sigmas.double().log().tolist()))

    @classmethod
    def from_betas(cls, betas: Sequence[float]) -> NoiseTable:
        """From the noise added at each training step.

        Source: Ho et al. 2020, arXiv:2006.11239, eq. 4: sigma^2 = (1 - a) / a with a the product of all 1 - beta.
        In float64 until the end: through the float32 alphas_cumprod of the releases' files, 1 - a would lose the
        first step's digits (k-diffusion's sigma_min is 1.3e-5 off).
        """
        alphas = (1 - torch.tensor(betas, dtype=torch.float64)).cumprod(0)
        return cls(((1 - alphas) / alphas).sqrt().float())

    @classmethod
    def from_family(cls, family: Family) -> NoiseTable:
        return cls.from_betas(family.betas)

    def __len__(self) -> int:
        return len(self._logs)

    @property
    def sigma_min(self) -> float:
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        return float(self.sigmas[-1])

    def sigma(self, t: float) -> float:
        """The noise level at a fractional training step in [0, T - 1]."""
        t = min(max(t, 0.0), len(self) - 1.0)
        low = min(int(t), len(self) - 2)
        share = t - low
        return math.exp((1 - share) * self._logs[low] + share * self._logs[low + 1])

    def t(self, sigma: float) -> float:
        """The training step of a noise level; the inverse of sigma(t)."""
        if sigma <= 0:
            return 0.0
        log = math.log(sigma)
        low = min(max(bisect.bisect_right(self._logs, log) - 1, 0), len(self) - 2)
        share = (log - self._logs[low]) / (self._logs[low + 1] - self._logs[low])
        return low + min(max(share, 0.0), 1.0)

    def nearest(self, sigma: Tensor | float) -> Tensor | float:
        """The level of the table that is nearest to each sigma (in sigma, not in its logarithm), as sgm's denoiser has it."""
        asked = torch.as_tensor(sigma, dtype=torch.float32)
        levels = self.sigmas.to(asked.device)
        found = levels[(asked[..., None] - levels).abs().argmin(-1)]
        return found if isinstance(sigma, Tensor) and sigma.ndim else float(found)

    def step(self, sigma: float, device: torch.device) -> Tensor:
        """t(sigma) as the network takes it: a float32 scalar on a device. Kept, since the next picture asks the same."""
        found = self._steps.get((sigma, device))
        if found is None:
            if len(self._steps) >= 4096:
                self._steps.clear()
            found = self._steps[sigma, device] = torch.tensor(self.t(sigma), device=device)
        return found

    def t_of(self, sigma: Tensor) -> Tensor:
        """The training steps of a tensor of noise levels: any shape, on sigma's device, float32."""
        precision = torch.float32 if sigma.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        logs = torch.tensor(self._logs, dtype=precision, device=sigma.device)
        log = sigma.to(precision).log().contiguous()
        low = (torch.searchsorted(logs, log, right=True) - 1).clamp(0, len(self) - 2)
        share = (log - logs[low]) / (logs[low + 1] - logs[low])
        return (low + share.clamp(0, 1)).float()
