"""The page: a top bar and the tabs, mounted at the root of the server."""

from __future__ import annotations

import json

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from webui.ui import icons, installing, painter
from webui.ui.controls import IN_PAGE, Controls
from webui.ui.fields import VARYING
from webui.ui.head import HeadFirst
from webui.ui.header import follow_checkpoint, header
from webui.ui.look import ASSETS, address
from webui.ui.panels import NO_PANELS
from webui.ui.quiet_gradio import gr
from webui.ui.reading import SERVES
from webui.ui.tabs import TABS, turbo
from webui.ui.tabs.added import added_tabs
from webui.ui.taking import reader, taker
from webui.workspace.app import App

SCRIPTS = (
    "app.js", "follow.js", "pictures.js", "events.js", "compare.js", "stage.js", "queue.js", "extensions.js",
    "extension_settings.js", installing.SCRIPT, "checkpoints.js",
    *painter.SCRIPTS,
    "board.js", "folder.js", "send.js", "take.js", "examples.js", "option_lines.js", "own_box.js", "own_options.js", "chosen.js",
    "panels.js", *turbo.SCRIPTS,
)  # fmt: skip
SHEETS = ("style.css", "chosen.css", "board.css", "checkpoints.css", installing.STYLE, painter.STYLE, turbo.STYLE)
FONTS = ["-apple-system", "Segoe UI", "Roboto", "sans-serif"]


def build(app: App, can_choose: bool = True) -> gr.Blocks:
    """The whole page. Jobs, results and the list of checkpoints come to it while it runs; see assets/events.js."""
    with gr.Blocks(title="Latent WebUI", fill_width=True, analytics_enabled=False) as demo:
        top = header(app)
        kept: dict[str, Controls] = {}
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            for tab in TABS:
                with gr.Tab(tab.label, id=tab.name, elem_id=f"tab_{tab.name}"):
                    kept[tab.name] = tab.build(app, top)
            added_tabs(app)
        making = [controls for controls in kept.values() if controls]
        for name, controls in kept.items():
            if controls:
                taker(name, controls, top.panels.get(name, NO_PANELS))
        reader(app)
        values = [top.defaults, *(control for controls in making for control in controls.values())]
        names = [control.elem_id or "defaults" for control in values]
        restored = demo.load(None, values, values, js=f"(...values) => LW.restore({json.dumps(names)}, values)", **IN_PAGE)
        for panels in top.panels.values():
            panels.fill(restored.then)
        follow_checkpoint(app, top, making, restored, can_choose)
        for control in values:  # each alone: at a letter Gradio takes a millisecond for each input and each trigger of its events
            ids = json.dumps([control.elem_id or "defaults"])
            control.change(None, control, None, js=f"value => LW.remember({ids}, [value])", **IN_PAGE)
    return demo


def mount(server: FastAPI, app: App, can_choose: bool = True) -> FastAPI:
    """Put the page at "/" of a server whose other routes are there already.

    Args:
        can_choose: whether whoever opens the page may choose the program's checkpoint.
    """
    server.mount("/look", StaticFiles(directory=ASSETS), name="look")
    demo = build(app, can_choose)
    mounted = gr.mount_gradio_app(
        server,
        demo,
        path="/",
        theme=gr.themes.Base(font=FONTS, font_mono=["ui-monospace", "monospace"]),
        head=style(),
        favicon_path=str(ASSETS / "favicon.svg"),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
    )
    demo.has_launched = True  # a mounted page checks no file path of Gradio without it
    for name, seconds in {"sleep_when_free": 0.02, "progress_update_sleep_when_free": 0.05}.items():
        if hasattr(demo._queue, name):  # Gradio's own queue asks every millisecond, 7% of a core for nothing
            setattr(demo._queue, name, seconds)
    mounted.add_middleware(HeadFirst, head=scripts())
    return mounted


def scripts() -> str:
    """For the document itself; see webui.ui.head."""
    return style() + "".join(f'<script src="{address(name)}"></script>' for name in SCRIPTS)


def style() -> str:
    """The style sheets. They stand in the document, for the first paint, and in Gradio's head, behind Gradio's own sheets,
    which they must outweigh."""
    hidden = "".join(f':root:not([data-reads~="{name}"]) .for-{name}{{display:none!important}}' for name in (*VARYING, "sizes"))
    unserved = "".join(
        f':root[data-unserved~="{tab}"] #{tab}_panel:is(#_,#{tab}_panel) {{& .unserved{{display:block;flex:1}}'
        f"& .controls-scroll,& .actions{{display:none}}}}"
        f':root[data-unserved~="{tab}"] #{tab}_stage .empty{{display:none!important}}'
        for tab in SERVES
    )
    sheets = "".join(f'<link rel="stylesheet" href="{address(name)}">' for name in SHEETS)
    return f"<style>{icons.css_variables()}{hidden}{unserved}</style>{sheets}"
