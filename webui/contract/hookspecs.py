"""The hooks: what an extension can add. Built-in parts come in through the same ones as a stranger's.

    from webui.contract import hookimpl

    @hookimpl
    def register_samplers(register): ...

Each hook that registers is asked once, at start, of each plugin by itself, in a thread of its own and for at most ten seconds
together with its import. It calls register for each part and answers nothing. Anything else ends in one sentence that names the
plugin: none of its parts is used then, and the rest start. The others are told what happens while the program runs.
docs/extensions.md has an example of each hook, executed by a test.

Every hook may also take `own`, a webui.contract.own.Own: the extension's own settings and folder.

Names stand in menus, in the API and in every picture, so one that was released stays. They have 1 to 80 printable letters; case
does not tell them apart. Of two parts of one name, or alias, the first keeps it: the program's, then those of the project's
folder, of the data folder, of packages. The later plugin is switched off as a whole, naming both.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from webui.contract import PROJECT
from webui.contract.happenings import (
    CheckpointLoaded,
    ImageFinished,
    ImageSaved,
    JobStarted,
    SettingsChanged,
    StepFinished,
)
from webui.contract.own import Own

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def register_samplers(register: Callable[..., None], own: Own) -> None:
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
def register_schedules(register: Callable[..., None], own: Own) -> None:
    """Offer schedules: which noise levels a sampler walks.

    register(name, schedule, *, aliases=())

    schedule(steps, table) -> steps + 1 numbers: finite, strictly falling, the last one 0, for any number of steps from 1.
        table: a webui.contract.parts.NoiseTable, what the network was trained on: sigma_min, sigma_max, sigmas (1000,) rising,
            sigma(t) at a fractional training step, t(sigma) back.
    Called once a job. An answer of another kind ends that job, with the schedule's name. Its keyword-only parameters are
    its options, as a sampler's are.
    """


@hookspec
def register_conditioners(register: Callable[..., None], own: Own) -> None:
    """Offer conditioners: what the network is told beside the noisy latents. One is asked where a family names it, or, with
    on_request, where the request does.

    register(name, conditioner, *, aliases=(), is_shared=False, on_request=False)

    conditioner(request, model, negative, inputs) -> webui.contract.parts.Conditioning with the parts that it makes, each
    tensor with a batch dimension of 1: crossattn (1, T, C), vector (1, D), concat (1, C, h, w); and controls, each a
    webui.contract.more_parts.Control, whose residuals are added to the U-Net's maps at each step.
        request: the webui.contract.request.GenerationRequest; not to be changed.
        model: the loaded checkpoint, a webui.checkpoints.model.Model.
        negative: whether the other side of guidance is asked for.
        inputs: webui.contract.parts.Inputs, the request's pictures as tensors.
    Of all conditioners of a family one makes crossattn; the parts of vector and of concat are put behind each other, in the
    order of the family's row. What one raises ends that job, with the extension's name.

    Args of register, beside the name:
        is_shared: both sides are told the same by it, so it is asked once.
        on_request: a request names it ("conditioners": [{"name": ..., "options": {...}}]). Its keyword-only parameters are its
            options, as a sampler's are; beside those a Picture, a File or a PartOf, which the request names and the conditioner
            is called with. What it makes stands behind the family's: crossattn (as many rows for both sides), controls.
    """


@hookspec
def register_families(register: Callable[..., None], own: Own) -> None:
    """Offer families: architectures, each as a row of data.

    register(family)

    family: a webui.contract.parts.Family, most easily one of webui.checkpoints.families with some columns replaced
    (dataclasses.replace). A checkpoint is of the row that fits its build: which encoders are there and of which kind, channels
    of the U-Net, how it takes a vector. Rows of one build are told apart by their sizes, then by `hints`, parts of the
    file's or folder's name; of the rest the earlier row is taken. The networks themselves are those that the program knows.
    """


@hookspec
def register_guidance(register: Callable[..., None], own: Own) -> None:
    """Offer guiders: what changes the guidance. The request names those that it wants, in order; the first stands next to the
    network, each further one gets the denoiser that the one before answered.

    register(name, guider, *, aliases=())

    guider(denoise, network) -> denoise
        denoise(x, sigma) -> clean latents (B, C, h, w), as a sampler gets it: classifier-free guidance, or what the guider
            before made of it.
        network: a webui.contract.more_parts.Network: predict(x, sigma, *conditionings) asks the network itself, sides are the
            positive and the negative conditioning, scale is the guidance scale, condition(request) conditions another prompt.
    Called once a pass (for each tile of a large picture, and on a processor for each picture of a batch); the denoise that it
    answers is called at each step, must answer float32 shaped like x, and the same bytes for the same values. A guider that
    does not call the denoise that it was given takes the place of all before it. What it raises ends that job, with the
    extension's name. Its keyword-only parameters are its options, as a conditioner's are.
    """


@hookspec
def register_scripts(register: Callable[..., None], own: Own) -> None:
    """Offer scripts: what makes several requests of one, or another one.

    register(name, script, *, aliases=(), count=None, when=None)

    script(request): a generator. Each request that it yields is drawn, and what it is sent back is the list of its pictures
    (webui.contract.result.GeneratedImage). A PIL image that it yields is a picture of the job too (a grid), with an infotext
    that makes the whole script again; a text is a note for the user. A list of requests that it yields is checked and not drawn:
    it is sent them with all choices filled in.
        request: the GenerationRequest, with a seed and all choices filled in, its script taken off. Make others of it with
            dataclasses.replace; request.alone(i) is that of picture i.
    What is yielded must follow from the request and the pictures alone: a job that was interrupted is taken up again by running
    the script from the beginning, and the pictures that are there already are sent without drawing them. A seed of -1 follows
    from the job's. What it raises ends the job, with the extension's name; finished pictures are kept. Its keyword-only
    parameters are its options, as a conditioner's are.
    It is begun once before the job is queued, as far as the first thing that it yields (behind its notes): where that cannot be
    drawn, or it raises a FieldError, the request is refused.

    Args of register, beside the name:
        count: (request, **options) -> how many pictures come out in all, to tell progress; None: as many as are asked for.
            10,000 at most. A FieldError that it raises refuses the request.
        when: request -> bool: whether it runs although nobody chose it, because its mark stands in the prompt. It also runs for
            the requests of other scripts then.
    """


@hookspec
def register_preprocessors(register: Callable[..., None], own: Own) -> None:
    """Offer preprocessors: from a picture to what a control network reads: edges, depth, strokes.

    register(name, preprocessor, *, aliases=())

    preprocessor(image) -> image, both PIL, RGB and of the same size; image is not to be changed. Called once a job, where an
    option PartOf("preprocessors") of a conditioner names one. Its keyword-only parameters have defaults. What it raises ends that
    job, with the extension's name.
    """


@hookspec
def register_upscalers(register: Callable[..., None], own: Own) -> None:
    """Offer upscalers: ways to enlarge a finished picture, in the menus of the Upscale tab and of hires fix.

    register(name, upscaler, *, aliases=())

    upscaler(image, scale) -> image, both PIL and RGB, about `scale` times as large each way (1 to 8); what is not quite the
    asked size is resized after. Called in the thread that computes; what it raises ends that job, with the extension's name.
    """


@hookspec
def register_metadata_readers(register: Callable[..., None], own: Own) -> None:
    """Offer readers of pictures that other programs made.

    register(name, reader, *, aliases=())

    reader(image) -> an infotext (webui.contract.infotext), or "" where it knows nothing of the picture.
        image: PIL, as it was opened, with image.info and image.getexif(); not to be changed.
    Asked, in order, only where the picture has no infotext that the program reads itself. What one raises counts as "", and is
    told on the Extensions tab.
    """


@hookspec
def register_tabs(register: Callable[..., None], own: Own) -> None:
    """Offer tabs of the page, behind the program's own.

    register(name, build, *, aliases=())

    build(app): makes Gradio components; called inside the open tab, once, at start, in at most ten seconds.
        app: the program's handles, a webui.workspace.app.App.
    What it raises is shown in the place of the tab's content, and everything else works.
    """


@hookspec
def register_panels(register: Callable[..., None], own: Own) -> None:
    """Offer panels: controls inside tabs that are there. Their values travel with the request.

    register(name, build, *, aliases=(), tabs=("txt2img", "img2img"))

    build(app, tab) -> {field: component}: makes Gradio components inside a closed group of that tab, and names those whose values
    belong to the request: request.extras[extension's name][field], plain values as JSON has them, also through the API and in
    infotext. A value that is what the component began with is left out. What it raises is shown in the group.

    Args of register, beside the name:
        tabs: of "txt2img", "img2img", "inpaint", "depth".
    """


@hookspec
def register_routes(register: Callable[..., None], own: Own) -> None:
    """Offer routes of the server.

    register(router)

    router: a fastapi.APIRouter. Its routes stand under /extensions/NAME/, behind the program's login, and those that change
    something (POST, PUT, PATCH, DELETE) are closed to viewers that may only read.
    """


@hookspec
def register_settings(register: Callable[..., None], own: Own) -> None:
    """Offer settings, which the user changes on the Extensions tab, and the extension reads from own.settings.

    register(key, kind, default)

    key: letters, digits and underscores. kind: what an option may be: bool, int, float, str, Literal of texts,
    Annotated[float, Range(0, 2), "What it does"].
    """


@hookspec
def register_cli(register: Callable[..., None], own: Own) -> None:
    """Offer commands: webui NAME ...

    register(name, run, *, aliases=(), arguments=None, about="")

    run(arguments, app) -> exit code (None is 0).
        arguments: argparse.Namespace. app: the program's handles, opened beside a running page: it takes no jobs.

    Args of register, beside the name:
        arguments: parser -> None, adds its arguments to an argparse.ArgumentParser.
        about: one line for the list of commands.
    """


# What happens while the program runs. Each extension is told in a thread of its own, in order; the picture does not wait for it.
# One that is far behind is told of fewer steps, and of nothing else less. What it raises is told on the Extensions tab.


@hookspec
def job_started(event: JobStarted, own: Own) -> None:
    """A job is being drawn."""


@hookspec
def step_finished(event: StepFinished, own: Own) -> None:
    """A sampler took a step."""


@hookspec
def image_finished(event: ImageFinished, own: Own) -> None:
    """A picture is there; it may not be on the disk yet."""


@hookspec
def image_saved(event: ImageSaved, own: Own) -> None:
    """A picture is on the disk."""


@hookspec
def checkpoint_loaded(event: CheckpointLoaded, own: Own) -> None:
    """A checkpoint came into memory."""


@hookspec
def settings_changed(event: SettingsChanged, own: Own) -> None:
    """The user's settings are others than before."""
