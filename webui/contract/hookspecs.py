"""The hooks. Built-in parts come in through the same ones as a stranger's.

Each hook is asked once, at start, of each plugin by itself: one that fails is switched off and named, the rest
start. An implementation takes only the arguments that it wants.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from webui.contract import PROJECT

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def register_samplers(register: Callable[..., None]) -> None:
    """Offer samplers. Call register(name, sampler) for each.

    register(name, sampler, *, aliases=(), schedule="", discard_penultimate=False, calls_per_step=1,
    is_random=False, starts_vp=False, ladder="") with sampler(denoise, x, sigmas, noise) -> latents, see
    webui.contract.parts. The name appears in menus and is written into every image, so a released name stays.
    Taking a name twice raises PluginError.
    """


@hookspec
def register_schedules(register: Callable[..., None]) -> None:
    """Offer schedules. Call register(name, schedule, *, aliases=()) for each.

    schedule(steps, table) -> steps + 1 falling noise levels, the last one 0.
    """


@hookspec
def register_conditioners(register: Callable[..., None]) -> None:
    """Offer conditioners. Call register(name, conditioner, *, aliases=(), is_shared=False) for each.

    conditioner(request, model, negative, inputs) -> Conditioning, see webui.contract.parts; families name the
    conditioners they use.
    """


@hookspec
def register_families(register: Callable[..., None]) -> None:
    """Offer families. Call register(family) for each, a webui.contract.parts.Family."""
