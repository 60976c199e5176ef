"""Panels of extensions: controls of their own inside a tab, whose values travel with the request as request.extras.

The values stand in the tab's own text (webui.ui.own_text), where script copies them to and from the panel's components. None of
them is an input of Generate: a component that cannot read its own value would keep everything from being drawn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from webui.contract.errors import PluginError
from webui.contract.more_parts import PanelPart
from webui.plugins.containing import Surroundings
from webui.ui.controls import IN_PAGE, column, group
from webui.ui.quiet_gradio import gr
from webui.ui.strangers import LIMIT, Built, Problem, built
from webui.workspace.app import App

FIELD = 80
"""Letters of a field's name."""


@dataclass(frozen=True)
class Panels:
    """The panels of one tab."""

    box: Any = None
    """The tab's own text."""
    components: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    """By extension and field."""
    late: Mapping[str, Problem] = field(default_factory=dict)
    """Those that were not built in time, by name."""

    def known(self, extras: Mapping[str, Any]) -> dict[str, Any]:
        """Of a request's extras those that have a control here."""
        kept: dict[str, dict[str, Any]] = {}
        for extension, name in self.components:
            values = extras.get(extension)
            if isinstance(values, Mapping) and name in values:
                kept.setdefault(extension, {})[name] = values[name]
        return kept

    def fill(self, after: Callable[..., Any]) -> None:
        """Bring what the text says into the components after an event."""
        if self.components:
            script = f"text => LW.panels.fill({self._fields()}, text)"
            after(None, self.box, list(self.components.values()), js=script, **IN_PAGE)

    def read(self) -> None:
        """Bring what the components say into the text, at each change."""
        if self.components:
            every = list(self.components.values())
            script = f"(text, ...values) => LW.panels.read({self._fields()}, text, values)"
            gr.on([one.change for one in every], None, [self.box, *every], self.box, js=script, **IN_PAGE)

    def _fields(self) -> str:
        """Extension, field and first value of each component, as JSON."""
        return json.dumps([[*place, one.get_config().get("value")] for place, one in self.components.items()])


NO_PANELS = Panels()


def panel_groups(tab: str, app: App, box: Any, late: Mapping[str, Problem] | None = None, limit: float = LIMIT) -> Panels:
    """The panels that name this tab, each in a closed group.

    Args:
        box: the tab's own text.
        late: panels that were not built in time on another tab, which are not waited for again.
        limit: seconds for each.
    """
    components: dict[tuple[str, str], Any] = {}
    around, gone = Surroundings(), dict(late or {})
    for part in app.parts.panels:
        if tab not in part.tabs:
            continue
        owner = app.parts.panels.owner(part.name)
        with group(tab, f"panel_{slug(part.name)}", part.name, "stranger"), column("panel-of-extension"):
            if part.name in gone:
                gone[part.name].show()
                continue
            made = panel_of(part, owner, app, tab, around, components, limit)
            components |= made.answer or {}
            if made.problem is not None:
                made.problem.show()
                gone |= {part.name: made.problem} if made.problem.is_late else {}
    panels = Panels(box, components, gone)
    panels.read()
    return panels


def panel_of(
    part: PanelPart,
    owner: str,
    app: App,
    tab: str,
    around: Surroundings,
    taken: Mapping[tuple[str, str], Any],
    limit: float = LIMIT,
) -> Built[dict[tuple[str, str], Any]]:
    """One panel in the open place: its components by extension and field. `taken` are those of the panels before it."""

    def build() -> dict[tuple[str, str], Any]:
        answer = part.function(app, tab)
        fields = _fields(answer)
        for name in fields:
            if (owner, name) in taken:
                raise PluginError(f"its field {name!r} is one of another panel of the extension.")
        return {(owner, name): component for name, component in fields.items()}

    return built(owner, f"panel {part.name!r}", build, around, limit)


def _fields(answer: Any) -> Mapping[str, Any]:
    """Raises PluginError for what is no mapping of components with plain values."""
    if answer is None:
        return {}
    if not isinstance(answer, Mapping):
        raise PluginError(f"build(app, tab) answers {{field: component}}, not {type(answer).__name__}.")
    for name, component in answer.items():
        if not isinstance(name, str) or not 0 < len(name) <= FIELD or not name.isprintable():
            raise PluginError(f"the name of a field has 1 to {FIELD} printable letters, not {name!r}.")
        if not isinstance(component, gr.components.Component) or isinstance(component, gr.State):
            raise PluginError(f"its field {name!r} must be a Gradio component on the page, not {type(component).__name__}.")
        if not hasattr(component, "change"):
            raise PluginError(f"its field {name!r} ({type(component).__name__}) never says that it changed.")
        model = component.data_model
        if model is not None and "FileData" in json.dumps(model.model_json_schema()):
            raise PluginError(
                f"its field {name!r} ({type(component).__name__}) holds files; a value is text, a number, true or false, "
                "or a list of them. Keep a picture with app.inputs.put(picture), and its name in a Textbox."
            )
    return answer


def slug(name: str) -> str:
    """For an element's id."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"
