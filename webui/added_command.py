"""A command of an extension: webui NAME ..."""

from __future__ import annotations

import argparse
import difflib
import logging
from collections.abc import Callable, Iterator, Sequence

from webui.contract.errors import PluginError, StartError, WebUIError
from webui.contract.more_parts import CommandPart
from webui.contract.parts import Parts
from webui.contract.registry import Registry
from webui.flags import COMMANDS
from webui.workspace.app import App

_log = logging.getLogger(__name__)


def faults(parts: Parts, owner: str) -> Iterator[PluginError]:
    """What is wrong with the commands of a plugin: arguments that argparse will not take."""
    for part in parts.commands:
        if parts.commands.owner(part.name) == owner and part.arguments is not None:
            try:
                parser = argparse.ArgumentParser(prog=f"webui {part.name}", description=part.about)
                part.arguments(parser)
                parser.format_help()
            except (Exception, SystemExit) as error:  # noqa: BLE001 (it may raise anything, and is told)
                told = PluginError(f"{owner} failed in the arguments of its command {part.name}: {type(error).__name__}: {error}")
                told.__cause__ = error
                yield told


def run(word: str, words: Sequence[str], commands: Registry[CommandPart], open_app: Callable[[], App]) -> int:
    """Run a command of an extension; its exit code.

    Args:
        word: its name or alias. words: what stood behind it. The command's own arguments are read from them: a wrong one ends
            with 2 and argparse's words, --help with 0 (SystemExit), before the program is opened.

    Raises:
        StartError: there is no such command.
        PluginError: it failed, or answered something else than an exit code; its traceback is in the log.
    """
    if word not in commands:
        known = [*COMMANDS, *commands.names()]
        near = difflib.get_close_matches(word, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
        raise StartError(f"No command is called {word!r}. {hint}")
    part, owner = commands[word], commands.owner(word)
    parser = argparse.ArgumentParser(prog=f"webui {part.name}", description=part.about)
    app: App | None = None
    try:
        if part.arguments is not None:
            part.arguments(parser)
        arguments = parser.parse_args(words)
        app = open_app()
        code = part.function(arguments, app)
    except WebUIError:
        raise
    except Exception as error:
        _log.exception("the command %s of the extension %s failed", part.name, owner)
        words_of = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PluginError(f"The extension {owner} failed in its command {part.name} ({words_of}).") from error
    finally:
        if app is not None:
            app.close()
    if code is not None and (not isinstance(code, int) or isinstance(code, bool)):
        kind = type(code).__name__
        raise PluginError(f"The extension {owner} answered a {kind} in its command {part.name}, where an exit code is due.")
    return code or 0
