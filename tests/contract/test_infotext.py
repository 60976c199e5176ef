import dataclasses
import json
import random
from typing import Any

import pytest

from tests.shared import shared
from webui import __version__
from webui.contract.errors import PluginError
from webui.contract.infotext import Infotext, enlarged, quote, read, to_request, unquote, write
from webui.contract.request import FILLS, PICTURES, RESIZE_MODES, Box, EnlargeRequest, GenerationRequest, request_from
from webui.contract.result import CheckpointName
from webui.contract.sampler_names import split_sampler

SAMPLERS = ["DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 3M SDE", "Euler a", "Euler", "LMS", "Heun"]
SAMPLERS += ["DPM2", "DPM2 a", "DDIM", "PLMS", "UniPC"]
SCHEDULES = ["Uniform", "Karras", "Exponential", "SGM Uniform", "Simple"]
CHECKPOINT = CheckpointName("pocket", "0a1b2c3d4e")
FULL = GenerationRequest(
    prompt="a red sphere", sampler="Euler a", steps=20, guidance=7.0, width=128, height=192, seed=1, schedule="Karras"
)
ODD = list(" \n\t,:\"'\\()[]{}<>#|x1aZ-/_") + ["\r", "\x00", "\x7f", "\u2028", "\x85", "\xa0", "é", "猫", "🐈", "\ufffd"]
PIECES = ["Negative prompt:", "\nNegative prompt: ", "Steps: 20, Sampler: Euler, Seed: 1", "512x768", ", Version: 1", '""', "\\n"]
PIECES += ['Exact prompt: "x"', "\nSteps: 1, Seed: 2, Size: 64x64", "  ", "\n\n", "BREAK", "AND"]


def some_text(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) if rng.random() < 0.2 else rng.choice(ODD) for _ in range(rng.randrange(14)))


def some_repainting(rng: random.Random) -> dict[str, Any]:
    return {
        "resize": rng.choice(RESIZE_MODES),
        "mask_blur": rng.uniform(0, 64),
        "mask_invert": True,
        "masked_content": rng.choice(FILLS),
        "only_masked": True,
        "mask_padding": rng.randint(0, 512),
        "soft": True,
        "extend_left": rng.randint(0, 4096),
        "extend_bottom": rng.randint(0, 4096),
        "match_colours": True,
        "depth_guided": True,
        "depth_near": rng.random(),
        "depth_far": rng.random(),
        "hires_scale": rng.uniform(1, 8),
        "hires_width": rng.randint(0, 8192),
        "hires_upscaler": rng.choice(["Latent", "4x-Custom", "a, b: c"]),
        "hires_steps": rng.randint(1, 1000),
        "hires_strength": rng.random(),
        "hires_prompt": some_text(rng),
        "hires_negative_prompt": some_text(rng),
        "hires_checkpoint": "folder/other, new.safetensors",
        "hires_sampler": rng.choice(SAMPLERS),
        "hires_schedule": rng.choice([*SCHEDULES, "Automatic"]),
        "hires_guidance": rng.uniform(0, 100),
        "tile": rng.randint(0, 8192),
    }


def some_inputs(rng: random.Random) -> dict[str, Any]:
    """Values of some of the fields that only some families read."""

    def size() -> int:
        return rng.choice([0, 1024, rng.randint(0, 65536)])

    box = Box(rng.choice(["17", "dog, big", some_text(rng)]), rng.random(), -rng.random(), 0.1 + rng.random(), 0.5)
    values: dict[str, Any] = {
        "long_prompt": "Cut",
        "second_prompt": some_text(rng),
        "second_negative_prompt": some_text(rng),
        "class_label": rng.choice(["tench, Tinca tinca", "17", "512x768", some_text(rng)]),
        "boxes": (box, Box("3", 0.0, 0.0, 1.0, 1.0)),
        "mix": rng.random(),
        "strength": rng.choice([0.0, 1.0, rng.random()]),
        "noise_level": rng.randint(0, 999),
        "original_width": size(),
        "original_height": size(),
        "crop_left": size(),
        "crop_top": size(),
        "target_width": size(),
        "target_height": size(),
        "aesthetic_score": rng.uniform(0, 10),
        "negative_aesthetic_score": rng.uniform(0, 10),
        "refiner": rng.choice(["sd_xl_refiner_1.0 [7440042bbd]", "folder/refiner, new.safetensors"]),
        "refiner_switch": rng.random(),
    }
    values |= some_repainting(rng)
    pictures = {name: f"{rng.randrange(16**64):064x}" for name in PICTURES}
    return {name: value for name, value in (values | pictures).items() if rng.random() < 0.4}


def some_request(rng: random.Random) -> GenerationRequest:
    def maybe(value: Any, default: Any = None) -> Any:
        return value if rng.random() < 0.6 else default

    return GenerationRequest(
        prompt=some_text(rng),
        negative_prompt=maybe(some_text(rng), ""),
        sampler=rng.choice(SAMPLERS),
        schedule=rng.choice(["Automatic", *SCHEDULES]),
        steps=rng.randint(1, 1000),
        guidance=rng.choice([0.0, 1.0, 7.0, 7.5, 0.1 + 0.2, rng.uniform(0, 100)]),
        width=8 * rng.randint(8, 1024),
        height=8 * rng.randint(8, 1024),
        seed=rng.choice([0, 2**53 + 1, 2**63 - 1, rng.randrange(2**63)]),
        variation_seed=maybe(rng.randrange(2**63), -1),
        variation_strength=maybe(rng.random(), 0.0),
        seed_from_width=maybe(rng.randint(0, 8192), 0),
        seed_from_height=maybe(rng.randint(0, 8192), 0),
        step_seed_shift=maybe(31337, 0),
        noise_source=rng.choice(["CPU", "NV"]),
        clip_skip=rng.randint(1, 12),
        emphasis=rng.choice(["Original", "No norm", "Ignore", "None"]),
        eta=maybe(rng.random()),
        **some_inputs(rng),
        sampler_options=maybe({"s_churn": rng.random(), "order": 2, "variant": some_text(rng)}, {}),
        schedule_options=maybe({"rho": rng.uniform(1, 20), "sigma_min": None, "variant": some_text(rng)}, {}),
        extras=maybe({"some extension": {"text": some_text(rng), "on": True}}, {}),
    )


def test_a_finished_picture_reads_like_anyone_elses():
    text = write(dataclasses.replace(FULL, negative_prompt="blur, (grain:1.2)"), CHECKPOINT)
    assert text == (
        "a red sphere\nNegative prompt: blur, (grain:1.2)\nSteps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, "
        f"Seed: 1, Size: 128x192, Model hash: 0a1b2c3d4e, Model: pocket, RNG: CPU, Version: latent-webui {__version__}"
    )


@pytest.mark.parametrize("seed", range(400))
def test_what_is_written_is_read_back_equal(seed):
    rng = random.Random(seed)
    request = some_request(rng)
    extra = {f"Extra {i}": text for i in range(3) if (text := some_text(rng)) != ""}
    text = write(request, CHECKPOINT, extra)
    text.encode("utf-8")
    found = read(text)
    assert (found.prompt, found.negative_prompt) == (request.prompt, request.negative_prompt)
    assert {key: found.value(key) for key in extra} == extra
    assert found.checkpoint == CHECKPOINT
    values, notes = to_request(found, SAMPLERS, SCHEDULES, lambda name: True)
    assert request_from(values) == request
    assert notes == ([f"Not used here: {', '.join(key for key in found.fields if key.startswith('Extra '))}."] if extra else [])


def test_a_refiner_is_written_under_the_names_that_others_read():
    text = write(dataclasses.replace(FULL, refiner="sd_xl_refiner_1.0 [7440042bbd]"), CHECKPOINT)
    assert "Refiner: sd_xl_refiner_1.0 [7440042bbd], Refiner switch at: 0.8," in text


def test_a_picture_is_found_again_while_it_is_kept_and_told_when_it_is_not():
    text = write(dataclasses.replace(FULL, image="a" * 64, mask="b" * 64, strength=0.5), CHECKPOINT)
    values, notes = to_request(read(text), SAMPLERS, SCHEDULES, lambda name: name == "a" * 64)
    assert (values["image"], values["strength"], "mask" in values) == ("a" * 64, 0.5, False)
    assert notes == ["Mask: the picture is not kept here (any more). Give it again."]
    assert "image" not in to_request(read(text), SAMPLERS, SCHEDULES)[0]


@pytest.mark.parametrize("value", ["17", '"[[1, 2]"', '"[[\\"17\\", 0, 0, 0, 1]]"', '"{}"'])
def test_boxes_that_are_none_are_refused_with_a_word(value):
    values, notes = to_request(read(f"moth\nSteps: 5, Seed: 1, Sampler: Euler, Boxes: {value}"), SAMPLERS, SCHEDULES)
    assert "boxes" not in values
    assert any(note.startswith("Boxes was not taken over. Box") for note in notes)


def test_the_strength_of_another_programs_second_pass_is_not_taken_for_ours():
    fields = "Steps: 5, Seed: 1, Sampler: Euler, Denoising strength: 0.4"
    assert to_request(read(f"moth\n{fields}"), SAMPLERS, SCHEDULES)[0]["strength"] == 0.4
    assert "strength" not in to_request(read(f"moth\n{fields}, Hires upscale: 2"), SAMPLERS, SCHEDULES)[0]


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "Negative prompt: not one",
        "a\nNegative prompt: b",
        "Steps: 20, Sampler: Euler, Seed: 3",
        " a \n b",
        "a\r\nb",
        "\n",
        "a\n\n",
        "\0",
    ],
)
@pytest.mark.parametrize("negative", ["", "blur", "Negative prompt: x\n", "Steps: 20, Sampler: Euler, Seed: 3"])
def test_prompts_that_look_like_something_else_come_back(prompt, negative):
    found = read(write(dataclasses.replace(FULL, prompt=prompt, negative_prompt=negative), CHECKPOINT))
    assert (found.prompt, found.negative_prompt) == (prompt, negative)
    assert found.value("Seed") == "1"


def test_a_prompt_that_the_user_edited_wins_over_the_exact_field():
    text = write(dataclasses.replace(FULL, prompt=" two blanks in front"), CHECKPOINT)
    assert read(text).prompt == " two blanks in front"
    assert read(text.replace("two blanks", "no blanks", 1)).prompt == "no blanks in front"


def test_a_lone_surrogate_does_not_spoil_the_text():
    text = write(FULL, CHECKPOINT, {"Note": "half \ud83d of an emoji"})
    assert text.encode("utf-8")
    assert read(text).fields["Note"] == "half \ud83d of an emoji"


def test_seeds_of_nineteen_digits_keep_every_digit():
    found = read(write(dataclasses.replace(FULL, seed=9223372036854775807), CHECKPOINT))
    assert found.fields["Seed"] == "9223372036854775807"
    assert to_request(found, SAMPLERS, SCHEDULES)[0]["seed"] == 9223372036854775807


@pytest.mark.parametrize("key", ["", "x", "a:b", "a, b", " a", "Seed", "Version", "a\nb", "Exact prompt"])
def test_a_field_with_an_unreadable_name_is_refused(key):
    with pytest.raises(PluginError, match="cannot be called"):
        write(FULL, CHECKPOINT, {key: "value"})


def test_fields_of_the_convention_stand_at_their_place_and_the_rest_before_the_version():
    text = write(dataclasses.replace(FULL, strength=0.5), CHECKPOINT, {"Zeal": "much", "VAE": "x.pt"})
    keys = [key for key, _ in read(text).pairs]
    assert keys.index("Model") < keys.index("VAE") < keys.index("Denoising strength") < keys.index("RNG") < keys.index("Zeal")
    assert keys[-1] == "Version"


def test_fewer_than_three_pairs_belong_to_the_prompt():
    assert read("a, b\nSteps: 20, Seed: 1").prompt == "a, b\nSteps: 20, Seed: 1"
    assert read("a, b\nSteps: 20, Seed: 1, Sampler: Euler").prompt == "a, b"


def test_a_hostile_line_is_read_in_no_time():
    for text in ("a" * 300_000, " " * 300_000 + "x", 'aa:"' * 80_000, "a:b," * 80_000, '"\\' * 100_000):
        assert read("prompt\n" + text).prompt.startswith("prompt")  # quadratic patterns would take minutes here


def test_only_known_fields_within_their_limits_are_set_and_the_rest_is_said():
    text = (
        "moth\nSteps: 5000, Sampler: Some Unknown Thing, Schedule type: Odd, CFG scale: -3, Seed: 18446744073709551615, "
        "Size: 51x512, Clip skip: two, Emphasis: Loud, Outdir: /etc, Hires Module 1: other"
    )
    values, notes = to_request(read(text), SAMPLERS, SCHEDULES)
    assert values == {"prompt": "moth", "negative_prompt": "", "schedule": "Automatic", "noise_source": "NV"}
    said = " ".join(notes)
    for word in ("Steps", "'Some Unknown Thing'", "'Odd'", "CFG scale", "18446744073709551615", "51", "'two'", "Loud", "Outdir"):
        assert word in said
    assert "Hires Module 1" in notes[-1]


@pytest.mark.parametrize("value", ['"[1, 2]"', '"{"', "NaN", '"{\\"s_churn\\": NaN}"', '"' + "[" * 100_000 + '"'])
def test_sampler_options_that_are_no_object_are_refused_with_a_word(value):
    values, notes = to_request(read(f"moth\nSteps: 5, Seed: 1, Sampler: Euler, Sampler options: {value}"), SAMPLERS, SCHEDULES)
    assert not values.get("sampler_options")
    assert any(note.startswith("Sampler options") for note in notes)


@pytest.mark.parametrize(
    "rest, source",
    [
        ("", "NV"),
        (", RNG: GPU", "NV"),
        (", RNG: CPU", "CPU"),
        (", Version: ComfyUI", "CPU"),
        (f", Version: latent-webui {__version__}", "CPU"),
    ],
)
def test_the_generator_that_is_not_named_is_the_writers_own(rest, source):
    values, _ = to_request(read(f"moth\nSteps: 5, Seed: 1, Sampler: Euler{rest}"), SAMPLERS, SCHEDULES)
    assert values["noise_source"] == source


def test_a_plain_prompt_sets_nothing_but_the_prompts():
    assert to_request(read("just a prompt"), SAMPLERS, SCHEDULES) == ({"prompt": "just a prompt", "negative_prompt": ""}, [])


def test_joint_names_are_split_at_the_longest_schedule():
    assert split_sampler("DPM++ SDE SGM Uniform", SAMPLERS, SCHEDULES) == ("DPM++ SDE", "SGM Uniform")
    assert split_sampler("dpmpp_2m_karras", ["dpmpp_2m"], ["karras"]) == ("dpmpp_2m", "karras")
    assert split_sampler("euler A", SAMPLERS, SCHEDULES) == ("Euler a", "")
    assert split_sampler("Karras", SAMPLERS, SCHEDULES) == ("", "")


def test_quoting_is_as_published():
    for case in json.loads(shared("reference/infotext/quote.json").read_text("utf-8")):
        assert quote(case["text"]) == case["quoted"]
        assert unquote(case["quoted"]) == case["unquoted"]


def reference() -> list[dict[str, Any]]:
    """Texts and what the published reader makes of them, without those where styles or its own bugs had a say."""
    lines = shared("reference/infotext/infotext.jsonl").read_text("utf-8").splitlines()
    cases = [json.loads(line) for line in lines]
    cases = [case for case in cases if not case.get("styles") and not case.get("error")]
    return [case for case in cases if "comments" not in case.get("quirk", "")]


def test_texts_are_taken_apart_as_the_published_reader_does():
    for case in reference():
        found, parsed = read(case["text"]), case["parsed"]
        assert [list(pair) for pair in found.pairs] == case["pairs"], case["id"]
        assert (found.prompt, found.negative_prompt) == (parsed["Prompt"], parsed["Negative prompt"]), case["id"]
        if str(case.get("quirk", "")).startswith("Forge only"):
            continue
        skipped = (case.get("settings") or {}).get("infotext_skip_pasting", [])
        for key, value in found.fields.items():  # VAE and First pass size are moved to other fields by that reader
            if key not in (*skipped, "VAE", "Model") and not key.startswith(("First pass size", "Size")):
                assert parsed[key] == value, (case["id"], key)


def test_samplers_are_understood_as_the_published_reader_does():
    for case in reference():
        named = read(case["text"]).fields.get("Sampler", "")
        if named and not case.get("quirk"):
            assert to_request(read(case["text"]), SAMPLERS, SCHEDULES)[0]["sampler"] == case["sampler"], case["id"]


def test_an_empty_text_is_an_empty_prompt():
    assert read("") == Infotext()


def test_the_strength_of_a_peers_hires_fix_is_that_of_the_second_pass():
    text = "moth\nSteps: 20, Sampler: Euler, Seed: 1, Denoising strength: 0.45, Hires upscale: 2, "
    text += "Hires steps: 12, Hires upscaler: 4x"
    values, _ = to_request(read(text), SAMPLERS, SCHEDULES)
    assert (values["hires_strength"], values["hires_scale"], values["hires_steps"]) == (0.45, 2.0, 12)
    assert (values["hires_upscaler"], "strength" in values) == ("4x", False)


def test_a_peers_inpainting_is_read():
    text = (
        "moth\nSteps: 20, Sampler: Euler, Seed: 1, Denoising strength: 0.75, Mask blur: 4, Mask mode: Inpaint not masked, "
        "Inpaint area: Only masked, Masked area padding: 16, Masked content: latent noise"
    )
    values, notes = to_request(read(text), SAMPLERS, SCHEDULES)
    told = ("strength", "mask_blur", "mask_invert", "only_masked", "mask_padding", "masked_content")
    assert [values[name] for name in told] == [0.75, 4.0, True, True, 16, "latent noise"]
    assert not notes


def test_a_sampler_of_the_second_pass_that_is_not_here_is_left_out_with_a_word():
    text = "moth\nSteps: 20, Sampler: Euler, Seed: 1, Hires upscale: 2, Hires sampler: Odd, Hires schedule type: karras"
    values, notes = to_request(read(text), SAMPLERS, SCHEDULES)
    assert "hires_sampler" not in values and values["hires_schedule"] == "Karras"
    assert any("'Odd'" in note for note in notes)


def test_an_enlarged_picture_keeps_its_text_and_says_what_was_done():
    own = write(FULL, CHECKPOINT)
    text = enlarged(own, EnlargeRequest(image="a" * 64, scale=1.5, second_upscaler="Nearest", second_share=0.25), (192, 288))
    assert text.startswith(own) and (read(text).prompt, read(text).fields["Seed"]) == ("a red sphere", "1")
    done = read(text).fields
    assert (done["Postprocess upscale by"], done["Postprocess upscaler"]) == ("1.5", "Lanczos")
    assert (done["Postprocess upscaler 2"], done["Postprocess upscaler 2 visibility"]) == ("Nearest", "0.25")
    bare = enlarged("", EnlargeRequest(image="a" * 64, width=100), (100, 50))
    assert read(bare).fields["Postprocess upscale to-1"] == "100" and read(bare).is_ours


def test_two_strengths_are_told_apart_where_a_repainted_image_is_enlarged_too():
    asked = dataclasses.replace(FULL, image="a" * 64, strength=0.5, hires_scale=2.0, hires_strength=0.3)
    values, _ = to_request(read(write(asked, CHECKPOINT)), SAMPLERS, SCHEDULES, lambda _: True)
    assert (values["strength"], values["hires_strength"]) == (0.5, 0.3)
