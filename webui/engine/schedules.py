"""Schedules: which noise levels a sampler walks. And `ladder`, which decides among them for a job.

Every schedule is a function (steps, table, *, options) -> steps + 1 noise levels as floats, strictly falling, the last
one 0, for any number of steps from 1. Unit: that of the scaled latents (SD 1: 14.6 to 0.03). Where the published code
breaks that promise, ours keeps it and the docstring says how. "Automatic" is no schedule: `resolve` finds out which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor

from webui.contract.errors import PluginError, UnknownNameError
from webui.contract.options import Range, parameters
from webui.contract.parts import NoiseTable, SamplerPart, SchedulePart
from webui.contract.registry import Registry
from webui.engine import table as tables
from webui.engine.strangers import called

AUTOMATIC = "Automatic"
Level = Annotated[float | None, Range(0.0001, 1000), "Empty: the checkpoint's own"]
"""Where the ladder ends or begins; None: at the end of the checkpoint's own noise levels."""
Shape = Annotated[float, Range(0.05, 5)]
TrainedFor = Literal["sd1", "sdxl"]
"""Whose published levels."""


def uniform(steps: int, table: NoiseTable) -> list[float]:
    """Time steps equally spaced from the table's end to its beginning; what A1111 means by Automatic.

    Source: Crowson, k-diffusion, DiscreteSchedule.get_sigmas.
    """
    return _at_times(table, _spaced(_last(table), 0, steps))


def sgm_uniform(steps: int, table: NoiseTable) -> list[float]:
    """As uniform with one step more, without the lowest: the last step starts higher up.

    Source: Stability-AI, generative-models, LegacyDDPMDiscretization, without its rounding of time steps.
    """
    return _at_times(table, _spaced(_last(table), 0, steps + 1)[:-1])


def normal(steps: int, table: NoiseTable) -> list[float]:
    """As uniform, between the time steps of the table's ends. Equal to uniform on every table of the line."""
    return _at_times(table, _spaced(table.t(table.sigma_max), table.t(table.sigma_min), steps))


def simple(steps: int, table: NoiseTable) -> list[float]:
    """Every (T / steps)-th level of the table counted from its top, none interpolated.

    Source: ComfyUI, simple_scheduler. More steps than the table has levels: uniform.
    """
    count = len(table.sigmas)
    if steps > count:
        return uniform(steps, table)
    return [*(float(table.sigmas[count - 1 - int(i * count / steps)]) for i in range(steps)), 0.0]


def turbo(steps: int, table: NoiseTable) -> list[float]:
    """Levels of the table, evenly over its steps: 999, 749, 499, 249 for 4 of 1000.

    Source: the schedule of that name in Forge. The Turbo checkpoints' own is sd_turbo. More steps than the table has
    levels: uniform.
    """
    count = len(table.sigmas)
    if steps > count:
        return uniform(steps, table)
    return [*(float(table.sigmas[round(count / steps * k) - 1]) for k in range(steps, 0, -1)), 0.0]


def sd_turbo(steps: int, table: NoiseTable) -> list[float]:
    """The steps that the Turbo checkpoints were made for: 999, 899, 799, 699 of 1000, as many as are asked, then 0.

    Source: Sauer et al. 2023, arXiv:2311.17042, as Stability-AI's demo draws with them. More than ten steps, which they
    were not made for: turbo.
    """
    tenth = len(table.sigmas) // 10
    if steps > 10 or not tenth:
        return turbo(steps, table)
    return [*(float(table.sigmas[-1 - tenth * k]) for k in range(steps)), 0.0]


def ddim(steps: int, table: NoiseTable) -> list[float]:
    """The time steps of the DDIM sampler: 1, 1 + k, 1 + 2k, ... with k = T / steps, from the top.

    Equal to the original where steps divides T. Elsewhere it cuts k to an integer and may walk more steps than were
    asked (36 became 37, 80 became 84) or index beyond the table; ours spreads exactly `steps` of them. One step starts
    at the top of the table (the original starts at time step 1, where noise is taken for a picture), and the walk
    ends at 0, not at the table's lowest level.

    Source: Rombach et al., make_ddim_timesteps (uniform), after Song et al. 2021, arXiv:2010.02502.
    """
    count = len(table.sigmas)
    if steps == 1 or steps >= count:
        return uniform(steps, table)
    return [*(float(table.sigmas[1 + i * count // steps]) for i in reversed(range(steps))), 0.0]


def karras(
    steps: int, table: NoiseTable, *, rho: Annotated[float, Range(1, 20)] = 7.0, sigma_min: Level = None, sigma_max: Level = None
) -> list[float]:
    """Equal steps of sigma^(1/rho): short steps where the noise is low.

    Source: Karras et al. 2022, arXiv:2206.00364, eq. 5.
    """
    low, high = _ends(table, sigma_min, sigma_max)
    return [*(root**rho for root in _spaced(high ** (1 / rho), low ** (1 / rho), steps)), 0.0]


def polyexponential(
    steps: int,
    table: NoiseTable,
    *,
    rho: Annotated[float, Range(0.1, 20)] = 1.0,
    sigma_min: Level = None,
    sigma_max: Level = None,
) -> list[float]:
    """A polynomial of degree rho in log sigma; rho 1 is exponential. Source: Crowson, k-diffusion."""
    low, high = (math.log(sigma) for sigma in _ends(table, sigma_min, sigma_max))
    return [*(math.exp(low + share**rho * (high - low)) for share in _spaced(1, 0, steps)), 0.0]


def exponential(steps: int, table: NoiseTable, *, sigma_min: Level = None, sigma_max: Level = None) -> list[float]:
    """Equal steps of log sigma. Source: Crowson, k-diffusion, get_sigmas_exponential."""
    return polyexponential(steps, table, sigma_min=sigma_min, sigma_max=sigma_max)


def kl_optimal(steps: int, table: NoiseTable, *, sigma_min: Level = None, sigma_max: Level = None) -> list[float]:
    """Equal steps of atan(sigma).

    The levels at which the network is asked are those of A1111. It stops at sigma_min and leaves that noise in the
    picture; ours goes from the last of them to 0, as every schedule does.

    Source: Sabour et al. 2024, arXiv:2404.14507, eq. 18.
    """
    low, high = _ends(table, sigma_min, sigma_max)
    return [*(math.tan(angle) for angle in _spaced(math.atan(high), math.atan(low), steps + 1)[:-1]), 0.0]


def beta(
    steps: int,
    table: NoiseTable,
    *,
    alpha: Shape = 0.6,
    beta: Shape = 0.6,
    sigma_min: Level = None,
    sigma_max: Level = None,
) -> list[float]:
    """Quantiles of a beta distribution spread over sigma: most steps near both ends.

    Source: Lee et al. 2024, arXiv:2407.12173, as A1111 has it: the paper spreads them over time steps.
    """
    low, high = _ends(table, sigma_min, sigma_max)
    return [*(low + _beta_quantile(share, alpha, beta) * (high - low) for share in _spaced(1, 0, steps)), 0.0]


_AYS = {
    "sd1": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}  # fmt: skip
_AYS_GITS = {
    "sd1": (14.615, 4.617, 2.507, 1.236, 0.702, 0.402, 0.240, 0.156, 0.104, 0.094, 0.029),
    "sdxl": (14.615, 4.734, 2.567, 1.529, 0.987, 0.652, 0.418, 0.268, 0.179, 0.127, 0.029),
}  # fmt: skip
_AYS_32 = {
    "sd1": (
        14.615, 11.239513, 8.643631, 6.647294, 5.572509, 4.7164855, 3.9919608, 3.5195608, 3.1349046, 2.7922878, 2.4877362,
        2.2166386, 1.9750835, 1.7793171, 1.6147534, 1.4654095, 1.314849, 1.166425, 1.0347555, 0.91573745, 0.8074817, 0.7120236,
        0.621739, 0.53065205, 0.4529096, 0.37491456, 0.27461818, 0.2011529, 0.14105873, 0.06682881, 0.03166121, 0.015,
    ),
    "sdxl": (
        14.615, 11.149161, 8.505221, 6.4882717, 5.437074, 4.6039863, 3.898547, 3.2740746, 2.7439654, 2.2996867, 1.9544852,
        1.6710871, 1.4287815, 1.2318101, 1.0678965, 0.9257944, 0.80290884, 0.6966012, 0.60436904, 0.52852553, 0.46773344,
        0.41393378, 0.36258185, 0.31008518, 0.26518926, 0.2232646, 0.17653877, 0.13959192, 0.10587381, 0.05519369, 0.02877334,
        0.015,
    ),
}  # fmt: skip


def align_your_steps(
    steps: int,
    table: NoiseTable,  # noqa: ARG001 - its levels are fixed
    *,
    trained_for: TrainedFor = "sd1",
) -> list[float]:
    """Eleven levels optimised for a family, log-linearly interpolated to any other number.

    The ends are those of the optimisation, whatever the table's are. One step starts at the top (A1111 at 0.029).

    Args:
        trained_for: "sd1" or "sdxl".

    Source: Sabour et al. 2024, arXiv:2404.14507, and the tables published with it.
    """
    return _log_linear(_AYS, trained_for, steps)


def align_your_steps_gits(
    steps: int,
    table: NoiseTable,  # noqa: ARG001 - its levels are fixed
    *,
    trained_for: TrainedFor = "sd1",
) -> list[float]:
    """As align_your_steps, with the levels of Chen et al. 2024, arXiv:2405.11326 (GITS)."""
    return _log_linear(_AYS_GITS, trained_for, steps)


def align_your_steps_32(
    steps: int,
    table: NoiseTable,  # noqa: ARG001 - its levels are fixed
    *,
    trained_for: TrainedFor = "sd1",
) -> list[float]:
    """As align_your_steps, from 32 levels that go down to 0.015, as Forge publishes them."""
    return _log_linear(_AYS_32, trained_for, steps)


def resolve(sampler: SamplerPart, name: str, schedules: Registry[SchedulePart], family_schedule: str) -> SchedulePart:
    """The schedule that a job really walks: what the sampler insists on, what was asked, or whose default it is.

    Args:
        name: as in the request; "Automatic" or "" leave the choice to the sampler, then to the family.

    Raises:
        UnknownNameError: no schedule of that name.
    """
    if sampler.ladder:
        return schedules[sampler.ladder]
    if name.casefold() not in ("", AUTOMATIC.casefold()):
        return schedules[name]
    return schedules[sampler.schedule or family_schedule]


def ladder(
    sampler: SamplerPart,
    name: str,
    steps: int,
    table: tables.NoiseTable,
    schedules: Registry[SchedulePart],
    family_schedule: str,
    options: Mapping[str, object] | None = None,
) -> Tensor:
    """The noise levels of a job: (steps + 1,) float32 on the CPU, strictly falling, the last one 0.

    Args:
        name: as in the request, see resolve.
        options: values for the schedule's own keyword-only parameters; those of other schedules are passed over.

    Raises:
        UnknownNameError: no schedule of that name.
        PluginError: the schedule (of an extension) does not give what it has to.
    """
    part = resolve(sampler, name, schedules, family_schedule)
    asked = steps + 1 if sampler.discard_penultimate else steps
    known = parameters(part.function) if options else {}
    chosen = {key: value for key, value in (options or {}).items() if key in known}
    with called(schedules, part.name):
        sigmas = torch.tensor([float(sigma) for sigma in part.function(asked, table, **chosen)], dtype=torch.float32)
    if len(sigmas) != asked + 1 or not bool(sigmas.isfinite().all()) or not bool((sigmas.diff() < 0).all()) or sigmas[-1] < 0:
        raise PluginError(
            f"The schedule {part.name!r} gave no {asked + 1} finite, falling noise levels for {asked} steps. "
            "Choose another schedule, or another number of steps."
        )
    return torch.cat([sigmas[:-2], sigmas[-1:]]) if sampler.discard_penultimate else sigmas


def _last(table: NoiseTable) -> int:
    return len(table.sigmas) - 1


def _ends(table: NoiseTable, sigma_min: float | None, sigma_max: float | None) -> tuple[float, float]:
    return sigma_min or table.sigma_min, sigma_max or table.sigma_max


def _at_times(table: NoiseTable, times: Sequence[float]) -> list[float]:
    return [*(table.sigma(t) for t in times), 0.0]


def _spaced(first: float, last: float, count: int) -> list[float]:
    """count values from first to last, both ends exact; a single one is the first."""
    if count == 1:
        return [first]
    return [first + (last - first) * i / (count - 1) for i in range(count - 1)] + [last]


def _log_linear(tables: Mapping[str, Sequence[float]], trained_for: str, steps: int) -> list[float]:
    if trained_for not in tables:
        raise UnknownNameError("table of levels", trained_for, tables)
    levels = tables[trained_for]
    logs = [math.log(level) for level in levels]
    if steps == len(levels):
        return [*levels, 0.0]
    pairs = list(pairwise(logs))
    sigmas = []
    for place in _spaced(0, len(pairs), steps):
        low = min(int(place), len(pairs) - 1)
        above, below = pairs[low]
        sigmas.append(math.exp(above + (below - above) * (place - low)))
    return [*sigmas, 0.0]


def _beta_quantile(share: float, a: float, b: float) -> float:
    """Where the beta distribution has `share` of its mass to the left, by bisection."""
    if share <= 0 or share >= 1:
        return float(share >= 1)
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _beta_share(middle, a, b) < share else (low, middle)
    return middle


def _beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22, evaluated as Lentz does)."""
    if x > (a + 1) / (a + b + 2):  # where it converges slowly, the mirror image converges fast
        return 1 - _beta_share(1 - x, b, a)
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 200):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + term * d), 1 + term / c
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(scale) * fraction / a
