"""The hooks: what an extension can add. Built-in parts come in through the same ones as a stranger's.

    from webui.contract import hookimpl

    @hookimpl
    def register_samplers(register): ...

Each hook is asked once, at start, of each plugin by itself, in a thread of its own and for at most ten seconds together with
its import. It calls register for each part and answers nothing. Anything else ends in one sentence that names the plugin:
none of its parts is used then, and the rest start. docs/extensions.md has an example of each hook, executed by a test.

Names stand in menus, in the API and in every picture, so one that was released stays. They have 1 to 80 printable letters; case
does not tell them apart. Of two parts of one name, or alias, the first keeps it: the program's, then those of the project's
folder, of the data folder, of packages. The later plugin is switched off as a whole, naming both.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from webui.contract import PROJECT

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def register_samplers(register: Callable[..., None]) -> None:
    """Offer samplers: ways from noise to a picture.

    register(name, sampler, *, aliases=(), schedule="", discard_penultimate=False, calls_per_step=1, is_random=False,
    starts_vp=False, ladder="")

    sampler(denoise, x, sigmas, noise) -> clean latents, shaped like x.
        denoise(x, sigma) -> clean latents (B, C, h, w) as the network sees them in x = clean + sigma * noise. sigma is a
            number, a scalar tensor or (B,). Guidance, progress, preview and interruption are inside. It is the one door to the
            network, other jobs may share a call, and a call may raise to end the job: let that through.
        x: (B, C, h, w) float32, noise of the standard deviation sigmas[0] (of a picture to repaint: that picture with such noise
            on it). Not to be changed in place.
        sigmas: (steps + 1,) float32, falling, the last one usually 0; the unit is that of the scaled latents, whose own standard
            deviation is about 1.
        noise(sigma, sigma_next) -> unit noise shaped like x for that step, from each picture's own seed. Randomness from
            anywhere else would draw another picture next time.
    Called in the thread that computes; what it raises ends that job, with the extension's name. The same values must give the
    same bytes.

    Its keyword-only parameters are its options, each with a default: bool, int, float, str, Literal of texts, or
    Annotated[float, Range(0, 2)]; their controls, their place in the API and in infotext come by themselves.

    Args of register, beside the name:
        aliases: other names under which requests and infotext may know it.
        schedule: the one that Automatic stands for with it; "" is the checkpoint's own.
        discard_penultimate: it is given one more noise level, and the last but one left out, as DPM2 wants it.
        calls_per_step: of denoise, to tell the time that is left.
        is_random: it calls noise, so the fields of step noise have a meaning.
        starts_vp: x begins as noise * sqrt(1 + sigmas[0]^2).
        ladder: the schedule that it always walks, whatever was asked.
    """


@hookspec
def register_schedules(register: Callable[..., None]) -> None:
    """Offer schedules: which noise levels a sampler walks.

    register(name, schedule, *, aliases=())

    schedule(steps, table) -> steps + 1 numbers: finite, strictly falling, the last one 0, for any number of steps from 1.
        table: a webui.contract.parts.NoiseTable, what the network was trained on: sigma_min, sigma_max, sigmas (1000,) rising,
            sigma(t) at a fractional training step, t(sigma) back.
    Called once a job. An answer of another kind ends that job, with the schedule's name. Its keyword-only parameters are
    its options, as a sampler's are.
    """


@hookspec
def register_conditioners(register: Callable[..., None]) -> None:
    """Offer conditioners: what the network is told beside the noisy latents. One is asked where a family names it.

    register(name, conditioner, *, aliases=(), is_shared=False)

    conditioner(request, model, negative, inputs) -> webui.contract.parts.Conditioning with the parts that it makes, each
    tensor with a batch dimension of 1: crossattn (1, T, C), vector (1, D), concat (1, C, h, w).
        request: the webui.contract.request.GenerationRequest; not to be changed.
        model: the loaded checkpoint, a webui.checkpoints.model.Model.
        negative: whether the other side of guidance is asked for.
        inputs: webui.contract.parts.Inputs, the request's pictures as tensors.
    Of all conditioners of a family one makes crossattn; the parts of vector and of concat are put behind each other, in the
    order of the family's row. What one raises ends that job, with the extension's name.

    Args of register, beside the name:
        is_shared: both sides are told the same by it, so it is asked once.
    """


@hookspec
def register_families(register: Callable[..., None]) -> None:
    """Offer families: architectures, each as a row of data.

    register(family)

    family: a webui.contract.parts.Family, most easily one of webui.checkpoints.families with some columns replaced
    (dataclasses.replace). A checkpoint is of the row that fits its build: which encoders are there and of which kind, channels
    of the U-Net, how it takes a vector. Rows of one build are told apart by their sizes, then by `hints`, parts of the
    file's or folder's name; of the rest the earlier row is taken. The networks themselves are those that the program knows.
    """
