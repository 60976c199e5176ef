"""A kind word where a small checkpoint is asked for what it never saw: it draws all the same, and something else."""

from __future__ import annotations

from collections.abc import Sequence

from webui.checkpoints.knows import Knows
from webui.engine.prompt import strip_comments

MOST = 3
"""Words that are named."""


def unheard(name: str, knows: Knows, prompt: str) -> str:
    """What to say of a prompt that names nothing that the checkpoint can draw; "" where it names something, or says nothing.

    Args:
        name: what the checkpoint is called.
    """
    heard = knows.hear(strip_comments(prompt))
    if heard.is_named or not heard.unknown:
        return ""
    draws = [f"things such as {_listed([_one(thing) for thing in knows.things[:MOST]])}"] if knows.things else []
    draws += ["coloured shapes"] if knows.shapes else []
    return (
        f"{name}, a small checkpoint that comes with the program, does not know {_quoted(heard.unknown)}. "
        + (f"It draws {', and '.join(draws)}. " if draws else "")
        + "For anything else put a checkpoint into models/Stable-diffusion."
    )


def _quoted(words: Sequence[str]) -> str:
    quoted = [f'"{word if len(word) <= 30 else word[:29] + "…"}"' for word in words[:MOST]]
    return _listed(quoted) if len(words) <= MOST else f"{', '.join(quoted)} and {len(words) - MOST} more words"


def _listed(words: Sequence[str]) -> str:
    """ "a, b or c" """
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _one(thing: str) -> str:
    """ "a fox", "an owl"; what stands for many ("grapes") has no article."""
    if thing.endswith("s") and not thing.endswith("ss"):
        return thing
    is_open = thing[:1] in tuple("aeiou") and not thing.startswith(("uni", "eu", "use"))
    return f"{'an' if is_open else 'a'} {thing}"
