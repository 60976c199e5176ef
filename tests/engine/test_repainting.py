"""Repainting, inpainting and outpainting: sizes to the pixel, bytes outside the mask, calls of the network, seeds of a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.engine.studio import wish
from webui.contract.errors import FieldError
from webui.contract.request import FILLS, RESIZE_MODES, GenerationRequest
from webui.contract.result import GeneratedImage, Progress
from webui.engine import masks
from webui.engine.canvas import NOTHING_MASKED
from webui.engine.generate import generate
from webui.workspace.app import App

Kept = dict[str, Image.Image]
QUICK = GenerationRequest(prompt="a red sphere", image="image", steps=3, seed=3, strength=0.5)
SIZES = [(90, 316), (65, 64), (123, 99), (64, 127), (96, 80)]


def photo(size: tuple[int, int] = (90, 70), mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Smooth colours, no two pixels alike."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, len(mode)), dtype=np.uint8)
    return Image.fromarray(small, mode).resize(size, Image.Resampling.BICUBIC)


def box(size: tuple[int, int], place: tuple[int, int, int, int], value: int = 255) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(value, place)
    return mask


def drawn(app: App, request: GenerationRequest, kept: Kept, observer: Any = None) -> list[GeneratedImage]:
    return list(generate(request, app.checkpoints, app.parts, observer, pictures=kept.__getitem__))


def painted(app: App, kept: Kept, **fields: Any) -> Image.Image:
    (made,) = drawn(app, replace(QUICK, **fields), kept)
    return made.image


class Counter:
    """An observer, and how often the network was called."""

    def __init__(self, app: App) -> None:
        self.told: list[Progress] = []
        self.calls = 0
        with app.checkpoints.use() as model:
            assert model.unet is not None
            self.handle = model.unet.register_forward_hook(self._called)

    def _called(self, *_: Any) -> None:
        self.calls += 1

    def should_stop(self) -> bool:
        return False

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)


# ---- sizes


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_a_picture_comes_back_at_the_size_that_was_asked(app: App, size: tuple[int, int], mode: str) -> None:
    kept = {"image": photo((100, 70))}
    assert painted(app, kept, width=size[0], height=size[1], resize=mode, steps=2).size == size


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_keeps_its_own_size_where_none_is_asked(app: App, size: tuple[int, int]) -> None:
    assert painted(app, {"image": photo(size)}).size == size


def test_a_frame_that_misses_the_picture_by_less_than_a_pixel_is_filled(app: App) -> None:
    assert painted(app, {"image": photo((100, 101))}, width=99, height=100, resize="fill").size == (99, 100)


def test_padding_is_told(app: App) -> None:
    (made,) = drawn(app, QUICK, {"image": photo((90, 70))})
    assert made.notes == ("Drawn at 96 x 72, as the network needs, and cropped to 90 x 70.",)
    assert drawn(app, QUICK, {"image": photo((64, 64))})[0].notes == ()


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "CMYK", "I;16", "1"])
def test_pictures_of_any_kind_are_repainted(app: App, mode: str) -> None:
    image = Image.fromarray(np.full((64, 64), 30_000, np.uint16)) if mode == "I;16" else photo((64, 64), "RGBA").convert(mode)
    assert painted(app, {"image": image}, steps=2).mode == "RGB"


# ---- strength and calls


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("size", SIZES)
def test_strength_0_gives_the_picture_back_byte_for_byte(app: App, size: tuple[int, int], mode: str) -> None:
    image, counter = photo(size, mode), Counter(app)
    (made,) = drawn(app, replace(QUICK, strength=0.0), {"image": image}, counter)
    counter.handle.remove()
    assert (made.image.mode, made.image.tobytes(), counter.calls) == (mode, image.tobytes(), 0)


def test_strength_1_ignores_the_picture(app: App) -> None:
    one, other = (painted(app, {"image": photo((64, 64), seed=seed)}, strength=1.0) for seed in (0, 1))
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    "strength, steps, calls", [(0.05, 15, 1), (0.8, 1, 1), (0.5, 4, 2), (0.29, 100, 29), (0.75, 20, 15), (1.0, 5, 5)]
)
def test_the_network_is_called_as_often_as_the_user_sees(app: App, strength: float, steps: int, calls: int) -> None:
    counter = Counter(app)
    asked = replace(QUICK, strength=strength, steps=steps, sampler="Euler", guidance=1.0)
    drawn(app, asked, {"image": photo((64, 64))}, counter)
    counter.handle.remove()
    assert (counter.calls, len(counter.told), counter.told[-1].steps, counter.told[-1].fraction) == (calls, calls, calls, 1)


@pytest.mark.parametrize("strength", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("steps", [2, 3, 9])
def test_every_sampler_is_cut_at_a_whole_step(app: App, strength: float, steps: int) -> None:
    """Cut between the two calls of a step, a walk would end in noise."""
    image = photo((64, 64))
    for sampler in app.parts.samplers:
        (made,) = drawn(app, replace(QUICK, sampler=sampler.name, steps=steps, strength=strength, guidance=1.0), {"image": image})
        distance = np.abs(np.asarray(made.image).astype(int) - np.asarray(image)).mean()
        assert distance < 100, f"{sampler.name}: {distance}"


# ---- masks

PLACES = {
    "a pixel": (40, 30, 41, 31), "left": (0, 30, 5, 40), "right": (85, 30, 90, 40), "top": (40, 0, 50, 3),
    "bottom": (40, 67, 50, 70), "top left": (0, 0, 1, 1), "bottom right": (89, 69, 90, 70), "all": (0, 0, 90, 70),
}  # fmt: skip


@pytest.mark.parametrize("only", [{}, {"only_masked": True, "mask_padding": 0}, {"only_masked": True, "mask_padding": 300}])
@pytest.mark.parametrize("place", PLACES)
def test_where_the_mask_is_0_no_byte_changes_also_after_blur(app: App, place: str, only: dict[str, Any]) -> None:
    image, mask = photo(mode="RGBA"), box((90, 70), PLACES[place])
    made = painted(app, {"image": image, "mask": mask}, mask="mask", mask_blur=2.0, steps=2, **only)
    assert (made.size, made.mode) == ((90, 70), "RGBA")
    is_kept = np.asarray(masks.blurred(mask, 2.0)) == 0
    before, after = np.asarray(image), np.asarray(made)
    assert (before[is_kept] == after[is_kept]).all()
    if not is_kept.all():
        assert (before[~is_kept] != after[~is_kept]).any()


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("resize", RESIZE_MODES)
def test_every_masked_content_paints_the_mask_alone(app: App, fill: str, resize: str) -> None:
    """At another size the picture outside is the resized one's bytes."""
    kept = {"image": photo((90, 70)), "mask": box((90, 70), (30, 20, 60, 50))}
    asked = {"mask": "mask", "mask_blur": 0, "masked_content": fill, "resize": resize, "width": 101, "height": 64, "steps": 2}
    made = np.asarray(painted(app, kept, **asked))
    still = np.asarray(painted(app, kept, **{**asked, "strength": 0.0}))
    changed = np.argwhere((made != still).any(-1))
    assert len(changed) and made.shape == (64, 101, 3)
    assert changed.min(0).tolist() > [5, 20] and changed.max(0).tolist() < [60, 80]


def test_an_inverted_mask_paints_the_rest(app: App) -> None:
    image, mask = photo(), box((90, 70), (30, 20, 60, 50))
    made = np.asarray(painted(app, {"image": image, "mask": mask}, mask="mask", mask_blur=0, mask_invert=True))
    is_kept = np.asarray(mask) > 0
    assert (made[is_kept] == np.asarray(image)[is_kept]).all() and (made[~is_kept] != np.asarray(image)[~is_kept]).any()


@pytest.mark.parametrize("only", [True, False])
def test_an_empty_mask_paints_the_whole_picture_and_says_so(app: App, only: bool) -> None:
    kept = {"image": photo((64, 64)), "mask": Image.new("L", (64, 64))}
    (made,) = drawn(app, replace(QUICK, mask="mask", only_masked=only), kept)
    assert NOTHING_MASKED in made.notes
    assert (np.asarray(made.image) != np.asarray(kept["image"])).any(-1).mean() > 0.9


def test_a_mask_of_other_proportions_is_refused_and_one_of_the_same_is_resized(app: App) -> None:
    with pytest.raises(FieldError, match="The mask has 50 x 70 pixels, the image 90 x 70"):
        painted(app, {"image": photo(), "mask": Image.new("L", (50, 70))}, mask="mask")
    half = box((45, 35), (20, 10, 30, 20))
    made = np.asarray(painted(app, {"image": photo(), "mask": half}, mask="mask", mask_blur=0))
    changed = np.argwhere((made != np.asarray(photo())).any(-1))
    assert changed.min(0).tolist() >= [18, 38] and changed.max(0).tolist() <= [42, 62]


def test_soft_inpainting_changes_a_pixel_as_much_as_its_mask_says(app: App) -> None:
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1)))
    kept = {"image": photo((96, 64)), "mask": ramp}
    made = np.asarray(painted(app, kept, mask="mask", mask_blur=0, soft=True, steps=12, strength=1.0)).astype(int)
    change = np.abs(made - np.asarray(kept["image"])).mean((0, 2))
    assert change[0] == 0 and change[8:24].mean() < change[72:88].mean() / 2


def test_a_picture_of_a_batch_is_the_same_alone_whatever_the_masked_content(app: App) -> None:
    kept = {"image": photo((64, 64)), "mask": box((64, 64), (16, 16, 48, 48))}
    for fill in FILLS:
        asked = replace(QUICK, mask="mask", masked_content=fill, batch_size=3, sampler="Euler a")
        batch = drawn(app, asked, kept)
        assert [made.request.seed for made in batch] == [3, 4, 5]
        assert len({made.image.tobytes() for made in batch}) == 3
        for made in batch:
            assert drawn(app, made.request, kept)[0].image.tobytes() == made.image.tobytes()


def test_colours_are_brought_back_to_the_pictures(app: App) -> None:
    grey = photo((64, 64)).convert("L").convert("RGB")
    plain, matched = (np.asarray(painted(app, {"image": grey}, match_colours=flag)).astype(int) for flag in (False, True))
    assert np.ptp(matched, axis=-1).mean() < np.ptp(plain, axis=-1).mean() / 2


# ---- outpainting


@pytest.mark.parametrize("sides", [(16, 0, 0, 0), (0, 7, 0, 0), (0, 0, 33, 5), (8, 8, 8, 8)])
@pytest.mark.parametrize("only", [True, False])
def test_a_picture_grows_by_what_was_asked_and_keeps_its_bytes(app: App, sides: tuple[int, int, int, int], only: bool) -> None:
    left, top, right, bottom = sides
    image = photo((96, 80))
    names = ("extend_left", "extend_top", "extend_right", "extend_bottom")
    made = painted(app, {"image": image}, strength=1.0, steps=2, only_masked=only, **dict(zip(names, sides, strict=True)))
    assert made.size == (96 + left + right, 80 + top + bottom)
    inner = np.asarray(made)[top : top + 80, left : left + 96]
    assert (inner == np.asarray(image)).all()


def test_outpainting_shows_no_seam(app: App) -> None:
    """Across the old border the picture changes no more than it does in what was added."""
    image = Image.new("RGB", (96, 96), (120, 160, 90))
    made = np.asarray(painted(app, {"image": image}, strength=0.6, steps=6, extend_right=32)).astype(int)
    steps = np.abs(np.diff(made, axis=1)).mean((0, 2))
    assert steps[95] <= max(2, steps[96:112].max()) and steps[:95].max() == 0


# ---- other families


INPAINTING = ["sd1-inpaint-a", "sd2-inpaint-a", "sdxl-inpaint-a", "ldm-inpaint-a"]


@pytest.mark.parametrize("name", [*INPAINTING, "sd1-a", "sd2-v-a", "sdxl-a", "ldm-class-a", "sd2-depth-a"])
def test_inpainting_works_with_every_checkpoint_that_repaints(studios: Any, name: str) -> None:
    studio = studios(name)
    kept = {"image": photo((70, 67)), "mask": box((70, 67), (20, 20, 50, 40)), "depth": photo((70, 67))}
    asked = replace(
        wish(studio.family), image="image", mask="mask", mask_blur=1.0, width=None, height=None, checkpoint=studio.file
    )
    for only in (True, False):
        wanted = replace(asked, only_masked=only, **({"width": 64, "height": 64} if only else {}))
        (made,) = generate(wanted, studio.checkpoints, studio.parts, pictures=kept.__getitem__)
        is_kept = np.asarray(masks.blurred(kept["mask"], 1.0)) == 0
        before, after = np.asarray(kept["image"]), np.asarray(made.image)
        assert (before[is_kept] == after[is_kept]).all() and (before[~is_kept] != after[~is_kept]).any()
