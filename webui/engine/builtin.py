"""The engine's own parts, offered through the same hooks as a stranger's."""

from __future__ import annotations

from collections.abc import Callable

from webui.contract import hookimpl
from webui.engine import schedules
from webui.engine.conditioners import noised, pictures, sizes, text, things
from webui.engine.samplers import dpmpp, euler, heun, lms, plms, unipc


@hookimpl
def register_samplers(register: Callable[..., None]) -> None:
    """Names as users know them; aliases as the API of A1111 has them, and its default schedules."""
    register("Euler a", euler.sample_euler_ancestral, aliases=("k_euler_a", "k_euler_ancestral"), is_random=True)
    register("Euler", euler.sample_euler, aliases=("k_euler",))
    register("DPM++ 2M", dpmpp.sample_dpmpp_2m, aliases=("k_dpmpp_2m",), schedule="Karras")
    register(
        "DPM++ 2S a",
        dpmpp.sample_dpmpp_2s_ancestral,
        aliases=("k_dpmpp_2s_a",),
        schedule="Karras",
        calls_per_step=2,
        is_random=True,
    )
    register("Heun", heun.sample_heun, aliases=("k_heun",), calls_per_step=2)
    register("LMS", lms.sample_lms, aliases=("k_lms",))
    register("DPM2", heun.sample_dpm_2, aliases=("k_dpm_2",), schedule="Karras", discard_penultimate=True, calls_per_step=2)
    register(
        "DPM2 a",
        heun.sample_dpm_2_ancestral,
        aliases=("k_dpm_2_a",),
        schedule="Karras",
        discard_penultimate=True,
        calls_per_step=2,
        is_random=True,
    )
    register("DDIM", euler.sample_ddim, starts_vp=True, ladder="DDIM")
    register("PLMS", plms.sample_plms, starts_vp=True, ladder="DDIM")
    register("UniPC", unipc.sample_unipc, schedule="SGM Uniform", starts_vp=True)


@hookimpl
def register_schedules(register: Callable[..., None]) -> None:
    """Labels as users know them; aliases as the API of A1111 and Forge has them."""
    register("Uniform", schedules.uniform)
    register("Karras", schedules.karras)
    register("Exponential", schedules.exponential)
    register("Polyexponential", schedules.polyexponential)
    register("SGM Uniform", schedules.sgm_uniform, aliases=("sgm_uniform", "SGMUniform"))
    register("KL Optimal", schedules.kl_optimal, aliases=("kl_optimal",))
    register("Align Your Steps", schedules.align_your_steps, aliases=("align_your_steps",))
    register("Simple", schedules.simple)
    register("Normal", schedules.normal)
    register("DDIM", schedules.ddim, aliases=("ddim_uniform",))
    register("Beta", schedules.beta)
    register("Turbo", schedules.turbo)
    register("SD Turbo", schedules.sd_turbo, aliases=("sd_turbo",))
    register("Align Your Steps GITS", schedules.align_your_steps_gits, aliases=("align_your_steps_GITS",))
    register("Align Your Steps 11", schedules.align_your_steps, aliases=("align_your_steps_11",))
    register("Align Your Steps 32", schedules.align_your_steps_32, aliases=("align_your_steps_32",))


@hookimpl
def register_conditioners(register: Callable[..., None]) -> None:
    register("text", text.text)
    register("sizes", sizes.sizes)
    register("class", things.class_of)
    register("boxes", things.boxes)
    register("map", things.map_of, is_shared=True)
    register("inpaint", pictures.inpaint, is_shared=True)
    register("ldm-inpaint", pictures.ldm_inpaint, is_shared=True)
    register("depth", pictures.depth, is_shared=True)
    register("low-res", pictures.low_res, is_shared=True)
    register("noised-low-res", noised.noised_low_res, is_shared=True)
    register("image-embedding", noised.image_embedding)
