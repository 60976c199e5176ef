import json
import random

import pytest
import torch

from tests.shared import shared
from webui.checkpoints.tokenizer import clip_tokenizer
from webui.engine.prompt import Chunk, Piece, apply_emphasis, chunks, count, parse_emphasis, strip_comments

START, END, COMMA = 49406, 49407, 267
BREAK = Piece("", is_break=True)


def letters(text: str) -> list[int]:
    """A tokenizer whose answer is known: one token a word, a comma is one of its own."""
    return [COMMA if word == "," else 1000 + len(word) for word in text.replace(",", " , ").split()]


def words(number: int) -> str:
    return " ".join(["a"] * number)


def tokens(chunk: Chunk) -> list[int]:
    return [token for token in chunk.ids if token not in (START, END)]


def parsed(text: str) -> list[tuple[str, float]]:
    return [(piece.text, round(piece.weight, 9)) for piece in parse_emphasis(text)]


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("", [("", 1)]),
        ("cat", [("cat", 1)]),
        ("(cat)", [("cat", 1.1)]),
        ("[cat]", [("cat", 0.909090909)]),
        ("((cat))", [("cat", 1.21)]),
        ("a (cat:1.3) b", [("a ", 1), ("cat", 1.3), (" b", 1)]),
        ("(a (b:2) c:3)", [("a ", 3), ("b", 6), (" c", 3)]),
        ("(a: -0.5 )", [("a", -0.5)]),
        ("(a)(b)", [("ab", 1.1)]),
        ("([a])", [("a", 1)]),
        ("\\(cat\\)", [("(cat)", 1)]),
        ("\\\\(cat)", [("\\", 1), ("cat", 1.1)]),
        ("(open", [("open", 1.1)]),
        ("shut)", [("shut)", 1)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
        ("(a:.)", [("a:.", 1.1)]),
        ("(a:1e309)", [("a:1e309", 1.1)]),
        ("(a:nan)", [("a:nan", 1.1)]),
        ("(a:inf)", [("a:inf", 1.1)]),
        (f"(a:{'9' * 400})", [(f"a:{'9' * 400}", 1.1)]),
        (f"(a:1{'0' * 300})", [("a", 1e6)]),
    ],
)
def test_brackets_weigh_what_they_say(text, pieces):
    assert parsed(text) == pieces


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("a BREAK b", [Piece("a"), BREAK, Piece("b")]),
        ("BREAK", [Piece(""), BREAK, Piece("")]),
        ("a BREAK BREAK b", [Piece("a"), BREAK, Piece(""), BREAK, Piece("b")]),
        ("(a BREAK b:1.5)", [Piece("a", 1.5), BREAK, Piece("b", 1.5)]),
        ("(a:-1)BREAK(b:-1)", [Piece("a", -1.0), Piece("", 1.0), BREAK, Piece("", 1.0), Piece("b", -1.0)]),
        ("BREAKS break xBREAK", [Piece("BREAKS break xBREAK")]),
    ],
)
def test_a_break_is_a_whole_word_in_capitals(text, pieces):
    assert parse_emphasis(text) == pieces


@pytest.mark.parametrize(
    "text, left",
    [
        ("a cat # the animal", "a cat"),
        ("# whole line\na cat", "a cat"),
        ("a cat\n# comment\na dog", "a cat\na dog"),
        ("  a  ", "a"),
        ("#", ""),
        ("a\\# b", "a\\"),
    ],
)
def test_comments_end_with_their_line(text, left):
    assert strip_comments(text) == left
    assert chunks(text, letters) == chunks(left, letters)


@pytest.mark.parametrize("number, room", [(0, 1), (1, 1), (74, 1), (75, 1), (76, 2), (150, 2), (151, 3)])
def test_chunks_hold_75_tokens_each(number, room):
    made = chunks(words(number), letters)
    assert len(made) == room
    assert sum(len(tokens(chunk)) for chunk in made) == number
    assert count(words(number), letters) == (number, 75 * room)
    for chunk in made:
        assert len(chunk.ids) == len(chunk.weights) == 77
        assert (chunk.ids[0], chunk.ids[-1]) == (START, END)


def test_other_encoders_have_other_marks():
    (chunk,) = chunks("a (b:2)", letters, start=1, end=2, pad=0)
    assert chunk.ids == (1, 1001, 1001, 2, *[0] * 73)
    assert chunk.weights == (1.0, 1.0, 2.0, *[1.0] * 74)


@pytest.mark.parametrize("tail, first", [(1, 75 - 1), (19, 75 - 19), (20, 75)])
def test_a_short_tail_behind_a_comma_stays_together(tail, first):
    text = f"{words(75 - tail - 1)}, {words(tail)} more"
    made = chunks(text, letters)
    assert [len(tokens(chunk)) for chunk in made] == [first, 75 + 1 - first]
    assert count(text, letters)[0] == 75 + len(tokens(made[1]))


def test_a_comma_that_does_not_fit_begins_the_next_chunk():
    made = chunks(f"{words(70)}, {words(4)}, b", letters)
    assert [len(tokens(chunk)) for chunk in made] == [75, 2]
    assert tokens(made[1])[0] == COMMA


def test_weights_move_with_their_tokens():
    made = chunks(f"{words(70)}, (b b b b b b:1.5)", letters)
    assert made[0].weights.count(1.5) == 0 and made[1].weights.count(1.5) == 6


@pytest.mark.parametrize(
    "text, lengths", [("a BREAK b b", [1, 2]), ("BREAK", [0]), ("a BREAK", [1]), ("BREAK BREAK a", [0, 0, 1])]
)
def test_a_break_begins_a_chunk(text, lengths):
    made = chunks(text, letters)
    assert [len(tokens(chunk)) for chunk in made] == lengths
    assert count(text, letters)[1] == 75 * len(made)


def test_without_emphasis_all_is_text():
    assert [len(tokens(chunk)) for chunk in chunks("(a:1.2) BREAK [b]", letters, emphasis="None")] == [3]
    assert len(chunks("(a:1.2) BREAK [b]", letters, emphasis="Ignore")) == 2


ATTACKS = {
    "nested": "(" * 10_000 + "a" + ")" * 10_000,
    "nested words": "(a" * 100_000,
    "nested and closed": "(a" * 50_000 + "b)" * 50_000,
    "square": "[a" * 100_000,
    "crossed": "([a" * 50_000 + ")]" * 50_000,
    "shut": ")]" * 100_000,
    "blanks": " " * 1_000_000,
    "blanks before a break": " " * 1_000_000 + "BREAK",
    "breaks": "BREAK " * 30_000,
    "colons": ":" * 200_000,
    "blanks behind a colon": "(a:" + " " * 1_000_000,
    "digits": "(a:" + "1" * 1_000_000,
    "dots": "(a:" + "." * 1_000_000 + ")",
    "backslashes": "\\" * 200_001,
    "commas": "," * 100_000,
    "comments": "#\n" * 200_000,
    "long word": "x" * 1_000_000,
    "NUL": "a\0b",
    "lone surrogate": "a\ud800b (\udfff:1.2)",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_text_is_still_a_prompt(name):
    """What grew with the square of the length would take hours here."""
    text = ATTACKS[name]
    pieces = parse_emphasis(text)
    assert all(abs(piece.weight) <= 1e6 for piece in pieces)
    assert all(len(chunk.ids) == 77 for chunk in chunks(text, letters))


def test_arbitrary_text_never_fails():
    generator = random.Random(1)
    for _ in range(2000):
        text = "".join(generator.choice("ab ()[]:\\#\n,.19BREAK -+|<>") for _ in range(generator.randrange(40)))
        made = chunks(text, letters)
        used, room = count(text, letters)
        assert room == 75 * len(made) and room - 75 <= used <= room


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 20_000, "a\u0301" * 100, "\U0010ffff", "<|endoftext|>"])
def test_the_real_tokenizer_takes_anything(text):
    assert all(len(chunk.ids) == 77 for chunk in chunks(text, clip_tokenizer()))


# --- emphasis on encoded tokens ---


def encoded() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(3, 77, 16, generator=generator) + 0.2
    return z, torch.rand(3, 77, generator=generator) + 0.5


def test_original_keeps_each_pictures_mean_and_its_bytes_in_a_batch():
    z, weights = encoded()
    together = apply_emphasis(z, weights, "Original")
    assert together.mean((1, 2)).tolist() == pytest.approx(z.mean((1, 2)).tolist(), rel=1e-5)
    for i in range(3):
        assert torch.equal(apply_emphasis(z[i : i + 1], weights[i : i + 1], "Original")[0], together[i])


def test_modes_differ_as_their_names_say():
    z, weights = encoded()
    assert torch.equal(apply_emphasis(z, weights, "No norm"), z * weights[..., None])
    assert torch.equal(apply_emphasis(z, weights, "Ignore"), z)
    assert torch.equal(apply_emphasis(z, weights, "None"), z)


def test_plain_weights_change_no_bit_and_zeros_are_finite():
    z, weights = encoded()
    assert torch.equal(apply_emphasis(z, torch.ones_like(weights), "Original"), z)
    assert bool(apply_emphasis(z, torch.zeros_like(weights), "Original").isfinite().all())


# --- the published code ---


def prompts() -> list[dict]:
    return [json.loads(line) for line in shared("reference/prompts/prompts.jsonl").read_text(encoding="utf-8").splitlines()]


def test_pieces_equal_the_published_parsers():
    compared = 0
    for case in prompts():
        for text, theirs in case["attention"].items():
            if isinstance(theirs, dict):
                continue  # it fails on two dots
            ours = [("BREAK", -1.0) if piece.is_break else (piece.text, piece.weight) for piece in parse_emphasis(text)]
            theirs = [("BREAK", -1.0) if piece[0] == "BREAK" and piece[1] < 0 else tuple(piece) for piece in theirs]
            assert [piece[0] for piece in ours] == [piece[0] for piece in theirs], case["id"]
            assert [piece[1] for piece in ours] == pytest.approx([piece[1] for piece in theirs], rel=1e-12), case["id"]
            compared += 1
    assert compared == 345


@pytest.mark.parametrize("key, emphasis", [("chunks", "Original"), ("chunks_emphasis_none", "None")])
def test_chunks_equal_the_published_ones(key, emphasis):
    compared = 0
    for case in prompts():
        for text, theirs in case.get(key, {}).items():
            if "error" in theirs or case.get("embeddings") or case["id"] == "p160":
                continue  # two dots; embeddings are not of this grammar; a break that became a word
            ours = chunks(text, clip_tokenizer(), emphasis=emphasis)
            assert count(text, clip_tokenizer(), emphasis) == (theirs["count"], theirs["target"]), case["id"]
            assert [list(chunk.ids) for chunk in ours] == [chunk["tokens"] for chunk in theirs["chunks"]], case["id"]
            for chunk, expected in zip(ours, theirs["chunks"], strict=True):
                assert chunk.weights == pytest.approx(expected["multipliers"], rel=1e-9), case["id"]
            compared += 1
    assert compared == {"chunks": 339, "chunks_emphasis_none": 17}[key]


def test_comments_equal_the_published_ones():
    for case in prompts():
        if not case["styles"]:
            assert strip_comments(case["prompt"]) == case["styled"], case["id"]


def test_emphasis_equals_the_published_one_image_at_a_time():
    reference = json.loads(shared("reference/prompts/emphasis.json").read_text())
    z, weights = torch.tensor(reference["z"]), torch.tensor(reference["multipliers"])
    alone = apply_emphasis(z, weights, "Original")
    for picture, theirs in zip(alone, reference["original_one_image_at_a_time"], strict=True):
        assert float(picture.mean()) == pytest.approx(theirs["mean"], rel=1e-5)
        assert torch.allclose(picture[:12], torch.tensor(theirs["first_12_positions"]), rtol=1e-5, atol=1e-6)
    for mode in ("No norm", "Ignore", "None"):
        ours, theirs = apply_emphasis(z, weights, mode), reference["result"][mode]
        assert float(ours.double().mean()) == pytest.approx(theirs["mean"], rel=1e-5)
        assert float(ours.double().abs().sum()) == pytest.approx(theirs["sum_abs"], rel=1e-5)
        assert torch.allclose(ours[:, :12], torch.tensor(theirs["first_12_positions"]), rtol=1e-5, atol=1e-6)
