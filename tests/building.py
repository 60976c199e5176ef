"""Two extensions that build on the page, as authors write them: one that is right, and one that is wrong in all it does."""

from __future__ import annotations

from pathlib import Path

GOOD = """
from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from PIL import Image

from webui.contract import Range, hookimpl
from webui.contract.options import File, PartOf, Picture
from webui.contract.parts import Conditioning

@hookimpl
def register_guidance(register):
    register("Scaled", scaled)
    register("Plain", lambda denoise, network: denoise)

def scaled(denoise, network, *, scale: Annotated[float, Range(0, 2), "How much"] = 1.0, words: str = ""):
    return lambda x, sigma: denoise(x, sigma) * scale

@hookimpl
def register_conditioners(register):
    register("Seen", seen, on_request=True)

def seen(request, model, negative, inputs, *, picture: Annotated[Image.Image | None, Picture()] = None,
         network: Annotated[Path | None, File("ControlNet")] = None,
         preprocessor: Annotated[object | None, PartOf("preprocessors")] = None, exact: bool = True):
    return Conditioning()

@hookimpl
def register_preprocessors(register):
    register("Mirrored", lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))

@hookimpl
def register_scripts(register):
    register("Seeds", seeds, count=lambda request, count=2, order="up": count)

def seeds(request, *, count: Annotated[int, Range(1, 4)] = 2, order: Literal["up", "down"] = "up"):
    from dataclasses import replace

    for number in range(count):
        yield replace(request, seed=request.seed + (number if order == "up" else -number))

@hookimpl
def register_panels(register):
    register("Mood", mood, tabs=("txt2img", "depth"))

def mood(app, tab):
    import gradio as gr

    text = gr.Textbox("", label="Mood", elem_id=f"good-{tab}-mood")
    much = gr.Slider(0, 1, 0.5, label="How much")
    kinds = gr.CheckboxGroup(["calm", "loud"], label="Kinds")
    return {"mood": text, "much": much, "kinds": kinds}

@hookimpl
def register_tabs(register):
    register("Lists", lists)

def lists(app):
    import gradio as gr

    words = gr.Textbox(label="Words", elem_id="good-words")
    turned = gr.Textbox(label="Turned", elem_id="good-turned")
    gr.Button("Turn").click(lambda text: text[::-1], words, turned)
    gr.Button("Fail").click(fail, None, turned)

def fail():
    raise KeyError("no such <b>word</b>")
"""

BAD = """
from webui.contract import hookimpl

@hookimpl
def register_tabs(register):
    register("Raises", raises)
    register("Leaves", leaves)
    register("Takes", takes)

@hookimpl
def register_panels(register):
    register("Holds a file", holds)

def raises(app):
    import gradio as gr

    with gr.Row():
        gr.Button("Never seen", elem_id="bad-button").click(lambda: None)
        raise ValueError("the list of <img src=x onerror=alert(1)> is not there")

def leaves(app):
    import os

    os.environ["BAD_WAS_HERE"] = "1"
    raise SystemExit(3)

def takes(app):
    import gradio as gr

    gr.Textbox(elem_id="txt2img_prompt")

def holds(app, tab):
    import gradio as gr

    return {"picture": gr.Image()}
"""


def write(folder: Path, name: str, code: str) -> Path:
    """The extension in a folder of that name; where it is."""
    made = folder / name
    made.mkdir(parents=True, exist_ok=True)
    (made / "extension.toml").write_text(f'name = "{name}"\nversion = "1.0"\ncontract = "1"\n')
    (made / "extension.py").write_text(code)
    return made
