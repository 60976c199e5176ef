"""The controls of a tab that makes pictures, as groups that a tab puts together. Each group answers {field name: control}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from webui.contract.errors import CheckpointError
from webui.contract.request import PICTURES
from webui.ui.fields import FIELDS
from webui.ui.markup import html, picture_line
from webui.ui.quiet_gradio import gr, without_stubs
from webui.ui.reading import family_of, refiners, size_choices
from webui.workspace.app import App

if TYPE_CHECKING:
    from webui.ui.header import Header

Controls = dict[str, Any]
HINTS = {"mask": "white is painted anew", "depth": "white is near", "map": "a label in each pixel"}
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


def _named(tab: str, name: str, classes: str = "") -> dict[str, Any]:
    """Label, element id and classes of a field's control; for-NAME hides it where the checkpoint does not read the field."""
    follows = [f"for-{name}"] if FIELDS[name].varies else []
    return {
        "label": FIELDS[name].label,
        "elem_id": f"{tab}_{FIELDS[name].element}",
        "elem_classes": [*classes.split(), *follows],
    }


def prompt_fields(tab: str, lines: int = 4) -> Controls:
    """Prompt and negative prompt, each one textarea with its count of tokens."""
    made: Controls = {}
    rows = {"prompt": (lines, "What should the picture show?"), "negative_prompt": (2, "What should it avoid?")}
    for name, (height, words) in rows.items():
        with column(f"field for-{name}"):
            made[name] = gr.Textbox(
                lines=height, max_lines=height + 6, max_length=100_000, placeholder=words, interactive=True, **_named(tab, name)
            )
            html(
                '<span class="count" title="Tokens used, and room in the chunks they fill" hidden></span>',
                elem_id=f"{tab}_{FIELDS[name].element}_tokens",
                elem_classes="tokens",
            )
    return made


def sampling_fields(tab: str, app: App, defaults: Mapping[str, Any]) -> Controls:
    parts = app.parts
    samplers, schedules = parts.samplers.names(), ["Automatic", *parts.schedules.names()]
    guidance = _amount(tab, "guidance", 0, 20, defaults.get("guidance", 7), 0.1)
    guidance.change(None, guidance, None, js=f"value => LW.guided('{tab}', value)", **IN_PAGE)
    return {
        "sampler": _choice(tab, "sampler", samplers, defaults.get("sampler")),
        "schedule": _choice(tab, "schedule", schedules, "Automatic"),
        "steps": _amount(tab, "steps", 1, 100, defaults.get("steps", 20), 1),
        "guidance": guidance,
        "refiner": _choice(tab, "refiner", [("None", ""), *refiners_of(app)], ""),
        "refiner_switch": _amount(tab, "refiner_switch", 0, 1, 0.8, 0.05),
    }


def refiners_of(app: App, title: str = "") -> list[str]:
    family = family_of(app, title)
    return refiners(app, family) if family else []


def _choice(tab: str, name: str, choices: Sequence[Any], value: Any) -> Any:
    return Choice(choices, value=value, allow_custom_value=True, interactive=True, **_named(tab, name, "line"))


def _amount(tab: str, name: str, low: float, high: float, value: Any, step: float) -> Any:
    return Amount(low, high, value, step=step, interactive=True, **_named(tab, name, "line"))


def inset(tab: str, name: str, value: Any, **more: Any) -> Any:
    """A number with its label inside. Its limits are those of the request, whose check has the words for them."""
    return gr.Number(value, min_width=0, interactive=True, **more, **_named(tab, name, "inset"))


def _inset_text(tab: str, name: str, value: str = "", **more: Any) -> Any:
    """A number as text: it keeps all its digits, and may be empty (a number that is shown at once would turn to 0)."""
    return gr.Textbox(
        value, lines=1, max_lines=1, max_length=40, min_width=0, interactive=True, **more, **_named(tab, name, "inset")
    )


def icon_button(element: str, label: str, icon: str) -> Any:
    return gr.Button(label, elem_id=element, elem_classes=f"icon-only i-{icon}", min_width=32, scale=0)


def size_fields(tab: str, app: App, header: Header, defaults: Mapping[str, Any]) -> Controls:
    """Width and height, with aspects of the checkpoint's own size (or the sizes it was trained on) and a swap."""
    aspect = gr.Radio(
        list(ASPECTS), value="1:1", label="Aspect", elem_id=f"{tab}_aspect", interactive=True,
        elem_classes=["line", "segmented", "for-width", "without-sizes"],
    )  # fmt: skip
    preset = Choice(
        size_choices(family_of(app)), value=None, label="Size", elem_id=f"{tab}_preset", allow_custom_value=True,
        interactive=True, elem_classes=["line", "for-sizes"],
    )  # fmt: skip
    header.presets.append(preset)
    with gr.Row(elem_classes=["pair", "for-width"]):
        width = inset(tab, "width", defaults.get("width", 512), step=8)
        swap = icon_button(f"{tab}_swap", "Swap width and height", "swap")
        height = inset(tab, "height", defaults.get("height", 512), step=8)

    def sized(name: str, title: str, w: Any, h: Any) -> tuple[int, int]:
        wide, high = aspect_size(ASPECTS[name], native_size(app, title))
        return (high, wide) if isinstance(w, int | float) and isinstance(h, int | float) and h > w else (wide, high)

    aspect.input(sized, [aspect, header.checkpoint, width, height], [width, height], **QUIET)
    preset.input(None, [preset, width, height], [width, height], js="(text, w, h) => LW.presetSize(text) ?? [w, h]", **IN_PAGE)
    swap.click(None, [width, height], [width, height], js="(w, h) => [h, w]", **IN_PAGE)
    gr.on(
        [width.change, height.change], None, [width, height], aspect, js=f"(w, h) => LW.nearestAspect({ASPECTS}, w, h)", **IN_PAGE
    )
    gr.on([width.change, height.change], None, [width, height], preset, js="(w, h) => LW.presetName(w, h)", **IN_PAGE)
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
    """The seed is text: the browser's numbers have 15 digits, a seed up to 19."""
    with gr.Row(elem_classes="pair"):
        seed = _inset_text(tab, "seed", "-1")
        dice = icon_button(f"{tab}_random_seed", "New seed each time", "dice")
        reuse = icon_button(f"{tab}_reuse_seed", "Use the seed of the picture shown", "reuse")
    dice.click(None, None, seed, js="() => '-1'", **IN_PAGE)
    reuse.click(None, seed, seed, js=f"seed => LW.shownSeed('{tab}') ?? seed", **IN_PAGE)
    return {"seed": seed}


def batch_fields(tab: str) -> Controls:
    with gr.Row(elem_classes="pair"):
        return {"batch_size": inset(tab, "batch_size", 1, step=1), "batch_count": inset(tab, "batch_count", 1, step=1)}


def picture_fields(tab: str) -> Controls:
    """The pictures and things that some families draw from. Each stands on a line, and only where the checkpoint reads it."""
    made: Controls = {}
    with column("for-class_label"):
        made["class_label"] = _choice(tab, "class_label", [], "")
    with column("for-boxes"):
        made["boxes"] = gr.Textbox(
            lines=4, max_lines=12, max_length=20_000, placeholder="label  x  y  width  height, a line for each box",
            info="In shares of the picture, from its top left corner", interactive=True, **_named(tab, "boxes"),
        )  # fmt: skip
    for name in PICTURES:
        made[name] = _picture(tab, name)
        beside = {"image": ("strength", 0.75), "second_image": ("mix", 0.5)}.get(name)
        if beside:
            with column(f"for-{beside[0]}"):
                made[beside[0]] = _amount(tab, beside[0], 0, 1, beside[1], 0.01)
    with column("for-noise_level"):
        made["noise_level"] = _inset_text(tab, "noise_level", placeholder="the checkpoint's own")
    return made


def _picture(tab: str, name: str) -> Any:
    """A picture by its name, in a box that nobody sees; script shows the picture and hands its file to the server."""
    label, element = FIELDS[name].label, f"{tab}_{FIELDS[name].element}"
    with column(f"for-{name}"):
        box = gr.Textbox("", max_length=200, interactive=True, **{**_named(tab, name), "elem_classes": ["kept"]})
        html(picture_line(element, label, HINTS.get(name, "")), js_on_load=f"LW.pictures.mount(element, '{element}')")
    box.change(None, box, None, js=f"name => LW.pictures.show('{element}', name)", **IN_PAGE)
    return box


def advanced_fields(tab: str) -> Controls:
    """What one needs now and then, closed."""
    with gr.Accordion("Advanced", open=False, elem_id=f"{tab}_advanced", elem_classes="group"), column("rows"):
        return {
            "clip_skip": _amount(tab, "clip_skip", 1, 12, 1, 1),
            "variation_strength": _amount(tab, "variation_strength", 0, 1, 0, 0.01),
            "variation_seed": _inset_text(tab, "variation_seed", "-1"),
            "noise_source": _one_of(tab, "noise_source", ["CPU", "NV"]),
            "emphasis": _choice(tab, "emphasis", ["Original", "No norm", "Ignore", "None"], "Original"),
            "long_prompt": _one_of(tab, "long_prompt", ["Continue", "Cut"]),
            "eta": inset(tab, "eta", None, placeholder="the sampler's own", step=0.05),
        }


def _one_of(tab: str, name: str, choices: list[str]) -> Any:
    return gr.Radio(choices, value=choices[0], interactive=True, **_named(tab, name, "line segmented"))


def told_fields(tab: str) -> Controls:
    """What SDXL is told beside the prompt: a second prompt, sizes, and the refiner its beauty. Closed."""
    made: Controls = {}
    classes = ["group", "for-second_prompt"]
    with gr.Accordion("Second prompt and sizes", open=False, elem_id=f"{tab}_told", elem_classes=classes), column("rows"):
        for name, words in (
            ("second_prompt", "the same as the prompt"),
            ("second_negative_prompt", "the same as the negative prompt"),
        ):
            made[name] = gr.Textbox(
                lines=2, max_lines=6, max_length=100_000, placeholder=words, interactive=True, **_named(tab, name)
            )
        for pair in (("original_width", "original_height"), ("crop_left", "crop_top"), ("target_width", "target_height")):
            with gr.Row(elem_classes="pair"):
                for name in pair:
                    made[name] = _inset_text(tab, name, placeholder="0" if "crop" in name else "its own")
        for name, value in (("aesthetic_score", 6.0), ("negative_aesthetic_score", 2.5)):
            made[name] = _amount(tab, name, 0, 10, value, 0.1)
    return made
