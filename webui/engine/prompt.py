"""The everyday grammar of prompts: comments, (emphasis:1.2), [less], \\( escapes, BREAK, and chunks of 75 tokens.

Nothing a user types is an error: what does not fit the grammar is text. The time is bounded by the length of the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from torch import Tensor

Tokenize = Callable[[str], list[int]]
"""Text to token ids, without start, end and padding."""

CHUNK = 75
"""Tokens of a prompt that the text encoder sees at once, besides the start and the end."""
COMMA_TAIL = 20
"""What follows the last comma of a full chunk moves to the next one, if it has at most so many tokens."""
NO_COMMA = -1
"""An id that no token has."""
STRONGEST = 1e6
DEEPEST = 256
"""Brackets open at once that still weigh something: beyond, 1.1 to that power is past STRONGEST long since."""

_TOKEN = re.compile(r"\\[()\[\]\\]|\\|[(\[]|:\s*([+-]?[.\d]+)\s*\)|[)\]]|[^\\()\[\]:]+|:")
_BREAK = re.compile(r"\bBREAK\b")


@dataclass(frozen=True)
class Piece:
    """Words that share a weight; or a break, which begins a new chunk and has no text."""

    text: str
    weight: float = 1.0
    is_break: bool = False


@dataclass(frozen=True)
class Chunk:
    """What the text encoder sees at once: 77 token ids, start, end and padding among them, and a weight for each."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


def strip_comments(text: str) -> str:
    """Without what follows a # up to the end of its line, and without blanks around the whole."""
    text = re.sub(r"(^|\n)#[^\n]*(\n|$)", "\n", text)  # a line of its own goes with one of its ends
    return re.sub(r"#[^\n]*(\n|$)", "\n", text).strip()


def parse_emphasis(text: str) -> list[Piece]:
    """Cut a prompt into pieces of equal weight.

    (a) weighs 1.1, [a] 1 / 1.1, (a:1.2) what it says; they multiply where they are nested. \\( \\) \\[ \\] and \\\\ are
    the letters themselves; any other backslash vanishes. Brackets that nothing closes last to the end; those that
    close nothing are text. A weight that is no number is text. Neighbours of one weight are one piece.

    Where A1111 differs: (a:1.2.3) fails there, and a BREAK within (...:1.2) becomes the word "break".
    """
    pieces: list[tuple[str, bool]] = []  # text, is_break
    weights = np.ones(len(text) + 1)
    rounds: list[int] = []  # piece at which an open bracket begins; -1 too deep to weigh anything
    squares: list[int] = []

    def weigh(start: int, factor: float) -> None:
        if start >= 0:
            weights[start : len(pieces)] *= factor

    for match in _TOKEN.finditer(text):
        token, number = match.group(), match.group(1)
        if token[0] == "\\":
            pieces.append((token[1:], False))
        elif token in "([":
            stack = rounds if token == "(" else squares
            stack.append(len(pieces) if len(stack) < DEEPEST else -1)
        elif number is not None and rounds:
            factor = _number(number)
            if factor is None:
                pieces.append((token[:-1], False))
            weigh(rounds.pop(), 1.1 if factor is None else factor)
        elif token == ")" and rounds:
            weigh(rounds.pop(), 1.1)
        elif token == "]" and squares:
            weigh(squares.pop(), 1 / 1.1)
        else:
            pieces.extend(_breaks(token))
    for start in rounds:
        weigh(start, 1.1)
    for start in squares:
        weigh(start, 1 / 1.1)
    return _merge(pieces, weights) or [Piece("")]


def chunks(
    text: str,
    tokenize: Tokenize,
    *,
    emphasis: str = "Original",
    end: int = 49407,
    start: int = 49406,
    pad: int = 49407,
    comma: int = 267,
    is_cut: bool = False,
) -> list[Chunk]:
    """A prompt as chunks of 77 tokens, at least one; comments are left out.

    Args:
        emphasis: "None" takes every bracket and BREAK as text; any other mode parses them.
        end, start, pad, comma: ids of the tokenizer (CLIP's by default). Padding follows the end.
        is_cut: the first 75 tokens alone (or those before a BREAK), as the releases cut a prompt.
    """
    made = []
    for now in _fill(text, tokenize, emphasis, NO_COMMA if is_cut else comma):
        room = CHUNK - len(now.ids)
        made.append(Chunk((start, *now.ids, end, *[pad] * room), (1.0, *now.weights, 1.0, *[1.0] * room)))
    return made[:1] if is_cut else made


def count(text: str, tokenize: Tokenize, emphasis: str = "Original", comma: int = 267) -> tuple[int, int]:
    """(tokens used, tokens that fit into as many chunks): what the counter beside a prompt shows.

    A chunk that is left early, at a comma or a break, counts in full.
    """
    filled = _fill(text, tokenize, emphasis, comma)
    used = CHUNK * (len(filled) - 1) + (CHUNK if filled[-1].is_closed else len(filled[-1].ids))
    return used, CHUNK * len(filled)


def apply_emphasis(z: Tensor, weights: Tensor, mode: str) -> Tensor:
    """Weigh encoded tokens.

    Args:
        z: (B, 77, C), output of the text encoder.
        weights: (B, 77).
        mode: "Original" restores each picture's mean after weighing (never the batch's, so that a picture is the same
            in any batch); "No norm" does not; "Ignore" and "None" leave z as it is.

    Source: AUTOMATIC1111, prompt attention; its mean is over the whole batch.
    """
    if mode not in ("Original", "No norm"):
        return z
    weighed = z * weights.to(z)[..., None]
    if mode == "No norm":
        return weighed
    ratio = z.mean((1, 2), keepdim=True) / weighed.mean((1, 2), keepdim=True)
    return weighed * ratio.where(ratio.isfinite(), ratio.new_ones(()))  # all weights 0 leave no mean to restore


@dataclass
class _Filled:
    ids: list[int]
    weights: list[float]
    is_closed: bool = False
    """Left because it was full, at a comma, or at a break; the last one is usually open."""


def _fill(text: str, tokenize: Tokenize, emphasis: str, comma: int) -> list[_Filled]:
    """Spread the tokens over chunks of at most 75. The tail behind a late comma is not torn apart."""
    text = strip_comments(text)
    pieces = [Piece(text)] if emphasis == "None" else parse_emphasis(text)
    known: dict[str, list[int]] = {}
    filled = [_Filled([], [])]
    last_comma = -1

    def leave(at: int) -> None:
        nonlocal last_comma
        now = filled[-1]
        filled.append(_Filled(now.ids[at:], now.weights[at:]))
        filled[-2] = _Filled(now.ids[:at], now.weights[:at], is_closed=True)
        last_comma = -1

    for piece in pieces:
        if piece.is_break:
            leave(len(filled[-1].ids))
            continue
        if piece.text not in known:
            known[piece.text] = tokenize(piece.text)
        for token in known[piece.text]:
            length = len(filled[-1].ids)
            if length == CHUNK:
                has_tail = token != comma and last_comma != -1 and length - last_comma <= COMMA_TAIL
                leave(last_comma + 1 if has_tail else length)
            if token == comma:
                last_comma = len(filled[-1].ids)
            filled[-1].ids.append(token)
            filled[-1].weights.append(piece.weight)
    if not filled[-1].ids and len(filled) > 1:
        filled.pop()
    return filled


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:  # "1.2.3", "."
        return None
    return value if math.isfinite(value) else None


def _breaks(text: str) -> Iterator[tuple[str, bool]]:
    """Text between breaks, without the blanks around them. (Not by one expression with \\s*: that is quadratic.)"""
    parts = _BREAK.split(text)
    for i, part in enumerate(parts):
        if i > 0:
            yield "", True
            part = part.lstrip()
        yield part.rstrip() if i < len(parts) - 1 else part, False


def _merge(pieces: Sequence[tuple[str, bool]], weights: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[Piece]:
    clipped = np.clip(weights[: len(pieces)], -STRONGEST, STRONGEST).tolist()
    merged = []
    for (is_break, weight), run in groupby(
        zip(pieces, clipped, strict=True), key=lambda pair: (pair[0][1], 1.0 if pair[0][1] else pair[1])
    ):
        texts = [text for (text, _), _ in run]
        merged += [Piece("", is_break=True)] * len(texts) if is_break else [Piece("".join(texts), weight)]
    return merged
