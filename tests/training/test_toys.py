"""The toys world: what is in a scene, how it is said, how it is painted, who names it, and the scenes kept for measuring."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.training.conftest import sprite_colour
from webui.checkpoints.tokenizer import clip_tokenizer
from webui.contract.errors import StartError
from webui.training.networks import PLACES
from webui.training.options import MODELS
from webui.training.scenes import to_tensor
from webui.training.toys import held_out as kept
from webui.training.toys import paint as painting
from webui.training.toys.held_out import held_out_toys, write_held_out
from webui.training.toys.judge import SHIPPED, ToyJudge, asked_of, load_toy_judge, named, save_toy_judge
from webui.training.toys.paint import Painted, describe, paint, read_atlas
from webui.training.toys.scene import (
    BACKS,
    COLOURS,
    FLOORS,
    GROUNDS,
    LOVED,
    SKIES,
    Kind,
    Toy,
    ToyScene,
    most_loved,
    names,
    sample,
    table,
)
from webui.training.toys.words import OTHER_NAMES, caption, floor_words, held_out_wording, with_article, wording
from webui.training.words import held_out

CPU = torch.device("cpu")
NIGHT = "night"


def scene(*toys: Toy, floor: str = "plain", back: str = "wall", horizon: float = 0.5, side: str = "") -> ToyScene:
    return ToyScene(0, toys, floor, "red", back, "blue", horizon, side)


def toy(number: int = 0, left: float = 0.3, width: float = 0.4, foot: float = 0.8, height: float = 0.5, tint: str = "") -> Toy:
    return Toy(number, "", left, width, foot, height, tint)


@pytest.fixture(scope="module")
def atlas(sprites) -> torch.Tensor:
    return read_atlas(sprites, CPU)


def render(atlas: torch.Tensor, *scenes: ToyScene, size: int = 64, seed: int = 0) -> Painted:
    return paint(describe(scenes), atlas, size, seed)


def pixel(painted: Painted, x: float, y: float, which: int = 0) -> tuple[int, ...]:
    """The colour at a place of the picture, 0 to 255."""
    size = painted.pictures.shape[-1]
    value = (painted.pictures[which, :, int(y * size), int(x * size)] + 1) * 127.5
    return tuple(int(v) for v in value.round())


# ---------------------------------------------------------------- scene


def test_a_seed_keeps_its_scene():
    """Weights are trained on it: the draws and their order are part of the world."""
    kept = sample(7)
    assert (kept.toys[0].name, kept.floor, kept.back, kept.side) == ("broccoli", "sand", "night", "right")
    assert (kept.toys[0].left, kept.toys[0].foot) == pytest.approx((0.36226297, 0.80716949))
    assert sample(7) == kept != sample(8)


def test_a_toy_that_is_asked_for_is_in_the_scene():
    for seed in range(200):
        assert 41 in [each.number for each in sample(seed, number=41).toys]


def test_alone_is_one_toy_as_it_is():
    for seed in range(200):
        (only,) = sample(seed, alone=True).toys
        assert only.tint == ""


def test_two_toys_stand_each_in_its_half():
    pairs = [each for each in map(sample, range(2000)) if len(each.toys) == 2]
    assert 0.12 < len(pairs) / 2000 < 0.18
    for pair in pairs:
        left, right = pair.toys
        assert left.left + left.width <= 0.5 <= right.left + 0.01
        assert not left.tint and not right.tint and not pair.side


def test_boxes_stay_in_the_picture_and_stand_on_the_floor():
    for each in map(sample, range(3000)):
        for one in each.toys:
            assert one.left >= 0 and one.left + one.width <= 1
            assert one.foot - one.height >= 0 and each.horizon < one.foot <= 1


def test_some_toys_are_tinted_but_none_whose_name_tells_a_colour():
    alone = [each.toys[0] for each in map(sample, range(4000)) if len(each.toys) == 1]
    tinted = [one for one in alone if one.tint]
    assert 0.09 < len(tinted) / len(alone) < 0.15
    assert not [one.name for one in tinted if set(one.name.split()) & {*COLOURS, "gold"}]


def test_a_side_is_where_the_toy_stands():
    for each in map(sample, range(1000)):
        middle = each.toys[0].left + each.toys[0].width / 2
        assert len(each.toys) == 2 or each.side == ("left" if middle < 0.36 else "right" if middle > 0.64 else "")


def test_the_table_comes_with_the_package():
    folder = files("webui.training.toys")
    assert len(table()) == len(set(names())) == 315
    kept = ("scenes.json", "fox.webp", "LICENCE")
    for file in ("names.tsv", "judge.safetensors", "renders.safetensors", *(f"held_out/{name}" for name in kept)):
        assert folder.joinpath(file).is_file()


def test_the_most_loved_come_first_and_none_is_forgotten():
    assert [names()[number] for number in most_loved()[: len(LOVED)]] == list(LOVED)
    assert sorted(most_loved()) == list(range(len(names())))


# ---------------------------------------------------------------- words


def test_no_training_sees_a_held_out_caption_and_some_are_empty():
    rng = np.random.default_rng(1)
    scenes = [sample(seed) for seed in range(2000)]
    captions = [caption(each, rng) for each in scenes]
    assert not any(map(held_out, captions))
    assert 0.07 < np.mean([not text for text in captions]) < 0.13
    assert 0.02 < np.mean([held_out(wording(each, rng)) for each in scenes]) < 0.06


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("owl", "an owl"),
        ("fox", "a fox"),
        ("unicorn", "a unicorn"),
        ("orange umbrella", "an orange umbrella"),
        ("grapes", "grapes"),
        ("french fries", "french fries"),
        ("glass of milk", "a glass of milk"),
    ],
)
def test_articles_fit_the_word(words, said):
    assert with_article(words) == said


def test_every_word_is_one_that_the_shipped_weights_have_learnt():
    table_of = load_file(MODELS / "pocket/text_encoder/model.safetensors")["text_model.embeddings.token_embedding.weight"]
    is_known, tokenize = table_of.abs().sum(1) > 0, clip_tokenizer()
    rng = np.random.default_rng(2)
    texts = {*names(), *(other for others in OTHER_NAMES.values() for other in others)}
    texts |= {wording(sample(seed), rng) for seed in range(3000)}
    for text in texts:
        ids = tokenize(text)
        assert 0 < len(ids) <= PLACES - 2
        assert all(is_known[ids]), text


def test_other_names_are_of_toys_that_there_are():
    assert set(OTHER_NAMES) <= set(names())
    others = [other for given in OTHER_NAMES.values() for other in given]
    assert len(others) == len(set(others)) and not set(others) & set(names())


def test_a_wording_says_what_is_there_and_nothing_else():
    rng = np.random.default_rng(3)
    for each in map(sample, range(3000)):
        text = wording(each, rng)
        for one in each.toys:
            assert any(name in text for name in (one.name, *OTHER_NAMES.get(one.name, ()))), text
        words = set(text.replace(",", "").split())
        for floor in GROUNDS:
            assert floor not in words or each.floor == floor, text
        assert not words & {NIGHT, "starry", "dark"} or each.back == NIGHT, text
        assert not words & {"sunset", "evening"} or each.back == "sunset", text
        assert "wall" not in words or f"{each.wall_colour} wall" in text.replace("grey", "gray"), text
        assert "sky" not in words or each.back in SKIES, text


def test_of_two_toys_the_words_tell_which_stands_left():
    rng = np.random.default_rng(4)
    fox, owl = names().index("fox"), names().index("owl")
    pair = scene(toy(fox), toy(owl))
    told = [wording(pair, rng) for _ in range(200)]
    for text in told:
        fox_first = text.index("fox") < text.index("owl")
        if "right of" in text:
            assert not fox_first
        elif "left of" in text or "on the left" in text:
            assert fox_first
    assert any("left of" in text for text in told) and any("right of" in text for text in told)


def test_floors_are_called_by_colour_and_kind():
    assert [floor_words(scene(floor=floor)) for floor in FLOORS] == [
        *("red floor", "red checkered floor", "red striped floor"),
        *GROUNDS,
    ]


def test_a_held_out_wording_tells_toy_floor_and_back():
    for number in (0, 5, 41, 100):
        each, text = held_out_wording(number, 50_000)
        assert held_out(text) and each.seed >= 50_000 and len(each.toys) == 1
        assert any(name in text for name in (each.toys[0].name, *OTHER_NAMES.get(each.toys[0].name, ())))
        assert ("floor" in text) == (each.floor not in GROUNDS), text
        assert ("wall" in text) == (each.back == "wall"), text
        assert held_out_wording(number, each.seed) == (each, text)


# ---------------------------------------------------------------- paint


def test_a_toy_is_painted_in_its_box_and_the_mask_says_where(atlas):
    number = 100
    painted = render(atlas, scene(toy(number, left=0.25, width=0.5, foot=0.75, height=0.5)))
    assert pixel(painted, 0.5, 0.5) == pytest.approx(sprite_colour(number), abs=2)
    mask = painted.masks[0, 0]
    assert mask[20:44, 20:44].min() > 0.99, "inside the box"
    outside = torch.ones(64, 64, dtype=torch.bool)
    outside[15:49, 15:49] = False
    assert mask[outside].max() == 0
    assert painted.pictures.shape == (1, 3, 64, 64) and painted.pictures.abs().max() <= 1


def test_a_tinted_toy_has_its_lightness_in_the_other_colour(atlas):
    white = max(range(len(names())), key=lambda number: min(sprite_colour(number)))
    plain, tinted = (render(atlas, scene(toy(white, tint=tint))) for tint in ("", "green"))
    assert pixel(plain, 0.5, 0.6) == pytest.approx(sprite_colour(white), abs=2)
    red, green, blue = pixel(tinted, 0.5, 0.6)
    assert green > 1.5 * red and green > 1.5 * blue


def test_floor_and_back_are_as_the_scene_says(atlas):
    nobody = toy(left=0.45, width=0.1, foot=0.95, height=0.1)
    painted = render(atlas, scene(nobody), scene(nobody, floor="snow", back=NIGHT))
    red, green, blue = pixel(painted, 0.1, 0.95)
    assert red > 2 * green and red > 2 * blue, "a red floor"
    red, green, blue = pixel(painted, 0.1, 0.1)
    assert blue > 2 * red, "a blue wall"
    assert min(pixel(painted, 0.1, 0.95, 1)) > 190, "snow"
    assert max(pixel(painted, 0.1, 0.03, 1)) < 60, "night"


def test_what_stands_lower_is_nearer(atlas):
    painted = render(
        atlas,
        scene(
            toy(1, left=0.1, width=0.3, foot=0.6, height=0.3), toy(2, left=0.6, width=0.3, foot=0.9, height=0.3), back="sunset"
        ),
    )
    depth = painted.depth[0, 0]
    far, near = depth[int(0.45 * 64), 16], depth[int(0.75 * 64), 48]
    assert near > far + 0.2
    assert depth[2, 2] == 0, "the sky is as far as can be"
    floor = depth[34:, 1]
    assert (floor[1:] > floor[:-1]).all() and floor[-1] > 0.9


def test_the_same_scene_and_seed_give_the_same_pixels_and_another_seed_another_grain(atlas):
    grassy = scene(toy(), floor="grass", back=NIGHT)
    one, same, other = (render(atlas, grassy, seed=seed).pictures for seed in (5, 5, 6))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_larger_picture_shows_the_same(atlas):
    chosen = scene(toy(30))
    small, large = (render(atlas, chosen, size=size).pictures for size in (64, 128))
    halved = torch.nn.functional.avg_pool2d(large, 2)
    assert (halved - small).abs().mean() < 0.01


def test_a_missing_sprite_is_named_with_the_place_that_tells_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(painting, "table", lambda: (Kind("1f98a", "fox", 1.0), Kind("1f989", "owl", 1.0)))
    Image.new("RGBA", (4, 4), "orange").save(tmp_path / "1f98a.webp", lossless=True)
    with pytest.raises(StartError, match=r"sprite of owl .*1f989\.webp.* docs/pocket\.md"):
        read_atlas(tmp_path, CPU)
    Image.new("RGBA", (4, 4), "brown").save(tmp_path / "1f989.webp", lossless=True)
    assert read_atlas(tmp_path, CPU).shape == (2, 4, painting.SIDE, painting.SIDE)


# ---------------------------------------------------------------- judge


def test_the_judge_is_asked_only_what_the_scene_tells():
    colours = list(COLOURS)
    plain = scene(toy(5), floor="striped", back="wall")
    assert asked_of(plain) == (5, FLOORS.index("striped"), colours.index("red"), 0, colours.index("blue"))
    outdoors = scene(toy(6), floor="sand", back=NIGHT)
    assert asked_of(outdoors) == (6, FLOORS.index("sand"), -1, BACKS.index(NIGHT), -1)


def test_the_committed_judge_loads_and_is_small():
    assert SHIPPED.stat().st_size < 2_000_000
    judge = load_toy_judge()
    answers = named(judge, torch.zeros(3, 3, 128, 128))
    assert answers.shape == (3, 5)
    assert not judge.training


def test_a_judge_answers_the_same_for_a_larger_picture_that_averages_to_the_small_one():
    torch.manual_seed(0)
    judge, small = ToyJudge().eval(), torch.rand(2, 3, 128, 128) * 2 - 1
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(judge(large)[0], judge(small)[0], atol=1e-4, rtol=1e-4)


def test_a_picture_is_at_no_distance_from_itself():
    torch.manual_seed(0)
    judge = ToyJudge().eval()
    one, other = torch.rand(2, 1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        assert judge.distance(one, one) == 0
        assert judge.distance(one, other) > 0


def test_a_judge_survives_being_saved(tmp_path: Path):
    torch.manual_seed(0)
    judge = ToyJudge().eval()
    save_toy_judge(judge, tmp_path / "judge.safetensors", 10)
    picture = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(
            load_toy_judge(tmp_path / "judge.safetensors")(picture)[0], judge(picture)[0], atol=0.02, rtol=0.02
        )


# ---------------------------------------------------------------- held out


def test_the_kept_scenes_are_48_toys_that_people_know_in_prompts_that_no_training_sees():
    pack = held_out_toys(64)
    assert [names()[number] for number in pack.numbers] == list(LOVED[:48])
    assert len(pack.prompts) == 48 and all(map(held_out, pack.prompts))
    assert sum(file.stat().st_size for file in kept.SHIPPED.iterdir()) < 1_800_000
    rows = json.loads((kept.SHIPPED / "scenes.json").read_text("utf-8"))
    for row, each, box in zip(rows, pack.scenes, pack.boxes, strict=True):
        assert (row["name"], row["floor"], row["back"]) == (each.toys[0].name, each.floor, each.back)
        assert held_out_wording(row["number"], row["seed"]) == (each, row["prompt"])
        one = each.toys[0]
        assert box == pytest.approx((one.left, one.foot - one.height, one.left + one.width, one.foot), abs=1e-3)


def test_the_committed_judge_names_what_the_kept_scenes_show():
    pack = held_out_toys(128)
    seen = named(load_toy_judge(), to_tensor(pack.pictures)).numpy()
    asked = np.asarray([asked_of(each) for each in pack.scenes])
    right = (seen == asked) | (asked < 0)
    assert (right.mean(0) >= (0.97, 0.95, 0.97, 0.97, 0.97)).all(), right.mean(0)


def test_the_kept_scenes_are_the_same_at_every_size():
    large, small = held_out_toys(256), held_out_toys(128)
    assert large.pictures.shape == (48, 256, 256, 3) and large.depth.shape == (48, 128, 128)
    assert small.pictures.shape == (48, 128, 128, 3) and small.depth.shape == (48, 64, 64)
    assert small.pictures.dtype == np.uint8 and small.depth.dtype == large.depth.dtype == np.float16
    halved = large.pictures.reshape(48, 128, 2, 128, 2, 3).mean((2, 4))
    assert np.abs(halved - small.pictures).max() <= 0.5
    for pack in (large, small):
        assert (pack.depth.min((1, 2)) == 0).all() and (pack.depth.max((1, 2)) == 1).all()


def test_scenes_that_are_painted_anew_are_read_as_they_were(sprites, tmp_path):
    said: list[str] = []
    write_held_out(tmp_path, sprites, said.append, count=2)
    assert said[0].startswith("2 scenes with depth")
    pack, shipped = held_out_toys(256, tmp_path), held_out_toys(256)
    assert pack.prompts == shipped.prompts[:2] and pack.scenes == shipped.scenes[:2]
    for picture, box, number in zip(pack.pictures, pack.boxes, pack.numbers, strict=True):
        middle = picture[int((box[1] + box[3]) * 128), int((box[0] + box[2]) * 128)]
        assert middle == pytest.approx(np.asarray(sprite_colour(number)), abs=2)
    corner = (slice(None), slice(0, 4), slice(0, 4))
    assert np.abs(pack.pictures[corner].astype(int) - shipped.pictures[:2][corner]).max() <= 1, "the same wall or sky"
