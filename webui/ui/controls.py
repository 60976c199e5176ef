"""The controls of a tab that makes pictures, as groups that a tab puts together. Each group answers {field name: control}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.contract.errors import CheckpointError
from webui.contract.parts import Parts
from webui.ui.fields import FIELDS
from webui.ui.markup import html
from webui.ui.quiet_gradio import gr, without_stubs
from webui.workspace.app import App

Controls = dict[str, Any]
ASPECTS = {"1:1": 1.0, "4:3": 4 / 3, "3:2": 3 / 2, "16:9": 16 / 9}
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private", "trigger_mode": "multiple"}
"""How our events run: at once, beside each other, without Gradio's overlays."""
IN_PAGE: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Events that only run script in the page."""

with without_stubs():

    class Amount(gr.Slider):
        """A slider that hands on what was typed, also outside its track: the request's check has the better words."""

        is_template = True

        def preprocess(self, payload: Any) -> Any:
            return payload

    class Choice(gr.Dropdown):
        """A dropdown that hands on what was typed or restored, also where it is no choice (any more)."""

        is_template = True

        def preprocess(self, payload: Any) -> Any:
            return payload


def column(classes: str, **more: Any) -> Any:
    """A column that keeps its own height: Gradio writes flex-grow: 1 into the element unless scale is 0."""
    return gr.Column(elem_classes=classes.split(), scale=0, min_width=0, **more)


def _named(tab: str, name: str) -> dict[str, Any]:
    return {"label": FIELDS[name].label, "elem_id": f"{tab}_{FIELDS[name].element}"}


def prompt_fields(tab: str, lines: int = 4) -> Controls:
    """Prompt and negative prompt, each one textarea with its count of tokens."""
    made: Controls = {}
    rows = {"prompt": (lines, "What should the picture show?"), "negative_prompt": (2, "What should it avoid?")}
    for name, (height, words) in rows.items():
        with column("field"):
            made[name] = gr.Textbox(
                lines=height, max_lines=height + 6, max_length=100_000, placeholder=words, interactive=True, **_named(tab, name)
            )
            html(
                '<span class="count" title="Tokens used, and room in the chunks they fill" hidden></span>',
                elem_id=f"{tab}_{FIELDS[name].element}_tokens",
                elem_classes="tokens",
            )
    return made


def sampling_fields(tab: str, parts: Parts, defaults: Mapping[str, Any]) -> Controls:
    samplers, schedules = parts.samplers.names(), ["Automatic", *parts.schedules.names()]
    line: dict[str, Any] = {"elem_classes": "line", "interactive": True}
    return {
        "sampler": Choice(samplers, value=defaults.get("sampler"), allow_custom_value=True, **line, **_named(tab, "sampler")),
        "schedule": Choice(schedules, value="Automatic", allow_custom_value=True, **line, **_named(tab, "schedule")),
        "steps": Amount(1, 100, defaults.get("steps", 20), step=1, **line, **_named(tab, "steps")),
        "guidance": Amount(1, 20, defaults.get("guidance", 7), step=0.1, **line, **_named(tab, "guidance")),
    }


def inset(tab: str, name: str, value: Any, **more: Any) -> Any:
    """A number with its label inside. Its limits are those of the request, whose check has the words for them."""
    return gr.Number(value, elem_classes="inset", min_width=0, interactive=True, **more, **_named(tab, name))


def icon_button(element: str, label: str, icon: str) -> Any:
    return gr.Button(label, elem_id=element, elem_classes=f"icon-only i-{icon}", min_width=32, scale=0)


def size_fields(tab: str, app: App, checkpoint: Any, defaults: Mapping[str, Any]) -> Controls:
    """Width and height, with aspects of the checkpoint's own size and a swap."""
    aspect = gr.Radio(
        list(ASPECTS), value="1:1", label="Aspect", elem_id=f"{tab}_aspect", elem_classes="line segmented", interactive=True
    )
    with gr.Row(elem_classes="pair"):
        width = inset(tab, "width", defaults.get("width", 512), step=8)
        swap = icon_button(f"{tab}_swap", "Swap width and height", "swap")
        height = inset(tab, "height", defaults.get("height", 512), step=8)

    def sized(name: str, title: str, w: Any, h: Any) -> tuple[int, int]:
        wide, high = aspect_size(ASPECTS[name], native_size(app, title))
        return (high, wide) if isinstance(w, int | float) and isinstance(h, int | float) and h > w else (wide, high)

    aspect.input(sized, [aspect, checkpoint, width, height], [width, height], **QUIET)
    swap.click(None, [width, height], [width, height], js="(w, h) => [h, w]", **IN_PAGE)
    gr.on(
        [width.change, height.change], None, [width, height], aspect, js=f"(w, h) => LW.nearestAspect({ASPECTS}, w, h)", **IN_PAGE
    )
    return {"width": width, "height": height}


def native_size(app: App, title: str) -> int:
    try:
        return app.checkpoints.defaults(title or "").width
    except CheckpointError:
        return 512


def aspect_size(ratio: float, native: int) -> tuple[int, int]:
    """Width and height of that ratio with about as many pixels as native x native, in steps the family is at ease with."""
    step = max(8, native // 32)
    width, height = (max(step, round(native * side / step) * step) for side in (ratio**0.5, ratio**-0.5))
    return width, height


def seed_fields(tab: str) -> Controls:
    """The seed is text, so that all 19 digits survive the browser, whose numbers have 15."""
    with gr.Row(elem_classes="pair"):
        seed = gr.Textbox(
            "-1", lines=1, max_lines=1, max_length=40, elem_classes="inset", min_width=0, interactive=True, **_named(tab, "seed")
        )
        dice = icon_button(f"{tab}_random_seed", "New seed each time", "dice")
        reuse = icon_button(f"{tab}_reuse_seed", "Use the seed of the picture shown", "reuse")
    dice.click(None, None, seed, js="() => '-1'", **IN_PAGE)
    reuse.click(None, seed, seed, js=f"seed => LW.shownSeed('{tab}') ?? seed", **IN_PAGE)
    return {"seed": seed}


def batch_fields(tab: str) -> Controls:
    with gr.Row(elem_classes="pair"):
        return {"batch_size": inset(tab, "batch_size", 1, step=1), "batch_count": inset(tab, "batch_count", 1, step=1)}


def advanced_fields(tab: str) -> Controls:
    """What one needs now and then, closed."""
    line: dict[str, Any] = {"elem_classes": "line", "interactive": True}
    segmented = {**line, "elem_classes": "line segmented"}
    inside: dict[str, Any] = {"lines": 1, "max_lines": 1, "max_length": 40, "elem_classes": "inset", "interactive": True}
    with gr.Accordion("Advanced", open=False, elem_id=f"{tab}_advanced", elem_classes="group"), column("rows"):
        return {
            "clip_skip": Amount(1, 12, 1, step=1, **line, **_named(tab, "clip_skip")),
            "variation_strength": Amount(0, 1, 0, step=0.01, **line, **_named(tab, "variation_strength")),
            "variation_seed": gr.Textbox("-1", **inside, **_named(tab, "variation_seed")),
            "noise_source": gr.Radio(["CPU", "NV"], value="CPU", **segmented, **_named(tab, "noise_source")),
            "emphasis": Choice(["Original", "No norm", "Ignore", "None"], value="Original", **line, **_named(tab, "emphasis")),
            "eta": inset(tab, "eta", None, placeholder="the sampler's own", step=0.05),
        }
