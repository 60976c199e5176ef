"""Families for checkpoints that were distilled to a few steps. Nothing in such a file says so: it is built like the one that it
was distilled from, so its name tells it apart. What a user gets who asks for nothing is what the model cards say.

Only checkpoints as they were released, or that say what they are: merges with "lightning" in their names ask for other things,
each for its own. Left out, because it predicts something that no row can say: SDXL Lightning in one step (the clean latents).
"""

from dataclasses import replace
from itertools import pairwise

from webui.checkpoints.families import SD1, SDXL
from webui.contract import hookimpl

PLAIN = {"guidance": 1.0, "sampler": "Euler", "schedule": "SGM Uniform"}


def named(*parts):
    """A file's name has one of these in it, however its words are parted."""
    return tuple(dict.fromkeys(mark.join(part.split()) for part in parts for mark in ("_", "-", " ", ".", "")))


def lightning(steps):
    """Source: the model card of ByteDance/SDXL-Lightning (Lin et al. 2024, arXiv:2402.13929): Euler, time steps from the end
    ("trailing", as SGM Uniform has them), no guidance, and as many steps as the file's name says."""
    return replace(
        SDXL, **PLAIN, steps=steps, name=f"sdxl-lightning-{steps}", label="SDXL Lightning", aliases=(),
        hints=named(f"lightning {steps}step", f"lightning {steps} step"), distilled_from="sdxl" if steps <= 4 else "",
        about=f"SDXL Lightning for {steps} steps, without guidance",
    )  # fmt: skip


HYPER = replace(
    SDXL, steps=1, guidance=1.0, sampler="LCM", schedule="Hyper", name="hyper-sdxl-1", label="Hyper-SDXL", aliases=(),
    hints=named("hyper sdxl 1step"), distilled_from="sdxl", about="Hyper-SDXL for one step, without guidance",
)  # fmt: skip
"""Source: the model card of ByteDance/Hyper-SD (Ren et al. 2024, arXiv:2404.13686): one step from 800, LCM's scheduler."""


def lcm(row):
    """Source: Luo et al. 2023, arXiv:2310.04378, and the model cards of latent-consistency: LCM's sampler, 4 to 8 steps, guidance
    1 to 2, where the guidance itself is not an input of the network (the LoRA merged into a checkpoint)."""
    return replace(
        row, steps=6, guidance=1.0, sampler="LCM", schedule="SGM Uniform", name=f"{row.name}-lcm", label=f"{row.label} LCM",
        aliases=(), hints=("lcm",), about=f"{row.label} with latent consistency: 4 to 8 steps, guidance 1 to 2",
    )  # fmt: skip


@hookimpl
def register_families(register):
    for row in (lightning(2), lightning(4), lightning(8), HYPER, lcm(SD1), lcm(SDXL)):
        register(row)


@hookimpl
def register_samplers(register):
    register("LCM", sample_lcm, aliases=("lcm", "k_lcm"), schedule="SGM Uniform", is_random=True, starts_vp=True)


@hookimpl
def register_schedules(register):
    register("Hyper", hyper)


def sample_lcm(denoise, x, sigmas, noise):
    """To the clean latents at each step, and back to the next level with noise that is all new.

    Source: Luo et al. 2023, arXiv:2310.04378, algorithm 3 (multistep consistency sampling).
    """
    for sigma, sigma_next in pairwise(sigmas):
        x = denoise(x, sigma)
        if sigma_next > 0:
            x = x + sigma_next * noise(sigma, sigma_next)
    return x


def hyper(steps, table):
    """From time step 800 in even steps of time; with one step that one alone, as the model was trained for."""
    return [table.sigma(800 * (1 - step / steps)) for step in range(steps)] + [0.0]
