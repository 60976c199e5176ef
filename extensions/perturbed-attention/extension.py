"""Two guiders: away from what the network predicts when its attention is taken from it, and high guidance without its colours."""

from __future__ import annotations

from webui.contract import hookimpl

from .dynamic_thresholding import dynamic_thresholding
from .perturbed import perturbed_attention


@hookimpl
def register_guidance(register):
    register("Perturbed attention", perturbed_attention, aliases=("PAG",))
    register("Dynamic thresholding", dynamic_thresholding)
