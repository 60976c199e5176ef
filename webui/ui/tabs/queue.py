"""The Queue tab: what runs, what waits, what has ended. assets/queue.js fills it from the queue's events."""

from __future__ import annotations

from webui.ui import icons
from webui.ui.controls import Controls
from webui.ui.header import Header
from webui.ui.markup import button, html
from webui.ui.quiet_gradio import gr
from webui.ui.stage import sends
from webui.workspace.app import App

TOOLS = (
    button("Interrupt", "stop", data_do="interrupt")
    + button("Remove", "close", data_do="remove")
    + button("Send to", "send", data_do="sendto")
    + button("Show", "show", data_do="show")
)
"""Script leaves the one that a job's state allows."""
ROW = f"""
<template data-part="row"><li class="job"><span class="cover" data-part="cover">{icons.svg("txt2img")}</span>
  <div class="job-text"><strong data-part="title"></strong><span class="hint" data-part="what"></span>
    <div class="bar" role="progressbar" aria-label="Progress of this job" aria-valuemin="0" aria-valuemax="100" hidden
      ><i></i></div></div>
  <span class="job-note" data-part="note"></span><div class="job-tools">{TOOLS}</div></li></template>"""
HEAD = '<header><h2>Queue</h2><p class="hint">Jobs go on when you close this page, and after a restart.</p></header>'


def build(_app: App, _header: Header) -> Controls:
    with gr.Column(elem_classes="page", min_width=0):
        html(HEAD)
        html(f'<div popover class="lw-menu" id="queue_send" role="group" aria-label="Send to">{sends("")}</div>')
        html(f'{ROW}<div data-part="jobs"></div>', elem_id="queue_list", js_on_load="LW.queue.mount(element)")
    return {}
