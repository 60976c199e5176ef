"""An extension's tabs and panels, built once where nobody sees them, before a user opens the page."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from webui.contract.errors import PluginError
from webui.contract.parts import Parts
from webui.plugins.containing import Surroundings
from webui.ui.panels import panel_of
from webui.ui.quiet_gradio import gr
from webui.ui.strangers import Problem, built
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths


def faults(parts: Parts, owner: str) -> Iterator[PluginError]:
    """What is wrong with the tabs and panels of a plugin as soon as they are built, with a workspace that goes away."""
    with (
        tempfile.TemporaryDirectory() as data,
        closing(open_app(Paths(Path(data)), parts, cpu_only=True, takes_jobs=False)) as app,
    ):
        problems = _problems(app, owner)
    for problem in problems:
        told = PluginError(problem.words)
        told.__cause__ = problem.error
        yield told


def _problems(app: App, owner: str) -> list[Problem]:
    around, found, taken = Surroundings(), list[Problem | None](), dict[str, dict[tuple[str, str], Any]]()
    with gr.Blocks(analytics_enabled=False), gr.Column():
        for part in app.parts.tabs:
            if app.parts.tabs.owner(part.name) == owner:
                found.append(built(owner, f"tab {part.name!r}", lambda part=part: part.function(app), around).problem)  # type: ignore[misc]
        for panel in app.parts.panels:
            for tab in panel.tabs if app.parts.panels.owner(panel.name) == owner else ():
                made = panel_of(panel, owner, app, tab, around, taken.setdefault(tab, {}))
                taken[tab] |= made.answer or {}
                found.append(made.problem)
    return [problem for problem in found if problem is not None]
