"""Text to token ids, as each text encoder was trained with: CLIP's from the bundled merges, BERT's from its vocabulary.

Nothing is downloaded, and torch is not needed.
"""

from __future__ import annotations

import gzip
import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ftfy
from tokenizers import Regex, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from webui.checkpoints.download import Shelf
from webui.contract.errors import CheckpointReadError

START, END = 49406, 49407
WORDS = 49408
_MERGES = Path(__file__).with_name("data") / "clip_merges.txt.gz"
_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class Tokenizer:
    """How one text encoder reads text."""

    tokenize: Callable[[str], list[int]]
    """Text to ids, without start, end and padding; it cleans the text first"""
    start: int = START
    end: int = END
    pad: int = END
    comma: int = 267
    length: int = 77
    """Of what the encoder sees at once, start and end among it"""

    def ids(self, text: str) -> tuple[int, ...]:
        """The whole text as the releases give it to the encoder: cut to its length, the end kept, filled up."""
        words = self.tokenize(text)[: self.length - 2]
        return (self.start, *words, self.end, *[self.pad] * (self.length - 2 - len(words)))


def tokenizer(kind: str, shelf: Shelf | None = None, beside: Path | None = None) -> Tokenizer:
    """The tokenizer of an encoder of that kind (webui.contract.parts.Encoder).

    Args:
        shelf: where BERT's vocabulary may lie; beside: a checkpoint, in whose folder it is looked for first.

    Raises:
        MissingFileError: BERT's vocabulary is not there.
        CheckpointReadError: it is there and cannot be read.
    """
    if kind == "bert":
        path = (shelf or Shelf(())).need("bert-vocabulary", beside)
        return _bert(path, path.stat().st_mtime_ns)
    return _clip(kind)


def clip_tokenizer() -> Callable[[str], list[int]]:
    """CLIP's own, as tokenizer("clip").tokenize."""
    return _clip("clip").tokenize


def clean(text: str, unescapes: bool = False) -> str:
    """What the originals do before they cut words: mend broken encodings, one blank between words, lower case.

    Args:
        unescapes: undo HTML entities twice, as OpenCLIP does; the CLIP of transformers leaves it to ftfy, which does it
            once, and not where a "<" stands.

    Source: Radford et al. 2021, arXiv:2103.00020, simple_tokenizer.py, as OpenCLIP and as transformers have it.
    """
    text = ftfy.fix_text(text.encode("utf-8", "replace").decode("utf-8"))  # a lone surrogate becomes "?"
    if unescapes:
        text = html.unescape(html.unescape(text))
    return re.sub(r"\s+", " ", text).strip().lower()


def byte_letters() -> list[str]:
    """The 256 letters that stand for bytes, in the vocabulary's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    other = [byte for byte in range(256) if byte not in set(printable)]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(other))]


@cache
def _clip(kind: str) -> Tokenizer:
    """CLIP's vocabulary has two owners: they clean texts differently, pad with another id (OpenCLIP with 0), and spell the
    start and the end differently."""
    is_open = kind == "openclip"
    specials = ["<start_of_text>", "<end_of_text>"] if is_open else ["<|startoftext|>", "<|endoftext|>"]
    merges = [
        (line.split(" ")[0], line.split(" ")[1]) for line in gzip.decompress(_MERGES.read_bytes()).decode("utf-8").splitlines()
    ]
    letters = byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), *specials]
    vocabulary = {word: number for number, word in enumerate(words)}
    assert len(vocabulary) == WORDS, "the bundled merges are damaged"
    backend = Backend(models.BPE(vocabulary, merges, end_of_word_suffix="</w>", unk_token=specials[1], fuse_unk=False))
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.add_special_tokens(specials)
    return Tokenizer(
        lambda text: list(backend.encode(clean(text, unescapes=is_open), add_special_tokens=False).ids), pad=0 if is_open else END
    )


@cache
def _bert(path: Path, _changed: int) -> Tokenizer:
    """WordPiece in lower case and without accents (Devlin et al. 2019, arXiv:1810.04805, bert-base-uncased)."""
    try:
        words = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointReadError(f"{path} cannot be read as a vocabulary ({type(error).__name__}). Fetch it anew.") from None
    vocabulary = {word: number for number, word in enumerate(words)}
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if missing := [word for word in (*specials, ",") if word not in vocabulary]:
        raise CheckpointReadError(f"{path} is not BERT's vocabulary: it has no {missing[0]!r}. Fetch it anew.")
    backend = Backend(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(specials)
    return Tokenizer(
        lambda text: list(backend.encode(text.encode("utf-8", "replace").decode("utf-8"), add_special_tokens=False).ids),
        *(vocabulary[word] for word in ("[CLS]", "[SEP]", "[PAD]", ",")),
    )
