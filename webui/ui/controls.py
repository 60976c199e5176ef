"""The controls of a tab that makes pictures, as groups that a tab puts together. Each group answers {field name: control}."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from webui.contract.errors import CheckpointError
from webui.ui import own_text
from webui.ui.fields import ENLARGING, FIELDS, OWN
from webui.ui.markup import html, offer
from webui.ui.quiet_gradio import gr, without_stubs
from webui.ui.reading import family_of, refiners, size_choices
from webui.workspace.app import App

if TYPE_CHECKING:
    from webui.ui.header import Header

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


@contextmanager
def group(tab: str, element: str, label: str, classes: str = "") -> Iterator[None]:
    """What one needs now and then, closed."""
    more = ["group", *classes.split()]
    with gr.Accordion(label, open=False, elem_id=f"{tab}_{element}", elem_classes=more), column("rows"):
        yield


def named(tab: str, name: str, classes: str = "") -> dict[str, Any]:
    """Label, element id and classes of a field's control; for-NAME hides it where the checkpoint does not read the field."""
    field = (ENLARGING if tab == "upscale" else FIELDS)[name]
    follows = [f"for-{name}"] if field.varies else []
    return {"label": field.label, "elem_id": f"{tab}_{field.element}", "elem_classes": [*classes.split(), *follows]}


def growing(lines: int, **more: Any) -> Any:
    """A text of some lines that grows with its words by six more. The page's style does it (.grows): Gradio, told to, has the
    whole page laid out some ten times at each letter."""
    classes = more.pop("elem_classes", [])
    return gr.Textbox(
        lines=lines, max_lines=lines, interactive=True, elem_classes=[*classes, "grows"], **{"max_length": 100_000, **more}
    )


def prompt_fields(tab: str, lines: int = 4) -> Controls:
    """Prompt and negative prompt, each one textarea with its count of tokens; a picture that is dropped on one offers its own."""
    made: Controls = {}
    rows = {"prompt": (lines, "What should the picture show?"), "negative_prompt": (2, "What should it avoid?")}
    for name, (height, words) in rows.items():
        with column("field" if tab == "upscale" else f"field for-{name}"):
            made[name] = growing(height, placeholder=words, **named(tab, name))
            html(
                '<span class="count" title="Tokens used, and room in the chunks they fill" hidden></span>',
                elem_id=f"{tab}_{FIELDS[name].element}_tokens",
                elem_classes="tokens",
            )
    html(offer(tab), elem_id=f"{tab}_offer", elem_classes="offer-block")
    return made


def sampling_fields(tab: str, app: App, defaults: Mapping[str, Any], has_refiner: bool = True) -> Controls:
    parts = app.parts
    samplers, schedules = parts.samplers.names(), ["Automatic", *parts.schedules.names()]
    made: Controls = {
        "sampler": choice(tab, "sampler", samplers, defaults.get("sampler")),
        "schedule": choice(tab, "schedule", schedules, "Automatic"),
    }
    made |= own_option_fields(tab, made)
    made |= {
        "steps": amount(tab, "steps", 1, 100, defaults.get("steps", 20), 1),
        "guidance": amount(tab, "guidance", 0, 20, defaults.get("guidance", 7), 0.1),
    }
    made["guidance"].change(None, made["guidance"], None, js=f"value => LW.guided('{tab}', value)", **IN_PAGE)
    if has_refiner:
        made["refiner"] = choice(tab, "refiner", [("None", ""), *refiners_of(app)], "")
        made["refiner_switch"] = amount(tab, "refiner_switch", 0, 1, 0.8, 0.05)
    return made


def own_option_fields(tab: str, made: Controls) -> Controls:
    """The chosen sampler's and schedule's own options. Script draws their controls (assets/own_options.js), since which there
    are changes with the choice; what they say, and all else that extensions are asked, stands in one box that nobody sees (see
    webui.ui.own_text)."""
    with column("own-options"):
        html("", elem_id=f"{tab}_own_options", js_on_load=f"LW.ownOptions.mount(element, '{tab}')")
        box = gr.Textbox("", max_length=own_text.LETTERS, interactive=True, **named(tab, OWN, "kept"))
    said = [made["sampler"], made["schedule"], box]
    gr.on([one.change for one in said], None, said, None, js=f"(...said) => LW.ownBox.told('{tab}', said)", **IN_PAGE)
    return {OWN: box}


def refiners_of(app: App, title: str = "") -> list[str]:
    family = family_of(app, title)
    return refiners(app, family) if family else []


def choice(tab: str, name: str, choices: Sequence[Any], value: Any) -> Any:
    return Choice(choices, value=value, allow_custom_value=True, interactive=True, **named(tab, name, "line"))


def amount(tab: str, name: str, low: float, high: float, value: Any, step: float) -> Any:
    return Amount(low, high, value, step=step, interactive=True, **named(tab, name, "line"))


def inset(tab: str, name: str, value: Any, **more: Any) -> Any:
    """A number with its label inside. Its limits are those of the request, whose check has the words for them."""
    return gr.Number(value, min_width=0, interactive=True, **more, **named(tab, name, "inset"))


def inset_text(tab: str, name: str, value: str = "", **more: Any) -> Any:
    """A number as text: it keeps all its digits, and may be empty (a number that is shown at once would turn to 0)."""
    return gr.Textbox(
        value, lines=1, max_lines=1, max_length=40, min_width=0, interactive=True, **more, **named(tab, name, "inset")
    )


def icon_button(element: str, label: str, icon: str) -> Any:
    return gr.Button(label, elem_id=element, elem_classes=f"icon-only i-{icon}", min_width=32, scale=0)


def size_fields(tab: str, app: App, header: Header, defaults: Mapping[str, Any], has_picture: bool = False) -> Controls:
    """Width and height, with aspects of the checkpoint's own size (or the sizes it was trained on) and a swap.

    Args:
        has_picture: whether a picture goes in, whose own size a button takes.
    """
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
        if has_picture:
            own = icon_button(f"{tab}_own_size", "Use the picture's own size", "fit")
            own.click(None, [width, height], [width, height], js=f"(w, h) => LW.board.size('{tab}') ?? [w, h]", **IN_PAGE)

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
        seed = inset_text(tab, "seed", "-1")
        dice = icon_button(f"{tab}_random_seed", "New seed each time", "dice")
        reuse = icon_button(f"{tab}_reuse_seed", "Use the seed of the picture shown", "reuse")
    dice.click(None, None, seed, js="() => '-1'", **IN_PAGE)
    reuse.click(None, seed, seed, js=f"seed => LW.shownSeed('{tab}') ?? seed", **IN_PAGE)
    return {"seed": seed}


def batch_fields(tab: str) -> Controls:
    with gr.Row(elem_classes="pair"):
        return {"batch_size": inset(tab, "batch_size", 1, step=1), "batch_count": inset(tab, "batch_count", 1, step=1)}


def advanced_fields(tab: str) -> Controls:
    with group(tab, "advanced", "Advanced"):
        return {
            "clip_skip": amount(tab, "clip_skip", 1, 12, 1, 1),
            "variation_strength": amount(tab, "variation_strength", 0, 1, 0, 0.01),
            "variation_seed": inset_text(tab, "variation_seed", "-1"),
            "noise_source": one_of(tab, "noise_source", ["CPU", "NV"]),
            "emphasis": choice(tab, "emphasis", ["Original", "No norm", "Ignore", "None"], "Original"),
            "long_prompt": one_of(tab, "long_prompt", ["Continue", "Cut"]),
            "eta": inset(tab, "eta", None, placeholder="the sampler's own", step=0.05),
        }


def one_of(tab: str, name: str, choices: Sequence[Any]) -> Any:
    """One of a few that fit beside each other; the first is chosen."""
    first = choices[0][1] if isinstance(choices[0], tuple) else choices[0]
    return gr.Radio(list(choices), value=first, interactive=True, **named(tab, name, "line segmented"))


def tick(tab: str, name: str, value: bool = False) -> Any:
    return gr.Checkbox(value, interactive=True, min_width=0, **named(tab, name, "check"))


def told_fields(tab: str) -> Controls:
    """What SDXL is told beside the prompt: a second prompt, sizes, and the refiner its beauty. Closed."""
    made: Controls = {}
    with group(tab, "told", "Second prompt and sizes", "for-second_prompt"):
        for name, words in (
            ("second_prompt", "the same as the prompt"),
            ("second_negative_prompt", "the same as the negative prompt"),
        ):
            made[name] = growing(2, placeholder=words, **named(tab, name))
        for pair in (("original_width", "original_height"), ("crop_left", "crop_top"), ("target_width", "target_height")):
            with gr.Row(elem_classes="pair"):
                for name in pair:
                    made[name] = inset_text(tab, name, placeholder="0" if "crop" in name else "its own")
        for name, value in (("aesthetic_score", 6.0), ("negative_aesthetic_score", 2.5)):
            made[name] = amount(tab, name, 0, 10, value, 0.1)
    return made
