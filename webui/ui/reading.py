"""What the checkpoint in use reads, and which tabs it serves: from its family's row, for the controls to follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from webui.checkpoints.catalog import Entry
from webui.checkpoints.labels import names
from webui.contract.errors import FieldError, WebUIError
from webui.contract.parts import Family
from webui.engine.plan import depth_checkpoint
from webui.engine.sizes import enlarge
from webui.ui import examples
from webui.ui.fields import VARYING
from webui.ui.own_facts import own_facts
from webui.workspace.app import App


@dataclass(frozen=True)
class Reason:
    """Why a tab cannot use a checkpoint."""

    words: str = ""
    """A sentence; "" where it can."""
    tab: str = ""
    """The tab that can; "" where there is none."""


SERVED = Reason()


def family_of(app: App, title: str = "") -> Family | None:
    """Of a checkpoint ("" is the one in use); None where it cannot be opened."""
    try:
        return app.checkpoints.find(title).family
    except WebUIError:
        return None


def reads(app: App, family: Family) -> set[str]:
    """The fields that a family draws from here, beside seed and sampling."""
    fields = set(family.inputs)
    if "prompt" in fields:
        fields |= {"clip_skip", "emphasis", "long_prompt"}
    if family.enlarges == 1:  # else the size follows from the picture
        fields |= {"width", "height"}
    return fields if refiners(app, family) else fields - {"refiner", "refiner_switch"}


def wanted(app: App, title: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The controls' values without those that the checkpoint does not read, whose controls are not shown."""
    family = family_of(app, title)
    if family is None:
        return dict(values)
    fields = reads(app, family)
    if values.get("refiner") not in refiners(app, family):  # none, or one of another line that was chosen before
        fields -= {"refiner", "refiner_switch"}
    return {name: value for name, value in values.items() if name not in VARYING or name in fields}


def refiners(app: App, family: Family) -> list[str]:
    """Titles of the checkpoints that can finish what this family begins."""
    if "refiner" not in family.inputs:
        return []
    same = ("latent_channels", "latent_factor", "latent_scale")
    others = [(entry.title, entry.family) for entry in _whole(app) if entry.family and entry.family.does == "refine"]
    return [title for title, other in others if all(getattr(other, name) == getattr(family, name) for name in same)]


def _whole(app: App) -> list[Entry]:
    return [entry for entry in app.checkpoints.entries() if not entry.error]


def _draws(family: Family) -> Reason:
    """txt2img: words, or what stands for them, to pictures."""
    if family.network == "none":
        return _nothing(family)
    if family.does == "refine":
        words = (
            f"{family.label} finishes what a base checkpoint begins. This tab needs a base checkpoint; "
            "the refiner is chosen under its sampler."
        )
        return Reason(words)
    if family.enlarges > 1:
        return _enlarges(family)
    place = {"inpaint": "fills in parts of", "depth": "keeps the depth of", "img2img": "varies"}.get(family.does, "")
    if place and any("image" in need for need in (*family.needs, *(("image",) if family.does == "img2img" else ()))):
        return Reason(f"{family.label} {place} a picture, and needs one. Its tab takes pictures.", family.does)
    return SERVED


def _repaints(family: Family) -> Reason:
    """img2img: a picture is painted anew, varied or mixed."""
    if family.network == "none":
        return _nothing(family)
    if family.enlarges > 1:
        return _enlarges(family)
    if "image" not in family.inputs:
        return Reason(f"{family.label} reads no picture. This tab needs a checkpoint that does.", "txt2img")
    return SERVED


def _fills(family: Family) -> Reason:
    """inpaint: a part of a picture is painted anew."""
    refused = _repaints(family)
    if refused == SERVED and "strength" not in family.inputs and "mask" not in family.inputs:
        return Reason(f"{family.label} varies whole pictures. This tab needs a checkpoint that repaints one.", "img2img")
    return refused


def _nothing(family: Family) -> Reason:
    return Reason(f"{family.label}: an autoencoder alone draws nothing. This tab needs a checkpoint that draws.")


def _enlarges(family: Family) -> Reason:
    return Reason(f"{family.label} enlarges pictures. It is one of the upscalers of its tab.", "upscale")


SERVES: dict[str, Callable[[Family], Reason]] = {"txt2img": _draws, "img2img": _repaints, "inpaint": _fills}
"""By tab: why it cannot use a family. The tabs that choose a checkpoint by themselves are not here."""


def facts_of(app: App, title: str = "") -> dict[str, Any]:
    """What the page's script needs to know of a checkpoint, as JSON."""
    family = family_of(app, title)
    if family is None:
        plain = ["prompt", "negative_prompt", "width", "height"]
        none = {"tabs": {}, "native": 512, "step": 8, "examples": [], "tries": {}, "live": {}}
        return {"reads": plain, **none, "own": own_facts(app)}
    fields = reads(app, family) | ({"sizes"} if family.sizes else set())
    tabs = {}
    for tab, why in SERVES.items():
        other = next((entry.title for entry in _whole(app) if entry.family and why(entry.family) == SERVED), "")
        refused = why(family)
        tabs[tab] = {"why": refused.words, "other": other, "goto": refused.tab}
    served = not tabs["txt2img"]["why"] and "prompt" in family.inputs
    entry = app.checkpoints.find(title)
    return {
        "reads": sorted(fields),
        "tabs": tabs,
        "native": family.native_size,
        "step": max(8, family.size_step),
        "examples": examples.prompts(entry.knows) if served else [],
        "tries": examples.tries(entry, _whole(app)),
        "live": examples.live(_streaming(app)),
        "own": own_facts(app),
    }


def live_choices(app: App) -> list[tuple[str, str]]:
    """(what the menu shows, title) of the checkpoints that a stream can be drawn with: from words alone. Those that were made
    for few steps come first."""
    found = sorted(_streaming(app), key=lambda entry: not (entry.family and entry.family.distilled_from))
    return [("Automatic", ""), *((entry.title, entry.title) for entry in found)]


def _streaming(app: App) -> list[Entry]:
    def serves(family: Family) -> bool:
        return family.does == "txt2img" and "prompt" in family.inputs and not family.needs

    return [entry for entry in _whole(app) if entry.family and serves(entry.family)]


def depth_title(app: App, title: str = "") -> str:
    """The checkpoint that draws by depth: the chosen one ("" is the one in use) where it reads depth, else the one that the
    job takes; "" where there is none."""
    try:
        return depth_checkpoint(app.checkpoints.find(title), app.checkpoints).title
    except WebUIError:
        return ""


def size_choices(family: Family | None) -> list[str]:
    return [f"{width} × {height}" for width, height in family.sizes] if family else []


def class_choices(family: Family | None) -> list[tuple[str, str]]:
    """(name, number in digits)."""
    if family is None or "class_label" not in family.inputs:
        return []
    return [(name, str(number)) for number, name in enumerate(names("class"))]


def strength_of(family: Family | None) -> float:
    """How far a picture is painted anew where nothing is asked: wholly behind a mask, else so that it is still known again."""
    return 1.0 if family is not None and family.does == "inpaint" else 0.75


def enlarged(source: tuple[Any, Any], scale: Any, to: tuple[Any, Any], crop: bool = True) -> tuple[tuple[int, int], str]:
    """((width, height) of an enlarged picture, "") by the function that the job asks too, or why there is none, as HTML."""
    if not all(isinstance(side, int) and side > 0 for side in source):
        return (0, 0), "The size is not known yet."
    if not all(isinstance(side, int) for side in to) or not isinstance(scale, int | float):
        return (0, 0), "The size must be numbers."
    try:
        return enlarge(source, float(scale), to, crop).size, ""
    except FieldError as error:
        return (0, 0), escape(str(error))


def upscaler_choices(app: App, hires: bool = False) -> list[tuple[str, str]]:
    """(what the menu shows, name) of all that enlarges: filters, files, and for finished pictures the checkpoints that do."""
    names = app.hires_upscaler_names() if hires else app.upscaler_names()
    return [(name, name) for name in names]


def drawing_upscaler(app: App, name: str) -> bool:
    """Whether an upscaler is a checkpoint, which draws the larger picture from words and noise."""
    return any(entry.title == name and entry.family and entry.family.enlarges > 1 for entry in _whole(app))
