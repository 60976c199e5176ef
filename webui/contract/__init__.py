"""What all rooms agree on, without torch, gradio or diffusers. An extension's author reads this folder first.

from webui.contract import Choice, File, PartOf, Picture, Range, Suggest, hookimpl
"""

import pluggy

from webui.contract.options import Choice, File, PartOf, Picture, Range, Suggest

__all__ = ["PROJECT", "VERSION", "Choice", "File", "PartOf", "Picture", "Range", "Suggest", "hookimpl"]

PROJECT = "latent_webui"
VERSION = "1"
"""The contract's version, as an extension.toml names it: contract = "1"."""

hookimpl = pluggy.HookimplMarker(PROJECT)
