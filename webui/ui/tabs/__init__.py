"""The tabs of the page, one file each, in the order of the rail. A tab that isn't there yet isn't shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from webui.ui.controls import Controls
from webui.ui.header import Header
from webui.ui.tabs import checkpoints, depth, extensions, img2img, inpaint, queue, turbo, txt2img, upscale
from webui.workspace.app import App


@dataclass(frozen=True)
class Tab:
    name: str
    """Prefix of its element ids."""
    label: str
    build: Callable[[App, Header], Controls]
    """Answers the controls whose values outlive a reload, by field name; {} where there are none."""


TABS = (
    Tab("txt2img", "txt2img", txt2img.build),
    Tab("img2img", "img2img", img2img.build),
    Tab("inpaint", "Inpaint", inpaint.build),
    Tab("depth", "Depth", depth.build),
    Tab("upscale", "Upscale", upscale.build),
    Tab("turbo", "Turbo", turbo.build),
    Tab("queue", "Queue", queue.build),
    Tab("checkpoints", "Checkpoints", checkpoints.build),
    Tab("extensions", "Extensions", extensions.build),
)
