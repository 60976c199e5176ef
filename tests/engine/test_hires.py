"""Hires fix, enlarging by any upscaler, depth, and tiles: one size for page, job and text; calls counted; no seams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.studio import picture, wish
from tests.engine.test_repainting import Counter, box, drawn, photo
from webui.contract.errors import FieldError, Interrupted, UnknownNameError
from webui.contract.request import EnlargeRequest, GenerationRequest
from webui.contract.result import Progress
from webui.engine import autoencoder, enlarge, plan, tiling, upscale
from webui.engine import sizes as sizes_of
from webui.engine.generate import generate
from webui.engine.resizing import LATENT_MODES
from webui.engine.watch import Unobserved
from webui.workspace.app import App

QUICK = GenerationRequest(prompt="a red sphere", steps=3, seed=3, width=64, height=72, hires_scale=1.4, hires_strength=0.5)


# ---- hires fix


@pytest.mark.parametrize("upscaler", [*LATENT_MODES, "Lanczos", "Nearest", "None"])
def test_the_picture_has_the_size_that_was_announced(app: App, upscaler: str) -> None:
    asked = replace(QUICK, hires_upscaler=upscaler)
    (made,) = drawn(app, asked, {})
    assert made.image.size == (90, 101) == app.hires_size(asked)
    assert (
        "Size: 64x72" in made.infotext
        and "Hires upscale: 1.4" in made.infotext
        and f"Hires upscaler: {upscaler}" in made.infotext
    )
    assert drawn(app, made.request, {})[0].image.tobytes() == made.image.tobytes()


@pytest.mark.parametrize("to", [(100, 0), (0, 150), (100, 100), (130, 90)])
@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos"])
def test_a_size_may_be_asked_and_what_is_cut_off_is_told(app: App, to: tuple[int, int], upscaler: str) -> None:
    asked = replace(QUICK, hires_scale=1.0, hires_width=to[0], hires_height=to[1], hires_upscaler=upscaler)
    (made,) = drawn(app, asked, {})
    assert made.image.size == app.hires_size(asked)
    assert all(side in (0, got) for side, got in zip(to, made.image.size, strict=True))
    assert any("are cut off" in note for note in made.notes) == (0 not in to)


def test_both_passes_are_counted_as_the_user_sees_them(app: App) -> None:
    counter = Counter(app)
    drawn(app, replace(QUICK, sampler="Euler", guidance=1.0, hires_steps=8), {}, counter)
    counter.handle.remove()
    assert (counter.calls, len(counter.told)) == (3 + 4, 7)
    assert [told.step for told in counter.told] == [1, 2, 3, 4, 5, 6, 7] and {told.steps for told in counter.told} == {7}
    fractions = [told.fraction for told in counter.told]
    assert fractions == sorted(fractions) and fractions[-1] == 1


def test_the_second_pass_has_its_own_words_sampler_and_guidance(app: App) -> None:
    asked = replace(QUICK, hires_steps=8)
    plain = drawn(app, asked, {})[0].image.tobytes()
    fields: dict[str, Any] = {"hires_prompt": "a blue cube", "hires_sampler": "DDIM", "hires_guidance": 9.0}
    for name, value in (fields | {"hires_schedule": "Uniform"}).items():
        assert drawn(app, replace(asked, **{name: value}), {})[0].image.tobytes() != plain, name


def test_a_picture_of_a_batch_is_the_same_alone(app: App) -> None:
    for upscaler in ("Latent", "Lanczos"):
        for made in drawn(app, replace(QUICK, batch_size=2, hires_upscaler=upscaler), {}):
            assert drawn(app, made.request, {})[0].image.tobytes() == made.image.tobytes()


def test_a_finished_picture_is_enlarged_as_it_is_where_nothing_is_repainted(app: App) -> None:
    image = photo((64, 72))
    asked = replace(QUICK, image="image", strength=0.0, hires_upscaler="Nearest", hires_scale=2.0, hires_strength=0.0)
    (made,) = drawn(app, asked, {"image": image})
    assert made.image.tobytes() == image.resize((128, 144), Image.Resampling.NEAREST).tobytes()


def test_a_repainted_picture_can_be_enlarged_too(app: App) -> None:
    counter = Counter(app)
    asked = replace(QUICK, image="image", strength=0.0, sampler="Euler", guidance=1.0, hires_strength=0.9)
    (made,) = drawn(app, asked, {"image": photo((64, 72))}, counter)
    counter.handle.remove()
    assert (made.image.size, counter.calls) == ((90, 101), 2)


def test_what_cannot_be_is_one_sentence(app: App) -> None:
    for more, error, words in (
        ({"hires_upscaler": "4x-Nobody"}, UnknownNameError, "No upscaler is called '4x-Nobody'"),
        ({"hires_scale": 8.0, "width": 2048, "height": 64}, FieldError, "16384 x 512 is too large"),
        ({"image": "image", "mask": "image"}, FieldError, "cannot be used with a mask"),
    ):
        with pytest.raises(error, match=words):
            drawn(app, replace(QUICK, **more), {"image": photo((64, 72))})


def test_interrupting_the_second_pass_ends_within_one_call(app: App) -> None:
    class Impatient:
        calls = 0

        def should_stop(self) -> bool:
            return self.calls >= 4

        def progress(self, progress: Progress) -> None:
            self.calls += 1

    impatient = Impatient()
    with pytest.raises(Interrupted):
        drawn(app, replace(QUICK, hires_steps=20), {}, impatient)
    assert impatient.calls == 4


# ---- enlarging


def made_larger(app: App, image: Image.Image, **fields: Any) -> Any:
    request = enlarge.complete(EnlargeRequest(image="image", **fields), app.checkpoints, app.parts, lambda _: image)
    return enlarge.enlarged(request, app.checkpoints, app.parts, Unobserved(), lambda _: image)


@pytest.mark.parametrize("size", [(1, 1), (31, 17), (90, 70)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA", "I;16"])
def test_any_picture_is_enlarged_to_the_size_that_was_announced(app: App, size: tuple[int, int], mode: str) -> None:
    image = Image.fromarray(np.full(size[::-1], 30_000, np.uint16)) if mode == "I;16" else photo(size, "RGBA").convert(mode)
    made = made_larger(app, image, scale=2.5).image
    assert made.size == enlarge.growth(EnlargeRequest(scale=2.5), size).size
    assert ("A" in made.getbands()) == (mode in ("RGBA", "LA"))


def test_two_upscalers_are_mixed_by_their_share(app: App) -> None:
    image = photo((20, 20))
    first, second = (np.asarray(made_larger(app, image, upscaler=name).image).astype(int) for name in ("Lanczos", "Nearest"))
    mixed = np.asarray(made_larger(app, image, second_upscaler="Nearest", second_share=0.25).image)
    assert np.abs(mixed - (first * 0.75 + second * 0.25)).max() <= 1


@pytest.mark.parametrize("name", ["sd-x4-a", "ldm-sr-a"])
@pytest.mark.parametrize("size", [(3, 5), (24, 19), (40, 33)])
def test_a_checkpoint_enlarges_any_picture_four_times_to_the_pixel(studios: Any, name: str, size: tuple[int, int]) -> None:
    studio = studios(name)
    asked = replace(wish(studio.family), width=None, height=None, checkpoint=studio.file)
    (made,) = generate(asked, studio.checkpoints, studio.parts, pictures=lambda _: photo(size))
    assert made.image.size == (4 * size[0], 4 * size[1])


@pytest.mark.parametrize("name", ["sd-x4-a", "ldm-sr-a"])
def test_a_checkpoint_is_an_upscaler_of_jobs_and_of_hires_fix(studios: Any, name: str) -> None:
    studio = studios(name, "sd1-a")
    image = photo((30, 20))
    told: list[Progress] = []

    class Watcher(Unobserved):
        def progress(self, progress: Progress) -> None:
            told.append(progress)

    title = studio.checkpoints.find(studio.file).title
    request = EnlargeRequest(image="image", upscaler=title, scale=3.0, steps=2, seed=1, prompt="a cat", tile=64)
    done = enlarge.complete(request, studio.checkpoints, studio.parts, lambda _: image)
    made = enlarge.enlarged(done, studio.checkpoints, studio.parts, Watcher(), lambda _: image)
    assert made.image.size == (90, 60) and [progress.step for progress in told] == [1, 2]
    assert title in made.infotext
    other = next(entry.title for entry in studio.checkpoints.entries() if entry.title != title)
    asked = replace(QUICK, checkpoint=other, hires_upscaler=title, width=64, height=64, prompt="a cat", hires_scale=2.0)
    (grown,) = generate(asked, studio.checkpoints, studio.parts, pictures=picture)
    assert grown.image.size == (128, 128)


def test_what_a_checkpoint_cannot_enlarge_is_told_before_it_is_queued(studios: Any) -> None:
    studio = studios("sd-x4-a")
    for fields, size, words in (({"noise_level": 400}, (10, 10), "Noise level 400"), ({}, (2100, 16), "8400 x 64")):
        request = EnlargeRequest(image="image", upscaler=studio.checkpoints.find(studio.file).title, **fields)
        with pytest.raises(FieldError, match=words):
            enlarge.complete(request, studio.checkpoints, studio.parts, lambda _, size=size: photo(size))


def test_beyond_what_a_checkpoint_can_draw_lanczos_goes_on() -> None:
    sizes: list[tuple[int, int]] = []

    def draw(image: Image.Image) -> Image.Image:
        sizes.append(image.size)
        return image.resize((4 * image.width, 4 * image.height))

    made = upscale.enlarged(photo((20, 10)), upscale.Drawing("x4", 4, draw, most=100), sizes_of.enlarge((20, 10), 8))
    assert (made.size, sizes) == ((160, 80), [(20, 10)])


# ---- tiles


def test_windows_cover_all_latents_and_a_blend_of_equal_answers_is_that_answer() -> None:
    x = torch.randn(2, 4, 37, 50)
    for tile, overlap, align in ((16, 4, 1), (16, 8, 2), (64, 16, 1), (13, 3, 1)):
        size = (x.shape[-2] // align * align, x.shape[-1] // align * align)
        part = x[..., : size[0], : size[1]]
        parts = tiling.windows(size, tile, overlap, align)
        assert all(window.top % align == 0 and window.left % align == 0 for window in parts)
        assert torch.allclose(tiling.blended(lambda _, seen: seen * 2, part, parts, overlap), part * 2, atol=1e-5)


def test_a_blend_of_moody_windows_has_no_step() -> None:
    x = torch.zeros(1, 1, 64, 200)
    parts = tiling.windows((64, 200), 32, 8)
    moods = {window: float(number % 5) for number, window in enumerate(parts)}
    blend = tiling.blended(lambda window, seen: seen + moods[window], x, parts, 8)
    assert float(blend.diff(dim=-1).abs().max()) <= 4 / 7 and float(blend.diff(dim=-2).abs().max()) <= 4 / 7


@pytest.mark.parametrize("name", ["sd-x4-a", "ldm-sr-a"])
def test_drawing_in_tiles_has_the_size_and_asks_before_each_of_them(studios: Any, name: str) -> None:
    studio = studios(name)
    asked = replace(wish(studio.family), width=None, height=None, checkpoint=studio.file, tile=128)
    kept = {"image": photo((70, 45))}
    asks = 0

    class Asked(Unobserved):
        def should_stop(self) -> bool:
            nonlocal asks
            asks += 1
            return False

    (made,) = generate(asked, studio.checkpoints, studio.parts, Asked(), pictures=kept.__getitem__)
    assert made.image.size == (280, 180) and asks > 2 * (1 + 4)


@pytest.mark.parametrize("name", ["sd1-a", "ldm-class-a"])
def test_either_kind_of_autoencoder_works_in_tiles(studios: Any, name: str) -> None:
    studio = studios(name)
    asked = replace(wish(studio.family), image="image", strength=0.5, width=None, height=None, tile=96, checkpoint=studio.file)
    (made,) = generate(asked, studio.checkpoints, studio.parts, pictures=lambda _: photo((190, 131)))
    assert made.image.size == (190, 131)


def test_the_pocket_decodes_in_tiles_without_a_seam(app: App) -> None:
    with app.checkpoints.use() as model, torch.inference_mode():
        pixels = torch.from_numpy(np.asarray(photo((320, 256)), dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        latents = autoencoder.encode(pixels, model)
        near = autoencoder.encode(pixels, model, 160)
        assert float((near - latents).abs().mean()) < 0.1 * float(latents.std())
        whole, tiled = autoencoder.decoded(latents, model), autoencoder.decoded(latents, model, 160)
    assert float((tiled - whole).abs().mean()) * 127.5 < 1


# ---- depth


def test_depth_is_drawn_by_a_checkpoint_that_reads_it_and_that_is_told(studios: Any) -> None:
    studio = studios("sd1-a", "sd2-depth-a")
    deep = next(entry for entry in studio.checkpoints.entries() if entry.family and "depth" in entry.family.inputs)
    asked = replace(wish(studio.family), image="image", depth="depth", depth_guided=True, strength=1.0, checkpoint=studio.file)
    (made,) = generate(asked, studio.checkpoints, studio.parts, pictures=picture)
    assert made.request.checkpoint == deep.title and "reads no depth, so" in made.notes[0]
    near = replace(asked, depth_near=0.4)
    (other,) = generate(near, studio.checkpoints, studio.parts, pictures=picture)
    assert other.image.tobytes() != made.image.tobytes()
    turned = replace(asked, depth_near=0.0, depth_far=1.0)
    (inverse,) = generate(turned, studio.checkpoints, studio.parts, pictures=picture)
    flipped = {"image": picture("image"), "depth": Image.eval(picture("depth"), lambda value: 255 - value)}
    (same,) = generate(asked, studio.checkpoints, studio.parts, pictures=flipped.__getitem__)
    assert np.abs(np.asarray(inverse.image).astype(int) - np.asarray(same.image)).max() <= 2


def test_where_no_checkpoint_reads_depth_one_sentence_says_what_would(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    base = app.checkpoints.find("pocket")
    monkeypatch.setattr(app.checkpoints, "entries", lambda: [base])
    asked = GenerationRequest(image="image", depth_guided=True)
    with pytest.raises(FieldError, match=r"reads no depth, and no checkpoint here does\. Put one"):
        plan.complete(asked, app.checkpoints, app.parts, lambda _: photo())


def test_the_depth_of_a_picture_is_a_grey_one_of_its_size(studios: Any) -> None:
    studio = studios("sd2-depth-a")
    with studio.checkpoints.use(studio.file) as model:
        model.depth = lambda: torch.nn.Conv2d(3, 1, 1)
    map_ = enlarge.depth_of(photo((70, 50)), studio.checkpoints)
    assert (map_.mode, map_.size, map_.getextrema()[0] < map_.getextrema()[1]) == ("L", (70, 50), True)


def test_a_depth_checkpoint_paints_a_mask_alone(studios: Any) -> None:
    studio = studios("sd2-depth-a")
    kept = {"image": photo((64, 64)), "mask": box((64, 64), (16, 16, 48, 48)), "depth": picture("depth")}
    asked = replace(wish(studio.family), image="image", mask="mask", mask_blur=0, checkpoint=studio.file)
    (made,) = generate(asked, studio.checkpoints, studio.parts, pictures=kept.__getitem__)
    outside = np.asarray(kept["mask"]) == 0
    assert (np.asarray(made.image)[outside] == np.asarray(kept["image"])[outside]).all()
