"""Pictures as other programs write them, made here, read by the program. Run with: python -m pytest extensions/other-pictures"""

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from webui.contract import infotext
from webui.testing import program

GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {
        "seed": 156680208700286, "steps": 20, "cfg": 8.0, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0,
        "model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "SD1.5\\v1-5-pruned-emaonly.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a glass bottle, purple galaxy", "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text, watermark", "clip": ["10", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    "10": {"class_type": "LoraLoader", "inputs": {
        "lora_name": "inkwash.safetensors", "strength_model": 0.7, "strength_clip": 1.0, "model": ["4", 0], "clip": ["4", 1]}},
}  # fmt: skip


def changed(graph=GRAPH, **nodes):
    """A copy with other nodes; inputs of one that is there are changed one by one."""
    made = json.loads(json.dumps(graph))
    for key, node in nodes.items():
        key = key.removeprefix("n")
        if "class_type" in node:
            made[key] = node
        else:
            made[key]["inputs"] |= node
    return made


@pytest.fixture(scope="module")
def app():
    with program(Path(__file__).parent) as opened:
        yield opened


def png(**texts):
    info, file = PngInfo(), io.BytesIO()
    for key, value in texts.items():
        info.add_text(key.replace("_metadata", "-metadata") if key == "sd_metadata" else key, value)
    Image.new("RGB", (832, 1216)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def commented(kind, text, encoding="utf-16-be"):
    """A JPEG or WebP with a user comment."""
    exif, file = Image.Exif(), io.BytesIO()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode(encoding)
    Image.new("RGB", (832, 1216)).save(file, kind, exif=exif)
    return file.getvalue()


def read(app, data):
    """What the program reads, taken apart; nothing may have gone wrong on the way."""
    text = app.infotext_of(data)
    assert app.troubles.of("other-pictures") == ()
    return infotext.read(text)


def asked(app, said):
    """The fields of a request that an infotext sets."""
    values, _ = infotext.to_request(said, app.parts.samplers.names(), app.parts.schedules.names())
    return values


# ---------------------------------------------------------------- ComfyUI


def test_the_graph_that_comfyui_begins_with(app):
    said = read(app, png(prompt=json.dumps(GRAPH), workflow="{}"))
    assert said.prompt == "a glass bottle, purple galaxy <lora:inkwash:0.7>" and said.negative_prompt == "text, watermark"
    assert said.checkpoint.name == "v1-5-pruned-emaonly"
    values = asked(app, said)
    assert (values["steps"], values["guidance"], values["seed"]) == (20, 8.0, 156680208700286)
    assert (values["width"], values["height"]) == (512, 768)
    assert (values["sampler"], values["schedule"], values["noise_source"]) == ("DPM++ 2M", "Karras", "CPU")


def test_values_behind_other_nodes(app):
    graph = changed(
        n3={"seed": ["20", 0], "steps": ["21", 0]},
        n6={"text": ["22", 0]},
        n20={"class_type": "Seed (rgthree)", "inputs": {"seed": 77}},
        n21={"class_type": "PrimitiveInt", "inputs": {"value": 12}},
        n22={"class_type": "StringFunction", "inputs": {"text": ["23", 0]}},
        n23={"class_type": "String Literal", "inputs": {"string": "a moth, drawn"}},
    )
    said = read(app, png(prompt=json.dumps(graph)))
    assert (said.fields["Seed"], said.fields["Steps"]) == ("77", "12") and said.prompt.startswith("a moth, drawn")


def test_of_two_passes_the_first_is_told(app):
    graph = changed(
        n8={"samples": ["30", 0]},
        n30={"class_type": "KSampler", "inputs": {**GRAPH["3"]["inputs"], "seed": 5, "denoise": 0.5, "latent_image": ["31", 0]}},
        n31={"class_type": "LatentUpscaleBy", "inputs": {"samples": ["3", 0], "scale_by": 1.5, "upscale_method": "bislerp"}},
    )
    said = read(app, png(prompt=json.dumps(graph)))
    assert (said.fields["Seed"], said.fields["Size-1"]) == ("156680208700286", "512")


def test_control_networks_and_combined_conditionings_are_seen_through(app):
    graph = changed(
        n3={"positive": ["40", 0], "negative": ["40", 1]},
        n40={"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["41", 0], "negative": ["7", 0], "strength": 1.0}},
        n41={"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["6", 0], "conditioning_2": ["42", 0]}},
        n42={
            "class_type": "CLIPTextEncodeSDXL",
            "inputs": {"text_g": "a hill", "text_l": "a hill", "width": 1024, "height": 1024},
        },
    )
    said = read(app, png(prompt=json.dumps(graph)))
    assert said.prompt.startswith("a glass bottle, purple galaxy AND a hill") and said.negative_prompt == "text, watermark"


def test_the_sampler_that_is_put_together_of_parts(app):
    graph = {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "sdxl.safetensors"}},
        "2": {"class_type": "RandomNoise", "inputs": {"noise_seed": 9}},
        "3": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler_ancestral"}},
        "4": {"class_type": "BasicScheduler", "inputs": {"scheduler": "sgm_uniform", "steps": 6, "denoise": 1.0,
                                                      "model": ["1", 0]}},
        "5": {"class_type": "CFGGuider", "inputs": {"cfg": 2.5, "model": ["1", 0], "positive": ["6", 0], "negative": ["7", 0]}},
        "6": GRAPH["6"], "7": GRAPH["7"], "8": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 1024}},
        "9": {"class_type": "SamplerCustomAdvanced", "inputs": {
            "noise": ["2", 0], "guider": ["5", 0], "sampler": ["3", 0], "sigmas": ["4", 0], "latent_image": ["8", 0]}},
        "10": {"class_type": "VAEDecode", "inputs": {"samples": ["9", 0]}},
        "11": {"class_type": "SaveImage", "inputs": {"images": ["10", 0]}},
    }  # fmt: skip
    said = read(app, png(prompt=json.dumps(graph)))
    values = asked(app, said)
    assert (values["steps"], values["guidance"], values["seed"], values["width"]) == (6, 2.5, 9, 1024)
    assert (values["sampler"], values["schedule"]) == ("Euler a", "SGM Uniform") and said.checkpoint.name == "sdxl"
    assert said.prompt == "a glass bottle, purple galaxy" and said.negative_prompt == "text, watermark"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_graph_in_exif(app, kind):
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0110] = "prompt:" + json.dumps(GRAPH)
    Image.new("RGB", (8, 8)).save(file, kind, exif=exif)
    assert read(app, file.getvalue()).fields["Seed"] == "156680208700286"


def test_civitais_own_pictures(app):
    extra = {
        "prompt": "a fox",
        "negativePrompt": "blur",
        "cfgScale": 3.5,
        "sampler": "Euler a",
        "clipSkip": 2,
        "steps": 25,
        "seed": 7,
    }
    text = json.dumps({**GRAPH, "extra": {"airs": []}, "extraMetadata": json.dumps(extra)})
    for encoding in ("utf-16-be", "utf-16-le"):
        said = read(app, commented("JPEG", text, encoding))
        assert (said.prompt, said.negative_prompt, said.value("Size")) == ("a fox", "blur", "832x1216")
        assert asked(app, said)["clip_skip"] == 2 and said.fields["Steps"] == "25"


# ---------------------------------------------------------------- the others


def test_invokeai_3_and_later(app):
    said = {
        "app_version": "5.0.2", "generation_mode": "sdxl_txt2img", "positive_prompt": "a bay, dawn", "negative_prompt": "people",
        "width": 1152, "height": 896, "seed": 3112614842, "rand_device": "cpu", "cfg_scale": 7.5, "steps": 30, "clip_skip": 1,
        "scheduler": "dpmpp_2m_k", "model": {"key": "x", "name": "dreamshaper-8", "type": "main"},
        "loras": [{"model": {"name": "add-detail"}, "weight": 0.75}],
    }  # fmt: skip
    found = read(app, png(invokeai_metadata=json.dumps(said)))
    assert found.prompt == "a bay, dawn <lora:add-detail:0.75>" and found.checkpoint.name == "dreamshaper-8"
    values = asked(app, found)
    assert (values["sampler"], values["schedule"], values["noise_source"], values["clip_skip"]) == (
        "DPM++ 2M",
        "Karras",
        "CPU",
        2,
    )
    assert (values["seed"], values["guidance"], values["width"]) == (3112614842, 7.5, 1152)


def test_invokeai_2(app):
    image = {"prompt": [{"prompt": "a castle [rain] on a hill", "weight": 1.0}], "steps": 50, "cfg_scale": 7.5, "width": 512,
             "height": 640, "seed": 42, "sampler": "k_lms"}  # fmt: skip
    said = {
        "model": "stable diffusion",
        "model_weights": "stable-diffusion-1.5",
        "model_hash": "cc6cb27103417325ff94",
        "image": image,
    }
    found = read(app, png(sd_metadata=json.dumps(said), Dream='"other" -s9 -S1'))
    assert (found.prompt, found.negative_prompt) == ("a castle on a hill", "rain")
    assert (found.fields["Sampler"], found.fields["Model hash"], found.value("Size")) == ("LMS", "cc6cb27103", "512x640")


def test_invokeai_1(app):
    found = read(app, png(Dream='"a castle on a hill" -s 50 -S42 -W512 -H 512 -C7.5 -A k_euler_a'))
    assert (found.prompt, found.fields["Sampler"], found.fields["Seed"]) == ("a castle on a hill", "Euler a", "42")
    assert app.infotext_of(png(Dream="a dream that I had")) == ""


def test_fooocus(app):
    said = {
        "prompt": "a cat", "negative_prompt": "", "styles": "['Fooocus V2']", "performance": "Speed", "resolution": "(1152, 896)",
        "guidance_scale": 4, "sharpness": 2, "base_model": "juggernautXL_v8Rundiffusion", "base_model_hash": "aeb7e9e689",
        "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "seed": "6029166042118513536", "steps": 30,
        "version": "Fooocus v2.4.1",
        "metadata_scheme": "fooocus", "loras": [["sd_xl_offset_example-lora_1.0", 0.1, "4852686128"]],
    }  # fmt: skip
    for data in (
        png(parameters=json.dumps(said), fooocus_scheme="fooocus"),
        commented("JPEG", json.dumps(said)),
        commented("WEBP", json.dumps(said)),
    ):
        found = read(app, data)
        assert found.prompt == "a cat <lora:sd_xl_offset_example-lora_1.0:0.1>" and found.value("Size") == "1152x896"
        assert (found.fields["Seed"], found.fields["Model"]) == ("6029166042118513536", "juggernautXL_v8Rundiffusion")
        assert (found.fields["Sampler"], found.fields["Schedule type"]) == ("DPM++ 2M SDE", "Karras")


def test_novelai(app):
    comment = {"steps": 28, "height": 1216, "width": 832, "scale": 5.0, "seed": 1234567890, "sampler": "k_euler_ancestral",
               "noise_schedule": "karras", "uc": "lowres, bad"}  # fmt: skip
    found = read(
        app,
        png(Software="NovelAI", Source="Stable Diffusion XL 7BCCAA2C", Description="1girl, solo", Comment=json.dumps(comment)),
    )
    assert (found.prompt, found.negative_prompt, found.value("Size")) == ("1girl, solo", "lowres, bad", "832x1216")
    values = asked(app, found)
    assert (values["sampler"], values["schedule"], values["guidance"], values["seed"]) == ("Euler a", "Karras", 5.0, 1234567890)


# ---------------------------------------------------------------- strangers


def test_a_picture_with_an_infotext_is_not_asked_about(app):
    assert app.infotext_of(png(parameters="ours", prompt=json.dumps(GRAPH))) == "ours"


CIRCLE = {"1": {"class_type": "KSampler", "inputs": {"positive": ["2", 0], "latent_image": ["1", 0],
                                                "seed": ["2", 0], "steps": ["1", 0]}},
          "2": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["2", 0],
                                                            "conditioning_2": ["1", 0], "text": ["2", 0]}}}  # fmt: skip
WIDE = {
    str(n): {"class_type": "ConditioningCombine", "inputs": {f"conditioning_{k}": [str(n + k), 0] for k in (1, 2)}}
    for n in range(300)
}


@pytest.mark.parametrize("text", [
    "{", "[]", "{}", "null", '{"1": 2}', '{"1": {"inputs": {}}}', '{"1": {"inputs": {"seed": [[], {}]}}}', "{" * 100_000,
    '{"3": {"class_type": ["KSampler"], "inputs": {"positive": 3, "latent_image": [null, 0]}}}', json.dumps(CIRCLE),
    json.dumps({**WIDE, "999": {"class_type": "KSampler", "inputs": {"positive": ["0", 0], "latent_image": ["0", 0]}}}),
    '{"prompt": {}, "base_model": [], "loras": [[]], "seed": 1e999, "steps": true, "resolution": {}}',
    '{"image": {"prompt": [3, {"prompt": 4}], "steps": "many", "seed": []}}',
    '{"positive_prompt": 3, "loras": [{}, 4], "model": []}',
])  # fmt: skip
@pytest.mark.parametrize("key", ["prompt", "invokeai_metadata", "sd_metadata", "parameters", "Comment"])
def test_what_is_none_of_it_neither_raises_nor_hangs(app, key, text):
    read(app, png(**{key: text, "Software": "NovelAI"}))
    assert app.troubles.of("other-pictures") == ()
