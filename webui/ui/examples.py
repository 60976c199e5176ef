"""What an empty tab offers to click: prompts of which the chosen checkpoint makes something good."""

from __future__ import annotations

import re
from typing import Any

from webui.checkpoints.knows import Example, Knows
from webui.ui.look import ASSETS, address

PLAIN = (
    "a lighthouse on a cliff at dusk, oil painting",
    "portrait of a red fox in fresh snow, soft light",
    "a reading room with tall windows, morning sun, watercolour",
    "a bowl of lemons on a blue table, still life",
)
"""For checkpoints that do not say what they know: any that was trained on many pictures makes something of these."""


def prompts(knows: Knows | None) -> list[dict[str, Any]]:
    """Example prompts as the page's script takes them: with a seed and a thumbnail where there are some, else ""."""
    if knows is None or not knows.examples:
        return [{"prompt": prompt, "seed": "", "picture": ""} for prompt in PLAIN]
    return [{"prompt": each.prompt, "seed": str(each.seed), "picture": picture(each)} for each in knows.examples]


def picture(example: Example) -> str:
    """The address of what the checkpoint drew of an example; "" where no picture lies among the page's files."""
    name = file(example)
    return address(name) if (ASSETS / name).is_file() else ""


def file(example: Example) -> str:
    """Below assets/. `python -m tests.ui.example_pictures` draws them again."""
    words = re.sub(r"[^a-z0-9]+", "-", example.prompt.lower()).strip("-")
    return f"examples/{words[:80]}-{example.seed}.webp"
