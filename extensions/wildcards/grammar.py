"""Prompts with choices in them:

    __name__          a line of the file name.txt; __animals/cats__ of a folder, __animals/*__ of all its files
    {red|green}       one of these; {0.3::red|green} with weights (1 where none stands)
    {2$$a|b|c}        two of them, in any order, with ", " between; {1-3$$...} one to three; {2$$ and $$a|b|c} with " and "

All of it nests, also what stands in files. Braces without | or $$ and names that nobody knows stay as they are, as does what stands
behind a backslash.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from webui.contract.errors import FieldError

DEEPEST = 30
"""Files within files."""
MOST = 10_000
"""Choices that one prompt may need, and"""
LONGEST = 100_000
"""letters that it may come to."""
NAME = re.compile(r"__(?!_)([\w\-./ *]{1,200}?)__")
_WEIGHT = re.compile(r"\s*(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})::")
_MANY = re.compile(r"\s*(\d{1,3})?\s*(-)?\s*(\d{1,3})?\s*\$\$")
Lookup = Callable[[str], Sequence[str] | None]
"""Name of a wildcard -> its lines; None: nobody knows it."""


def has_mark(text: str) -> bool:
    """Whether there is anything to choose."""
    return bool(NAME.search(text)) or ("{" in text and ("|" in text or "$$" in text) and _first_group(text) is not None)


@dataclass
class Chooser:
    """Resolves prompts. The same seed and the same files choose the same."""

    lookup: Lookup
    seed: str
    unknown: list[str] = field(default_factory=list)
    """Names that nobody knew."""

    def resolved(self, text: str) -> str:
        """The text with every choice made.

        Raises:
            FieldError: a file leads back to itself, or there is no end to it.
        """
        self._random, self._choices = random.Random(self.seed), 0
        return self._text(text, ())

    def _text(self, text: str, within: tuple[str, ...]) -> str:
        made, place = "", 0
        while place < len(text):
            if text[place] == "\\":
                made += text[place : place + 2]
                place += 2
            elif text[place] == "{" and (end := _end(text, place)) is not None:
                made += self._group(text[place + 1 : end], within)
                place = end + 1
            elif text[place] == "_" and (name := NAME.match(text, place)):
                made += self._line(name, within)
                place = name.end()
            else:
                made += text[place]
                place += 1
            if len(made) > LONGEST:
                raise FieldError("prompt", f"The wildcards make a prompt of more than {LONGEST:,} letters.")
        return made

    def _group(self, inside: str, within: tuple[str, ...]) -> str:
        """What stands between two braces."""
        many = _MANY.match(inside)
        options = _split(inside[many.end() :] if many else inside)
        if many is None and len(options) == 1:
            return "{" + self._text(inside, within) + "}"
        separator, count = ", ", 1
        if many:
            low, is_range, high = many.groups()
            most = int(high) if high else len(options) if is_range else int(low or 1)
            least = int(low) if low else 0 if is_range else most
            first, mark, rest = options[0].partition("$$")
            if mark:
                separator, options = first, [rest, *options[1:]]
            count = min(self._between(min(least, most), max(least, most)), len(options))
        return separator.join(self._text(one, within).strip() for one in self._some(options, count))

    def _line(self, name: re.Match[str], within: tuple[str, ...]) -> str:
        key = name[1].strip()
        lines = self.lookup(key)
        if lines is None:
            self.unknown += [key] if key not in self.unknown else []
            return name[0]
        if not lines:
            return ""
        if key.casefold() in within or len(within) >= DEEPEST:
            path = " > ".join(f"__{one}__" for one in (*within, key.casefold()))
            raise FieldError("prompt", f"The wildcard __{key}__ leads back to itself: {path}. Change one of these files.")
        (line,) = self._some(lines, 1)
        return self._text(line, (*within, key.casefold()))

    def _some(self, options: Sequence[str], count: int) -> list[str]:
        """So many of them, none twice, each as likely as its weight says."""
        left, chosen = [_weighed(one) for one in options], list[str]()
        for _ in range(count):
            self._choices += 1
            if self._choices > MOST:
                raise FieldError("prompt", f"The wildcards of this prompt need more than {MOST:,} choices.")
            point = self._random.random() * sum(weight for weight, _ in left)
            index = 0
            while index < len(left) - 1 and point >= left[index][0]:
                point -= left[index][0]
                index += 1
            chosen.append(left.pop(index)[1])
        return chosen

    def _between(self, low: int, high: int) -> int:
        return low + min(int(self._random.random() * (high - low + 1)), high - low)


def _weighed(option: str) -> tuple[float, str]:
    found = _WEIGHT.match(option)
    return (float(found[1]), option[found.end() :]) if found else (1.0, option)


def _first_group(text: str) -> int | None:
    """Where the first braces with a choice begin; None: there are none."""
    place = 0
    while (place := text.find("{", place)) >= 0:
        end = _end(text, place) if text[place - 1 : place] != "\\" else None
        if end is not None and (_MANY.match(text, place + 1) or len(_split(text[place + 1 : end])) > 1):
            return place
        place += 1
    return None


def _end(text: str, place: int) -> int | None:
    """Where the brace at that place is closed."""
    depth, escaped = 0, False
    for i in range(place, len(text)):
        if escaped:
            escaped = False
        elif text[i] == "\\":
            escaped = True
        elif text[i] in "{}":
            depth += 1 if text[i] == "{" else -1
            if not depth:
                return i
    return None


def _split(inside: str) -> list[str]:
    """The options between braces. A | in inner braces is theirs, and in square brackets that of prompts: [red|green]."""
    parts, depth, escaped = [""], 0, False
    is_balanced = inside.count("[") == inside.count("]")
    for letter in inside:
        if letter == "|" and not depth and not escaped:
            parts.append("")
            continue
        if not escaped and (letter in "{}" or (letter in "[]" and is_balanced)):
            depth += 1 if letter in "{[" else -1
        parts[-1] += letter
        escaped = letter == "\\" and not escaped
    return parts
