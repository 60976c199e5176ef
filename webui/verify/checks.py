"""The checks: what a case asks for, computed by the program's own parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.model import Model
from webui.checkpoints.tokenizer import tokenizer
from webui.contract.options import parameters
from webui.contract.parts import Conditioning, Parts
from webui.engine.autoencoder import decoded, encode
from webui.engine.conditioners.things import box_tokens
from webui.engine.conditioning import batched
from webui.engine.denoiser import denoiser, network
from webui.engine.generate import table_of
from webui.engine.guidance import guide
from webui.verify.case import CONDITIONING, Case, CaseError, Check, as_tensor
from webui.verify.items import box, conditioned

Output = tuple[str, Tensor]
"""Its name in the check, and what we compute"""


@dataclass(frozen=True)
class Bench:
    """What a check is computed with."""

    case: Case
    checkpoints: Checkpoints
    parts: Parts
    model: Model
    """Of the case's first checkpoint"""


def computed(check: Check, bench: Bench) -> Iterator[Output]:
    """All that a check compares, by the program's own parts."""
    return KINDS[check.kind](check, bench)


def error_of(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, in parts of the largest expected number; infinite where a shape differs or a number is none."""
    ours, theirs = ours.double().cpu(), theirs.double().cpu()
    if ours.shape != theirs.shape or not bool(ours.isfinite().all()) or not bool(theirs.isfinite().all()):
        return math.inf
    if not theirs.numel():
        return math.inf
    largest = float(theirs.abs().max())
    return float((ours - theirs).abs().max()) / (largest or 1.0)


def _tokens(check: Check, bench: Bench) -> Iterator[Output]:
    model = bench.model
    rows = [row for row in model.family.encoders if row.role in ("text", "text_2", "boxes")]
    number = int(check["encoder"])
    if not 0 <= number < len(rows):
        raise CaseError(f"{model.family.label} has no text encoder number {number}.")
    row = rows[number]
    if "boxes" in check.values:
        encoder: Any = model.encoders["boxes"]
        ids: Any = box_tokens([box(one) for one in check["boxes"]], encoder.words)
    else:
        ids = tokenizer(row.kind, model.shelf, model.path).ids(str(check["prompt"]))
    expected = check.tensor("ids")
    yield "ids", torch.tensor(ids).reshape(expected.shape) if len(ids) == expected.numel() else torch.tensor(ids)


def _conditioning(check: Check, bench: Bench) -> Iterator[Output]:
    expected = {name: check.tensor(name) for name in check.expected()}
    count = len(next(iter(expected.values())))
    size = expected["concat"].shape[-2:] if "concat" in expected else (8, 8)
    made = conditioned(check["inputs"], bench.model, bench.parts, count, (int(size[0]), int(size[1])))
    for name in CONDITIONING:
        value = getattr(made, name)
        if (value is None) != (name not in expected):
            raise CaseError(
                f"The case has {'no' if value is not None else 'a'} {name}, ours has {'one' if value is not None else 'none'}."
            )
        if value is not None:
            yield name, value


def _given(check: Check) -> Conditioning:
    given: dict[str, Any] = {name: check.tensor(name) for name in CONDITIONING if name in check.values}
    return Conditioning(**given)


def _denoise(check: Check, bench: Bench) -> Iterator[Output]:
    told, x, t = _given(check), check.tensor("x"), check.tensor("t").float()
    seen = x if told.concat is None else torch.cat([x, told.concat], 1)
    with torch.inference_mode():
        yield "output", network(bench.model, told)(seen, t)


def _predict(check: Check, bench: Bench) -> Iterator[Output]:
    with torch.inference_mode():
        denoise = denoiser(bench.model, table_of(bench.model), _given(check))
        yield "denoised", denoise(check.tensor("x"), check.tensor("sigma"))


def _encode(check: Check, bench: Bench) -> Iterator[Output]:
    yield "latents", encode(check.tensor("image"), bench.model)


def _decode(check: Check, bench: Bench) -> Iterator[Output]:
    yield "image", decoded(check.tensor("latents"), bench.model)


def _sample(check: Check, bench: Bench) -> Iterator[Output]:
    sigmas, noise = check.tensor("sigmas"), check.tensor("noise")
    if "init_latents" in check.values:
        x = check.tensor("init_latents") + sigmas[0] * noise
    else:
        x = noise * (1 + sigmas[0] ** 2).sqrt()
    model = bench.model
    x = _walk(check.values, x, model, bench.parts)
    refiner = check.values.get("refiner")
    if "base_latents" in check.values:
        yield "base_latents", x
    if refiner is None:
        yield from _drawn(check, x, float(sigmas[-1]), model)
        return
    with bench.checkpoints.use(refiner["checkpoint"]) as second:
        own = as_tensor(refiner["sigmas"], "sigmas")
        if "noise" in refiner:
            x = x + own[0] * as_tensor(refiner["noise"], "noise")
        x = _walk(refiner, x, second, bench.parts)
        yield from _drawn(check, x, float(own[-1]), second)


def _drawn(check: Check, x: Tensor, last: float, model: Model) -> Iterator[Output]:
    """Where a walk ends above 0, the releases answer what the network would see there."""
    latents = x / math.sqrt(1 + last**2)
    yield "latents", latents
    if "image" in check.values:
        yield "image", decoded(latents, model)


def _walk(values: Mapping[str, Any], x: Tensor, model: Model, parts: Parts) -> Tensor:
    """One stage: from noisy latents down the levels of the case."""
    count, size = len(x), (int(x.shape[-2]), int(x.shape[-1]))
    positive = conditioned(values["inputs"], model, parts, count, size)
    table, scale = table_of(model), 1.0
    negative = positive
    if "negative_inputs" in values:
        negative, scale = conditioned(values["negative_inputs"], model, parts, count, size), float(values["guidance"])
    name = str(values["sampler"])
    sampler = parts.samplers[name if name in parts.samplers else f"k_{name}"]
    options = {"eta": float(values["eta"])} if "eta" in parameters(sampler.function) and "eta" in values else {}
    if values.get("eta") and not options:
        raise CaseError(f"The sampler {sampler.name} has no eta.")
    draws = iter(as_tensor(values["step_noise"], "step_noise") if "step_noise" in values else ())

    def noise(_sigma: Tensor | float, _sigma_next: Tensor | float) -> Tensor:
        drawn = next(draws, None)
        if drawn is None:
            raise CaseError(f"The sampler {sampler.name} asks for more noise than the case gives it.")
        return drawn

    with torch.inference_mode():
        denoise = guide(model, table, batched([positive], count), batched([negative], count), scale, count)
        latents: Tensor = sampler.function(denoise, x, as_tensor(values["sigmas"], "sigmas"), noise, **options)
    return latents


KINDS: Mapping[str, Callable[[Check, Bench], Iterator[Output]]] = {
    "tokens": _tokens,
    "conditioning": _conditioning,
    "denoise": _denoise,
    "predict": _predict,
    "encode": _encode,
    "decode": _decode,
    "sample": _sample,
}
