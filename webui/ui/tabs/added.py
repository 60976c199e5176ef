"""The tabs that extensions add, behind the program's own. What one of them cannot build is shown in its place."""

from __future__ import annotations

from webui.plugins.containing import Surroundings
from webui.ui.panels import slug
from webui.ui.quiet_gradio import gr
from webui.ui.strangers import built
from webui.workspace.app import App


def added_tabs(app: App) -> None:
    """In the open gr.Tabs."""
    around, taken = Surroundings(), set[str]()
    for number, part in enumerate(app.parts.tabs):
        element = f"ext_{slug(part.name)}"
        element = f"{element}-{number}" if element in taken else element
        taken.add(element)
        with (
            gr.Tab(part.name, id=element, elem_id=f"tab_{element}"),
            gr.Column(elem_classes=["page", "stranger"], elem_id=f"{element}_page", min_width=0),
        ):
            made = built(app.parts.tabs.owner(part.name), f"tab {part.name!r}", lambda part=part: part.function(app), around)  # type: ignore[misc]
            if made.problem is not None:
                made.problem.show()
