"""Tokenizers: the three kinds, where they differ, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.checkpoints.download import Shelf
from webui.checkpoints.tokenizer import END, START, tokenizer
from webui.contract.errors import CheckpointReadError, MissingFileError

WORDS = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", "a", "cat", "##s", "cafe", "!"]


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    (tmp_path / "BERT").mkdir()
    path = tmp_path / "BERT" / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind, pad", [("clip", END), ("openclip", 0)])
def test_clip_and_openclip_pad_with_different_ids_behind_the_end(kind: str, pad: int) -> None:
    ids = tokenizer(kind).ids("a cat")
    assert ids == (START, 320, 2368, END, *[pad] * 73)


@pytest.mark.parametrize("kind", ["clip", "openclip"])
def test_what_is_too_long_is_cut_and_keeps_its_end(kind: str) -> None:
    ids = tokenizer(kind).ids("cat " * 200)
    assert len(ids) == 77 and ids[0] == START and ids[-1] == END and set(ids[1:-1]) == {2368}


def test_openclip_undoes_entities_where_a_tag_stands_and_clip_does_not() -> None:
    clip, openclip = tokenizer("clip").tokenize, tokenizer("openclip").tokenize
    assert openclip("<b> &amp; c") == openclip("<b> & c") == clip("<b> & c")
    assert clip("<b> &amp; c") != clip("<b> & c")


def test_each_kind_knows_only_its_own_marks() -> None:
    assert tokenizer("clip").tokenize("<|endoftext|>") == [END] != tokenizer("openclip").tokenize("<|endoftext|>")
    assert tokenizer("openclip").tokenize("<end_of_text>") == [END] != tokenizer("clip").tokenize("<end_of_text>")


def test_bert_lowers_letters_drops_accents_and_cuts_words_into_known_pieces(vocabulary: Path) -> None:
    bert = tokenizer("bert", Shelf([vocabulary.parent.parent]))
    assert bert.tokenize("A Cats, CAFÉ! dog") == [7, 8, 9, 6, 10, 11, 2]
    assert bert.ids("a")[:4] == (3, 7, 4, 0) and len(bert.ids("a")) == 77
    assert (bert.start, bert.end, bert.pad, bert.comma) == (3, 4, 0, 6)


def test_a_vocabulary_beside_the_checkpoint_comes_first(vocabulary: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "vocab.txt").write_text("\n".join([*WORDS, "dog"]), encoding="utf-8")
    assert tokenizer("bert", Shelf([vocabulary.parent.parent]), own / "model.ckpt").tokenize("dog") == [12]


def test_a_missing_vocabulary_is_asked_for_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="webui fetch bert-vocabulary"):
        tokenizer("bert", Shelf([tmp_path]))
    with pytest.raises(MissingFileError):
        tokenizer("bert")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a\nb\n", b""])
def test_a_damaged_vocabulary_is_named(vocabulary: Path, content: bytes) -> None:
    vocabulary.write_bytes(content)
    with pytest.raises(CheckpointReadError, match=r"vocab\.txt"):
        tokenizer("bert", Shelf([vocabulary.parent.parent]))


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 20_000, "a\u0301" * 100, "\U0010ffff", "[CLS] [MASK]"])
def test_any_text_is_read(vocabulary: Path, text: str) -> None:
    shelf = Shelf([vocabulary.parent.parent])
    assert all(len(tokenizer(kind, shelf).ids(text)) == 77 for kind in ("clip", "openclip", "bert"))
