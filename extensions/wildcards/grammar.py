"""Prompts with choices in them:

    __name__          a line of the file name.txt; __animals/cats__ of a folder, __animals/*__ of all its files
    {red|green}       one of these; {0.3::red|green} with weights (1 where none stands)
    {2$$a|b|c}        two of them, in any order, with ", " between; {1-3$$...} one to three; {2$$ and $$a|b|c} with " and "

All of it nests, also what stands in files. Braces without | or $$ and names that nobody knows stay as they are, as does what
stands behind a backslash.
"""

from __future__ import annotations

import random
import re
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

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
NESTED = 20
"""Braces within braces."""


@dataclass(frozen=True)
class Choices:
    """What one of is taken, and how likely each is."""

    texts: Sequence[str]
    sums: Sequence[float]
    """Of the weights up to each of them."""

    def __len__(self) -> int:
        return len(self.texts)

    def at(self, share: float) -> str:
        """Args: share: 0 to 1."""
        return self.texts[min(bisect(self.sums, share * self.sums[-1]), len(self.texts) - 1)]


def choices_of(lines: Iterable[str]) -> Choices:
    weighed = [_weighed(line) for line in lines]
    return Choices([text for _, text in weighed], list(accumulate(weight for weight, _ in weighed)))


Lookup = Callable[[str], Choices | None]
"""Name of a wildcard -> its lines; None: nobody knows it."""


def has_mark(text: str) -> bool:
    """Whether there is anything to choose."""
    if NAME.search(text):
        return True
    opened: list[bool] = []  # for each brace that is open, whether there was a choice in it
    for i, letter in _unescaped(text):
        if letter == "{":
            opened.append(False)
        elif letter == "}" and opened and opened.pop():
            return True
        elif opened and (letter == "|" or text[i : i + 2] == "$$"):
            opened[-1] = True
    return False


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
        return self._text(text, (), 0)

    def _text(self, text: str, within: tuple[str, ...], depth: int) -> str:
        """Args: within: names of the files that it stands in. depth: braces around it."""
        if depth > NESTED:
            raise FieldError("prompt", f"The braces of this prompt nest more than {NESTED} deep.")
        made, place, ends = "", 0, _pairs(text)
        while place < len(text):
            if text[place] == "\\":
                made += text[place : place + 2]
                place += 2
            elif place in ends:
                made += self._group(text[place + 1 : ends[place]], within, depth + 1)
                place = ends[place] + 1
            elif text[place] == "_" and (name := NAME.match(text, place)):
                made += self._line(name, within, depth)
                place = name.end()
            else:
                made += text[place]
                place += 1
            if len(made) > LONGEST:
                raise FieldError("prompt", f"The wildcards make a prompt of more than {LONGEST:,} letters.")
        return made

    def _group(self, inside: str, within: tuple[str, ...], depth: int) -> str:
        """What stands between two braces."""
        many = _MANY.match(inside)
        options = _split(inside[many.end() :] if many else inside)
        if many is None and len(options) == 1:
            return "{" + self._text(inside, within, depth) + "}"
        separator, count = ", ", 1
        if many:
            low, is_range, high = many.groups()
            most = int(high) if high else len(options) if is_range else int(low or 1)
            least = int(low) if low else 0 if is_range else most
            first, mark, rest = options[0].partition("$$")
            if mark:
                separator, options = first, [rest, *options[1:]]
            count = min(self._between(min(least, most), max(least, most)), len(options))
        return separator.join(self._text(one, within, depth).strip() for one in self._some(options, count))

    def _line(self, name: re.Match[str], within: tuple[str, ...], depth: int) -> str:
        key = name[1].strip()
        lines = self.lookup(key)
        if lines is None:
            self.unknown += [key] if key not in self.unknown else []
            return name[0]
        if not len(lines):
            return ""
        if key.casefold() in within or len(within) >= DEEPEST:
            path = " > ".join(f"__{one}__" for one in (*within, key.casefold()))
            raise FieldError("prompt", f"The wildcard __{key}__ leads back to itself: {path}. Change one of these files.")
        return self._text(lines.at(self._share()), (*within, key.casefold()), depth)

    def _share(self) -> float:
        self._choices += 1
        if self._choices > MOST:
            raise FieldError("prompt", f"The wildcards of this prompt need more than {MOST:,} choices.")
        return self._random.random()

    def _some(self, options: Sequence[str], count: int) -> list[str]:
        """So many of them, none twice, each as likely as its weight says."""
        left, chosen = [_weighed(one) for one in options], list[str]()
        for _ in range(count):
            point = self._share() * sum(weight for weight, _ in left)
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


def _unescaped(text: str) -> Iterator[tuple[int, str]]:
    """The letters that stand behind no backslash, with their places."""
    place = 0
    while place < len(text):
        if text[place] == "\\":
            place += 2
            continue
        yield place, text[place]
        place += 1


def _pairs(text: str) -> dict[int, int]:
    """Where each brace that is closed begins and ends."""
    opened, ends = list[int](), dict[int, int]()
    for place, letter in _unescaped(text):
        if letter == "{":
            opened.append(place)
        elif letter == "}" and opened:
            ends[opened.pop()] = place
    return ends


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
