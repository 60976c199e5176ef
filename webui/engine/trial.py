"""An extension's samplers, schedules, guiders, scripts, preprocessors, upscalers and readers, tried once on tiny latents and
small pictures before anybody draws with them; and its families, looked over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import Tensor

from webui.checkpoints.model import Model
from webui.contract.errors import PluginError, RequestError
from webui.contract.more_parts import ScriptPart
from webui.contract.parts import Conditioning, Family, Parts, SamplerPart
from webui.contract.registry import Registry
from webui.contract.request import Chosen, GenerationRequest
from webui.contract.result import CheckpointName, GeneratedImage
from webui.engine import scripts
from webui.engine.conditioning import Sides
from webui.engine.enlarging import answered
from webui.engine.guiders import guided
from webui.engine.references import References, preprocessing
from webui.engine.schedules import AUTOMATIC, ladder
from webui.engine.strangers import called, latents_of
from webui.engine.table import NoiseTable
from webui.engine.trial_rows import row_faults

STEPS = (1, 4, 20)


def faults(parts: Parts, owner: str, family: Family) -> Iterator[PluginError]:
    """What is wrong with the parts of a plugin as soon as they are called; one for each part.

    Args:
        family: whose noise levels are walked, and whose schedule Automatic stands for.
    """
    table = NoiseTable.from_family(family)

    def schedule_falls(name: str) -> None:
        for steps in STEPS:
            ladder(parts.samplers[family.sampler], name, steps, table, parts.schedules, family.schedule)

    def sampler_walks(name: str) -> None:
        for steps in STEPS:
            _walk(parts, parts.samplers[name], AUTOMATIC, steps, table, family)

    tries: tuple[tuple[Registry[Any], Callable[[str], None]], ...] = (
        (parts.samplers, sampler_walks),
        (parts.schedules, schedule_falls),
        (parts.guiders, lambda name: _guide(parts, name, table, family)),
        (parts.preprocessors, lambda name: _prepare(parts, name)),
        (parts.upscalers, lambda name: _enlarge(parts, name)),
        (parts.readers, lambda name: _read(parts, name)),
        (parts.scripts, lambda name: _play(parts, name)),
    )
    for registry, tried in tries:
        for part in registry:
            if registry.owner(part.name) == owner:
                try:
                    tried(part.name)
                except PluginError as error:
                    yield error
                except RequestError:
                    pass  # it asks the user for something, as it may: options have their defaults here
    yield from row_faults(parts, owner)


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


def _guide(parts: Parts, name: str, table: NoiseTable, family: Family) -> None:
    """Two pictures of 8 x 8 latents with a tiny random network, at a high, a middle and a low noise level."""
    owner, generator = parts.guiders.owner(name), torch.Generator("cpu").manual_seed(0)
    model, width = _tiny(family)

    def conditioned(_: GenerationRequest) -> Sides:
        words = torch.randn(2, 1, 7, width, generator=torch.Generator("cpu").manual_seed(1))
        return Conditioning(crossattn=words[0]), Conditioning(crossattn=words[1])

    request = GenerationRequest(prompt="a red cube", steps=4, guidance=3.0, width=64, height=64, seed=1, guiders=(Chosen(name),))
    x = torch.randn(2, family.latent_channels, 8, 8, generator=generator)
    with torch.inference_mode():
        for sigma in (table.sigma_max, 1.0, table.sigma_min):
            given, before = x * sigma, x * sigma
            first, again = (
                guided(request, model, table, conditioned(request), conditioned, 2, References(parts))(given, sigma)
                for _ in range(2)
            )
            if not bool(first.isfinite().all()):
                raise PluginError(f"The extension {owner} made latents that are no numbers in its guider {name!r}.")
            if not torch.equal(given, before):
                raise PluginError(
                    f"The extension {owner} changes x in its guider {name!r}: it is to make new latents, not to write into those "
                    "that it is given."
                )
            if not torch.equal(first, again):
                raise PluginError(f"The extension {owner} answers the same latents another way each time in its guider {name!r}.")


def _tiny(family: Family) -> tuple[Model, int]:
    """A model with a random U-Net of the usual kind that takes no time, and the width of its words."""
    width = 8
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=family.latent_channels,
            out_channels=family.latent_channels,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=4,
            cross_attention_dim=width,
        )
    sigmas = NoiseTable.from_family(family).sigmas
    return Model("a tiny one", CheckpointName("tiny", ""), family, unet.eval().requires_grad_(False), None, {}, sigmas), width


def _play(parts: Parts, name: str) -> None:
    """A script's first hundred wishes, twice; grey pictures are sent back."""
    part, owner = parts.scripts[name], parts.scripts.owner(name)
    request = GenerationRequest(prompt="a red cube", steps=4, guidance=3.0, width=64, height=64, seed=1, batch_count=2)
    if part.when is not None:
        with called(parts.scripts, name):
            part.when(request)
    first, again = (list(islice(_wishes(parts, part, request), 100)) for _ in range(2))
    if first != again:
        raise PluginError(
            f"The extension {owner} asks for something else each time in its script {name!r}, so that a job which was "
            "interrupted cannot go on. What it yields is to follow from the request."
        )


def _wishes(parts: Parts, part: ScriptPart, request: GenerationRequest) -> Iterator[Any]:
    """What it yields, pictures by their size alone."""
    arguments = References(parts).called_with(part.function, {}, "script_options")
    scripts.counted(parts, part, request, arguments)
    steps, answer = scripts.started(parts, part, request, arguments), None
    while (asked := scripts.following(parts, part, steps, answer)) is not scripts.OVER:
        yield asked.size if isinstance(asked, Image.Image) else asked
        answer = asked if isinstance(asked, list) else _grey(asked) if isinstance(asked, GenerationRequest) else []


def _grey(asked: GenerationRequest) -> Any:
    image = Image.new("RGB", (asked.width or 64, asked.height or 64), "grey")
    return [GeneratedImage(image, asked.alone(i), CheckpointName("none"), "") for i in range(asked.pictures)]


def _enlarge(parts: Parts, name: str) -> None:
    """A picture of 24 x 16, at factors that come up."""
    picture = Image.linear_gradient("L").resize((24, 16)).convert("RGB")
    for scale in (1.5, 2.0, 4.0):
        answered(parts.upscalers[name], picture, scale, parts)


def _read(parts: Parts, name: str) -> None:
    """A picture that says nothing of itself, as its files do."""
    owner = parts.readers.owner(name)
    for kind in ("PNG", "JPEG", "WEBP"):
        file = BytesIO()
        Image.new("RGB", (8, 8)).save(file, kind)
        with Image.open(file) as image, called(parts.readers, name):
            answer = parts.readers[name].function(image)
        if answer != "":
            seen = "a text" if isinstance(answer, str) else f"a {type(answer).__name__}"
            raise PluginError(
                f"The extension {owner} answers {seen} in its reader {name!r} for a picture that says nothing of "
                'itself, where "" is due.'
            )


def _prepare(parts: Parts, name: str) -> None:
    """A picture of 40 x 24 with a gradient and an edge, and one of one colour."""
    picture = Image.linear_gradient("L").resize((40, 24)).convert("RGB")
    picture.paste((200, 30, 60), (8, 4, 24, 20))
    for image in (picture, Image.new("RGB", (40, 24), "white")):
        before = image.tobytes()
        made, again = (preprocessing(parts, name)(image) for _ in range(2))
        owner = parts.preprocessors.owner(name)
        if made.tobytes() != again.tobytes():
            raise PluginError(f"The extension {owner} makes another picture each time in its preprocessor {name!r}.")
        if image.tobytes() != before:
            raise PluginError(f"The extension {owner} changes the picture that its preprocessor {name!r} is given.")
