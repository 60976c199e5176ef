"""An extension's samplers and schedules, tried once on tiny latents before anybody draws with them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from webui.contract.errors import PluginError
from webui.contract.parts import Family, Parts, SamplerPart
from webui.engine.schedules import AUTOMATIC, ladder
from webui.engine.strangers import called, latents_of
from webui.engine.table import NoiseTable

STEPS = (1, 4, 20)


def faults(parts: Parts, owner: str, family: Family) -> Iterator[PluginError]:
    """What is wrong with the samplers and schedules of a plugin as soon as they are called; one for each part.

    Args:
        family: whose noise levels are walked, and whose schedule Automatic stands for.
    """
    table = NoiseTable.from_family(family)
    for sampler in parts.samplers:
        if parts.samplers.owner(sampler.name) == owner:
            try:
                for steps in STEPS:
                    _walk(parts, sampler, AUTOMATIC, steps, table, family)
            except PluginError as error:
                yield error
    for schedule in parts.schedules:
        if parts.schedules.owner(schedule.name) == owner:
            try:
                for steps in STEPS:
                    ladder(parts.samplers[family.sampler], schedule.name, steps, table, parts.schedules, family.schedule)
            except PluginError as error:
                yield error


def _walk(parts: Parts, sampler: SamplerPart, schedule: str, steps: int, table: NoiseTable, family: Family) -> None:
    """Two pictures of 8 x 8 latents, with a network that sees the same picture in them, more or less."""
    sigmas = ladder(sampler, schedule, steps, table, parts.schedules, family.schedule)
    generator = torch.Generator("cpu").manual_seed(0)
    shape = (2, family.latent_channels, 8, 8)
    x = torch.randn(shape, generator=generator) * sigmas[0]
    picture = torch.randn(shape, generator=generator)
    before = x.clone()

    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:  # exact where pictures are this one and unit noise on it
        variance = torch.as_tensor(sigma).reshape(-1, 1, 1, 1) ** 2
        return (x + variance * picture) / (1 + variance)

    def noise(sigma: Tensor | float, sigma_next: Tensor | float) -> Tensor:  # noqa: ARG001
        return torch.randn(shape, generator=generator)

    with called(parts.samplers, sampler.name):
        answer = sampler.function(denoise, x, sigmas, noise)
    latents = latents_of(answer, x, parts.samplers, sampler.name)
    owner = parts.samplers.owner(sampler.name)
    if not bool(latents.isfinite().all()):
        raise PluginError(
            f"The extension {owner} made latents that are no numbers in its sampler {sampler.name!r}, {steps} steps."
        )
    if not torch.equal(x, before):
        raise PluginError(
            f"The extension {owner} changes x in its sampler {sampler.name!r}: it is to make new latents (x = x + ...), "
            "not to write into those that it is given (x += ...)."
        )
