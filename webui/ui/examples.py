"""What an empty tab offers to click: prompts of which the chosen checkpoint makes something good, and a picture to try.

Only checkpoints that say what they know (those that come with the program) are offered a picture: it shows what they know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webui.checkpoints.catalog import Entry
from webui.checkpoints.knows import Example, Knows
from webui.ui.look import ASSETS, address

PLAIN = (
    "a lighthouse on a cliff at dusk, oil painting",
    "portrait of a red fox in fresh snow, soft light",
    "a reading room with tall windows, morning sun, watercolour",
    "a bowl of lemons on a blue table, still life",
)
"""For checkpoints that do not say what they know: any that was trained on many pictures makes something of these."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """A picture that goes into a tab, and what is made of it. Its pictures lie among the page's files, under the tab's name."""

    tab: str
    words: str
    """What the click does."""
    source: Example
    """Of which the base checkpoint drew the picture."""
    side: int = 0
    """Pixels that it was brought to; 0 is as it was drawn."""
    mask: tuple[float, float, float, float] | None = None
    """An ellipse (left, top, right, bottom) in shares of the side."""
    prompt: str = ""
    seed: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    """What else the tab's controls are set to, by field."""

    @property
    def picture(self) -> str:
        return f"examples/{self.tab}.webp"

    @property
    def mask_picture(self) -> str:
        return f"examples/{self.tab}-mask.png"

    @property
    def result(self) -> str:
        """A thumbnail of what is made."""
        return f"examples/{self.tab}-result.webp"


TRIES = (
    Try(
        tab="img2img",
        words="The same panda in snow at night",
        source=Example("a panda on grass under a blue sky", 2),
        prompt="a panda on snow at night",
        seed=2,
        values={"strength": 0.75},
    ),
    Try(
        tab="inpaint",
        words="A hamburger takes the place of the fox",
        source=Example("a fox on grass at sunset", 2),
        mask=(0.08, 0.02, 0.92, 0.92),
        prompt="a hamburger on grass at sunset",
        seed=2,
    ),
    Try(
        tab="depth",
        words="A lion where the panda is, and as large",
        source=Example("a panda on grass under a blue sky", 2),
        prompt="a lion on sand at sunset",
        seed=2,
        values={"strength": 1.0},
    ),
    Try(
        tab="upscale",
        words="Make a small frog four times as large",
        source=Example("a frog on a yellow floor in front of a purple wall", 5),
        side=64,
        prompt="a frog on a yellow floor in front of a purple wall",
        seed=1,
    ),
)
DOES = {"img2img": ("txt2img",), "inpaint": ("inpaint", "txt2img"), "depth": ("depth",), "upscale": ("upscale",)}
"""Which checkpoints draw what is tried on a tab, by what they do, the best first."""


def tries(chosen: Entry, entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """By tab, as the page's script takes them; no tab whose pictures or whose checkpoint are not there."""
    found: dict[str, dict[str, Any]] = {}
    for one in TRIES:
        entry = drawer(one.tab, chosen, entries)
        pictures = {"picture": one.picture, "mask": one.mask_picture if one.mask else "", "result": one.result}
        if (entry or one.tab == "upscale") and all((ASSETS / name).is_file() for name in filter(None, pictures.values())):
            found[one.tab] = {
                "words": one.words,
                "values": values(one, entry),
                "seed": str(one.seed),
                "checkpoint": entry.title if entry and entry is not chosen and one.tab != "upscale" else "",
                **{name: file and address(file) for name, file in pictures.items()},
            }
    return found


def drawer(tab: str, chosen: Entry, entries: Sequence[Entry]) -> Entry | None:
    """The checkpoint that draws what is tried on a tab: the chosen one where it can. None where the user chose another than
    those that come with the program: that one would be expected to draw, and its own pictures are larger."""
    if chosen.knows is None:
        return None
    for does in DOES[tab]:
        for entry in (chosen, *entries):
            if entry.knows and not entry.error and entry.family and entry.family.does == does:
                return entry
    return None


def values(one: Try, entry: Entry | None) -> dict[str, Any]:
    """What the controls of the tab are set to, by field of its request.

    Args:
        entry: the checkpoint that draws; None is a filter.
    """
    if entry is None or entry.family is None:
        return {"upscaler": "Lanczos", "scale": 4.0}
    if one.tab == "upscale":
        return {"upscaler": entry.title, "scale": float(entry.family.enlarges), "prompt": one.prompt}
    size = {"width": entry.family.native_size, "height": entry.family.native_size}
    strength = {"strength": 1.0 if entry.family.does == "inpaint" else 0.75}
    return {"prompt": one.prompt, **size, **strength, **one.values}


def prompts(knows: Knows | None) -> list[dict[str, Any]]:
    """Example prompts as the page's script takes them: with a seed and a thumbnail where there are some, else ""."""
    if knows is None or not knows.examples:
        return [{"prompt": prompt, "seed": "", "picture": ""} for prompt in PLAIN]
    return [{"prompt": each.prompt, "seed": str(each.seed), "picture": picture(each)} for each in knows.examples]


def live(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Prompts for a stream, by the title of the checkpoint that draws it; "" is every checkpoint that does not say what it
    knows. Without thumbnails: the stream itself shows at once what comes of one."""
    told = {entry.title: [each.prompt for each in entry.knows.examples] for entry in entries if entry.knows}
    return {"": list(PLAIN), **{title: prompts for title, prompts in told.items() if prompts}}


def picture(example: Example) -> str:
    """The address of what the checkpoint drew of an example; "" where no picture lies among the page's files."""
    name = file(example)
    return address(name) if (ASSETS / name).is_file() else ""


def file(example: Example) -> str:
    """Below assets/. `python -m tests.ui.example_pictures` draws them again."""
    words = re.sub(r"[^a-z0-9]+", "-", example.prompt.lower()).strip("-")
    return f"examples/{words[:80]}-{example.seed}.webp"
