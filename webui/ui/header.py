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
    use: Any
    """Unseen text, "MARK TITLE": the checkpoint that is asked for. A mark is of one question (assets/follow.js)."""
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
    return Header(checkpoint, badge, gr.JSON(facts, visible=False), use, changed)


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

    Python answers with one JSON, and script (assets/follow.js) puts into the page what still fits: nothing where another
    checkpoint was asked for meanwhile, and of the controls those that show what they showed when it was asked.

    Args:
        can_choose: whether a choice is the program's; else it is only that of the page's own requests.
    """
    following = [[name for name in (*FOLLOWING, *BEHIND) if name in tab and "sampler" in tab] for tab in tabs]
    controls = [tab[name] for tab, names in zip(tabs, following, strict=True) for name in names]
    menus = [(name, tab[name]) for tab in tabs for name in ("class_label", "refiner") if name in tab]
    lists = [*top.presets, *(menu for menu, _ in top.lists), *(menu for _, menu in menus)]

    def relisted(title: str | None) -> dict[str, Any]:
        family = family_of(app, title or "")
        seconds = [("None", ""), *(refiners(app, family) if family else [])]
        offers: list[Sequence[Any]] = [size_choices(family)] * len(top.presets)
        offers += [offered() for _, offered in top.lists]
        offers += [class_choices(family) if name == "class_label" else seconds for name, _ in menus]
        pairs = [[(one, one) if isinstance(one, str) else one for one in menu] for menu in offers]
        return {"title": title, "facts": facts_of(app, title or ""), "choices": choices(app), "lists": pairs}

    def settled(asked: str, title: str | None, before: Mapping[str, Any] | None, shown: Sequence[Any], message: str) -> Any:
        now = defaults_of(app, title or "")
        moves: list[tuple[Any, Any] | None] = []
        rest = iter(shown)
        for names in following:
            values = {name: next(rest) for name in names}
            moved = follow(before or {}, now, {name: value for name, value in values.items() if name not in BEHIND})
            moved |= follow_words(before or {}, now, {name: value for name, value in values.items() if name in BEHIND})
            moves += [(values[name], moved[name]) if name in moved else None for name in names]
        more = {"badge": family(app, title or ""), "defaults": now, "message": message}
        return {"asked": asked, "moves": moves, **more, **relisted(title)}

    def opened(before: Mapping[str, Any] | None, *values: Any) -> Any:
        app.checkpoints.refresh()
        return settled("", chosen(app), before, values, trouble(app))

    def choose(asked: str, before: Mapping[str, Any] | None, *values: Any) -> Any:
        title = asked.partition(" ")[2]
        try:
            app.checkpoints.defaults(title)
            return settled(asked, app.choose_checkpoint(title) if can_choose else title, before, values, "")
        except WebUIError as error:
            return settled(asked, chosen(app), before, values, str(error))

    page = [top.checkpoint, top.badge, top.defaults, *lists, *controls]

    def put(when: Any, do: Callable[..., Any], inputs: Sequence[Any], **how: Any) -> Any:
        """Each event has an answer of its own: two may come at once."""
        came = gr.JSON(None, visible=False)
        event = when(do, inputs, came, **{**QUIET, **how})
        placed = event.success(None, [came, *page], page, js="(came, ...now) => LW.settle(came, now)", **IN_PAGE)
        placed.success(None, came, None, js="came => LW.settled(came)", **IN_PAGE)
        return event

    put(restored.then, opened, [top.defaults, *controls])
    asked = put(top.use.change, choose, [top.use, top.defaults, *controls], trigger_mode="always_last")
    asked.failure(None, None, top.checkpoint, js="() => LW.unasked()", **IN_PAGE)
    put(top.changed.change, relisted, [top.checkpoint])
    restored.then(None, top.checkpoint, None, js="title => LW.shownFirst(title)", **IN_PAGE)
    top.checkpoint.input(None, top.checkpoint, None, js="title => LW.choosing(title)", **IN_PAGE)
