"""What a checkpoint that comes with the program can draw: data in knows.json beside its weights, for examples and a kind word.

A small checkpoint knows a few hundred words and answers any other with something else; whoever types one should hear of it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

FILE = "knows.json"
Stems = frozenset[str]
"""What a word may be the plural of, and itself."""

_TAG = re.compile(r"<[^<>]*>")  # <lora:name:0.7>
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s$", re.IGNORECASE)
_COMMON = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "have", "her", "his", "i", "in", "into", "is", "it",
    "its", "me", "my", "no", "not", "of", "on", "one", "or", "our", "out", "over", "please", "some", "that", "the", "their",
    "them", "there", "this", "to", "under", "very", "was", "we", "with", "without", "you", "your", "BREAK",
))  # fmt: skip
"""Words that name nothing to be drawn: nobody needs to hear that they are not known."""


@dataclass(frozen=True)
class Example:
    """A prompt that the checkpoint draws well, with a seed that shows it."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Heard:
    """What a checkpoint makes of a prompt."""

    is_named: bool
    """Whether it names something that the checkpoint can draw."""
    unknown: tuple[str, ...]
    """Words that the checkpoint never saw, each once, as they were typed and in their order."""


@dataclass(frozen=True)
class Knows:
    """What a checkpoint can draw, best first."""

    about: str
    things: tuple[str, ...]
    also: Mapping[str, str] = field(hash=False)
    """Other words for things: {"kitten": "cat"}."""
    shapes: tuple[str, ...]
    words: frozenset[str]
    """All that it was trained on."""
    examples: tuple[Example, ...]

    def hear(self, prompt: str) -> Heard:
        """Which words of a prompt say something to the checkpoint. Brackets, weights and punctuation do not matter; cherries,
        Cherry and cherry are the same. Costs about a microsecond a letter."""
        typed = list(_words(prompt))
        heard = [_stems(word) for word in typed]
        unknown: dict[str, str] = {}
        for word, stems in zip(typed, heard, strict=True):
            if not stems & self._known and not {word, word.lower()} & _COMMON:
                unknown.setdefault(word.casefold(), word)
        return Heard(any(self._is_name_at(i, heard) for i in range(len(heard))), tuple(unknown.values()))

    def _is_name_at(self, place: int, heard: Sequence[Stems]) -> bool:
        """Whether a name begins at a word."""
        for name in (name for stem in heard[place] for name in self._names.get(stem, ())):
            here = heard[place : place + len(name)]
            if len(here) == len(name) and all(map(frozenset.intersection, name, here)):
                return True
        return False

    @cached_property
    def _names(self) -> dict[str, list[tuple[Stems, ...]]]:
        """Everything that can be drawn, as the stems of its words, by each stem of the first."""
        found: dict[str, list[tuple[Stems, ...]]] = {}
        for name in (*self.things, *self.also, *self.shapes):
            stems = tuple(map(_stems, _words(name)))
            for stem in stems[0] if stems else ():
                found.setdefault(stem, []).append(stems)
        return found

    @cached_property
    def _known(self) -> frozenset[str]:
        texts = (*self.words, *self.things, *self.also, *self.shapes)
        return frozenset(stem for text in texts for word in _words(text) for stem in _stems(word))


def _words(text: str) -> Iterator[str]:
    """ "a (Fox's:1.2) t-rex, 8k" to a, Fox, t, rex: weights, years and the like are no words."""
    for match in _WORD.finditer(_TAG.sub(" ", text)):
        if not any(map(str.isdigit, match.group())):
            yield _POSSESSIVE.sub("", match.group())


def _stems(word: str) -> Stems:
    """A word and what it may be the plural of, in small letters: two words are the same where they share one of these."""
    small = word.casefold().replace("’", "'")
    stems = {small}
    if len(small) > 3 and small.endswith("s") and not small.endswith("ss"):
        stems.add(small[:-1])
        stems |= {small[:-2]} if small.endswith("es") else set()
        stems |= {small[:-3] + "y"} if small.endswith("ies") else set()
        stems |= {small[:-3] + "f", small[:-3] + "fe"} if small.endswith("ves") else set()
    return frozenset(stems)


def read_knows(folder: Path) -> Knows | None:
    """What lies beside the weights of a folder; None where nothing does, or nothing that can be read (which is logged)."""
    file = folder / FILE
    try:
        return _knows(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except NotADirectoryError:  # a checkpoint that is one file
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        _log.warning("%s cannot be read: %s: %s", file, type(problem).__name__, problem)
        return None


def _knows(values: Any) -> Knows:
    examples = tuple(Example(_text(each["prompt"]), int(each["seed"])) for each in values["examples"])
    also = {_text(word): _text(name) for word, name in values["also"].items()}
    things, shapes, words = (_texts(values[name]) for name in ("things", "shapes", "words"))
    return Knows(_text(values["about"]), things, also, shapes, frozenset(words), examples)


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is no list")
    return tuple(map(_text, values))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
