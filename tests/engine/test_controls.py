"""Conditioners that a request names: control networks at the U-Net, further words, and options that name things."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image

from tests.engine.studio import wish
from tests.guiding import CONDITIONERS, guiding_parts
from webui.checkpoints import model_files
from webui.checkpoints.download import Shelf
from webui.checkpoints.model import Model
from webui.contract import infotext
from webui.contract.errors import FieldError, PluginError
from webui.contract.more_parts import Residuals
from webui.contract.parts import Conditioning, Parts
from webui.contract.request import Chosen, GenerationRequest, request_from
from webui.contract.result import GeneratedImage
from webui.engine import plan
from webui.engine.conditioning import batched, seen_through
from webui.engine.controls import shapes
from webui.engine.denoiser import network
from webui.engine.generate import generate
from webui.engine.own_options import fitting
from webui.engine.references import References
from webui.engine.tiling import Window
from webui.workspace.app import App

ASKED = GenerationRequest(prompt="a red cube", sampler="Euler", steps=2, seed=9, width=64, height=64, guidance=3.0)
GREY = Image.new("RGBA", (5, 4), (100, 100, 100, 255))


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return guiding_parts(tmp_path_factory.mktemp("controlled"), CONDITIONERS)


@pytest.fixture(scope="module")
def exact(app: App) -> Iterator[Model]:
    """In float32, whatever is quickest here."""
    with app.checkpoints.use("pocket") as used:
        yield replace(used, unet=copy.deepcopy(used.unet).float())  # type: ignore[union-attr]


def drawn(app: App, parts: Parts, *conditioners: Chosen, **values: Any) -> list[GeneratedImage]:
    request = replace(ASKED, conditioners=conditioners, **values)
    return list(generate(request, app.checkpoints, parts, pictures=lambda _: GREY))


def pixels(app: App, parts: Parts, *conditioners: Chosen, **values: Any) -> bytes:
    return drawn(app, parts, *conditioners, **values)[0].image.tobytes()


class Net:
    """A control network of diffusers, as an extension would wrap it."""

    def __init__(self, network: Any, picture: torch.Tensor) -> None:
        self.network, self.picture, self.rows = network, picture, list[int]()

    def __call__(self, x: torch.Tensor, t: torch.Tensor, crossattn: Any, vector: Any, added: Any = None) -> Residuals:
        self.rows.append(len(x))
        seen = self.picture.expand(len(x), -1, -1, -1)
        return Residuals(*self.network(x, t, crossattn, seen, return_dict=False))

    def seen_through(self, top: int, left: int, height: int, width: int) -> Net:
        return Net(self.network, self.picture[..., top * 8 : (top + height) * 8, left * 8 : (left + width) * 8])


@pytest.fixture(scope="module")
def net(exact: Model) -> Any:
    """Random, also where a fresh one begins with zeros."""
    generator = torch.Generator().manual_seed(5)
    made = ControlNetModel.from_unet(exact.unet, conditioning_embedding_out_channels=(4, 8, 8, 16)).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return made


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


# ---------------------------------------------------------------- residuals at the U-Net


def test_residuals_reach_the_unet_as_diffusers_adds_them(exact: Model, net: Any) -> None:
    crossattn, picture, t = random(1, 7, 96), random(1, 3, 96, 64).sigmoid(), torch.tensor(500.0)
    control = Net(net, picture)
    x = random(1, 4, 12, 8)
    with torch.inference_mode():
        ours = network(exact, Conditioning(crossattn=crossattn, controls=(control,)))(x, t)
        down, middle = net(x, t, crossattn, picture, return_dict=False)
        unet: Any = exact.unet
        theirs = unet(
            x, t, crossattn, down_block_additional_residuals=down, mid_block_additional_residual=middle, return_dict=False
        )[0]
        plain = network(exact, Conditioning(crossattn=crossattn))(x, t)
    assert torch.equal(ours, theirs)
    assert (ours - plain).abs().max() > 0.1
    assert [tuple(one.shape) for one in (*down, middle)] == shapes(exact.unet, x)


def test_the_unets_shapes_are_known_for_every_size(exact: Model, net: Any) -> None:
    for size in ((8, 8), (9, 13), (1, 2)):
        with torch.inference_mode():
            x = random(2, 4, *size)
            down, middle = net(x, 5, random(2, 7, 96), random(2, 3, size[0] * 8, size[1] * 8), return_dict=False)
        assert [tuple(one.shape) for one in (*down, middle)] == shapes(exact.unet, x)


def test_one_control_for_both_sides_is_asked_once_and_one_for_a_side_alone_with_its_rows(exact: Model, net: Any) -> None:
    both, one_side = Net(net, random(1, 3, 64, 64)), Net(net, random(1, 3, 64, 64))
    positive = Conditioning(crossattn=random(1, 7, 96), controls=(both, one_side))
    negative = Conditioning(crossattn=random(1, 9, 96)[:, :7], controls=(both,))
    x, t = random(1, 4, 8, 8), torch.tensor(500.0)
    with torch.inference_mode():
        pair = network(exact, batched([positive, negative], 1), 2)(torch.cat([x, x]), t)
        alone = [network(exact, side)(x, t) for side in (positive, negative)]
    assert (both.rows, one_side.rows) == ([2, 1, 1], [1, 1])
    assert torch.allclose(pair, torch.cat(alone), atol=1e-4)
    assert (alone[0] - alone[1]).abs().max() > 0.05


def test_pictures_of_a_batch_are_the_same_bytes_as_alone(exact: Model, net: Any) -> None:
    positive = Conditioning(crossattn=random(1, 7, 96), controls=(Net(net, random(1, 3, 64, 64)),))
    negative = Conditioning(crossattn=random(1, 7, 96) * 0.5)
    x, t = random(3, 4, 8, 8), torch.tensor([900.0, 500.0, 20.0])
    with torch.inference_mode():
        batch = network(exact, batched([positive, negative], 3), 2)(torch.cat([x, x]), t.repeat(2))
        for i in range(3):
            own = x[i : i + 1]
            alone = network(exact, batched([positive, negative], 1), 2)(torch.cat([own, own]), t[i : i + 1].repeat(2))
            assert torch.equal(alone, batch[i::3])


def test_a_window_sees_its_part_of_a_control(net: Any) -> None:
    whole = Conditioning(crossattn=random(1, 7, 96), controls=(Net(net, random(1, 3, 64, 96)),))
    part = seen_through(Window(2, 4, 8, 12), whole)
    (control,) = part.controls
    assert isinstance(control, Net)
    assert torch.equal(control.picture, random(1, 3, 64, 96)[..., 16:64, 32:96])
    assert part.crossattn is whole.crossattn


# ---------------------------------------------------------------- in a request


def test_a_control_changes_the_picture_and_stands_in_it(app: App, controlled: Parts) -> None:
    plain, nothing = drawn(app, controlled)[0], drawn(app, controlled, Chosen("Pushed", {"by": 0}))[0]
    first = drawn(app, controlled, Chosen("pushed"))[0]
    assert nothing.image.tobytes() == plain.image.tobytes() != first.image.tobytes()
    assert first.request.conditioners == (Chosen("Pushed", {"by": 0.1, "sides": "both"}),)
    values, notes = infotext.to_request(infotext.read(first.infotext), controlled.samplers.names(), controlled.schedules.names())
    fitted, left_out = fitting(values, controlled)
    assert (notes, left_out) == ([], [])
    again = next(generate(request_from({**fitted, "checkpoint": "pocket"}), app.checkpoints, controlled))
    assert (again.image.tobytes(), again.infotext) == (first.image.tobytes(), first.infotext)


def test_controls_add_up(app: App, controlled: Parts) -> None:
    twice = pixels(app, controlled, Chosen("Pushed", {"by": 0.25}), Chosen("Pushed", {"by": 0.25}))
    assert twice == pixels(app, controlled, Chosen("Pushed", {"by": 0.5}))
    assert twice != pixels(app, controlled, Chosen("Pushed", {"by": 0.25}))
    against = Chosen("Pushed", {"by": -0.25})
    assert pixels(app, controlled, Chosen("Pushed", {"by": 0.25}), against) == pixels(app, controlled)


def test_a_control_may_act_on_one_side_of_guidance(app: App, controlled: Parts) -> None:
    found = {
        sides: pixels(app, controlled, Chosen("Pushed", {"by": 0.3, "sides": sides}))
        for sides in ("both", "positive", "negative")
    }
    assert len({*found.values(), pixels(app, controlled)}) == 4
    alone = pixels(app, controlled, Chosen("Pushed", {"by": 0.3, "sides": "negative"}), guidance=1.0)
    assert alone == pixels(app, controlled, guidance=1.0), "the prompt alone is asked, so the other side's is not"


def test_controls_are_the_same_bytes_in_a_batch_and_go_on_in_the_second_pass(app: App, controlled: Parts) -> None:
    asked = Chosen("Pushed", {"by": 0.3})
    batch = drawn(app, controlled, asked, batch_size=2)
    assert [one.image.tobytes() for one in batch] == [pixels(app, controlled, asked, seed=seed) for seed in (9, 10)]
    for more in ({"hires_scale": 2.0, "hires_strength": 0.5}, {"refiner": "pocket-turbo", "refiner_switch": 0.5}):
        assert pixels(app, controlled, asked, **more) != pixels(app, controlled, **more)


def test_further_words_stand_behind_the_familys(app: App, controlled: Parts) -> None:
    plain, more = pixels(app, controlled), pixels(app, controlled, Chosen("More words", {"rows": 3}))
    assert plain != more != pixels(app, controlled, Chosen("More words", {"rows": 1}))
    assert more == pixels(app, controlled, *[Chosen("More words", {"rows": 1})] * 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Raises", "The extension guiding failed in its conditioner 'Raises' (ValueError: no reason)."),
        ("Nothing", "The conditioner 'Nothing' of guiding answered no Conditioning."),
        ("Two rows", "The conditioner 'Two rows' of guiding makes another number of rows of crossattn for each side."),
        ("Vector", "The conditioner 'Vector' of guiding makes vector or concat, which only a family's conditioners make;"),
        ("Wide words", "The conditioner 'Wide words' of guiding makes crossattn of (1, 1, 7), where (1, any, 96) is due."),
        (
            "Short",
            "The extension guiding answered 6 residuals where 7 are due, in a control of its conditioner 'Short'.",
        ),
        (
            "Odd",
            "The extension guiding answered a Tensor, where Residuals or None are due, in a control of its conditioner 'Odd'.",
        ),
        ("Late", "The extension guiding failed in its conditioner 'Late' (ZeroDivisionError: division by zero)."),
    ],
)
def test_a_bad_conditioner_ends_that_job_with_the_name_of_its_extension(
    app: App, controlled: Parts, name: str, words: str
) -> None:
    plain = pixels(app, controlled)
    with pytest.raises(PluginError) as raised:
        drawn(app, controlled, Chosen(name))
    assert words in str(raised.value)
    assert pixels(app, controlled) == plain


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (Chosen("Pusht"), "No conditioner is called 'Pusht'. Did you mean 'Pushed'?"),
        (Chosen("CLIP text"), "No conditioner is called 'CLIP text'. Known: Pushed, Picture push, "),
        (Chosen("Pushed", {"by": 2.0}), "Option 'by' of Pushed cannot be 2.0. It can be -1 to 1."),
        (Chosen("Picture push", {"preprocessor": "inverse"}), "No preprocessor is called 'inverse'. Did you mean 'Inverted'?"),
        (
            Chosen("Picture push", {"model_file": "small"}),
            "No file of models/Pushes is called 'small'. There is none yet: put one into models/Pushes.",
        ),
        (Chosen("Picture push", {"picture": 5}), "Option 'picture' of Picture push cannot be 5. It can be the name of a kept"),
    ],
)
def test_a_wrong_conditioner_is_refused_before_anything_is_drawn(app: App, controlled: Parts, chosen: Chosen, words: str) -> None:
    with pytest.raises(FieldError) as raised:
        plan.plan(replace(ASKED, conditioners=(chosen,)), app.checkpoints, controlled)
    assert words in str(raised.value)
    assert raised.value.field == "conditioners"


def test_a_conditioner_that_a_family_names_is_none_on_request(app: App, controlled: Parts) -> None:
    for part in controlled.conditioners:
        if not part.on_request:
            with pytest.raises(FieldError, match="No conditioner is called"):
                plan.plan(replace(ASKED, conditioners=(Chosen(part.name),)), app.checkpoints, controlled)


def test_a_unet_without_words_takes_none(studios: Any, controlled: Parts) -> None:
    studio = studios("ldm-uncond-a")
    asked = GenerationRequest(checkpoint=studio.file, conditioners=(Chosen("Pushed"),), width=64, height=64)
    with pytest.raises(FieldError, match=r"takes no conditioner beside its own\. Take Pushed off\."):
        plan.plan(asked, studio.checkpoints, controlled)


@pytest.mark.parametrize("case", ["sd1-a", "sd1-inpaint-a", "sd2-v-a", "sd2-depth-a", "sdxl-a", "unclip-h-a", "ldm-text-a"])
def test_every_family_with_words_takes_controls(studios: Any, controlled: Parts, case: str) -> None:
    """Also where more than latents go in (a masked picture, a depth map) and where there is a vector."""
    studio = replace_parts(studios(case), controlled)
    asked = wish(studio.family)
    plain, nothing = studio.bytes(asked), studio.bytes(replace(asked, conditioners=(Chosen("Pushed", {"by": 0}),)))
    assert nothing == plain
    assert studio.bytes(replace(asked, conditioners=(Chosen("Pushed", {"by": 0.5}),))) != plain
    assert studio.bytes(replace(asked, conditioners=(Chosen("More words", {"rows": 2}),))) != plain


def test_controls_work_inside_each_window_of_a_large_picture(app: App, controlled: Parts) -> None:
    picture = Image.effect_mandelbrot((48, 32), (-2, -1, 1, 1), 50).convert("RGB")

    def made(*conditioners: Chosen) -> bytes:
        request = GenerationRequest(
            checkpoint="pocket-upscaler", image="any", steps=1, seed=3, tile=128, prompt="a cube", conditioners=conditioners
        )
        return next(generate(request, app.checkpoints, controlled, pictures=lambda _: picture)).image.tobytes()

    plain = made()
    assert made(Chosen("Pushed", {"by": 0})) == plain != made(Chosen("Pushed", {"by": 0.5}))


def replace_parts(studio: Any, parts: Parts) -> Any:
    studio.parts = parts
    return studio


# ---------------------------------------------------------------- options that name things


def test_a_picture_and_a_preprocessor_come_as_themselves(app: App, controlled: Parts) -> None:
    """300 of 7650 is 0.0392, and (3 * 155) of 7650 is 0.0608."""
    named = {"picture": "any"}
    plain = pixels(app, controlled)
    assert pixels(app, controlled, Chosen("Picture push")) == plain, "no picture is given"
    assert pixels(app, controlled, Chosen("Picture push", named)) == pixels(app, controlled, Chosen("Pushed", {"by": 300 / 7650}))
    inverted = drawn(app, controlled, Chosen("Picture push", {**named, "preprocessor": "NEGATIVE"}))[0]
    assert inverted.image.tobytes() == pixels(app, controlled, Chosen("Pushed", {"by": 465 / 7650}))
    assert inverted.request.conditioners[0].options == {"picture": "any", "preprocessor": "Inverted", "model_file": ""}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1 / 0", "The extension guiding failed in its preprocessor 'Inverted' (ZeroDivisionError: division by zero)."),
        ("7", "The extension guiding answered a int in its preprocessor 'Inverted', where a picture of 5 x 4 is due."),
        ("image.resize((3, 3))", "The extension guiding answered a picture of 3 x 3 in its preprocessor 'Inverted', where"),
    ],
)
def test_a_bad_preprocessor_is_named_not_who_calls_it(app: App, tmp_path: Path, body: str, words: str) -> None:
    code = CONDITIONERS.replace("return image.point(lambda value: 255 - value)", f"return {body}")
    assert code != CONDITIONERS
    parts = guiding_parts(tmp_path, code)
    with pytest.raises(PluginError) as raised:
        drawn(app, parts, Chosen("Picture push", {"picture": "any", "preprocessor": "Inverted"}))
    assert words in str(raised.value)


def test_a_file_comes_as_its_path(app: App, controlled: Parts, tmp_path: Path) -> None:
    (tmp_path / "Pushes").mkdir()
    (tmp_path / "Pushes" / "Double.pt").write_text("2")
    references = References(controlled, Shelf([tmp_path]), lambda _: GREY)
    function = controlled.conditioners["Picture push"].function
    found = references.called_with(function, {"model_file": "double"}, "conditioners")
    assert found == {"picture": None, "preprocessor": None, "model_file": tmp_path / "Pushes" / "Double.pt"}
    (tmp_path / "Pushes" / "Double.pt").unlink()
    with pytest.raises(FieldError, match="No file of models/Pushes is called 'double'"):
        references.called_with(function, {"model_file": "double"}, "conditioners")


def test_a_picture_is_named_in_rgb_whatever_it_was(controlled: Parts) -> None:
    clear = Image.new("LA", (2, 2), (0, 0))
    references = References(controlled, None, lambda _: clear)
    shown = references.called_with(controlled.conditioners["Picture push"].function, {"picture": "any"}, "conditioners")
    assert shown["picture"].mode == "RGB" and shown["picture"].getpixel((0, 0)) == (255, 255, 255)


def test_what_an_infotext_names_and_is_not_here_is_left_out_with_a_word(controlled: Parts, parts: Parts) -> None:
    gone = "0" * 64
    values = {
        "conditioners": [["Pushed", {"by": 9}], ["Picture push", {"picture": gone, "preprocessor": "Canny", "model_file": "a"}]],
        "guiders": [["Gone", {"scale": 3}]],
    }

    def opened(name: str) -> Image.Image:
        raise FieldError("image", f"The picture {name[:4]!r} is not kept here. Give the picture again.")

    fitted, notes = fitting(values, controlled, References(controlled, None, opened))
    assert fitted == {"conditioners": (Chosen("Pushed", {}), Chosen("Picture push", {})), "guiders": ()}
    assert notes == [
        "This option was left out: Option 'by' of Pushed cannot be 9. It can be -1 to 1.",
        "This option was left out: The picture '0000' is not kept here. Give the picture again.",
        "This option was left out: No preprocessor is called 'Canny'. Known: Inverted.",
        "This option was left out: No file of models/Pushes is called 'a'. There is none yet: put one into models/Pushes.",
        "It was made with the guider 'Gone', which is not here, so it is left out.",
    ]
    assert fitting(values, parts)[0] == {"conditioners": (), "guiders": ()}


def test_files_are_found_by_name_with_and_without_suffix_and_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "first" / "Nets", tmp_path / "second" / "Nets"
    for file in (first / "canny.safetensors", first / "sd1" / "depth.pth", second / "canny.safetensors", second / "a.b.bin"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for name in ("notes.txt", ".hidden.pt"):
        (first / name).touch()
    (second / "folder").mkdir()
    (second / "folder" / "config.json").touch()
    (second / "folder" / "weights.bin").touch()
    shelf = Shelf([tmp_path / "first", tmp_path / "second", tmp_path / "none"])
    assert model_files.names(shelf, "Nets") == ["a.b.bin", "canny.safetensors", "folder", "sd1/depth.pth"]
    for asked, wanted in {
        "canny.safetensors": first / "canny.safetensors",
        "Canny": first / "canny.safetensors",
        "depth": first / "sd1" / "depth.pth",
        "sd1/depth": first / "sd1" / "depth.pth",
        "a.b": second / "a.b.bin",
        "folder": second / "folder",
    }.items():
        assert model_files.find(shelf, "Nets", asked)[1] == wanted
    (first / "sd2").mkdir()
    (first / "sd2" / "depth.pth").touch()
    with pytest.raises(FileNotFoundError, match=r"'depth' may be sd1/depth.pth or sd2/depth.pth of models/Nets."):
        model_files.find(shelf, "Nets", "depth")
    for folder in ("../first/Nets", "/etc", ""):
        assert model_files.names(shelf, folder) == []


def test_control_networks_lie_where_other_programs_keep_them_too(tmp_path: Path) -> None:
    for file in ("ControlNet/a.pth", "controlnet/b.safetensors", "elsewhere/c.safetensors"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    shelf = Shelf([tmp_path], {"ControlNet": [tmp_path / "elsewhere"]})
    assert model_files.names(shelf, "ControlNet") == ["a.pth", "b.safetensors", "c.safetensors"]
    assert model_files.find(shelf, "ControlNet", "c")[1] == tmp_path / "elsewhere" / "c.safetensors"
