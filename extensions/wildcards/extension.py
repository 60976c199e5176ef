"""Wildcards: another choice of words for each picture. See grammar.py for how they are written."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from webui.contract import hookimpl
from webui.contract.own import Own
from webui.contract.request import GenerationRequest

from .command import expand_arguments, expand_command
from .files import Shelf
from .grammar import Chooser, has_mark
from .routes import router_of
from .tab import build_tab

FIELDS = {
    "prompt": "positive", "second_prompt": "positive", "hires_prompt": "positive",
    "negative_prompt": "negative", "second_negative_prompt": "negative", "hires_negative_prompt": "negative",
}  # fmt: skip
"""Where wildcards may stand. The prompts of one side choose alike, so that the second pass draws what the first did."""


def shelf_of(own: Own) -> Shelf:
    """The user's files, those of a further folder, and the examples that come with the extension."""
    more = str(own.settings.get("more_files", "")).strip()
    folders = [Path(more).expanduser()] if more else []
    return Shelf(own.folder, *folders, Path(__file__).parent / "examples")


@hookimpl
def register_scripts(register, own):
    def wildcards(
        request: GenerationRequest,
        *,
        one_for_all: Annotated[bool, "All pictures of the job get the same words"] = False,
    ) -> Iterator[Any]:
        """Each picture's words follow from its seed."""
        shelf, asked = shelf_of(own), list[GenerationRequest]()
        for i in range(request.pictures):
            alone = request.alone(i)
            chosen, unknown = chosen_of(request, shelf, request.seed if one_for_all else alone.seed)
            yield from notes_of(unknown, shelf) if not i else ()
            is_next = asked and i % request.batch_size and all(getattr(asked[-1], name) == text for name, text in chosen.items())
            if is_next:  # as many together as have the same words
                asked[-1] = replace(asked[-1], batch_size=asked[-1].batch_size + 1)
            else:
                asked.append(replace(alone, **chosen))
        for one in asked:  # noqa: UP028 (what is sent back would go to the list)
            yield one

    def is_asked(request: GenerationRequest) -> bool:
        return bool(own.settings["runs_unasked"]) and any(has_mark(getattr(request, name)) for name in FIELDS)

    register("Wildcards", wildcards, when=is_asked)


@hookimpl
def register_settings(register):
    register("runs_unasked", Annotated[bool, "Choose wherever __name__ or {a|b} stands in a prompt, without being asked"], True)
    register("more_files", Annotated[str, "A further folder of wildcards, which is only read"], "")


@hookimpl
def register_tabs(register, own):
    register("Wildcards", lambda app: build_tab(lambda: shelf_of(own)))


@hookimpl
def register_routes(register, own):
    register(router_of(lambda: shelf_of(own)))


@hookimpl
def register_cli(register, own):
    register(
        "wildcards",
        lambda arguments, app: expand_command(arguments, shelf_of(own)),
        arguments=expand_arguments,
        about="show what wildcards make of a prompt, or which there are",
    )


def chosen_of(request: GenerationRequest, shelf: Shelf, seed: int) -> tuple[dict[str, str], list[str]]:
    """The prompts of one picture, and the names that nobody knows."""
    made, unknown = dict[str, str](), list[str]()
    for name, side in FIELDS.items():
        chooser = Chooser(shelf.lines, f"{seed} {side}")
        made[name] = chooser.resolved(getattr(request, name))
        unknown += chooser.unknown
    return made, list(dict.fromkeys(unknown))


def notes_of(unknown: list[str], shelf: Shelf) -> Iterator[str]:
    known = shelf.names() if unknown else []
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean __{near[0]}__?" if near else "It stays in the prompt as it is."
        yield f"No wildcard is called __{name}__. {hint}"
