"""What the checkpoint in use reads, and which tabs it serves: from its family's row, for the controls to follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from webui.checkpoints.catalog import Entry
from webui.checkpoints.labels import names
from webui.contract.errors import WebUIError
from webui.contract.parts import Family
from webui.ui.fields import VARYING
from webui.workspace.app import App


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


def _draws(family: Family) -> str:
    """Why the tab of txt2img cannot use a family; "" where it can."""
    if family.network == "none":
        return f"{family.label}: an autoencoder alone draws nothing. This tab needs a checkpoint that draws."
    if family.does == "refine":
        return (
            f"{family.label} finishes what a base checkpoint begins. This tab needs a base checkpoint; "
            "the refiner is chosen under its sampler."
        )
    return ""


SERVES: dict[str, Callable[[Family], str]] = {"txt2img": _draws}
"""By tab: why it cannot use a family, "" where it can."""


def facts_of(app: App, title: str = "") -> dict[str, Any]:
    """What the page's script needs to know of a checkpoint, as JSON."""
    family = family_of(app, title)
    if family is None:
        return {"reads": ["prompt", "negative_prompt", "width", "height"], "tabs": {}, "native": 512, "step": 8}
    fields = reads(app, family) | ({"sizes"} if family.sizes else set())
    tabs = {}
    for tab, why in SERVES.items():
        other = next((entry.title for entry in _whole(app) if entry.family and not why(entry.family)), "")
        tabs[tab] = {"why": why(family), "other": other}
    return {"reads": sorted(fields), "tabs": tabs, "native": family.native_size, "step": max(8, family.size_step)}


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
