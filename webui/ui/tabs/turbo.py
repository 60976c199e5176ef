"""The turbo tab: the picture changes while one types, moves a slider or paints.

Python writes the controls and the frame once; assets/turbo*.js send the state of the controls over one WebSocket and draw
the frames that come back. No picture of the stream passes through Gradio.
"""

from __future__ import annotations

import json
from typing import Any

from webui.contract.errors import WebUIError
from webui.ui import controls, live_stage
from webui.ui.controls import ASPECTS, IN_PAGE, QUIET, Choice, Controls
from webui.ui.header import Header, defaults_of
from webui.ui.markup import html
from webui.ui.quiet_gradio import gr
from webui.ui.reading import live_choices
from webui.workspace.app import App

NAME = "turbo"
STYLE = "turbo.css"
SCRIPTS = ("turbo_pipe.js", "turbo_view.js", "turbo_brush.js", "turbo_input.js", "turbo_kept.js", "turbo.js")
"""For the head of the page, after the other tabs' scripts, in this order."""
SOURCES = {"None": "none", "File": "file", "Paint": "paint", "Camera": "camera"}
"""What is repainted."""


def build(app: App, header: Header) -> Controls:
    made: Controls = {}
    with gr.Row(elem_classes=["studio", "live-studio"], elem_id=f"{NAME}_studio"):
        panel = gr.Column(elem_classes="controls", elem_id=f"{NAME}_panel", min_width=0)
        with panel, gr.Column(elem_classes="controls-scroll", min_width=0):
            with controls.column("sheet words"):
                made |= _word_fields()
            with controls.column("sheet sources"):
                made |= _source_fields()
            with controls.column("sheet"):
                made |= _drawing_fields()
            with controls.column("sheet"):
                made |= _checkpoint_field(app, header)
        html(live_stage.frame(), elem_id=f"{NAME}_stage", elem_classes="stage", js_on_load="LW.turbo.mount(element)")
    _follow(made)
    _refine(app)
    return made


def _word_fields() -> Controls:
    made: Controls = {}
    rows = {
        "prompt": ("prompt", "Prompt", 4, "Type. The picture follows."),
        "negative_prompt": ("neg_prompt", "Negative prompt", 2, "What should it avoid?"),
    }
    for name, (element, label, lines, words) in rows.items():
        with controls.column(f"field live-{element}"):
            made[name] = controls.growing(lines, placeholder=words, label=label, elem_id=f"{NAME}_{element}")
    return made


def _source_fields() -> Controls:
    source = gr.Radio(
        list(SOURCES.items()), value="none", label="Picture", elem_id=f"{NAME}_source", interactive=True,
        elem_classes=["line", "segmented"],
    )  # fmt: skip
    return {"source": source, "strength": _amount("strength", "Strength", 0, 1, 0.6, 0.01)}


def _drawing_fields() -> Controls:
    steps = gr.Radio(
        ["1", "2", "3", "4"], value="1", label="Steps", elem_id=f"{NAME}_steps", interactive=True,
        elem_classes=["line", "segmented"],
    )  # fmt: skip
    made: Controls = {"steps": steps, **_size_fields()}
    made |= _seed_field()
    made["smooth"] = _amount("smooth", "Smooth", 0, 2, 0.3, 0.1)
    return made


def _amount(name: str, label: str, low: float, high: float, value: float, step: float) -> Any:
    return controls.Amount(
        low, high, value, step=step, interactive=True, label=label, elem_id=f"{NAME}_{name}", elem_classes="line"
    )


def _size_fields() -> Controls:
    """An empty side is the checkpoint's own, which stands there in grey: so it follows the checkpoint."""
    aspect = gr.Radio(
        list(ASPECTS), value="1:1", label="Aspect", elem_id=f"{NAME}_aspect", interactive=True,
        elem_classes=["line", "segmented"],
    )  # fmt: skip
    with gr.Row(elem_classes="pair"):
        width = _inset("width", "Width", "")
        swap = controls.icon_button(f"{NAME}_swap", "Swap width and height", "swap")
        height = _inset("height", "Height", "")
    sides = [width, height]
    aspect.input(None, [aspect, *sides], sides, js=f"(name, ...sides) => LW.turbo.sized({ASPECTS}[name], sides)", **IN_PAGE)
    swap.click(None, sides, sides, js="(w, h) => [h, w]", **IN_PAGE)
    gr.on([side.change for side in sides], None, sides, aspect, js=f"(w, h) => LW.turbo.aspect({ASPECTS}, w, h)", **IN_PAGE)
    return {"width": width, "height": height}


def _inset(name: str, label: str, value: str) -> Any:
    return gr.Textbox(
        value, lines=1, max_lines=1, max_length=40, min_width=0, interactive=True, label=label, elem_id=f"{NAME}_{name}",
        elem_classes="inset",
    )  # fmt: skip


def _seed_field() -> Controls:
    """-1 is one seed for as long as the page is open: a new one for each letter would flicker."""
    with gr.Row(elem_classes="pair"):
        seed = _inset("seed", "Seed", "-1")
        dice = controls.icon_button(f"{NAME}_random_seed", "Another seed", "dice")
        reuse = controls.icon_button(f"{NAME}_reuse_seed", "Use the seed of the picture shown", "reuse")
    dice.click(None, None, seed, js="() => LW.turbo.roll()", **IN_PAGE)
    reuse.click(None, seed, seed, js="seed => LW.turbo.shownSeed() ?? seed", **IN_PAGE)
    return {"seed": seed}


def _checkpoint_field(app: App, header: Header) -> Controls:
    """The tab's own: the one in use elsewhere is seldom made for few steps."""
    menu = Choice(
        live_choices(app), value="", label="Checkpoint", allow_custom_value=True, interactive=True,
        elem_id=f"{NAME}_checkpoint", elem_classes="line",
    )  # fmt: skip
    header.lists.append((menu, lambda: live_choices(app)))
    html(f'<p id="{NAME}_model" class="hint" role="status"></p>', elem_classes="live-model")
    return {"checkpoint": menu}


def _follow(made: Controls) -> None:
    """What a control takes on without being typed into (a reload, a button, another tab) is sent too. Each has an event of its
    own, for at each letter Gradio looks up every trigger of the event."""
    for control in made.values():
        control.change(None, None, None, js="() => LW.turbo.ask()", **IN_PAGE)
    menu = made["checkpoint"]
    menu.change(None, menu, None, js="title => LW.turbo.choose(title)", **IN_PAGE)


def _refine(app: App) -> None:
    """The box TAB_refine: {"base": title, "values": fields of a request}. They go to txt2img, with the base checkpoint's own
    sampler, steps and guidance."""
    box = gr.Textbox("", elem_id=f"{NAME}_refine_box", label="Picture to refine", elem_classes="kept", interactive=True)
    answer = gr.JSON(None, visible=False)

    def refine(text: str) -> dict[str, Any]:
        try:
            asked = json.loads(text)
            base = app.checkpoints.find(str(asked["base"])).title
            own = {name: value for name, value in defaults_of(app, base).items() if name in ("sampler", "steps", "guidance")}
            return {"base": base, "values": {"schedule": "Automatic", **own, **asked["values"]}, "message": ""}
        except WebUIError as error:
            return {"message": str(error)}
        except (ValueError, KeyError, TypeError):
            return {"message": "This picture's settings cannot be read. Draw it again."}

    asked = box.change(refine, box, answer, **QUIET)
    asked.success(None, answer, None, js="answer => LW.turbo.refined(answer)", **IN_PAGE)
