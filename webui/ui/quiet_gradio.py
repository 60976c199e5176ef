"""Gradio, imported quickly and quietly. Every file of this room writes `from webui.ui.quiet_gradio import gr`.

Quietly: no telemetry and no version check (decision 13: no request leaves the machine). Quickly: on import, Gradio
parses its own sources to write a .pyi file beside each component, which is half of its import time; it leaves that
out where a source file cannot be found, so for that moment none can.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


@contextmanager
def without_stubs() -> Iterator[None]:
    """While it is open, a component class can be defined without Gradio writing a .pyi beside it.

    Only for the thread that opened it: a job taken up at the start imports its libraries at the same moment.
    """
    find = inspect.getfile
    here = threading.get_ident()

    def hidden(thing: Any) -> str:
        if threading.get_ident() == here:
            raise OSError("source not wanted")
        return find(thing)

    inspect.getfile = hidden  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = find


with without_stubs():
    import gradio as gr

__all__ = ["gr", "without_stubs"]
