"""A stream's frames are pictures of the ordinary journey, sooner; and between two prompts the way is a straight line."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from webui.checkpoints.catalog import Catalog
from webui.checkpoints.download import Shelf
from webui.checkpoints.families import POCKET, POCKET_TURBO, SD1, SD_TURBO, SDXL_TURBO
from webui.checkpoints.manager import Checkpoints
from webui.checkpoints.model import Model
from webui.contract.errors import Interrupted, RequestError
from webui.contract.parts import Conditioning, Family, Parts
from webui.contract.request import Chosen, GenerationRequest
from webui.engine import autoencoder, plan
from webui.engine.conditioning import Sides, condition
from webui.engine.generate import Studio
from webui.engine.live import LADDERS, Blend, Frame, Stream, Wish, repainting, steps_for
from webui.engine.schedules import ladder
from webui.engine.table import NoiseTable
from webui.engine.watch import Unobserved

LONG = "a fox, " * 60
"""More than the 75 tokens that the encoder reads at once."""


def painting(side: int = 64) -> Image.Image:
    """Smooth colours to be repainted."""
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    rows = ramp[None].repeat(side, 0)
    return Image.fromarray(np.stack([rows, rows.T, 255 - rows], -1))


@dataclass
class Calls:
    """What the network was asked."""

    latents: list[Tensor] = field(default_factory=list)
    words: list[Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.latents)


@dataclass
class Room:
    """The turbo and the pocket, and ways to draw with them."""

    checkpoints: Checkpoints
    parts: Parts

    @property
    def family(self) -> Family:
        """Of the turbo."""
        family = self.checkpoints.find("swift").family
        assert family is not None
        return family

    def request(self, prompt: str = "a fox on grass", picture: Image.Image | None = None, **more: Any) -> GenerationRequest:
        fields: dict[str, Any] = {"checkpoint": "swift", "seed": 5, "width": 64, "height": 64, "resize": "crop"}
        fields |= {"image": "picture"} if picture else {}
        asked = GenerationRequest(prompt=prompt, **fields | more)
        return plan.complete(asked, self.checkpoints, self.parts, lambda _: picture or painting())

    @contextmanager
    def model(self, name: str = "swift") -> Iterator[Model]:
        with self.checkpoints.use(name) as model:
            yield model

    def draw(
        self,
        stream: Stream,
        wish: Wish,
        should_stop: Callable[[], bool] = lambda: False,
        now: float = 0.0,
    ) -> list[Frame]:
        """The frames of one call; where it was stopped, those before."""
        frames: list[Frame] = []
        with self.model(wish.request.checkpoint) as model:
            try:
                has_ended = stream.draw(wish, model, should_stop, frames.append, lambda: now)
            except Interrupted:
                assert should_stop()
            else:
                assert has_ended == frames[-1].is_final
        return frames

    def journey(self, request: GenerationRequest, picture: Image.Image | None = None) -> Tensor:
        """What the stream's eyes see of the latents that the ordinary journey ends with: (1, 3, H, W)."""
        studio = Studio(self.checkpoints, self.parts, Unobserved(), lambda _: picture or painting())
        batch = next(plan.batches(request))
        (painted,) = studio.paint(batch.passes[0], batch, batch.share(0, 1), [])
        with self.model(request.checkpoint) as model:
            return autoencoder.quick(painted.latents, model)

    def told(self, request: GenerationRequest) -> Tensor:
        """What the prompt says to the network: (1, T, D)."""
        with self.model(request.checkpoint) as model, torch.inference_mode():
            crossattn = condition(request, model, self.parts, [None])[0].crossattn  # type: ignore[list-item]
            assert crossattn is not None
            return crossattn

    @contextmanager
    def watching(self) -> Iterator[Calls]:
        """Listens at the door of the turbo's network."""
        calls = Calls()

        def note(_: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            calls.latents.append((args[0] if args else named["sample"]).clone())
            calls.words.append(named["encoder_hidden_states"].clone())

        with self.model() as model:
            assert model.unet is not None
            hook = model.unet.register_forward_pre_hook(note, with_kwargs=True)
            try:
                yield calls
            finally:
                hook.remove()


@pytest.fixture(scope="module")
def room(parts: Parts, turbo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Room:
    kept, models = tmp_path_factory.mktemp("kept"), turbo_data / "models"
    catalog = Catalog([models], [], parts.families, kept / "hashes.json")
    return Room(Checkpoints(catalog, "", torch.device("cpu"), kept, shelf=Shelf([models]), dtype=torch.float32), parts)


# ---------------------------------------------------------------- frames and the journey


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("strength", [None, 0.3, 0.8, 1.0])
def test_the_last_frame_is_the_picture_of_the_ordinary_journey(room: Room, steps: int, strength: float | None) -> None:
    request, picture = room.request(steps=steps), None
    if strength is not None:
        picture = painting(80)
        ladder_steps, share = repainting(steps, strength, "Automatic", room.family.sampler, room.family, room.parts)
        request = room.request(picture=picture, steps=ladder_steps, strength=share)
    frames = room.draw(Stream(room.parts), Wish(request, picture))
    assert torch.equal(frames[-1].pixels, room.journey(request, picture))
    assert (frames[-1].step, frames[-1].steps) == (steps, steps)


def test_walks_that_share_their_calls_end_with_the_same_pictures_in_order(room: Room) -> None:
    stream, frames = Stream(room.parts, flows=True), list[Frame]()
    wishes = [Wish(room.request(prompt, steps=4)) for prompt in ("a fox", "a cat", "a blue cube")]
    with room.model() as model:
        for wish in wishes:
            while not stream.draw(wish, model, lambda: True, frames.append, lambda: 0.0) and wish is wishes[-1]:
                pass
        stream.close()
    assert [frame.wish for frame in frames] == wishes and all(frame.is_final for frame in frames)
    for frame in frames:
        assert torch.allclose(frame.pixels, room.journey(frame.wish.request), atol=1e-3)


def test_a_checkpoint_that_is_no_turbo_is_drawn_as_the_journey_draws_it(room: Room) -> None:
    request = room.request(checkpoint="pocket", steps=5, negative_prompt="blurry")
    assert request.guidance and request.guidance > 1
    frames = room.draw(Stream(room.parts), Wish(request))
    assert torch.equal(frames[-1].pixels, room.journey(request))


def test_the_pictures_of_all_steps_come_in_order_and_the_last_one_is_marked(room: Room) -> None:
    wish = Wish(room.request(steps=4))
    frames = room.draw(Stream(room.parts), wish)
    assert [(frame.step, frame.steps, frame.is_final) for frame in frames] == [
        (1, 4, False),
        (2, 4, False),
        (3, 4, False),
        (4, 4, True),
    ]
    assert all(frame.wish is wish and frame.stopwatch.seconds() > 0 for frame in frames)
    for one, other in itertools.pairwise(frames):
        assert not torch.equal(one.pixels, other.pixels)
    # the first look is at the network's first answer, which one step alone ends with
    (alone,) = room.draw(Stream(room.parts), Wish(room.request(steps=1)))
    assert torch.allclose(frames[0].pixels, alone.pixels, atol=1e-4)


def test_a_walk_goes_on_with_its_noise_when_only_the_words_change(room: Room) -> None:
    stream = Stream(room.parts)
    with room.watching() as calls:
        for prompt, negative in (("a fox", ""), ("a fox on snow", "blurry"), (LONG, "")):
            request = room.request(prompt, negative_prompt=negative, steps=4)
            assert torch.equal(room.draw(stream, Wish(request))[-1].pixels, room.journey(request)), prompt
        starts = calls.latents[::4]
    assert all(torch.equal(start, starts[0]) for start in starts)
    assert not torch.equal(calls.words[0], calls.words[8])


@pytest.mark.parametrize("change", [{"seed": 6}, {"width": 72}, {"steps": 3}, {"checkpoint": "pocket", "steps": 2}])
def test_whatever_else_changes_is_drawn_anew(room: Room, change: dict[str, Any]) -> None:
    stream = Stream(room.parts)
    room.draw(stream, Wish(room.request(steps=2)))
    request = room.request(**{"steps": 2} | change)
    assert torch.equal(room.draw(stream, Wish(request))[-1].pixels, room.journey(request))
    first = room.request(steps=2)
    assert torch.equal(room.draw(stream, Wish(first))[-1].pixels, room.journey(first))


def test_another_picture_is_repainted_with_the_next_wish(room: Room) -> None:
    stream, pictures = Stream(room.parts), (painting(64), painting(64).rotate(90))
    for picture in (*pictures, None):
        request = room.request(picture=picture, steps=2, strength=0.5 if picture else 1.0)
        assert torch.equal(room.draw(stream, Wish(request, picture))[-1].pixels, room.journey(request, picture))


@pytest.mark.parametrize("picture", [None, painting(90)], ids=["words", "picture"])
def test_a_frame_has_the_size_that_was_asked_where_the_network_needs_more(room: Room, picture: Image.Image | None) -> None:
    request = room.request(width=100, height=70, picture=picture, steps=2, strength=0.5 if picture else 1.0)
    frames = room.draw(Stream(room.parts), Wish(request, picture))
    assert {tuple(frame.pixels.shape) for frame in frames} == {(1, 3, 70, 100)}
    assert torch.equal(frames[-1].pixels, room.journey(request, picture)[..., :70, :100])


# ---------------------------------------------------------------- stopping


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_an_outdated_walk_stops_before_the_next_call_and_has_shown_what_it_had(room: Room, after: int) -> None:
    """Outdated from the start, or after so many frames: at least one frame is always there."""
    shown: list[Frame] = []
    with room.watching() as calls, room.model() as model, pytest.raises(Interrupted):
        Stream(room.parts).draw(Wish(room.request(steps=4)), model, lambda: len(shown) >= after, shown.append)
    assert len(shown) == len(calls) == max(after, 1)
    assert not any(frame.is_final for frame in shown)


def test_a_stream_takes_no_guiders_and_no_conditioners_and_says_so(room: Room) -> None:
    """What it records of the network could not be asked otherwise."""
    plain, stream = room.request(), Stream(room.parts)
    for more in ({"guiders": (Chosen("Any"),)}, {"conditioners": (Chosen("Any"),)}):
        with pytest.raises(RequestError, match=r"The live stream takes no conditioners and no guiders\."):
            room.draw(stream, Wish(replace(plain, **more)))
    assert room.draw(stream, Wish(plain))


def test_one_step_is_always_shown(room: Room) -> None:
    (frame,) = room.draw(Stream(room.parts), Wish(room.request(steps=1)), should_stop=lambda: True)
    assert frame.is_final


def test_a_walk_that_was_stopped_is_walked_whole_the_next_time(room: Room) -> None:
    stream, request = Stream(room.parts), room.request(steps=4)
    room.draw(stream, Wish(request), should_stop=lambda: True)
    assert torch.equal(room.draw(stream, Wish(request))[-1].pixels, room.journey(request))


def test_a_stream_keeps_no_checkpoint_in_memory(room: Room, turbo_data: Path) -> None:
    stream = Stream(room.parts)
    room.draw(stream, Wish(room.request(steps=2)))
    with room.model() as model:
        gone = weakref.ref(model)
    del model
    room.checkpoints.unload("swift")
    gc.collect()
    assert gone() is None
    request = room.request(steps=2)
    assert torch.equal(room.draw(stream, Wish(request))[-1].pixels, room.journey(request))


# ---------------------------------------------------------------- from one prompt to the next


def told(*values: float, tokens: int = 1, vector: float | None = None) -> Sides:
    """Both sides of a conditioning: so many numbers a token."""
    words = torch.tensor([[list(values)] * tokens])
    return (
        Conditioning(crossattn=words, vector=None if vector is None else torch.tensor([[vector]])),
        Conditioning(crossattn=-words),
    )


def numbers(sides: Sides) -> list[float]:
    """Of the first token of the prompt's side."""
    assert sides[0].crossattn is not None
    return sides[0].crossattn[0, 0].tolist()


def blending(*steps: tuple[Sides, float, float]) -> Blend:
    """(where to, in so many seconds, at what time) one after the other."""
    blend = Blend()
    for to, seconds, now in steps:
        blend.go(to, seconds, now, 1)
    return blend


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.01, 10), st.floats(0, 1e6))
def test_the_way_to_a_prompt_is_straight_and_ends_exactly_there(share: float, seconds: float, began: float) -> None:
    start, end = told(0.0, 1.0, vector=2.0), told(1.0, 0.1, vector=4.0)
    blend = blending((start, 0, began), (end, seconds, began))
    now = began + share * seconds
    passed = (now - began) / seconds
    at, has_arrived = blend.at(now)
    assert has_arrived == (passed >= 1)
    assert numbers(at) == pytest.approx([passed, 1 - 0.9 * passed], abs=1e-6) if passed < 1 else numbers(at) == numbers(end)
    assert at[0].vector is not None and at[0].vector.item() == pytest.approx(2 + 2 * min(passed, 1), abs=1e-5)
    assert at[1].crossattn is not None and torch.equal(at[1].crossattn, -at[0].crossattn)  # type: ignore[operator]
    assert blend.at(began + 2 * seconds) == (end, True)
    assert blend.at(began) == (end, True), "it has arrived, and does not go back"


def test_a_newer_prompt_begins_where_the_older_one_has_come_to() -> None:
    blend = blending((told(0.0), 0, 0), (told(1.0), 4, 10), (told(0.0), 2, 11))
    assert numbers(blend.at(11)[0]) == [0.25]
    assert numbers(blend.at(12)[0]) == [0.125]
    assert blend.at(13) == (blend.at(20)[0], True) and numbers(blend.at(13)[0]) == [0.0]


def test_the_same_prompt_again_does_not_begin_anew() -> None:
    blend = blending((told(0.0), 0, 0), (told(1.0), 4, 10), (told(1.0), 4, 12))
    assert numbers(blend.at(13)[0]) == [0.75]


def test_the_first_prompt_and_one_without_smoothing_are_there_at_once() -> None:
    assert blending((told(1.0), 5, 0)).at(0) == blending((told(1.0), 0, 0)).at(0)
    assert numbers(blending((told(0.0), 0, 0), (told(1.0), 4, 0), (told(3.0), 0, 1)).at(1)[0]) == [3.0]


@pytest.mark.parametrize(
    "other", [told(1.0, tokens=2), told(1.0, 2.0), told(1.0, vector=1.0)], ids=["longer", "wider", "of another kind"]
)
def test_prompts_of_different_shape_do_not_blend(other: Sides) -> None:
    blend = blending((told(0.0), 0, 0), (other, 4, 0))
    assert blend.at(1)[1] and blend.at(1)[0] is other


def test_what_two_checkpoints_are_told_does_not_blend() -> None:
    blend = blending((told(0.0), 0, 0))
    blend.go(told(1.0), 4, 0, model=2)
    assert blend.at(1)[1]


def test_a_stream_wanders_from_prompt_to_prompt_and_is_not_done_before_it_is_there(room: Room) -> None:
    stream, requests = Stream(room.parts), [room.request(prompt) for prompt in ("a fox", "a blue cube")]
    start, end = [room.told(request) for request in requests]
    room.draw(stream, Wish(requests[0], smooth=2.0), now=0)
    wish = Wish(requests[1], smooth=2.0)
    with room.watching() as calls:
        ends = [room.draw(stream, wish, now=now)[-1].is_final for now in (10, 11, 11.5, 12, 13)]
    assert ends == [False, False, False, True, True]
    for words, share in zip(calls.words, (0, 0.5, 0.75, 1, 1), strict=True):
        assert torch.allclose(words, torch.lerp(start, end, share), atol=1e-6)
    assert torch.equal(calls.words[3], end)
    assert torch.equal(room.draw(stream, wish, now=14)[-1].pixels, room.journey(requests[1]))


def test_a_long_prompt_is_drawn_at_once(room: Room) -> None:
    stream, request = Stream(room.parts), room.request(LONG)
    room.draw(stream, Wish(room.request("a fox"), smooth=2.0), now=0)
    (frame,) = room.draw(stream, Wish(request, smooth=2.0), now=1)
    assert frame.is_final and torch.equal(frame.pixels, room.journey(request))


# ---------------------------------------------------------------- how many steps, from where


TURBOS = {"Turbo": POCKET_TURBO, "SD Turbo": SD_TURBO}


def starts(family: Family, schedule: str, walked: int, parts: Parts) -> dict[int, float]:
    """The time step (0 to 999) at which the last so many steps of each ladder begin, by the ladder's own."""
    table, sampler = NoiseTable.from_family(family), parts.samplers[family.sampler]
    ladders = {
        steps: ladder(sampler, schedule, steps, table, parts.schedules, family.schedule)
        for steps in range(walked, walked + LADDERS + 1)
    }
    return {steps: table.t(float(rungs[-1 - walked])) for steps, rungs in ladders.items()}


@settings(deadline=None)
@given(
    schedule=st.sampled_from([*TURBOS, "Automatic"]),
    walked=st.integers(1, 4),
    strength=st.floats(0, 1) | st.sampled_from([0.0, 0.001, 0.25, 0.5, 1.0]),
)
def test_repainting_begins_as_near_to_the_asked_noise_as_so_few_steps_can(
    parts: Parts, schedule: str, walked: int, strength: float
) -> None:
    family = TURBOS.get(schedule, SDXL_TURBO)
    steps, share = repainting(walked, strength, schedule, family.sampler, family, parts)
    request = GenerationRequest(image="picture", steps=steps, strength=share)
    assert plan.walked(request) == walked
    known, asked = starts(family, schedule, walked, parts), 999 * strength
    assert abs(known[steps] - asked) == min(abs(t - asked) for t in known.values())
    if schedule != "Turbo" and asked >= min(known.values()):
        assert abs(known[steps] - asked) <= 51, "the rungs of SD Turbo are a tenth of the way apart"


def test_the_whole_of_a_picture_is_noise_at_strength_1(parts: Parts) -> None:
    for walked in range(1, 5):
        assert repainting(walked, 1.0, "Automatic", SD_TURBO.sampler, SD_TURBO, parts) == (walked, 1.0)


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_the_network_is_first_asked_at_the_noise_that_repainting_chose(room: Room, strength: float) -> None:
    picture, walked = painting(), 2
    steps, share = repainting(walked, strength, "Automatic", room.family.sampler, room.family, room.parts)
    request = room.request(picture=picture, steps=steps, strength=share)
    times: list[float] = []
    with room.model() as model:
        assert model.unet is not None
        hook = model.unet.register_forward_pre_hook(
            lambda _, args, named: times.append(float(args[1] if len(args) > 1 else named["timestep"])), with_kwargs=True
        )
        room.draw(Stream(room.parts), Wish(request, picture))
        hook.remove()
    assert len(times) == walked
    assert times[0] == pytest.approx(starts(room.family, "Automatic", walked, room.parts)[steps], abs=0.51)


def test_a_turbo_walks_as_many_steps_as_it_was_made_for_and_others_a_third_of_theirs() -> None:
    for family in (POCKET_TURBO, SD_TURBO, SDXL_TURBO):
        assert [steps_for(family, steps) for steps in (-1, 0, 1, 4, 5, 100)] == [1, 1, 1, 4, 4, 4]
    for family in (POCKET, SD1, replace(SD1, steps=1)):
        assert {steps_for(family, steps) for steps in (1, 4)} == {max(-(-family.steps // 3), 1)}
