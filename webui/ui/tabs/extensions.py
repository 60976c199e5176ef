"""The Extensions tab: what was found at start, what runs, what failed and why. assets/extensions.js fills it from
/api/v1/extensions, so that opening the page costs nothing for it.

All that an extension says of itself is a stranger's text: script brings it in as text alone.
"""

from __future__ import annotations

from webui.ui import icons, installing
from webui.ui.controls import Controls
from webui.ui.header import Header
from webui.ui.markup import button, html
from webui.ui.quiet_gradio import gr
from webui.workspace.app import App

ROW = f"""
<template data-part="row"><li class="job extension"><div class="extension-text">
  <p class="extension-name"><strong data-part="name"></strong> <span class="hint" data-part="version"></span></p>
  <p data-part="description"></p>
  <p class="problem" data-part="problem">{icons.svg("alert")}<span data-part="error"></span></p>
  <details data-part="trace"><summary>Details</summary>
    <pre tabindex="0" role="group" aria-label="Traceback" data-part="details"></pre>
    {button("Copy", "copy", data_do="copytrace")}</details>
  <ul class="extension-troubles" data-part="troubles"></ul>
  <dl class="facts" data-part="facts"></dl>
  <details data-part="settings"><summary>Settings</summary><div data-part="form"></div>
    <p class="extension-note" role="status" data-part="saved"></p></details>
  <p class="extension-note" role="status" data-part="note"></p>
  <p class="extension-note" role="status" data-part="installed"></p>
  <div class="install-tools" data-part="tools" hidden></div></div>
  <button type="button" class="switch" role="switch" data-do="extension" data-part="switch"><i></i></button></li></template>"""
HEAD = '<header><h2>Extensions</h2><p class="hint">Changes take effect when the program is restarted.</p></header>'
HOW = """<p><code>webui extensions new NAME</code> makes one that works, to be changed at will.</p>
<p>Each is a folder in <code>extensions/</code>, of the project or of your data folder; restart to have it found.</p>"""
EMPTY = f'<template data-part="none"><div class="empty"><h2>No extension yet</h2>{HOW}</div></template>'
MORE = f'<template data-part="more"><div class="hint extension-more">{HOW}</div></template>'


def build(_app: App, _header: Header) -> Controls:
    with gr.Column(elem_classes="page", min_width=0):
        html(HEAD)
        html(installing.PANEL, elem_id="extensions_install", js_on_load="LW.installing.mount(element)")
        html(
            f'{ROW}{EMPTY}{MORE}<div data-part="list"></div>',
            elem_id="extensions_list",
            js_on_load="LW.extensions.mount(element)",
        )
    return {}
