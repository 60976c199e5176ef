"""What networks are told: numbers as waves, boxes as tokens, pictures with noise, and all of it put together."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.engine.tables import family
from webui.checkpoints.model import Model
from webui.contract.errors import FieldError, PluginError
from webui.contract.parts import ConditionerPart, Conditioning, Encoder, Family, Inputs, Parts
from webui.contract.request import Box, GenerationRequest
from webui.contract.result import CheckpointName
from webui.engine.conditioners import noised, pictures, sizes, text, things
from webui.engine.conditioners.fourier import waves
from webui.engine.conditioning import batched, condition, together

ASKED = GenerationRequest(prompt="a cat", width=64, height=64)


class Words(nn.Module):
    """A text encoder that answers its ids, and how often it was asked."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.asked = width, 0

    def forward(self, ids: Tensor, layer: int, has_norm: bool) -> tuple[Tensor, Tensor]:
        self.asked += 1
        hidden = (ids[..., None] + 100_000 * layer + 0.5 * has_norm).float().repeat(1, 1, self.width)
        return hidden, ids[:, :3].float()


def model(row: Family, **encoders: Any) -> Model:
    weight = nn.Linear(1, 1)
    autoencoder: Any = SimpleNamespace(parameters=weight.parameters)
    return Model("it", CheckpointName("it"), row, weight, autoencoder, encoders, torch.ones(2))


def two() -> Model:
    rows = (
        Encoder("text", "clip", "", layer=-2, has_norm=False),
        Encoder("text_2", "openclip", "", layer=-2, has_norm=False, is_pooled=True),
    )
    return model(replace(family(), encoders=rows, zeros_empty_negative=True), text=Words(2), text_2=Words(3))


def told(made: Conditioning, name: str) -> Tensor:
    value: Tensor | None = getattr(made, name)
    assert value is not None
    return value


# --- words ---


def test_two_encoders_stand_side_by_side_with_their_own_padding() -> None:
    made = text.text(ASKED, two(), False, Inputs())
    hidden = told(made, "crossattn") + 200_000
    assert hidden.shape == (1, 77, 5)
    assert hidden[0, :4, 0].tolist() == hidden[0, :4, 4].tolist() == [49406, 320, 2368, 49407]
    assert (float(hidden[0, 4, 0]), float(hidden[0, 4, 4])) == (49407, 0)
    assert told(made, "vector").tolist() == [[49406, 320, 2368]]


def test_the_second_encoder_reads_its_own_prompt_where_there_is_one() -> None:
    hidden = told(text.text(replace(ASKED, second_prompt="a dog"), two(), False, Inputs()), "crossattn") + 200_000
    assert hidden[0, 2, 0] == 2368 and hidden[0, 2, 4] == 1929


def test_no_negative_words_are_zeros_where_the_family_says_so_and_any_are_encoded() -> None:
    silent = text.text(ASKED, two(), True, Inputs())
    assert float(told(silent, "crossattn").abs().max()) == 0 and float(told(silent, "vector").abs().max()) == 0
    assert told(silent, "crossattn").shape == (1, 77, 5)
    for spoken in (replace(ASKED, negative_prompt="dog"), replace(ASKED, second_negative_prompt="dog")):
        assert float(told(text.text(spoken, two(), True, Inputs()), "crossattn").abs().max()) > 0


def test_both_sides_and_encoders_get_as_many_chunks_as_the_longest() -> None:
    long = replace(ASKED, negative_prompt="cat " * 80)
    lengths = {told(text.text(long, two(), side, Inputs()), "crossattn").shape[1] for side in (False, True)}
    assert lengths == {154}
    cut = replace(long, long_prompt="Cut")
    assert {told(text.text(cut, two(), side, Inputs()), "crossattn").shape[1] for side in (False, True)} == {77}


@pytest.mark.parametrize("skip, layer", [(1, -2), (2, -2), (3, -3)])
def test_clip_skip_only_goes_deeper_than_the_family_does(skip: int, layer: int) -> None:
    hidden = told(text.text(replace(ASKED, clip_skip=skip), two(), False, Inputs()), "crossattn")
    assert float(hidden[0, 0, 0]) == 49406 + 100_000 * layer


def test_what_was_encoded_before_is_not_encoded_again() -> None:
    kept = two()
    for _ in range(3):
        text.text(ASKED, kept, False, Inputs())
    assert kept.encoders["text"].asked == kept.encoders["text_2"].asked == 1


def test_cut_and_without_grammar_a_prompt_is_read_as_the_releases_read_it() -> None:
    plain = replace(ASKED, prompt="(a) # cat", long_prompt="Cut", emphasis="None")
    hidden = told(text.text(plain, two(), False, Inputs()), "crossattn") + 200_000
    assert hidden[0, :7, 0].tolist() == [49406, 263, 320, 264, 258, 2368, 49407]


# --- numbers ---


def test_waves_are_cosines_then_sines_from_fast_to_slow() -> None:
    made = waves(torch.tensor([0.0, 3.0]), 4)
    assert made.dtype == torch.float32
    assert made[0].tolist() == [1, 1, 0, 0]
    assert made[1].tolist() == pytest.approx([math.cos(3), math.cos(0.03), math.sin(3), math.sin(0.03)], rel=1e-5)


def test_sizes_are_told_height_first_and_default_to_the_picture_itself() -> None:
    row = replace(family(), size_numbers=("original_size", "crop", "target_size"))
    asked = replace(ASKED, original_width=7, crop_top=3, target_height=5)
    made = told(sizes.sizes(asked, model(row), False, Inputs(size=(64, 128))), "vector")
    expected = waves(torch.tensor([64.0, 7, 3, 0, 5, 128]), 256).reshape(1, -1)
    assert torch.equal(made, expected)


def test_each_side_is_told_its_own_score() -> None:
    row = replace(family(), size_numbers=("aesthetic_score",))
    for side, score in ((False, 6.0), (True, 2.5)):
        assert torch.equal(told(sizes.sizes(ASKED, model(row), side, Inputs()), "vector"), waves(torch.tensor([score]), 256))


@pytest.mark.parametrize("name, first, last", [("linear:0.0001:0.02", 1 - 1e-4, None), ("cosine", 0.99996, 2.4e-9)])
def test_input_schedules_begin_with_nearly_all_and_end_with_nearly_nothing(name: str, first: float, last: float | None) -> None:
    left = noised.signal(name)
    assert len(left) == 1000 and all(a > b > 0 for a, b in pairwise(left))
    assert left[0] == pytest.approx(first, abs=1e-5)
    assert last is None or left[-1] == pytest.approx(last, rel=0.1)


# --- things ---


def test_boxes_are_a_label_and_two_corners_and_the_rest_is_nothing() -> None:
    tokens = things.box_tokens([Box("17", 0.0, 0.0, 1.0, 1.0), Box("3", 0.5, 0.25, 0.25, 0.5)], 8192)
    assert tokens[:6] == [17, 0, 8099, 3, 22 * 90 + 44, 67 * 90 + 67]
    assert tokens[6:90] == [8191] * 84 and tokens[90:] == [0, 8099]


def test_what_reaches_beyond_the_picture_is_cut_and_what_is_outside_left_out() -> None:
    inside, beyond = (
        things.box_tokens([Box("1", 0.8, 0.7, 0.2, 0.3)], 8192),
        things.box_tokens([Box("1", 0.8, 0.7, 0.5, 9.0)], 8192),
    )
    assert inside == beyond
    empty = things.box_tokens([], 8192)
    for x, y in ((1.0, 0.0), (-0.5, 0.0), (0.0, -0.5), (0.0, 2.0)):
        assert things.box_tokens([Box("1", x, y, 0.5, 0.5)], 8192) == empty


class Table(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, numbers: Tensor) -> Tensor:
        return numbers[:, None, None].float()


@pytest.mark.parametrize(
    "classes, label, negative, row",
    [(1001, "3", False, 3), (1001, "3", True, 1000), (1001, "", False, 1000), (1001, "1000", False, 1000), (10, "3", True, 3)],
)
def test_no_class_is_the_last_row_of_an_odd_table(classes: int, label: str, negative: bool, row: int) -> None:
    told_ = things.class_of(replace(ASKED, class_label=label), model(family(), **{"class": Table(classes)}), negative, Inputs())
    assert told(told_, "crossattn").tolist() == [[[row]]]


def test_a_label_beyond_the_encoders_is_named() -> None:
    encoder = SimpleNamespace(labels=182)
    with pytest.raises(FieldError, match="200"):
        things.map_of(ASKED, model(family(), map=encoder), False, Inputs(map=torch.full((1, 8, 8), 200)))
    with pytest.raises(FieldError, match="give it one"):
        things.map_of(ASKED, model(family(), map=encoder), False, Inputs())


# --- pictures ---


def test_depth_is_told_between_minus_one_and_one_at_the_latents_size() -> None:
    depth = torch.linspace(3, 11, 32).view(1, 1, 1, 32).expand(1, 1, 32, 32)
    made = told(pictures.depth(ASKED, model(family()), False, Inputs(size=(64, 128), depth=depth)), "concat")
    assert made.shape == (1, 1, 8, 16)
    assert (float(made.min()), float(made.max())) == pytest.approx((-1, 1)) and float(made[0, 0, 0, 0]) == -1
    flat = told(pictures.depth(ASKED, model(family()), False, Inputs(size=(64, 64), depth=torch.ones(1, 1, 4, 4))), "concat")
    assert bool(flat.isfinite().all())


def test_without_an_estimator_a_depth_map_is_asked_for() -> None:
    with pytest.raises(FieldError, match="no estimator"):
        pictures.depth(ASKED, model(family()), False, Inputs(size=(64, 64), image=torch.zeros(1, 3, 64, 64)))
    with pytest.raises(FieldError, match="image"):
        pictures.depth(ASKED, model(family()), False, Inputs(size=(64, 64)))


LARGER = replace(family(), noise_levels=350, noise_level=20, input_schedule="linear:0.0001:0.02")


@pytest.mark.parametrize("asked, level", [(None, 20), (0, 0), (300, 300)])
def test_an_enlarged_picture_is_told_with_noise_and_its_level(asked: int | None, level: int) -> None:
    image, noise = torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 2.0)
    made = noised.noised_low_res(
        replace(ASKED, noise_level=asked), model(LARGER), False, Inputs(image=image, noise=lambda shape: noise.view(shape))
    )
    left = noised.signal(LARGER.input_schedule)[level]
    assert told(made, "vector").tolist() == [[level]]
    assert float(told(made, "concat")[0, 0, 0, 0]) == pytest.approx(0.5 * left**0.5 + 2 * (1 - left) ** 0.5)


class Sight(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.mean((2, 3))


def varied(mix: float = 0.5, negative: bool = False, **given: Any) -> Tensor:
    row = replace(family(), noise_levels=1000, input_schedule="cosine")
    whole = model(row, image=Sight())
    whole.unet = SimpleNamespace(  # type: ignore[assignment]
        class_embedding=SimpleNamespace(linear_1=SimpleNamespace(in_features=6)), parameters=nn.Linear(1, 1).parameters
    )
    whole.statistics = {"image_mean": torch.tensor([1.0, 2, 3]), "image_deviation": torch.tensor([2.0, 2, 2])}
    inputs = Inputs(noise=torch.zeros, **given)
    return told(noised.image_embedding(replace(ASKED, mix=mix), whole, negative, inputs), "vector")


def test_two_pictures_are_mixed_by_the_mean_of_what_is_seen_in_them() -> None:
    first, second = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    assert varied(image=first, second_image=second, mix=0.25)[0, :3].tolist() == pytest.approx([0.25] * 3, abs=1e-3)
    assert torch.equal(varied(image=first, second_image=second, mix=0.0), varied(image=first))


def test_an_embedding_is_taken_as_it_is_and_no_picture_is_zeros() -> None:
    embedding = torch.tensor([[5.0, -1, 2]])
    assert varied(image_embedding=embedding)[0, :3].tolist() == pytest.approx([5, -1, 2], abs=1e-3)
    assert torch.equal(varied(), torch.zeros(1, 6))
    assert torch.equal(varied(image_embedding=embedding, negative=True), torch.zeros(1, 6))


# --- together ---


def test_parts_stand_behind_each_other_and_two_of_crossattn_are_refused() -> None:
    one = Conditioning(vector=torch.zeros(1, 2), concat=torch.zeros(1, 1, 4, 4))
    two_ = Conditioning(vector=torch.ones(1, 3), concat=torch.ones(1, 2, 4, 4))
    made = together([one, two_], "it")
    assert told(made, "vector").tolist() == [[0, 0, 1, 1, 1]] and told(made, "concat").shape == (1, 3, 4, 4)
    assert made.crossattn is None
    with pytest.raises(PluginError, match="crossattn"):
        together([Conditioning(crossattn=torch.zeros(1, 1, 1))] * 2, "it")


def test_a_picture_with_noise_of_its_own_is_told_alone_and_the_shared_part_once() -> None:
    asked: list[tuple[bool, float]] = []

    def noisy(request: GenerationRequest, model: Model, negative: bool, inputs: Inputs) -> Conditioning:
        assert inputs.noise is not None
        asked.append((negative, float(inputs.noise((1,))[0])))
        return Conditioning(concat=torch.full((1, 1, 2, 2), asked[-1][1]))

    parts = Parts()
    parts.conditioners.add(ConditionerPart("noisy", noisy, is_shared=True), "test")
    row = replace(family(), conditioners=("noisy",), noise_levels=10)
    inputs = [Inputs(noise=lambda shape, i=i: torch.full(shape, float(i))) for i in range(3)]
    positive, negative = condition(ASKED, model(row), parts, inputs)
    assert asked == [(False, 0.0), (False, 1.0), (False, 2.0)]
    assert told(positive, "concat")[:, 0, 0, 0].tolist() == [0, 1, 2] and torch.equal(
        told(positive, "concat"), told(negative, "concat")
    )
    both = told(batched([positive, negative], 3), "concat")
    assert both[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2]


def test_pictures_without_noise_of_their_own_are_told_the_same_once() -> None:
    parts = Parts()
    parts.conditioners.add(ConditionerPart("plain", lambda *_: Conditioning(vector=torch.ones(1, 2))), "test")
    positive, negative = condition(ASKED, model(replace(family(), conditioners=("plain",))), parts, [Inputs()] * 4)
    assert told(positive, "vector").shape == (1, 2)
    assert told(batched([positive, negative], 4), "vector").shape == (8, 2)
