"""ControlNet inside the program, over the pocket checkpoint and random control networks; numbers against diffusers."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, EulerDiscreteScheduler, StableDiffusionControlNetPipeline, UNet2DConditionModel
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from webui.contract import infotext
from webui.contract.errors import FieldError
from webui.contract.parts import Inputs
from webui.contract.request import Chosen, GenerationRequest, request_from
from webui.engine import plan
from webui.engine.conditioning import batched, condition
from webui.engine.generate import generate, table_of
from webui.engine.guidance import guide
from webui.engine.own_options import fitting
from webui.engine.references import References
from webui.testing import program

ASKED = GenerationRequest(
    prompt="a red cube", checkpoint="pocket", sampler="Euler", steps=2, seed=3, width=64, height=64, guidance=3.0
)
HINTS = (4, 8, 8, 16)


def shown():
    picture = Image.new("RGB", (90, 60), (40, 90, 160))
    ImageDraw.Draw(picture).ellipse((25, 10, 65, 50), fill=(230, 200, 60))
    return picture


@pytest.fixture(scope="module")
def app():
    with program(Path(__file__).parent) as opened:
        with opened.checkpoints.use("pocket") as model:
            network = random_network(model.unet)
        folder = opened.paths.data / "models" / "ControlNet"
        folder.mkdir(parents=True)
        network.save_pretrained(folder / "a-folder")
        save_file(in_ldm(network), folder / "control_pocket.safetensors")
        torch.save({"state_dict": in_ldm(network, "")}, folder / "pickled.pth")
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "one_file.safetensors")
        yield opened


@pytest.fixture(scope="module")
def exact(app):
    """The pocket in float32, whatever is quickest here."""
    with app.checkpoints.use("pocket") as model:
        yield replace(model, unet=copy.deepcopy(model.unet).float())


def random_network(unet, hints=HINTS):
    """A copy of the U-Net's first half with random numbers where a fresh one has zeros."""
    generator = torch.Generator().manual_seed(7)
    made = ControlNetModel.from_unet(
        unet.float() if unet.dtype != torch.float32 else unet, conditioning_embedding_out_channels=hints
    )
    for name, parameter in made.named_parameters():
        if name.startswith("controlnet_"):
            parameter.data = torch.randn(parameter.shape, generator=generator) * (0.3 if "cond" in name else 0.05)
    return made.float().eval().requires_grad_(False)


def in_ldm(network, prefix="control_model."):
    """The tensors as lllyasviel's files name them."""
    blocks = network.config["layers_per_block"]
    resnet = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
        "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }  # fmt: skip
    ends = {
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
        "controlnet_mid_block": "middle_block_out.0", "class_embedding.linear_1": "label_emb.0.0",
        "class_embedding.linear_2": "label_emb.0.2", "controlnet_cond_embedding.conv_in": "input_hint_block.0",
        "controlnet_cond_embedding.conv_out": f"input_hint_block.{2 * len(network.controlnet_cond_embedding.blocks) + 2}",
    }  # fmt: skip
    made = {}
    for name, value in network.state_dict().items():
        module, _, leaf = name.rpartition(".")
        for old, new in resnet.items():
            module = re.sub(rf"(resnets\.\d+)\.{old}$", rf"\1.{new}", module)
        module = ends.get(module, module)
        module = re.sub(
            r"controlnet_cond_embedding\.blocks\.(\d+)$", lambda found: f"input_hint_block.{2 * int(found[1]) + 2}", module
        )
        module = re.sub(r"controlnet_down_blocks\.(\d+)$", r"zero_convs.\1.0", module)
        module = re.sub(
            r"mid_block\.(resnets|attentions)\.(\d)",
            lambda found: f"middle_block.{1 if found[1] == 'attentions' else 2 * int(found[2])}",
            module,
        )
        module = re.sub(
            r"down_blocks\.(\d+)\.(resnets|attentions)\.(\d+)",
            lambda found: f"input_blocks.{int(found[1]) * (blocks + 1) + int(found[3]) + 1}.{int(found[2] == 'attentions')}",
            module,
        )
        module = re.sub(
            r"down_blocks\.(\d+)\.downsamplers\.0\.conv$",
            lambda found: f"input_blocks.{(int(found[1]) + 1) * (blocks + 1)}.0.op",
            module,
        )
        made[f"{prefix}{module}.{leaf}"] = value.contiguous()
    return made


def chosen(network="a-folder", picture="any", **options):
    return Chosen("ControlNet", {"network": network, "picture": picture, **options})


def drawn(app, *conditioners, **values):
    request = replace(ASKED, conditioners=conditioners, **values)
    return list(generate(request, app.checkpoints, app.parts, pictures=lambda _: shown()))


def pixels(app, *conditioners, **values):
    return drawn(app, *conditioners, **values)[0].image.tobytes()


def control_of(app, model, size=(64, 64), picture=None, negative=False, request=ASKED, **options):
    function = app.parts.conditioners["ControlNet"].function
    values = {"network": app.paths.data / "models" / "ControlNet" / "a-folder", "picture": picture or shown(), **options}
    return function(request, model, negative, Inputs(size=size), **values).controls


def functions(app):
    """The extension's own modules."""
    return app.parts.conditioners["ControlNet"].function.__globals__


# ---------------------------------------------------------------- numbers


def test_a_walk_ends_where_diffusers_pipeline_ends(app, exact):
    """The same noise, words, picture and noise levels, with guidance, through their pipeline and through ours."""
    steps, scale, weight = 4, 4.0, 0.8
    row = exact.family
    scheduler = EulerDiscreteScheduler(
        beta_start=row.beta_start,
        beta_end=row.beta_end,
        beta_schedule="scaled_linear",
        timestep_spacing="leading",
        steps_offset=1,
    )
    sides = condition(ASKED, exact, app.parts, [Inputs(size=(64, 64))])
    network = ControlNetModel.from_pretrained(app.paths.data / "models" / "ControlNet" / "a-folder", local_files_only=True)
    pipeline = StableDiffusionControlNetPipeline(
        exact.autoencoder, None, None, exact.unet, network, scheduler, None, None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    seen = torch.from_numpy(np.array(shown().resize((64, 64)), dtype=np.float32)).permute(2, 0, 1)[None] / 255
    theirs = pipeline(
        image=seen, prompt_embeds=sides[0].crossattn.float(), negative_prompt_embeds=sides[1].crossattn.float(),
        num_inference_steps=steps, guidance_scale=scale, latents=noise, output_type="latent",
        controlnet_conditioning_scale=weight, return_dict=False,
    )[0]  # fmt: skip
    (control,) = control_of(app, exact, picture=shown().resize((64, 64)), weight=weight)
    told = tuple(replace(side, crossattn=side.crossattn.float(), controls=(control,)) for side in sides)
    sigmas = scheduler.sigmas
    with torch.inference_mode():
        denoise = guide(exact, table_of(exact), *told, scale, 1)
        start = noise * float(scheduler.init_noise_sigma)
        ours = app.parts.samplers["Euler"].function(denoise, start, sigmas, lambda *_: torch.zeros_like(noise))
        without = guide(exact, table_of(exact), *sides, scale, 1)
        plain = app.parts.samplers["Euler"].function(without, start, sigmas, lambda *_: torch.zeros_like(noise))
    assert (ours - theirs).abs().max() < 1e-3
    assert (ours - plain).abs().max() > 0.1


def test_one_call_of_the_unet_is_diffusers_own(app, exact):
    (control,) = control_of(app, exact, picture=shown().resize((64, 64)), guess=False)
    x, words, t = torch.randn(2, 4, 8, 8), torch.randn(2, 7, 96), torch.tensor([700.0, 20.0])
    network = ControlNetModel.from_pretrained(app.paths.data / "models" / "ControlNet" / "a-folder", local_files_only=True)
    seen = torch.from_numpy(np.array(shown().resize((64, 64)), dtype=np.float32)).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        for guess in (False, True):
            down, middle = network(x, t, words, seen.expand(2, -1, -1, -1), 1.0, guess_mode=guess, return_dict=False)
            answer = replace(control, guess=guess)(x, t, words, None)
            for ours, theirs in zip((*answer.down, answer.middle), (*down, middle), strict=True):
                assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("depths", [(0, 2, 4), (0, 0, 1)])
def test_networks_of_sdxl_read_its_numbers_as_one_vector(app, tmp_path, depths):
    """As diffusers has it: pooled words and six numbers; as the program has it: all of them behind each other."""
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=12,
        attention_head_dim=(1, 2, 2),
        down_block_types=tuple("CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths),
        up_block_types=tuple("CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)),
        transformer_layers_per_block=tuple(depth or 1 for depth in depths), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=10 + 24,
    )  # fmt: skip
    network = random_network(unet)
    network.save_pretrained(tmp_path / "xl")
    names = {name.replace("add_embedding", "class_embedding"): value for name, value in network.state_dict().items()}
    renamed = copy.copy(network)
    renamed.state_dict = lambda: names
    save_file(in_ldm(renamed), tmp_path / "xl.safetensors")
    pooled, numbers, x, words = (
        torch.randn(1, 10),
        torch.tensor([[64.0, 64, 0, 0, 64, 48]]),
        torch.randn(1, 4, 8, 8),
        torch.randn(1, 7, 12),
    )
    picture = torch.rand(1, 3, 64, 64)
    files = functions(app)["files"]
    with torch.inference_mode():
        added = {"text_embeds": pooled, "time_ids": numbers}
        down, middle = network(x, torch.tensor(500.0), words, picture, added_cond_kwargs=added, return_dict=False)
        vector = torch.cat([pooled, network.add_time_proj(numbers.flatten()).reshape(1, -1)], 1)
        for place in ("xl", "xl.safetensors"):
            ours = files.load(tmp_path / place, {name: unet.config[name] for name in files.ALIKE if name in unet.config})
            control = functions(app)["Control"](ours, picture, 1.0, float("inf"), float("-inf"), False)
            answer = control(x, torch.tensor(500.0), words, vector)
            for one, other in zip((*answer.down, answer.middle), (*down, middle), strict=True):
                assert torch.allclose(one, other, atol=1e-5)


# ---------------------------------------------------------------- in a request


def test_every_layout_of_the_files_draws_the_same_picture(app):
    pictures = {name: pixels(app, chosen(name)) for name in ("a-folder", "control_pocket", "pickled.pth", "one_file")}
    assert len(set(pictures.values())) == 1
    assert pictures["a-folder"] != pixels(app)


def test_the_picture_says_how_it_was_made(app):
    first = drawn(app, chosen("pickled", weight=0.7, preprocessor="canny"))[0]
    assert first.request.conditioners[0].options == {
        "picture": "any", "preprocessor": "Canny", "network": "pickled.pth", "weight": 0.7, "start": 0.0, "end": 1.0,
        "guess": False,
    }  # fmt: skip
    values, notes = infotext.to_request(infotext.read(first.infotext), app.parts.samplers.names(), app.parts.schedules.names())
    fitted, more = fitting(values, app.parts, References(app.parts, app.shelf, lambda _: shown()))
    assert (notes, more) == ([], [])
    again = next(
        generate(request_from({**fitted, "checkpoint": "pocket"}), app.checkpoints, app.parts, pictures=lambda _: shown())
    )
    assert (again.image.tobytes(), again.infotext) == (first.image.tobytes(), first.infotext)


def test_weight_nothing_is_the_plain_picture(app):
    assert pixels(app, chosen(weight=0)) == pixels(app) != pixels(app, chosen(weight=0.5))
    assert pixels(app, chosen(network="", picture="", weight=0)) == pixels(app), "and needs neither network nor picture"


def test_it_begins_and_ends_at_its_shares_of_the_way(app, exact):
    plain, whole = pixels(app, steps=4), pixels(app, chosen(), steps=4)
    early, late = pixels(app, chosen(end=0.5), steps=4), pixels(app, chosen(start=0.5), steps=4)
    assert len({plain, whole, early, late}) == 4
    assert pixels(app, chosen(start=0.6, end=0.6), steps=4) == plain
    (control,) = control_of(app, exact, start=0.2, end=0.7)
    x, words = torch.randn(3, 4, 8, 8), torch.randn(3, 7, 96)
    with torch.inference_mode():
        for t, is_active in ((999.0, False), (810.0, False), (790.0, True), (310.0, True), (290.0, False), (0.0, False)):
            assert (control(x, torch.tensor(t), words, None) is not None) == is_active
        mixed = control(x, torch.tensor([900.0, 500.0, 100.0]), words, None)
        alone = control(x[1:2], torch.tensor(500.0), words[1:2], None)
    assert not mixed.middle[::2].any() and torch.allclose(mixed.middle[1:2], alone.middle, atol=1e-5)


def test_both_sides_of_guidance_share_one_call_and_guessing_has_one_side(app, exact):
    sides = [control_of(app, exact, negative=negative)[0] for negative in (False, True)]
    assert sides[0] is sides[1]
    assert control_of(app, exact, guess=True, negative=True) == ()
    assert len({pixels(app), pixels(app, chosen()), pixels(app, chosen(guess=True))}) == 3
    asked = replace(ASKED, conditioners=(chosen(),))
    told = condition(asked, exact, app.parts, [Inputs(size=(64, 64))], References(app.parts, app.shelf, lambda _: shown()))
    assert len(batched(told, 1).controls) == 1 and batched(told, 1).controls[0] is told[0].controls[0]


def test_batches_the_second_pass_and_two_at_once(app):
    batch = drawn(app, chosen(), batch_size=2)
    assert [one.image.tobytes() for one in batch] == [pixels(app, chosen(), seed=seed) for seed in (3, 4)]
    larger = {"hires_scale": 2.0, "hires_strength": 0.5}
    assert pixels(app, chosen(), **larger) != pixels(app, **larger)
    half = chosen(weight=0.5)
    assert len({pixels(app, half), pixels(app, half, chosen("one_file", weight=0.5)), pixels(app)}) == 3


def test_any_size_of_picture_and_of_what_is_drawn(app):
    for size in ((64, 64), (72, 100), (130, 66)):
        made = drawn(app, chosen(), width=size[0], height=size[1], steps=1)[0].image
        assert made.size == size


def test_without_a_picture_it_takes_the_one_that_is_repainted(app):
    values = {"image": "any", "strength": 0.6, "steps": 4}
    with_own, without = pixels(app, chosen(), **values), pixels(app, chosen(picture=""), **values)
    assert without != pixels(app, **values)
    assert with_own != without, "cut to the proportions, not stretched as img2img is asked to"
    assert pixels(app, chosen(picture=""), **values, resize="crop") == pixels(app, chosen(), **values, resize="crop")


def test_preprocessors_change_what_is_read(app):
    found = {name: pixels(app, chosen(preprocessor=name)) for name in ("", "Canny", "Depth", "Scribble")}
    assert len(set(found.values())) == 4


def test_a_window_of_a_large_picture_sees_its_part(app, exact):
    (control,) = control_of(app, exact, size=(64, 96))
    part = control.seen_through(2, 4, 6, 8)
    assert torch.equal(part.picture, control.picture[..., 16:64, 32:96])


# ---------------------------------------------------------------- what goes wrong


def test_what_is_missing_is_said(app):
    for options, words in (
        ({"network": ""}, "ControlNet needs a network. Choose one; they are files of models/ControlNet."),
        ({"picture": ""}, "ControlNet needs a picture: give one whose shapes count, or take ControlNet off."),
        (
            {"network": "nothing"},
            "No file of models/ControlNet is called 'nothing'. There is a-folder, control_pocket.safetensors, ",
        ),
    ):
        with pytest.raises(FieldError, match=re.escape(words)) as raised:
            drawn(app, chosen(**options))
        assert raised.value.field == "conditioners"


def test_a_network_of_another_kind_of_checkpoint_is_told(app):
    other = UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=12, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    save_file(in_ldm(random_network(other)), app.paths.data / "models" / "ControlNet" / "tiny.safetensors")
    words = "tiny.safetensors was made for U-Nets of 8, 16 channels and words of 12, and pocket"
    with pytest.raises(FieldError, match=re.escape(words)):
        drawn(app, chosen("tiny"))
    assert pixels(app, chosen())


def test_a_refiner_for_which_it_was_not_made_needs_none_where_it_ends_before(app, exact):
    refined = replace(ASKED, refiner=exact.title, refiner_switch=0.5)
    assert control_of(app, exact, request=refined, end=0.5) == ()
    assert control_of(app, exact, request=refined, end=0.6)
    unet = UNet2DConditionModel(**{**exact.unet.config, "cross_attention_dim": 64})
    with pytest.raises(FieldError, match=r"words of 64\. End it at 0\.5, where the refiner takes over\."):
        control_of(app, replace(exact, unet=unet), request=refined, end=0.6)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"difference": torch.zeros(1)}, "is the difference of a control network to a checkpoint, which cannot be used here"),
        ({"lora_controlnet": torch.zeros(1)}, "is a LoRA of a control network"),
        ({"task_embedding": torch.zeros(1)}, "is a control network for several tasks at once"),
        ({"adapter.body.0.in_conv.weight": torch.zeros(1)}, "is a T2I-Adapter"),
        ({"model.diffusion_model.out.2.weight": torch.zeros(1)}, "holds no control network. Choose one, such as control_v11p"),
        (
            {"control_model.input_hint_block.0.weight": torch.zeros(4, 3, 3, 3)},
            "is no control network, or one of a build that",
        ),
    ],
)
def test_other_files_are_told_what_they_are(app, tensors, words):
    file = app.paths.data / "models" / "ControlNet" / "other.safetensors"
    save_file(tensors, file)
    try:
        with pytest.raises(FieldError, match=re.escape(words)):
            drawn(app, chosen("other"))
    finally:
        file.unlink()


def test_a_damaged_network_is_told_and_read_again_when_it_is_whole(app):
    folder = app.paths.data / "models" / "ControlNet"
    data = (folder / "control_pocket.safetensors").read_bytes()
    (folder / "broken.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(FieldError, match=r"broken\.safetensors is truncated"):
        drawn(app, chosen("broken"))
    (folder / "broken.safetensors").write_bytes(data)
    assert pixels(app, chosen("broken")) == pixels(app, chosen())
    (folder / "broken.safetensors").unlink()


def test_nothing_is_loaded_before_it_is_asked_for(app):
    """Planning reads no network."""
    file = app.paths.data / "models" / "ControlNet" / "empty.safetensors"
    file.write_bytes(b"")
    request = replace(ASKED, conditioners=(chosen("empty"),))
    assert (
        plan.plan(request, app.checkpoints, app.parts, lambda _: shown()).request.conditioners[0].options["network"] == file.name
    )
    file.unlink()


# ---------------------------------------------------------------- preprocessors


def prepared(app, name, image, **options):
    made = app.parts.preprocessors[name].function(image, **options)
    assert (made.mode, made.size) == ("RGB", image.size)
    return np.array(made)[..., 0]


def test_canny_finds_thin_edges_where_they_are(app):
    picture = Image.new("L", (60, 40), 20)
    ImageDraw.Draw(picture).rectangle((20, 10, 39, 29), fill=220)
    found = prepared(app, "Canny", picture.convert("RGB")) > 0
    assert found.any() and not found[13:27, 23:37].any() and not found[:, :15].any()
    for line in (found[20], found[15]):
        assert line.sum() == 2, "one pixel for each of the two sides"
    left, right = np.flatnonzero(found[20])
    assert abs(left - 19.5) <= 1 and abs(right - 39.5) <= 1
    assert (found[:, 30].sum(), found.sum()) == (2, pytest.approx(76, abs=8))


def test_canny_follows_weak_edges_from_strong_ones_only(app):
    """Of two lines that begin alike, the one that grows strong at its end stays, and the other goes."""
    values = np.zeros((40, 60), np.uint8)
    values[:20] = np.linspace(28, 90, 60)
    alone = np.zeros((40, 60), np.uint8)
    alone[:20] = 28
    kept = prepared(app, "Canny", Image.fromarray(values).convert("RGB"), low=40, high=200)
    gone = prepared(app, "Canny", Image.fromarray(alone).convert("RGB"), low=40, high=200)
    assert kept[17:23].any(0).all() and not gone.any()


def test_canny_goes_round_a_circle(app):
    picture = Image.new("L", (80, 80), 0)
    ImageDraw.Draw(picture).ellipse((15, 15, 65, 65), fill=255)
    rows, columns = np.nonzero(prepared(app, "Canny", picture.convert("RGB")))
    radii = np.hypot(rows - 40, columns - 40)
    assert abs(radii - 25.5).max() < 2
    angles = np.sort(np.arctan2(rows - 40, columns - 40))
    assert np.diff(angles).max() < 0.12, "without a gap"


def test_scribbles_are_thicker_than_edges(app):
    picture = shown().resize((256, 170))
    edges, strokes = prepared(app, "Canny", picture) > 0, prepared(app, "Scribble", picture) > 0
    assert strokes.sum() > 2 * edges.sum() and strokes.mean() < 0.3
    thick = prepared(app, "Scribble", picture, width=20) > 0
    assert thick.sum() > strokes.sum()


def test_a_plain_picture_has_no_edges(app):
    for name in ("Canny", "Scribble"):
        assert not prepared(app, name, Image.new("RGB", (33, 17), "white")).any()


def test_depth_is_the_programs_own_estimate(app):
    drawn_cube = next(app.generate(replace(ASKED, width=128, height=128, steps=8))).image
    found = prepared(app, "Depth", drawn_cube)
    assert (found.min(), found.max()) == (0, 255)
    own = np.array(app.inputs.open(app.depth_of(app.inputs.put(drawn_cube))).convert("L")).astype(float)
    assert np.corrcoef(found.flatten(), own.flatten())[0, 1] > 0.99
