"""The top bar: which checkpoint is in use, what waits, keys and theme.

The dropdown's choice is that of the program, not of the page: it is kept in the settings, and a page that opens shows
it. A checkpoint's defaults go to the controls that the user has not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from webui.contract.errors import WebUIError
from webui.ui import icons
from webui.ui.controls import IN_PAGE, QUIET, Choice, Controls
from webui.ui.fields import BEHIND, FOLLOWING, follow, follow_words
from webui.ui.markup import button, html
from webui.ui.panels import Panels
from webui.ui.quiet_gradio import gr
from webui.ui.reading import class_choices, facts_of, family_of, refiners, size_choices, strength_of
from webui.workspace.app import App


@dataclass(frozen=True)
class Header:
    checkpoint: Any
    badge: Any
    defaults: Any
    """Unseen JSON {field: default} of the checkpoint that the controls' values were chosen for."""
    message: Any
    """Unseen text: what went wrong with the last choice, "" when nothing did. Script shows it on the stage."""
    facts: Any
    """Unseen JSON: what the checkpoint reads and serves (webui.ui.reading). Script hides the rest by it."""
    use: Any
    """Unseen text: the title that a button of ours wants to be chosen; "" again when it is."""
    changed: Any
    """Unseen text: another one when files of models came or went, so that the menus are asked anew."""
    presets: list[Any] = field(default_factory=list)
    """Dropdowns of sizes, one for each tab that has them."""
    lists: list[tuple[Any, Callable[[], Sequence[Any]]]] = field(default_factory=list)
    """Dropdowns of what lies in folders, and what they offer now: asked anew when a page opens."""
    panels: dict[str, Panels] = field(default_factory=dict)
    """Those of extensions, by tab."""


def header(app: App) -> Header:
    facts = {name: value for name, value in defaults_of(app).items() if name not in BEHIND}  # no prompt has them yet
    with gr.Row(elem_id="topbar"):
        html(f'<h1 class="brand">{icons.svg("mark")}<span>Latent</span></h1>', elem_id="brand")
        checkpoint = Choice(
            choices(app),
            value=chosen(app),
            label="Checkpoint",
            show_label=False,
            container=False,
            elem_id="checkpoint",
            min_width=0,
            interactive=True,
        )
        badge = html(family(app), elem_id="family")
        html(status(), elem_id="status", js_on_load="LW.stage.drawAll()")
    use = gr.Textbox("", elem_id="use_checkpoint", label="Checkpoint to use", elem_classes="kept", interactive=True)
    changed = gr.Textbox("", elem_id="checkpoints_changed", label="Files changed", elem_classes="kept", interactive=True)
    known, message = gr.JSON(facts, visible=False), gr.Textbox("", visible=False)
    return Header(checkpoint, badge, known, message, gr.JSON(facts_of(app), visible=False), use, changed)


def status() -> str:
    return (
        '<div class="status"><span class="spring"></span><span id="connection" class="hint" role="status"></span>'
        f'<button type="button" class="btn ghost" id="queue_button" data-do="goto" data-tab="queue">{icons.svg("queue")}'
        '<span data-part="count">Queue</span></button>'
        + button("", "keyboard", title="Keyboard shortcuts", data_do="keys")
        + button("", "theme", title="Switch light and dark", data_do="theme")
        + "</div>"
    )


def choices(app: App) -> list[tuple[str, str]]:
    """(what the menu shows, title). One that cannot be read stays in the menu, with the reason."""
    entries = app.checkpoints.entries()
    return [(f"Cannot be opened: {entry.error}" if entry.error else entry.title, entry.title) for entry in entries]


def chosen(app: App) -> str | None:
    try:
        return app.checkpoints.chosen
    except WebUIError:
        return None


def family(app: App, title: str = "") -> str:
    try:
        label = app.checkpoints.defaults(title).family_label
    except WebUIError:
        return ""
    return f'<span class="badge" title="Family of the checkpoint">{escape(label)}</span>'


def defaults_of(app: App, title: str = "") -> dict[str, Any]:
    """The defaults of a checkpoint ("" is the one in use), by field; none where it cannot be opened."""
    try:
        row = app.checkpoints.defaults(title)
    except WebUIError:
        return {}
    known = {name: getattr(row, name) for name in FOLLOWING if hasattr(row, name)}
    known |= {name: words for name in BEHIND if (words := getattr(row, name))}
    return {**known, "strength": strength_of(family_of(app, title))}


def trouble(app: App) -> str:
    try:
        app.checkpoints.defaults()
    except WebUIError as error:
        return str(error)
    return ""


def follow_checkpoint(app: App, top: Header, tabs: Sequence[Controls], restored: Any, can_choose: bool) -> None:
    """Bring the defaults of the checkpoint to all tabs: when a page opens (after `restored`), and on a new choice.

    Args:
        can_choose: whether a choice is the program's; else it is only that of the page's own requests.
    """
    following = [[name for name in (*FOLLOWING, *BEHIND) if name in tab and "sampler" in tab] for tab in tabs]
    controls = [tab[name] for tab, names in zip(tabs, following, strict=True) for name in names]
    menus = [(name, tab[name]) for tab in tabs for name in ("class_label", "refiner") if name in tab]
    lists = [*top.presets, *(menu for menu, _ in top.lists), *(menu for _, menu in menus)]
    outputs = [top.checkpoint, top.badge, top.defaults, top.message, top.facts, top.use, *lists, *controls]

    def settled(title: str | None, before: Mapping[str, Any] | None, values: Sequence[Any], message: str) -> list[Any]:
        now = defaults_of(app, title or "")
        updates: list[Any] = []
        rest = iter(values)
        for names in following:
            shown = {name: next(rest) for name in names}
            moved = follow(before or {}, now, {name: value for name, value in shown.items() if name not in BEHIND})
            moved |= follow_words(before or {}, now, {name: value for name, value in shown.items() if name in BEHIND})
            updates += [moved.get(name, gr.skip()) for name in names]
        shown = gr.update(choices=choices(app), value=title)
        return [shown, family(app, title or ""), now, message, facts_of(app, title or ""), "", *offers(title), *updates]

    def offers(title: str | None) -> list[Any]:
        row = family_of(app, title or "")
        seconds = [("None", ""), *(refiners(app, row) if row else [])]
        updates = [gr.update(choices=size_choices(row))] * len(top.presets)
        updates += [gr.update(choices=list(offered())) for _, offered in top.lists]
        return updates + [gr.update(choices=class_choices(row) if name == "class_label" else seconds) for name, _ in menus]

    def relisted(title: str | None) -> list[Any]:
        return [gr.update(choices=choices(app)), facts_of(app, title or ""), *offers(title)]

    def opened(before: Mapping[str, Any] | None, *values: Any) -> list[Any]:
        app.checkpoints.refresh()
        return settled(chosen(app), before, values, trouble(app))

    def choose(title: str, before: Mapping[str, Any] | None, *values: Any) -> list[Any]:
        try:
            app.checkpoints.defaults(title)
            return settled(app.choose_checkpoint(title) if can_choose else title, before, values, "")
        except WebUIError as error:
            return settled(chosen(app), before, values, str(error))

    def use(title: str, before: Mapping[str, Any] | None, *values: Any) -> list[Any]:
        return choose(title, before, *values) if title else [gr.skip()] * len(outputs)

    script = "(text, facts) => { LW.follow(facts); LW.stage.say(LW.tabName(), text); }"
    said = {"fn": None, "inputs": [top.message, top.facts], "js": script, **IN_PAGE}
    restored.then(opened, [top.defaults, *controls], outputs, **QUIET).success(**said)
    top.use.change(use, [top.use, top.defaults, *controls], outputs, **QUIET).success(**said)
    listed = {"fn": None, "inputs": [top.facts], "js": "facts => LW.follow(facts)", **IN_PAGE}
    top.changed.change(relisted, [top.checkpoint], [top.checkpoint, top.facts, *lists], **QUIET).success(**listed)
    top.checkpoint.input(choose, [top.checkpoint, top.defaults, *controls], outputs, **QUIET).success(**said)
