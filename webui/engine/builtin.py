"""The engine's own parts, offered through the same hooks as a stranger's."""

from __future__ import annotations

from collections.abc import Callable

from webui.contract import hookimpl
from webui.engine import schedules


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
    register("Align Your Steps GITS", schedules.align_your_steps_gits, aliases=("align_your_steps_GITS",))
    register("Align Your Steps 11", schedules.align_your_steps, aliases=("align_your_steps_11",))
    register("Align Your Steps 32", schedules.align_your_steps_32, aliases=("align_your_steps_32",))
