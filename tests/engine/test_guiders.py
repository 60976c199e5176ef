"""Guiders of a request: in order, with the network at hand, the same bytes in a batch, and named where they fail."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.studio import wish
from tests.guiding import guiding_parts
from webui.checkpoints.model import Model
from webui.contract import infotext
from webui.contract.errors import FieldError, PluginError
from webui.contract.parts import Inputs, Parts
from webui.contract.request import Chosen, GenerationRequest, request_from, request_to_dict
from webui.contract.result import GeneratedImage
from webui.engine import plan
from webui.engine.company import Company
from webui.engine.conditioning import condition
from webui.engine.generate import generate, table_of
from webui.engine.guidance import guide
from webui.engine.guiders import Asked, attending, attentions
from webui.engine.own_options import fitting
from webui.workspace.app import App

ASKED = GenerationRequest(prompt="a red cube", sampler="Euler", steps=2, seed=9, width=64, height=64)


@pytest.fixture(scope="module")
def guiding(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return guiding_parts(tmp_path_factory.mktemp("guiding"))


@pytest.fixture(scope="module")
def exact(app: App) -> Iterator[Model]:
    """In float32, whatever is quickest here."""
    with app.checkpoints.use("pocket") as used:
        yield replace(used, unet=copy.deepcopy(used.unet).float())  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def model(app: App) -> Iterator[Model]:
    """The very one that is drawn with."""
    with app.checkpoints.use("pocket") as used:
        yield used


def drawn(app: App, parts: Parts, *guiders: Any, **values: Any) -> list[GeneratedImage]:
    chosen = tuple(one if isinstance(one, Chosen) else Chosen(one) for one in guiders)
    return list(generate(replace(ASKED, guiders=chosen, **values), app.checkpoints, parts))


def pixels(app: App, parts: Parts, *guiders: Any, **values: Any) -> bytes:
    return drawn(app, parts, *guiders, **values)[0].image.tobytes()


def distance(one: bytes, other: bytes) -> float:
    """Mean difference, in steps of 1/255."""
    a, b = (np.frombuffer(values, np.uint8).astype(float) for values in (one, other))
    return float(np.abs(a - b).mean())


def test_a_guider_changes_the_picture_and_stands_in_it(app: App, guiding: Parts) -> None:
    plain, same = drawn(app, guiding)[0], drawn(app, guiding, "gain")[0]
    louder = drawn(app, guiding, Chosen("LOUD", {"by": 1.3}))[0]
    assert plain.image.tobytes() == same.image.tobytes() != louder.image.tobytes()
    assert same.request.guiders == (Chosen("Gain", {"by": 1.0}),), "all options are kept, and the name as registered"
    assert louder.request.guiders == (Chosen("Gain", {"by": 1.3}),)
    assert r'Guiders: "[[\"Gain\", {\"by\": 1.3}]]"' in louder.infotext
    assert "Guiders" not in plain.infotext


def test_the_picture_is_made_again_from_its_text_and_from_json(app: App, guiding: Parts) -> None:
    first = drawn(app, guiding, Chosen("Gain", {"by": 1.3}), "Own guidance")[0]
    values, notes = infotext.to_request(infotext.read(first.infotext), guiding.samplers.names(), guiding.schedules.names())
    values, left_out = fitting(values, guiding)
    assert (notes, left_out) == ([], [])
    told = request_from({**values, "checkpoint": first.request.checkpoint})
    for asked in (told, request_from(request_to_dict(first.request))):
        again = next(generate(asked, app.checkpoints, guiding))
        assert (again.image.tobytes(), again.infotext) == (first.image.tobytes(), first.infotext)


def test_the_first_guider_stands_next_to_the_network(app: App, guiding: Parts) -> None:
    gain, shift = Chosen("Gain", {"by": 0.5}), Chosen("Shift", {"by": 0.4})
    there, back = pixels(app, guiding, gain, shift), pixels(app, guiding, shift, gain)
    assert distance(there, back) > 1
    assert distance(back, pixels(app, guiding, gain, Chosen("Shift", {"by": 0.2}))) < 0.1, "(clean + 0.4) / 2 is clean / 2 + 0.2"


def test_what_the_network_predicts_for_both_sides_is_what_guidance_is_made_of(exact: Model, guiding: Parts) -> None:
    table, inputs = table_of(exact), [Inputs(size=(64, 64))]
    request = replace(ASKED, guidance=3.0, negative_prompt="blue")

    def conditioned(asked: GenerationRequest) -> Any:
        return condition(asked, exact, guiding, inputs)

    sides = conditioned(request)
    network = Asked(request, exact, table, sides, conditioned)
    for size, sigma in ((1, 3.0), (2, torch.tensor(3.0)), (2, torch.tensor([3.0, 0.5]))):
        x = torch.randn(size, 4, 8, 8, generator=torch.Generator().manual_seed(1)) * 3
        with torch.inference_mode():
            whole = guide(exact, table, *sides, 3.0, size)(x, sigma)
            towards, away = network.predict(x, sigma, *sides)
            (alone,) = network.predict(x, sigma, sides[0])
            prompt = guide(exact, table, *sides, 1, size)(x, sigma)
        assert torch.allclose(away + 3 * (towards - away), whole, atol=1e-4)
        assert torch.equal(alone, prompt)
        assert torch.allclose(towards, alone, atol=1e-4)
    assert network.scale == 3.0 and network.predict(x, 1.0) == ()


def test_a_guider_may_make_the_guidance_itself(app: App, guiding: Parts) -> None:
    assert distance(pixels(app, guiding, "Own guidance", guidance=4.0), pixels(app, guiding, guidance=4.0)) < 0.05


def test_a_picture_is_the_same_bytes_in_a_batch_whatever_a_guider_computes(app: App, guiding: Parts) -> None:
    """This one takes the mean over all that it is given."""
    batch = drawn(app, guiding, "Mean", "Own guidance", batch_size=3)
    for i, one in enumerate(batch):
        alone = drawn(app, guiding, "Mean", "Own guidance", seed=9 + i)[0]
        assert alone.image.tobytes() == one.image.tobytes()
        assert alone.infotext == one.infotext
    assert len({one.image.tobytes() for one in batch}) == 3


def test_a_guider_conditions_another_prompt(app: App, guiding: Parts) -> None:
    other = pixels(app, guiding, Chosen("Other words", {"prompt": "a green sphere"}), guidance=1.0)
    assert other == pixels(app, guiding, prompt="a green sphere", guidance=1.0)
    assert other != pixels(app, guiding, guidance=1.0)


def test_guiders_go_on_in_the_second_pass_and_with_the_refiner(app: App, guiding: Parts) -> None:
    for more in ({"hires_scale": 2.0, "hires_strength": 0.5}, {"refiner": "pocket-turbo", "refiner_switch": 0.5}):
        plain = pixels(app, guiding, **more)
        assert pixels(app, guiding, "Gain", **more) == plain
        assert pixels(app, guiding, Chosen("Gain", {"by": 0.8}), **more) != plain
    done = plan.plan(replace(ASKED, guiders=(Chosen("Gain"),), hires_scale=2.0), app.checkpoints, guiding).request
    assert plan.passes_of(done)[1].request.guiders == (Chosen("Gain", {"by": 1.0}),)


def test_a_guider_works_inside_each_window_of_a_large_picture(app: App, guiding: Parts) -> None:
    picture = Image.effect_mandelbrot((48, 32), (-2, -1, 1, 1), 50).convert("RGB")
    asked = GenerationRequest(checkpoint="pocket-upscaler", image="any", steps=2, seed=3, tile=128, prompt="a cube", guidance=2.0)

    def made(*guiders: Chosen) -> bytes:
        request = replace(asked, guiders=guiders)
        return next(generate(request, app.checkpoints, guiding, pictures=lambda _: picture)).image.tobytes()

    plain = made()
    assert made(Chosen("Gain")) == plain
    assert distance(made(Chosen("Own guidance")), plain) < 0.1
    words = Chosen("Other words", {"prompt": "a cube"})
    assert distance(made(words), plain) > 0, "without guidance"


@pytest.mark.parametrize("case", ["ldm-uncond-a", "ldm-class-a", "ldm-layout-a", "sd2-v-a", "sdxl-refiner-a"])
def test_guiders_work_with_every_kind_of_network(studios: Any, guiding: Parts, case: str) -> None:
    studio = studios(case)
    studio.parts = guiding
    asked = wish(studio.family)
    plain = studio.bytes(asked)
    assert studio.bytes(replace(asked, guiders=(Chosen("Gain"),))) == plain
    assert studio.bytes(replace(asked, guiders=(Chosen("Gain", {"by": 0.5}),))) != plain
    assert distance(studio.bytes(replace(asked, guiders=(Chosen("Own guidance"),))), plain) < 0.5


# ---------------------------------------------------------------- attention


def test_attention_is_another_for_that_call_alone(app: App, guiding: Parts, model: Model) -> None:
    before = dict(model.unet.attn_processors)  # type: ignore[union-attr, arg-type]
    plain = pixels(app, guiding, guidance=1.0)
    blind = pixels(app, guiding, "Blind", guidance=1.0)
    assert blind != plain
    assert dict(model.unet.attn_processors) == before  # type: ignore[union-attr, arg-type]
    assert pixels(app, guiding, guidance=1.0) == plain


def test_attention_is_as_before_when_it_raised(app: App, guiding: Parts, model: Model) -> None:
    before, plain = dict(model.unet.attn_processors), pixels(app, guiding)  # type: ignore[union-attr, arg-type]
    with pytest.raises(PluginError, match=r"The extension guiding failed in its guider 'Breaks attention' \(ValueError: no att"):
        drawn(app, guiding, "Breaks attention")
    assert dict(model.unet.attn_processors) == before  # type: ignore[union-attr, arg-type]
    with pytest.raises(PluginError, match=r"This U-Net has no attention processor 'nowhere'. It has down_blocks.0.attentions.0."):
        drawn(app, guiding, "Names no attention")
    assert pixels(app, guiding) == plain


def test_another_thread_goes_on_with_its_own_attention(model: Model) -> None:
    """A live stream draws with the same network as a job."""
    assert model.unet is not None
    name, place = next(iter(attentions(model.unet).items()))
    seen, width = list[str](), place.to_q.in_features

    def marked(attn: Any, hidden_states: torch.Tensor, **more: Any) -> torch.Tensor:
        seen.append(threading.current_thread().name)
        return hidden_states

    def ask() -> None:
        with torch.inference_mode():
            place(torch.zeros(1, 4, width, dtype=model.dtype))

    with attending(model.unet, {name: marked}):
        other = threading.Thread(target=ask, name="other")
        other.start()
        other.join()
        ask()
    ask()
    assert seen == [threading.current_thread().name]


def test_a_job_beside_goes_on_with_its_own_attention(app: App, guiding: Parts) -> None:
    """Jobs that are drawn side by side take turns in one thread, and share calls of the network."""
    asked = {
        "blind": replace(ASKED, guiders=(Chosen("Blind"),), guidance=1.0, steps=3),
        "plain": replace(ASKED, guidance=1.0, steps=3),
    }
    found, company = dict[str, bytes](), Company()

    def journey(name: str) -> Any:
        return lambda: found.__setitem__(name, next(generate(asked[name], app.checkpoints, guiding)).image.tobytes())

    errors = list[BaseException | None]()
    for name in asked:
        company.join(journey(name), errors.append)
    company.run()
    assert errors == [None, None]
    for name, request in asked.items():
        alone = next(generate(request, app.checkpoints, guiding)).image.tobytes()
        assert distance(found[name], alone) < 0.05
    assert distance(found["blind"], found["plain"]) > 1


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("guider", "words"),
    [
        ("Raises", "The extension guiding failed in its guider 'Raises' (ValueError: no reason). Choose another guider, or"),
        ("Raises at start", "The extension guiding failed in its guider 'Raises at start' (ValueError: no reason)."),
        (
            "Answers a number",
            "The extension guiding answered a int in its guider 'Answers a number', where a function (x, sigma)",
        ),
        (
            "Answers another shape",
            "The extension guiding answered a tensor of (1, 4, 8, 7) in its guider 'Answers another shape'",
        ),
        ("Answers doubles", "The extension guiding answered float64 in its guider 'Answers doubles', where float32 is due."),
    ],
)
def test_a_bad_guider_ends_that_job_with_the_name_of_its_extension(app: App, guiding: Parts, guider: str, words: str) -> None:
    with pytest.raises(PluginError) as raised:
        drawn(app, guiding, "Gain", guider)
    assert words in str(raised.value)
    assert drawn(app, guiding, "Gain")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (Chosen("Gian"), "No guider is called 'Gian'. Did you mean 'Gain'?"),
        (Chosen("Gain", {"by": 3}), "Option 'by' of Gain cannot be 3. It can be 0 to 2."),
        (Chosen("Gain", {"prompt": "a"}), "Gain has no option 'prompt', which is one of Other words. It has by (0 to 2)."),
    ],
)
def test_a_wrong_guider_is_refused_before_anything_is_drawn(app: App, guiding: Parts, chosen: Chosen, words: str) -> None:
    with pytest.raises(FieldError) as raised:
        plan.plan(replace(ASKED, guiders=(chosen,)), app.checkpoints, guiding)
    assert words in str(raised.value)
    assert raised.value.field == "guiders"
