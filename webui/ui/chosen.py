"""What a request names beside its sampler: conditioners on request, guiders, a script; and the panels of extensions.

assets/chosen.js draws the first three by what LW.facts().own says, into one block of HTML: Gradio components for each would make
the page slower to open, and which options there are changes with the choice.
"""

from __future__ import annotations

from webui.ui.controls import Controls
from webui.ui.fields import OWN
from webui.ui.header import Header
from webui.ui.markup import button, html, picture_line
from webui.ui.panels import panel_groups
from webui.workspace.app import App

ROW = f"""
<template data-part="row"><li class="chosen"><div class="chosen-head"><strong data-part="name"></strong>
  {button("", "up", title="Move up", data_do="chosenup")}{button("", "down", title="Move down", data_do="chosendown")}
  <button type="button" class="switch" role="switch" data-do="chosenswitch" data-part="switch"><i></i></button>
  {button("", "close", title="Remove", data_do="chosenremove")}</div>
  <p class="hint" data-part="note" hidden></p><div class="own-group" data-part="options" role="group"></div></li></template>"""
PICTURE = f'<template data-part="picture">{picture_line("", "", "")}</template>'


def extension_groups(tab: str, app: App, header: Header, made: Controls) -> None:
    """A closed group of chosen parts, where there is something to choose, and one for each panel."""
    html(
        f'{ROW}{PICTURE}<details class="chosen-group" hidden><summary><span>Extensions</span>'
        '<span class="badge" data-part="count" hidden></span><i></i></summary>'
        '<div class="rows" data-part="kinds"></div></details>',
        elem_id=f"{tab}_chosen",
        elem_classes="chosen-block",
        js_on_load=f"LW.chosen.mount(element, '{tab}')",
    )
    late = {name: problem for panels in header.panels.values() for name, problem in panels.late.items()}
    header.panels[tab] = panel_groups(tab, app, made[OWN], late)
