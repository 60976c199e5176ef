"""What extensions build on the page, each by itself: what one of them does wrong is shown in its place, and the page is complete.

Nothing here makes an extension harmless: it is a program with the user's rights. It keeps one that is broken from taking the
rest with it.
"""

from __future__ import annotations

import functools
import inspect
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, Generic, TypeVar

from gradio.context import Context

from webui.contract.errors import PluginError, WebUIError
from webui.plugins.containing import Attempt, Surroundings
from webui.ui import icons
from webui.ui.markup import button, html
from webui.ui.quiet_gradio import gr

_log = logging.getLogger(__name__)
T = TypeVar("T")
LIMIT = 10.0
"""Seconds that one extension's part may take to be built."""
LETTERS = 600
"""Of what it said, in the sentence; all of it is in the traceback."""


@dataclass(frozen=True)
class Problem:
    """What went wrong."""

    words: str
    """One sentence."""
    details: str = ""
    is_late: bool = False
    error: BaseException | None = None

    def show(self) -> None:
        """In the open place of the page."""
        trace = (
            '<details><summary>Details</summary><pre tabindex="0" role="group" aria-label="Traceback" data-part="details">'
            f"{escape(self.details)}</pre>{button('Copy', 'copy', data_do='copytrace')}</details>"
            if self.details
            else ""
        )
        html(
            f'<div class="extension broken" role="note"><p class="problem">{icons.svg("alert")}'
            f"<span>{escape(self.words)} Everything else works.</span></p>{trace}</div>"
        )


@dataclass(frozen=True)
class Built(Generic[T]):
    """What came of it: an answer, or a problem and nothing left of it on the page."""

    answer: T | None = None
    problem: Problem | None = None


def built(owner: str, what: str, build: Callable[[], T], around: Surroundings, limit: float = LIMIT) -> Built[T]:
    """Run a function that makes Gradio components in the open place of the page.

    Args:
        owner: the extension. what: "tab 'Hello'", for the words.
        around: is put back after it.
        limit: seconds.
    """
    page, place = Context.root_block, Context.block
    if page is None or place is None:
        raise RuntimeError("there is no open place on a page")
    before = _Before(page, place)
    attempt = Attempt(f"{what} of {owner}", lambda: _checked(build, before))
    is_over = attempt.is_over(limit)
    if not is_over:
        attempt.abandon()
    around.restore()
    Context.root_block, Context.block = page, place  # as `with` may have left it
    if is_over and attempt.error is None:
        for function in before.new_functions():
            function.fn = named(function.fn, owner, what)
        for block in before.new_blocks():
            _name_load(block, owner, what)
        return Built(attempt.answer)
    before.restore()
    problem = _problem(owner, what, attempt.error, attempt.details) if is_over else _late(owner, what, limit)
    _log.error("%s", problem.words)
    return Built(problem=problem)


class _Before:
    """What there was on the page."""

    def __init__(self, page: Any, place: Any) -> None:
        self._page, self._place, self._children = page, place, list(place.children)
        config = page.default_config
        self._blocks, self._functions, self._rendered = set(config.blocks), set(config.fns), list(page.renderables)
        self.elements = {block.elem_id for block in config.blocks.values() if block.elem_id}

    def new_blocks(self) -> list[Any]:
        return [block for number, block in self._page.default_config.blocks.items() if number not in self._blocks]

    def new_functions(self) -> list[Any]:
        return [each for number, each in self._page.default_config.fns.items() if number not in self._functions]

    def read(self) -> None:
        """What is new as the page is made of it, for everybody, at each visit. Raises what that raises."""
        for block in self.new_blocks():
            self._page.default_config.config_for_block(block._id, [], block)
        for function in self.new_functions():
            function.get_config()

    def restore(self) -> None:
        config = self._page.default_config
        for kept, now in ((self._blocks, config.blocks), (self._functions, config.fns)):
            for number in set(now) - kept:
                del now[number]
        self._page.renderables[:] = self._rendered
        self._place.children[:] = self._children


def _checked(build: Callable[[], T], before: _Before) -> T:
    answer = build()
    before.read()
    for block in before.new_blocks():
        if block.elem_id in before.elements:
            raise PluginError(
                f"elem_id={block.elem_id!r} is the id of another element of the page, whose scripts would find the wrong one. "
                "Let it begin with the extension's name, in a panel also with the tab's."
            )
    return answer


def _problem(owner: str, what: str, error: BaseException | None, details: str) -> Problem:
    if isinstance(error, WebUIError):
        return Problem(f"The {what} of the extension {owner} cannot be shown: {error}", error=error)
    told = f"{type(error).__name__}: {error}"
    shown = told if len(told) <= LETTERS else f"{told[:LETTERS]} …"
    return Problem(f"The extension {owner} failed in its {what} ({shown}).", details, error=error)


def _late(owner: str, what: str, limit: float) -> Problem:
    words = f"The {what} of the extension {owner} was not there after {limit:g} seconds."
    return Problem(words, is_late=True)


def _name_load(block: Any, owner: str, what: str) -> None:
    """A value that is a function is asked at each visit."""
    if (load := getattr(block, "load_event_to_attach", None)) and callable(load[0]):
        block.load_event_to_attach = (named(load[0], owner, what), *load[1:])


def named(function: Any, owner: str, what: str) -> Any:
    """An event's function that says whose it is when it fails, in a note on the page."""
    if function is None or not callable(function):
        return function

    def told(error: Exception) -> Exception:
        if isinstance(error, gr.Error):
            return error
        _log.error("the extension %s failed in its %s: %s", owner, what, "".join(traceback.format_exception(error)))
        words = str(error) if isinstance(error, WebUIError) else f"{type(error).__name__}: {error}"
        shown = escape(f"The extension {owner} failed in its {what}. {words[:LETTERS]}", quote=False)  # Gradio shows it as HTML
        return gr.Error(shown, print_exception=False)

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def values(*given: Any, **more: Any) -> AsyncIterator[Any]:
            try:
                async for value in function(*given, **more):
                    yield value
            except Exception as error:
                raise told(error) from error

        return values
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def value(*given: Any, **more: Any) -> Any:
            try:
                return await function(*given, **more)
            except Exception as error:
                raise told(error) from error

        return value
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def several(*given: Any, **more: Any) -> Iterator[Any]:
            try:
                yield from function(*given, **more)
            except Exception as error:
                raise told(error) from error

        return several

    @functools.wraps(function)
    def plain(*given: Any, **more: Any) -> Any:
        try:
            return function(*given, **more)
        except Exception as error:
            raise told(error) from error

    return plain
