"""The controls of tabs that pictures go into: what becomes of the picture, its mask, its depth, and the second pass.

The picture itself and what is painted on it are the painter's; see webui.ui.painter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from webui.ui.controls import QUIET, Controls, amount, choice, column, group, growing, inset_text, named, one_of, tick
from webui.ui.fields import FIELDS, whole
from webui.ui.markup import button, html, picture_line
from webui.ui.quiet_gradio import gr
from webui.ui.reading import enlarged, upscaler_choices
from webui.workspace.app import App

if TYPE_CHECKING:
    from webui.ui.header import Header

HINTS = {"map": "a label in each pixel", "second_image": "mixed with the first"}
RESIZE = (
    ("Just resize", "stretch"), ("Crop and resize", "crop"), ("Resize and fill", "fill"),
    ("Just resize (latent upscale)", "latent"),
)  # fmt: skip
CONTENT = (("Original", "original"), ("Fill", "fill"), ("Noise", "latent noise"), ("Nothing", "latent nothing"))


def thing_fields(tab: str, has_map: bool = False) -> Controls:
    """What some families draw from beside words. Each stands on a line, and only where the checkpoint reads it."""
    made: Controls = {}
    with column("for-class_label"):
        made["class_label"] = choice(tab, "class_label", [], "")
    with column("for-boxes"):
        made["boxes"] = growing(
            4, max_length=20_000, placeholder="label  x  y  width  height, a line for each box",
            info="In shares of the picture, from its top left corner", **named(tab, "boxes"),
        )  # fmt: skip
    if has_map:
        made["map"] = _picture(tab, "map")
    return made


def mixing_fields(tab: str) -> Controls:
    """For checkpoints that vary a picture or mix two."""
    made: Controls = {"second_image": _picture(tab, "second_image")}
    with column("for-mix"):
        made["mix"] = amount(tab, "mix", 0, 1, 0.5, 0.01)
    with column("for-noise_level"):
        made["noise_level"] = inset_text(tab, "noise_level", placeholder="the checkpoint's own")
    return made


def _picture(tab: str, name: str) -> Any:
    """A picture by its name, in a box that nobody sees; script shows the picture and hands its file to the server."""
    label, element = FIELDS[name].label, f"{tab}_{FIELDS[name].element}"
    with column(f"for-{name}"):
        box = gr.Textbox("", max_length=200, interactive=True, **{**named(tab, name), "elem_classes": ["kept"]})
        html(picture_line(element, label, HINTS.get(name, "")), js_on_load=f"LW.pictures.mount(element, '{element}')")
    box.change(None, box, None, js=f"name => LW.pictures.show('{element}', name)", queue=False, api_visibility="private")
    return box


def strength_field(tab: str, value: float) -> Controls:
    with column("for-strength"):
        return {"strength": amount(tab, "strength", 0, 1, value, 0.01)}


def resize_field(tab: str) -> Controls:
    return {"resize": choice(tab, "resize", RESIZE, "stretch")}


def colours_field(tab: str) -> Controls:
    return {"match_colours": tick(tab, "match_colours")}


def mask_fields(tab: str) -> Controls:
    """How what is masked is painted anew."""
    made: Controls = {
        "only_masked": one_of(tab, "only_masked", (("Whole picture", False), ("Only masked", True))),
        "mask_padding": amount(tab, "mask_padding", 0, 256, 32, 4),
        "masked_content": choice(tab, "masked_content", CONTENT, "original"),
        "mask_invert": one_of(tab, "mask_invert", (("What is masked", False), ("The rest", True))),
        "mask_blur": amount(tab, "mask_blur", 0, 64, 4, 0.5),
    }
    with gr.Row(elem_classes="ticks"):
        made |= {"soft": tick(tab, "soft"), **colours_field(tab)}
    return made


def extend_fields(tab: str) -> Controls:
    """Outpainting: pixels that the picture grows by at each side."""
    made: Controls = {}
    with group(tab, "extend", "Extend the picture"):
        html('<p class="hint">Pixels to add at each side. What is there stays as it is.</p>')
        for pair in (("extend_left", "extend_right"), ("extend_top", "extend_bottom")):
            with gr.Row(elem_classes="pair"):
                for name in pair:
                    made[name] = inset_text(tab, name, placeholder="0")
    return made


def depth_fields(tab: str) -> Controls:
    """Which part of the depth map counts, from near (white) to far (black)."""
    return {"depth_near": amount(tab, "depth_near", 0, 1, 1, 0.01), "depth_far": amount(tab, "depth_far", 0, 1, 0, 0.01)}


def tile_field(tab: str) -> Controls:
    return {"tile": inset_text(tab, "tile", placeholder="as the memory allows")}


def hires_fields(tab: str, app: App, header: Header, size: tuple[Any, Any]) -> Controls:
    """The second pass: what was drawn is enlarged and repainted. Closed, and off while it enlarges by 1.

    Args:
        size: the controls of width and height, for the words that say how large the picture becomes.
    """
    with group(tab, "hires", "Hires pass"):
        scale = amount(tab, "hires_scale", 1, 4, 1, 0.05)
        with gr.Row(elem_classes="pair"):
            sides = [inset_text(tab, name, placeholder="by the factor") for name in ("hires_width", "hires_height")]
        words = hires_words(1, "", "", *(control.value for control in size))
        told = html(words, elem_id=f"{tab}_hires_size", elem_classes="told")
        upscaler = upscaler_menu(tab, app, header, "hires_upscaler", "Latent")
        made = {
            "hires_scale": scale,
            "hires_width": sides[0],
            "hires_height": sides[1],
            "hires_upscaler": upscaler,
            "hires_strength": amount(tab, "hires_strength", 0, 1, 0.7, 0.01),
            "hires_steps": inset_text(tab, "hires_steps", placeholder="as many as above"),
        }
        for name, same in (("hires_prompt", "prompt"), ("hires_negative_prompt", "negative prompt")):
            made[name] = growing(2, placeholder=f"the same as the {same}", **named(tab, name))
    asked = [scale, *sides, *size]
    gr.on([control.change for control in asked], hires_words, asked, told, **QUIET)
    return made


def upscaler_menu(tab: str, app: App, header: Header, name: str, value: str, first: Sequence[Any] = ()) -> Any:
    """A menu of what enlarges, as it is when a page opens."""

    def offered() -> list[Any]:
        return [*first, *upscaler_choices(app, hires=name.startswith("hires"))]

    menu = choice(tab, name, offered(), value)
    header.lists.append((menu, offered))
    return menu


def hires_words(scale: Any, to_width: Any, to_height: Any, width: Any, height: Any) -> str:
    """How large the picture becomes, by the same function as the job."""
    to = (whole(to_width) or 0, whole(to_height) or 0)
    if scale == 1 and to == (0, 0):
        return '<p class="hint">Off. Enlarge by more than 1 to draw a second, larger pass.</p>'
    return size_words((whole(width), whole(height)), scale, to)


def size_words(source: tuple[Any, Any], scale: Any, to: tuple[Any, Any], crop: bool = True) -> str:
    """ "512 × 512 to 1024 × 1024", or why not. Answers HTML of numbers alone."""
    size, problem = enlarged(source, scale, to, crop)
    if problem:
        return f'<p class="hint bad">{problem}</p>'
    return f'<p class="hint">{source[0]} × {source[1]} becomes <b>{size[0]} × {size[1]}</b></p>'


def folder_group(tab: str) -> None:
    """Many pictures, one job each. They are picked in the browser and kept by the server, wherever it runs."""
    picks = button("Choose a folder", "folder", "soft", data_do="folder", data_part="folder") + button(
        "Choose pictures", "img2img", "soft", data_do="several", data_part="several"
    )
    inside = (
        f'<div class="folder" data-tab="{tab}"><p class="hint" data-part="words">Each picture becomes a job of its own, '
        f'with these settings.</p><div class="folder-tools">{picks}'
        + button("Take away", "close", data_do="unfolder", data_part="unfolder", hidden="")
        + '</div><input type="file" webkitdirectory hidden data-part="folder-file" aria-label="Folder">'
        '<input type="file" multiple accept="image/*" hidden data-part="several-file" aria-label="Pictures"></div>'
    )
    with group(tab, "folder", "Many pictures"):
        html(inside, js_on_load=f"LW.folder.mount(element, '{tab}')")
