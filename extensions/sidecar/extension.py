"""A text beside each saved picture, as A1111's "Create a text file next to every image" writes it."""

import json
from typing import Literal

from webui.contract import hookimpl, infotext
from webui.workspace.files import write_new

SUFFIX = {"infotext": ".txt", "prompt": ".txt", "json": ".json"}


@hookimpl
def register_settings(register):
    register("write_texts", bool, False)
    register("format", Literal["infotext", "prompt", "json"], "infotext")


@hookimpl
def image_saved(event, own):
    """Write NAME.txt beside NAME.png. A file that is there already stays: it may be the user's."""
    settings = own.settings
    if settings["write_texts"] and event.infotext:
        kind = settings["format"]
        write_new(event.path.with_suffix(SUFFIX[kind]), written(event.infotext, kind).encode("utf-8", "replace"))


def written(text: str, kind: str) -> str:
    """An infotext in one of the formats."""
    if kind == "infotext":
        return f"{text}\n"
    said = infotext.read(text)
    if kind == "prompt":  # one line, as trainers want a caption
        return " ".join(said.prompt.split()) + "\n"
    values = {"prompt": said.prompt, "negative_prompt": said.negative_prompt, **said.fields}
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"
