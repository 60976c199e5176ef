"""The families that are built in: rows of data. Where a family differs, it differs here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from webui.contract import hookimpl
from webui.contract.parts import Family

SD1 = Family(
    name="sd1",
    label="SD 1",
    prediction="eps",
    conditioners=("clip-text",),
    native_size=512,
    steps=20,
    guidance=7.0,
    sampler="DPM++ 2M",
    # a widely used linear fit of SD 1's latents to colours, in [-1, 1] for latents as the network sees them
    preview=((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473)),
    about="Stable Diffusion 1.1 to 1.5 and what was made from them",
)
POCKET = replace(
    SD1,
    name="pocket",
    label="Pocket",
    native_size=128,
    steps=30,
    guidance=3.0,
    sampler="Euler a",  # its fresh noise mends outlines on the way; docs/pocket.md compares
    schedule="Karras",
    context_width=96,
    network_width=48,
    decoder_width=16,
    preview=None,
    about="The small checkpoint that comes with the program",
)


@hookimpl
def register_families(register: Callable[[Family], None]) -> None:
    for row in (SD1, POCKET):
        register(row)
