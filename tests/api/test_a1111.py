"""The interface that A1111's clients speak: names, defaults, refusals, pictures and info."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from webui.api.a1111.fields import Txt2Img, names, order
from webui.contract.errors import CheckpointReadError, FieldError, MemoryLimitError, RequestError, SaveError, UnknownNameError
from webui.contract.parts import Parts
from webui.workspace.app import App
from webui.workspace.pictures import png_bytes, read_infotext

SMALL = {"prompt": "a red cube", "steps": 2, "width": 64, "height": 64, "seed": 3}

# What the client library sdwebuiapi sends for an ordinary picture, nulls and all.
SDWEBUIAPI = {
    "enable_hr": False, "hr_scale": 2, "hr_upscaler": "Latent", "hr_second_pass_steps": 0, "hr_resize_x": 0, "hr_resize_y": 0,
    "hr_checkpoint_name": None, "hr_sampler_name": None, "hr_scheduler": None, "hr_prompt": "", "hr_negative_prompt": "",
    "denoising_strength": 0.7, "firstphase_width": 0, "firstphase_height": 0, "prompt": "a red cube", "styles": [], "seed": 3,
    "subseed": -1, "subseed_strength": 0.0, "seed_resize_from_h": 0, "seed_resize_from_w": 0, "batch_size": 1, "n_iter": 1,
    "steps": 2, "cfg_scale": 7.0, "width": 64, "height": 64, "restore_faces": False, "tiling": False,
    "do_not_save_samples": False, "do_not_save_grid": False, "negative_prompt": "", "eta": 1.0, "s_churn": 0, "s_tmax": 0,
    "s_tmin": 0, "s_noise": 1, "override_settings": {}, "override_settings_restore_afterwards": True, "sampler_name": "Euler a",
    "sampler_index": "Euler a", "scheduler": "automatic", "script_name": None, "script_args": [], "send_images": True,
    "save_images": False, "alwayson_scripts": {}, "refiner_checkpoint": None, "refiner_switch_at": None,
    "disable_extra_networks": False, "comments": {}, "force_task_id": None, "infotext": None,
}  # fmt: skip


def drawn(client: TestClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/sdapi/v1/txt2img", json=SMALL | fields)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer | {"info": json.loads(answer["info"])}


# ---- pictures


def test_a_picture_comes_back_with_its_infotext_inside_and_info_that_fits(quick: TestClient) -> None:
    answer = drawn(quick, n_iter=2, batch_size=2, negative_prompt="blur", cfg_scale=5)
    info, files = answer["info"], [base64.b64decode(text, validate=True) for text in answer["images"]]
    assert [Image.open(io.BytesIO(file)).size for file in files] == [(64, 64)] * 4
    assert [read_infotext(file) for file in files] == info["infotexts"] and len(set(info["infotexts"])) == 4
    assert info["all_seeds"] == [3, 4, 5, 6] and info["seed"] == 3 and info["index_of_first_image"] == 0
    assert info["all_prompts"] == ["a red cube"] * 4 and info["all_negative_prompts"] == ["blur"] * 4
    assert (info["steps"], info["cfg_scale"], info["width"], info["height"], info["batch_size"]) == (2, 5.0, 64, 64, 2)
    assert info["sd_model_name"] == "apple" and info["clip_skip"] == 1 and info["styles"] == [] and info["errors"] == []
    assert answer["parameters"]["prompt"] == "a red cube" and answer["parameters"]["n_iter"] == 2


INFO = (
    "prompt all_prompts negative_prompt all_negative_prompts seed all_seeds subseed all_subseeds subseed_strength width height "
    "sampler_name cfg_scale steps batch_size restore_faces face_restoration_model sd_model_name sd_model_hash sd_vae_name "
    "sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength extra_generation_params index_of_first_image "
    "infotexts styles job_timestamp clip_skip is_using_inpainting_conditioning version"
)


def test_info_has_every_field_that_clients_read(quick: TestClient) -> None:
    assert set(INFO.split()) <= set(drawn(quick)["info"])


def test_what_the_usual_client_library_sends_is_understood(quick: TestClient) -> None:
    response = quick.post("/sdapi/v1/txt2img", json=SDWEBUIAPI)
    assert response.status_code == 200 and len(response.json()["images"]) == 1
    assert json.loads(response.json()["info"])["sampler_name"] == "Euler a"


def test_all_fields_may_be_null_and_then_the_checkpoints_row_decides(app: App) -> None:
    for body in (Txt2Img(), Txt2Img(**dict.fromkeys(Txt2Img.model_fields))):
        request = app.complete(order(app, body).request)
        row = app.checkpoints.defaults("apple")
        assert (request.steps, request.guidance, request.width, request.height) == (
            row.steps,
            row.guidance,
            row.width,
            row.height,
        )
        assert request.sampler == row.sampler and request.checkpoint == "apple"
        assert request.batch_count == request.batch_size == 1


def test_every_field_that_means_something_reaches_the_request(app: App) -> None:
    settings = {
        "sd_model_checkpoint": "pear",
        "CLIP_stop_at_last_layers": 2,
        "eta_noise_seed_delta": 31337,
        "randn_source": "GPU",
    }
    body = Txt2Img(
        prompt="p", negative_prompt="n", seed=9, subseed=8, subseed_strength=0.5, seed_resize_from_h=64, seed_resize_from_w=-1,
        sampler_name="euler", scheduler="karras", batch_size=2, n_iter=3, steps=4, cfg_scale=5, width=64, height=72, eta=0.5,
        s_churn=0.3, s_tmin=0.1, s_tmax=0, s_noise=1.01, override_settings=settings,
        refiner_checkpoint="apple", refiner_switch_at=0.5,
    )  # fmt: skip
    request = order(app, body).request
    assert (request.prompt, request.negative_prompt, request.seed, request.variation_seed) == ("p", "n", 9, 8)
    assert (request.variation_strength, request.seed_from_height, request.seed_from_width) == (0.5, 64, 0)
    assert (request.sampler, request.schedule, request.batch_size, request.batch_count) == ("Euler", "Karras", 2, 3)
    assert (request.steps, request.guidance, request.width, request.height, request.eta) == (4, 5.0, 64, 72, 0.5)
    assert (request.checkpoint, request.clip_skip, request.step_seed_shift, request.noise_source) == ("pear", 2, 31337, "NV")
    assert request.sampler_options == {"s_churn": 0.3, "s_tmin": 0.1, "s_noise": 1.01}
    assert (request.refiner, request.refiner_switch) == ("apple", 0.5)


@pytest.mark.parametrize("refiner", [None, "", "None"])
def test_without_a_refiner_its_switch_point_means_nothing(app: App, refiner: str | None) -> None:
    request = order(app, Txt2Img(prompt="p", refiner_checkpoint=refiner, refiner_switch_at=0.0)).request
    assert (request.refiner, request.refiner_switch) == ("", 0.8)


def test_pictures_are_saved_only_when_asked(quick: TestClient, app: App) -> None:
    def files() -> set[str]:
        return {str(path) for path in app.paths.outputs.rglob("*.png")}

    before = files()
    drawn(quick)
    drawn(quick, save_images=True, do_not_save_samples=True)
    assert files() == before
    drawn(quick, save_images=True)
    assert len(files() - before) == 1


def test_without_send_images_the_info_comes_alone(quick: TestClient) -> None:
    answer = drawn(quick, send_images=False, save_images=True)
    assert answer["images"] == [] and len(answer["info"]["infotexts"]) == 1


@pytest.mark.parametrize("kind, start", [("jpg", b"\xff\xd8"), ("JPEG", b"\xff\xd8"), ("webp", b"RIFF"), ("png", b"\x89PNG")])
def test_a_request_chooses_the_format_of_its_own_pictures(quick: TestClient, app: App, kind: str, start: bytes) -> None:
    answer = drawn(quick, override_settings={"samples_format": kind})
    file = base64.b64decode(answer["images"][0])
    assert file.startswith(start) and read_infotext(file) == answer["info"]["infotexts"][0]
    assert app.settings.now.image_format == "png"
    silent = drawn(quick, override_settings={"samples_format": kind, "enable_pnginfo": False})
    assert read_infotext(base64.b64decode(silent["images"][0])) == ""


def test_more_pictures_than_the_queue_remembers_all_come_back(quick: TestClient) -> None:
    assert len(drawn(quick, n_iter=40, batch_size=2, steps=1)["images"]) == 80


def test_empty_prompts_are_fine(quick: TestClient) -> None:
    assert drawn(quick, prompt="", negative_prompt=None)["info"]["prompt"] == ""


# ---- names


@pytest.mark.parametrize(
    "sampler, schedule, expected",
    [
        ("DPM++ 2M", "", ("DPM++ 2M", "Automatic")),
        ("dpm++ 2m", "automatic", ("DPM++ 2M", "Automatic")),
        ("k_dpmpp_2m", "Automatic", ("DPM++ 2M", "Automatic")),
        ("DPM++ 2M Karras", "", ("DPM++ 2M", "Karras")),
        ("dpm++ 2m karras", "automatic", ("DPM++ 2M", "Karras")),
        ("DPM++ 2M Karras", "karras", ("DPM++ 2M", "Karras")),
        ("DPM++ 2M SGM Uniform", "", ("DPM++ 2M", "SGM Uniform")),
        ("Euler a", "karras", ("Euler a", "Karras")),
        ("Euler", "Karras", ("Euler", "Karras")),
        ("Euler", "SGM UNIFORM", ("Euler", "SGM Uniform")),
        ("Euler", "sgm_uniform", ("Euler", "SGM Uniform")),
        ("Euler", "SGMUniform", ("Euler", "SGM Uniform")),
        ("", "exponential", ("", "Exponential")),
        ("", "", ("", "Automatic")),
    ],
)
def test_samplers_and_schedules_are_known_by_all_their_names(
    parts: Parts, sampler: str, schedule: str, expected: tuple[str, str]
) -> None:
    assert names(parts, sampler, schedule) == expected


def test_the_old_alias_of_the_sampler_counts_where_the_new_one_is_missing(app: App) -> None:
    assert order(app, Txt2Img(sampler_index="euler")).request.sampler == "Euler"
    assert order(app, Txt2Img(sampler_name="DDIM", sampler_index="euler")).request.sampler == "DDIM"
    assert order(app, Txt2Img(sampler_name="", sampler_index="")).request.sampler == ""


def test_two_schedules_in_one_request_are_a_question(parts: Parts) -> None:
    with pytest.raises(FieldError, match="two schedules"):
        names(parts, "DPM++ 2M Karras", "exponential")


def test_the_text_names_what_was_really_used(quick: TestClient) -> None:
    text = drawn(quick, sampler_name="dpm++ 2m KARRAS")["info"]["infotexts"][0]
    assert "Sampler: DPM++ 2M," in text and "Schedule type: Karras," in text


# ---- refusals

WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"sampler_name": "Eular"}, 400, ""),
    ({"sampler_name": "string"}, 400, ""),
    ({"sampler_name": "DPM++ 2M Karrass"}, 400, ""),
    ({"scheduler": "xyz"}, 422, ""),
    ({"override_settings": {"sd_model_checkpoint": "nobody"}}, 404, ""),
    ({"override_settings": {"sd_model_checkpoint": "../apple"}}, 404, ""),
    ({"override_settings": {"sd_model_checkpoint": "broken"}}, 422, ""),
    ({"override_settings": {"sd_model_chekpoint": "apple"}}, 422, "sd_model_chekpoint"),
    ({"override_settings": {"outdir_txt2img_samples": "/tmp"}}, 422, "outdir_txt2img_samples"),
    ({"override_settings": {"sd_vae": "other.vae.pt"}}, 422, "sd_vae"),
    ({"override_settings": {"samples_format": "exe"}}, 422, "samples_format"),
    ({"override_settings": {"jpeg_quality": 0}}, 422, "jpeg_quality"),
    ({"override_settings": {"live_previews_enable": False}}, 422, "live_previews_enable"),
    ({"override_settings": {"CLIP_stop_at_last_layers": 99}}, 422, "CLIP_stop_at_last_layers"),
    ({"override_settings": {"CLIP_stop_at_last_layers": "2"}}, 422, "CLIP_stop_at_last_layers"),
    ({"override_settings": []}, 422, "override_settings"),
    ({"steps": 0}, 422, "steps"),
    ({"steps": -1}, 422, "steps"),
    ({"steps": 10**9}, 422, "steps"),
    ({"steps": 2.5}, 422, "steps"),
    ({"steps": True}, 422, "steps"),
    ({"width": 7}, 422, "width"),
    ({"width": 0}, 422, "width"),
    ({"width": 63}, 422, "width"),
    ({"width": 65536}, 422, "width"),
    ({"width": "512"}, 422, "width"),
    ({"width": 512.5}, 422, "width"),
    ({"height": [512]}, 422, "height"),
    ({"height": {"a": 1}}, 422, "height"),
    ({"width": 8192, "height": 8192, "batch_size": 64}, 422, ""),
    ({"batch_size": 10**6}, 422, "batch_size"),
    ({"n_iter": 0}, 422, "n_iter"),
    ({"cfg_scale": -1}, 422, "cfg_scale"),
    ({"cfg_scale": 1e9}, 422, "cfg_scale"),
    ({"cfg_scale": "7"}, 422, "cfg_scale"),
    ({"seed": 2**70}, 422, "seed"),
    ({"seed": -2}, 422, "seed"),
    ({"subseed": -2}, 422, "subseed"),
    ({"subseed_strength": 1.1}, 422, "subseed_strength"),
    ({"seed_resize_from_w": 10**6}, 422, "seed_resize_from_w"),
    ({"prompt": ["a"]}, 422, "prompt"),
    ({"prompt": "a" * 1_000_000}, 422, "prompt"),
    ({"s_churn": 0.5, "sampler_name": "DDIM"}, 422, "s_churn"),
    ({"enable_hr": True, "hr_scale": 9}, 422, "hr_scale"),
    ({"enable_hr": True, "hr_upscaler": "4x-Nobody"}, 422, ""),
    ({"refiner_checkpoint": "xl-refiner", "refiner_switch_at": 0.8}, 404, ""),
    ({"refiner_checkpoint": "pear", "refiner_switch_at": 1.5}, 422, "refiner_switch_at"),
    ({"restore_faces": True}, 422, "restore_faces"),
    ({"tiling": True}, 422, "tiling"),
    ({"styles": ["Nobody's"]}, 422, "styles"),
    ({"script_name": "x/y/z plot"}, 422, "script_name"),
    ({"alwayson_scripts": {"ControlNet": {"args": []}}}, 422, "alwayson_scripts"),
    ({"s_min_uncond": 1.5}, 422, "s_min_uncond"),
    ({"infotext": "Steps: 3"}, 422, "infotext"),
    ({"strength_of_magic": 3}, 422, "strength_of_magic"),
    ({f"field{i}": 1 for i in range(1000)}, 422, "field0"),
]


@pytest.mark.parametrize("fields, status, field", WRONG)
def test_what_cannot_be_drawn_is_one_sentence_that_names_it(
    quick: TestClient, paced: App, fields: dict[str, Any], status: int, field: str
) -> None:
    response = quick.post("/sdapi/v1/txt2img", json=SMALL | fields)
    answer = response.json()
    assert response.status_code == status, answer
    assert answer.get("field", "") == field and field in answer["detail"]
    assert 10 < len(answer["detail"]) < 1000 and answer["detail"].count("\n") == 0 and answer["detail"] == answer["errors"]
    assert "Traceback" not in response.text and str(paced.paths.data) not in response.text
    assert paced.queue.jobs() == [] and paced.checkpoints.chosen == "apple"


@pytest.mark.parametrize("body", [b'{"width": NaN}', b'{"cfg_scale": Infinity}', b'{"cfg_scale": 1e999}', b"[]", b"7", b"", b"{"])
def test_numbers_that_are_none_and_bodies_that_are_no_object_are_422(quick: TestClient, body: bytes) -> None:
    response = quick.post("/sdapi/v1/txt2img", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422 and response.json()["error"] == "FieldError"


def test_unset_forms_of_features_that_are_not_there_are_fine(quick: TestClient) -> None:
    drawn(quick, script_name="", alwayson_scripts={}, refiner_checkpoint="None", styles=[], tiling=False, strange=None, other="")


@pytest.mark.parametrize(
    "error",
    [CheckpointReadError("The file was cut off."), MemoryLimitError("Too large for this machine."), RequestError("Cannot be.")],
)
def test_a_job_that_fails_on_its_way_answers_with_its_sentence(paced_client: TestClient, pace: Any, error: Exception) -> None:
    pace.error = error
    pace.run()
    response = paced_client.post("/sdapi/v1/txt2img", json=SMALL)
    assert response.status_code in (422, 500) and response.json()["detail"] == str(error)
    pace.error = None
    drawn(paced_client)


def test_a_picture_that_could_not_be_saved_still_comes_back_and_the_error_is_said(
    quick: TestClient, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> str:
        raise SaveError("The disk is full.")

    monkeypatch.setattr(app.gallery, "save", full)
    answer = drawn(quick, save_images=True)
    assert len(answer["images"]) == 1 and answer["info"]["errors"] == ["The disk is full."]


# ---- settings


def test_options_are_shown_and_changed_and_the_whole_set_can_be_sent_back(quick: TestClient, app: App) -> None:
    shown = quick.get("/sdapi/v1/options").json()
    assert shown["sd_model_checkpoint"] == "apple" and shown["samples_format"] == "png" and shown["sd_vae"] == "Automatic"
    try:
        assert quick.post("/sdapi/v1/options", json={"samples_format": "webp", "sd_model_checkpoint": "pear"}).status_code == 200
        assert quick.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == "pear" == app.checkpoints.chosen
        assert app.settings.now.checkpoint == "pear" and app.settings.now.image_format == "webp"
        assert drawn(quick)["info"]["sd_model_name"] == "pear"
    finally:
        assert quick.post("/sdapi/v1/options", json=shown).status_code == 200
    assert quick.get("/sdapi/v1/options").json() == shown


@pytest.mark.parametrize(
    "values, status, field",
    [
        ({"sd_model_checkpoint": "nobody", "samples_format": "webp"}, 404, ""),
        ({"sd_model_checkpoint": "broken", "samples_format": "webp"}, 422, ""),
        ({"sd_model_checkpoint": "pear", "samples_format": "exe"}, 422, "samples_format"),
        ({"sd_model_checkpoint": "pear", "nonsense": 1}, 422, "nonsense"),
        ({"sd_model_checkpoint": "pear", "jpeg_quality": 0}, 422, "jpeg_quality"),
        ({"sd_model_checkpoint": "pear", "CLIP_stop_at_last_layers": 2}, 422, "CLIP_stop_at_last_layers"),
        ({"outdir_samples": "/etc", "sd_model_checkpoint": "pear"}, 422, "outdir_samples"),
    ],
)
def test_options_change_together_or_not_at_all(
    quick: TestClient, app: App, values: dict[str, Any], status: int, field: str
) -> None:
    before = app.settings.now
    response = quick.post("/sdapi/v1/options", json=values)
    assert response.status_code == status and response.json().get("field", "") == field
    assert app.settings.now == before and app.checkpoints.chosen == "apple"


def test_an_error_in_an_override_leaves_the_standing_choice(quick: TestClient, app: App) -> None:
    for override in ({"sd_model_checkpoint": "pear", "typo": 1}, {"sd_model_checkpoint": "nobody"}):
        assert quick.post("/sdapi/v1/txt2img", json=SMALL | {"override_settings": override}).status_code in (404, 422)
        assert drawn(quick)["info"]["sd_model_name"] == "apple"
    assert drawn(quick, override_settings={"sd_model_checkpoint": "pear"})["info"]["sd_model_name"] == "pear"
    assert drawn(quick)["info"]["sd_model_name"] == "apple" == app.checkpoints.chosen


# ---- lists

LISTS = (
    "sd-models samplers schedulers options cmd-flags sd-vae upscalers latent-upscale-modes face-restorers realesrgan-models "
    "loras hypernetworks embeddings prompt-styles scripts script-info memory extensions progress"
)


@pytest.mark.parametrize("name", LISTS.split())
def test_lists_answer_without_loading_a_checkpoint(quick: TestClient, app: App, name: str) -> None:
    resident = app.checkpoints.resident()
    response = quick.get(f"/sdapi/v1/{name}")
    assert response.status_code == 200 and isinstance(response.json(), (list, dict))
    assert app.checkpoints.resident() == resident and "x-process-time" in response.headers


def test_the_lists_have_the_rows_that_clients_read(quick: TestClient) -> None:
    models = {row["title"]: row for row in quick.get("/sdapi/v1/sd-models").json()}
    assert {"apple", "pear"} <= set(models)
    assert set(models["apple"]) == {"title", "model_name", "hash", "sha256", "filename", "config"}
    assert models["apple"]["filename"] == "models/Stable-diffusion/apple"
    samplers = {row["name"]: row for row in quick.get("/sdapi/v1/samplers").json()}
    assert {"Euler", "Euler a", "DPM++ 2M", "DDIM"} <= set(samplers) and samplers["Euler a"]["aliases"]
    assert all(isinstance(value, str) for row in samplers.values() for value in row["options"].values())
    schedules = quick.get("/sdapi/v1/schedulers").json()
    assert schedules[0]["name"] == "automatic" and "Karras" in [row["label"] for row in schedules]
    assert set(schedules[0]) == {"name", "label", "aliases", "default_rho", "need_inner_model"}


def test_every_name_that_is_listed_is_understood(quick: TestClient, parts: Parts) -> None:
    for row in quick.get("/sdapi/v1/schedulers").json():
        for name in (row["name"], row["label"], *row["aliases"]):
            assert names(parts, "", name)[1].casefold() == row["label"].casefold()
    for row in quick.get("/sdapi/v1/samplers").json():
        for name in (row["name"], *row["aliases"]):
            assert names(parts, name, "")[0] == row["name"]


# ---- pictures that come in


def picture(text: str = "a\nSteps: 1, Sampler: Euler, Seed: 2, Size: 8x8") -> str:
    return base64.b64encode(png_bytes(Image.new("RGB", (8, 8)), text)).decode()


def test_png_info_reads_base64_bare_as_data_uri_and_with_line_breaks(quick: TestClient) -> None:
    code = picture()
    wrapped = "\r\n".join(code[start : start + 60] for start in range(0, len(code), 60))
    for image in (code, "data:image/png;base64," + code, wrapped, "data:image/png;base64," + wrapped):
        answer = quick.post("/sdapi/v1/png-info", json={"image": image}).json()
        assert answer["info"].startswith("a\nSteps: 1") and answer["items"]["parameters"] == answer["info"]
        assert answer["parameters"]["Prompt"] == "a" and answer["parameters"]["Sampler"] == "Euler"
    assert quick.post("/sdapi/v1/png-info", json={"image": picture("")}).json() == {"info": "", "items": {}, "parameters": {}}


@pytest.mark.parametrize(
    "image", ["string", "", None, "data:image/png;base64,", "####", "UDYgMSAxIDI1NQo=", "http://127.0.0.1/x.png", 7]
)
def test_what_is_no_picture_is_422_with_the_fields_name(quick: TestClient, image: object) -> None:
    response = quick.post("/sdapi/v1/png-info", json={"image": image})
    assert response.status_code == 422 and response.json()["field"] == "image"


def test_unknown_names_say_what_is_near(parts: Parts) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean"):
        names(parts, "Eular", "")
