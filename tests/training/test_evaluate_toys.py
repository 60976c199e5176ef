"""The rows of the toys, and what is written down of a checkpoint: which it draws well, its words and its examples."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from webui.checkpoints.knows import read_knows
from webui.training import world
from webui.training.evaluations.knows import EXAMPLES, SEEDS, all_words, examples_of, knows, surest, write_knows
from webui.training.evaluations.toys import AROUND, FLOOR_COLOUR, as_asked, ask, measure
from webui.training.judging import load_judge
from webui.training.options import MODELS
from webui.training.scenes import held_out_pictures, to_tensor
from webui.training.toys import words as toy_words
from webui.training.toys.held_out import held_out_toys
from webui.training.toys.judge import load_toy_judge
from webui.training.toys.scene import BACKS, COLOURS, FLOORS, most_loved, names, sample
from webui.training.words import held_out

FOX, RACCOON, CUPCAKE = most_loved()[:3]


class Painter:
    """Draws pictures that hold the number of a toy: the one that is asked for, but for some others in some rounds."""

    def __init__(self, wrong: dict[int, tuple[int, ...]]) -> None:
        self.wrong, self.rounds = wrong, [list[int](), list[int](), list[int]()]

    def draw(self, prompts, seeds):
        numbers = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            time, place = seed // 1000 - 1, seed % 1000
            number = most_loved()[place] if time < 2 else self.third(prompt)
            self.rounds[time].append(number)
            numbers.append(0 if time in self.wrong.get(number, ()) else number)
        return torch.tensor(numbers, dtype=torch.float32)[:, None, None, None].expand(-1, 3, 8, 8) / 1000

    def third(self, prompt: str) -> int:
        (number,) = (number for number in self.wrong if ask(number, 2).text == prompt)
        return number


def reader(pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """A judge of such pictures: it reads the number, and is never wrong about floor and back but for their colours."""
    toys = torch.nn.functional.one_hot((pictures[:, 0, 0, 0] * 1000).round().long().clamp(0, len(names()) - 1), len(names()))
    return (toys, *(torch.zeros(len(pictures), n) for n in (len(FLOORS), len(COLOURS), len(BACKS), len(COLOURS))))


def test_a_toy_is_drawn_well_that_is_right_in_two_of_three_pictures(tmp_path):
    said: list[str] = []
    painter = Painter({FOX: (0,), RACCOON: (1,), CUPCAKE: (0, 2)})
    measured = measure(painter, reader, 0, tmp_path / "toys.png", said.append)
    assert measured.well[:2] == (FOX, RACCOON)
    assert CUPCAKE not in measured.well and len(measured.well) == len(names()) - 1
    assert len(painter.rounds[0]) == len(painter.rounds[1]) == len(names())
    assert painter.rounds[2] == [FOX, RACCOON, CUPCAKE], "only what the first two rounds left open is drawn once more"
    rows = {row.name: row.value for row in measured.rows}
    assert rows["toy as asked, 315 prompts"] == pytest.approx(100 * 313 / 315)
    assert "not the asked toy: fox, cupcake" in said
    assert Image.open(tmp_path / "toys.png").size == (8 * 8, 6 * 8)


def test_few_pictures_show_the_most_loved_and_decide_nothing(tmp_path):
    measured = measure(Painter({}), reader, 10, tmp_path / "toys.png", lambda _: None)
    assert measured.well == ()
    assert measured.rows[1].name == "toy as asked, 10 prompts" and measured.rows[1].value == 100
    assert measured.rows[2].value < 100, "this judge finds every floor plain"
    assert Image.open(tmp_path / "toys.png").size == (8 * 8, 2 * 8)


def test_each_time_other_words_are_asked_that_no_training_saw():
    for number in (FOX, 100):
        asked = [ask(number, time) for time in range(3)]
        assert len({one.text for one in asked}) == 3
        assert all(held_out(one.text) and one.wanted[0] == number for one in asked)


def test_a_colour_that_the_words_leave_out_is_not_asked_for():
    asked = [ask(number, 0) for number in range(60)]
    for one in asked:
        plain = " " + one.text.replace("grey", "gray")
        has_colour = any(f" {colour} {kind}" in plain for colour in COLOURS for kind in ("floor", "checker", "striped"))
        assert (one.wanted[FLOOR_COLOUR] >= 0) == has_colour, one.text
    assert any(one.wanted[FLOOR_COLOUR] < 0 for one in asked)
    answers = torch.tensor([[*one.wanted] for one in asked])
    assert as_asked(answers, asked).all()
    assert as_asked(answers, asked).shape == (60, 1 + len(AROUND))
    answers[:, 0] += 1
    assert not as_asked(answers, asked)[:, 0].any()


def test_what_a_checkpoint_knows_is_what_it_draws_well(tmp_path):
    cat, doughnut = names().index("cat"), names().index("doughnut")
    examples = [{"prompt": "a cat on grass", "seed": 3}]
    write_knows(tmp_path / "sheets", knows([FOX, cat], examples))
    known = read_knows(tmp_path / "sheets")
    assert known.things == ("fox", "cat")
    assert (known.also["kitten"], known.also["ball"], known.also["donut"]) == ("cat", "sphere", "ring")
    assert "puppy" not in known.also and "can" not in known.also
    assert known.examples[0].seed == 3
    assert known.hear("a kitten by the sea").is_named and not known.hear("can you draw a mermaid").is_named
    assert knows([doughnut], [])["also"]["donut"] == "doughnut", "nobody who says donut means the ring"


def test_every_word_of_a_caption_is_written_down():
    words, rng = set(all_words()), np.random.default_rng(77)
    assert all_words() == sorted(words)
    for seed in range(50_000, 51_000):
        for text in (toy_words.wording(sample(seed), rng), world.wording(world.sample(seed), rng)):
            assert set(text.lower().replace(",", " ").split()) <= words


class Album:
    """Draws the same pictures whatever is asked: one for each seed."""

    def __init__(self, pictures: torch.Tensor) -> None:
        self.pictures = pictures

    def draw(self, prompts, seeds):
        return self.pictures


def test_without_examples_the_seeds_are_taken_of_which_the_judges_are_surest(tmp_path):
    toys, shapes = load_toy_judge(), load_judge()
    kept = held_out_toys(128)
    album = Album(to_tensor(kept.pictures[: len(SEEDS)]))
    for place in (0, 4):
        name = names()[kept.numbers[place]]
        assert surest(album, f"a {name}", name, toys, shapes) == SEEDS[place]
    renders = held_out_pictures(len(SEEDS))
    scenes = [world.sample(10_000_000 + i) for i in range(len(SEEDS))]
    place = next(i for i, scene in enumerate(scenes) if len(scene.things) == 1)
    shows = f"{scenes[place].things[0].colour} {scenes[place].things[0].shape}"
    assert surest(Album(to_tensor(renders)), f"a {shows}", shows, toys, shapes) == SEEDS[place]
    chosen = examples_of(tmp_path, album, toys, shapes)
    assert [one["prompt"] for one in chosen] == [prompt for prompt, _ in EXAMPLES]
    assert chosen[0]["seed"] == SEEDS[0], "the first picture of the album is the fox"


def test_examples_that_somebody_looked_at_stay(tmp_path):
    examples = [{"prompt": "a fox on sand", "seed": 41}]
    write_knows(tmp_path, knows([FOX], examples))
    assert examples_of(tmp_path, Album(torch.zeros(0)), None, None) == examples


def test_the_shipped_checkpoint_says_what_it_knows():
    values = json.loads((MODELS / "pocket" / "knows.json").read_text("utf-8"))
    assert len(values["things"]) > 250 and len(set(values["things"])) == len(values["things"])
    assert set(values["things"]) <= set(names()) and values["things"][0] == "fox"
    assert values == knows([names().index(name) for name in values["things"]], values["examples"])
    known = read_knows(MODELS / "pocket")
    assert len(known.examples) == 6
    for example in known.examples:
        heard = known.hear(example.prompt)
        assert heard.is_named and not heard.unknown, example.prompt
