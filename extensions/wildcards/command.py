"""webui wildcards expand "a {red|green} __shape__" | webui wildcards list"""

from __future__ import annotations

import argparse
import sys

from .files import Shelf
from .grammar import Chooser


def expand_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("expand", "list"))
    parser.add_argument("prompt", nargs="?", default="")
    parser.add_argument("--seed", type=int, default=0, help="of the first picture (0)")
    parser.add_argument("--count", type=int, default=5, help="pictures (5)")


def expand_command(arguments: argparse.Namespace, shelf: Shelf) -> int:
    """Each line is what the picture of the next seed would be drawn from; exit code 1 where a name is not known."""
    if arguments.action == "list":
        for name in shelf.names():
            print(f"__{name}__  {len(shelf.lines(name) or ())} lines")
        return 0
    unknown: list[str] = []
    for i in range(arguments.count):
        chooser = Chooser(shelf.lines, f"{arguments.seed + i} positive")
        print(chooser.resolved(arguments.prompt))
        unknown += chooser.unknown
    for name in dict.fromkeys(unknown):
        print(f"No wildcard is called __{name}__.", file=sys.stderr)
    return 1 if unknown else 0
