"""CLIP's tokenizer, from the bundled merges; nothing is downloaded, and torch is not needed."""

from __future__ import annotations

import gzip
import html
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import ftfy
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

START, END = 49406, 49407
WORDS = 49408
_MERGES = Path(__file__).with_name("data") / "clip_merges.txt.gz"
_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def clean(text: str) -> str:
    """What the original does before it cuts words: mend broken encodings, undo HTML entities twice, one blank between
    words, lower case (CLIP, Radford et al. 2021, arXiv:2103.00020, simple_tokenizer.py)."""
    text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate becomes "?"
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", text).strip().lower()


def byte_letters() -> list[str]:
    """The 256 letters that stand for bytes, in the vocabulary's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    other = [byte for byte in range(256) if byte not in set(printable)]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(other))]


@cache
def clip_tokenizer() -> Callable[[str], list[int]]:
    """Text to token ids, without start, end and padding. Cleans the text first."""
    merges = [
        (line.split(" ")[0], line.split(" ")[1]) for line in gzip.decompress(_MERGES.read_bytes()).decode("utf-8").splitlines()
    ]
    letters = byte_letters()
    words = [
        *letters,
        *(letter + "</w>" for letter in letters),
        *("".join(pair) for pair in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {word: number for number, word in enumerate(words)}
    assert len(vocabulary) == WORDS, "the bundled merges are damaged"
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>", unk_token="<|endoftext|>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])

    def tokenize(text: str) -> list[int]:
        return list(tokenizer.encode(clean(text), add_special_tokens=False).ids)

    return tokenize
