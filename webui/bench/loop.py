"""What our loop costs around a network that answers at once, against diffusers' pipeline loop.

Guidance, progress and a step callback are on in both; both draw 32 x 32 latents with the prompt encoded before. A real
network hides all of this, so it is left out; the cost of a step is the slope between 20 and 60 steps.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr

import torch
from torch import Tensor, nn

from webui.bench.table import Row, cpu_seconds
from webui.checkpoints.families import SD1
from webui.checkpoints.load import noise_levels
from webui.checkpoints.model import Model
from webui.contract.parts import Inputs, Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import CheckpointName, Progress
from webui.engine import generate, plan
from webui.engine.references import References
from webui.engine.start import begin
from webui.engine.tiles import WHOLE

SIDE = 256
PROMPT = "a red sphere on a checkered floor"


class Answer(nn.Module):
    """Stands for the U-Net: answers the same tensor at once, in the form that both loops ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.kept: dict[int, Tensor] = {}
        self.config = type(
            "Configuration",
            (),
            {"in_channels": 4, "sample_size": 64, "time_cond_proj_dim": None, "addition_time_embed_dim": None},
        )()
        self.dtype = torch.float32
        self.device = torch.device("cpu")

    def forward(self, x: Tensor, *_: object, **__: object) -> tuple[Tensor]:
        if len(x) not in self.kept:
            self.kept[len(x)] = torch.full_like(x, 0.1)
        return (self.kept[len(x)],)


class Encode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, ids: Tensor, *_: object) -> tuple[Tensor, None]:
        return torch.zeros(*ids.shape, 768), None


class Bar:
    """Does with each step what a page would be told: reads the numbers."""

    def __init__(self) -> None:
        self.steps = 0

    def should_stop(self) -> bool:
        return False

    def progress(self, progress: Progress) -> None:
        self.steps += progress.step > 0


def ours(sampler: str, parts: Parts) -> Callable[[int], None]:
    model = Model("stub", CheckpointName("stub"), SD1, Answer(), nn.Identity(), {"text": Encode()}, noise_levels(SD1))
    bar = Bar()

    def run(steps: int) -> None:
        request = GenerationRequest(
            prompt=PROMPT, sampler=sampler, schedule="Karras", steps=steps, guidance=7.0, width=SIDE, height=SIDE, seed=1
        )
        (batch,) = plan.batches(request)
        with torch.inference_mode():
            walk = begin(request, batch, model, generate.table_of(model), parts, Inputs(size=(SIDE, SIDE)))
            stage, known = batch.passes[0].stages[0], References(parts, None)
            drawing = generate.Drawing(stage, model, model, WHOLE, batch.share(0, 1), known)
            generate.sample(request, drawing, parts, bar, walk)

    return run


def theirs(scheduler: str) -> Callable[[int], None]:
    # a half-installed kornia breaks diffusers' pipelines, and they do not need it
    sys.modules.setdefault("kornia", None)  # type: ignore[arg-type]
    import diffusers

    values = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    schedule = getattr(diffusers, scheduler)(**values, use_karras_sigmas=True)
    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4  # four levels, so that latents are an eighth of the picture
    vae = diffusers.AutoencoderKL(down_block_types=down, up_block_types=up, block_out_channels=(32,) * 4)
    pipeline = diffusers.StableDiffusionPipeline(vae, None, None, Answer(), schedule, None, None, requires_safety_checker=False)
    words = torch.zeros(1, 77, 768)
    seen = []

    def told(_pipe: object, step: int, _t: object, values: dict[str, Tensor]) -> dict[str, Tensor]:
        seen.append(step)
        return values

    def run(steps: int) -> None:
        with redirect_stderr(io.StringIO()), torch.inference_mode():
            pipeline(
                prompt_embeds=words,
                negative_prompt_embeds=words,
                num_inference_steps=steps,
                guidance_scale=7.0,
                height=SIDE,
                width=SIDE,
                output_type="latent",
                callback_on_step_end=told,
                generator=torch.Generator().manual_seed(1),
            )

    return run


def slope(run: Callable[[int], None], rounds: int) -> tuple[float, float]:
    """(CPU microseconds of a step, CPU milliseconds of a request beyond its steps)."""
    few, many = cpu_seconds(lambda: run(20), rounds), cpu_seconds(lambda: run(60), rounds)
    step = (many - few) / 40
    return step * 1e6, (few - 20 * step) * 1e3


def bench(parts: Parts, full: bool) -> list[Row]:
    torch.set_num_threads(1)
    rounds = 41 if full else 15
    rows = []
    for sampler, scheduler in (("Euler", "EulerDiscreteScheduler"), ("DPM++ 2M", "DPMSolverMultistepScheduler")):
        us, fixed = slope(ours(sampler, parts), rounds)
        them, them_fixed = slope(theirs(scheduler), rounds)
        rows += [
            Row("loop", f"{sampler}: ours, a step", us, "us"),
            Row("loop", f"{sampler}: diffusers' pipeline, a step", them, "us"),
            Row("loop", f"{sampler}: ratio", us / them, at_most=0.5),
            Row("loop", f"{sampler}: ours, a request beyond its steps", fixed, "ms", at_most=2),
            Row("loop", f"{sampler}: diffusers' pipeline, the same", them_fixed, "ms"),
        ]
    return rows
