"""A checkpoint is known by its header: which family, with which numbers, and what had to be assumed."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.checkpoints.sparse import sparse_file, write_sparse
from tests.conftest import POCKET
from tests.shared import shared, shared_names
from webui.checkpoints.catalog import Catalog
from webui.checkpoints.identify import identify
from webui.checkpoints.load import noise_levels
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Parts

CASES = shared_names("reference/public", "*")
RELEASES = {
    "sd-v1-4": "sd1", "sd-v1-4-full-ema": "sd1", "v1-5-pruned": "sd1", "v1-5-pruned-emaonly": "sd1",
    "sd-v1-5-inpainting": "sd1-inpaint", "v2-1_512-ema-pruned": "sd2", "v2-1_768-ema-pruned": "sd2-v",
    "512-inpainting-ema": "sd2-inpaint", "512-depth-ema": "sd2-depth", "x4-upscaler-ema": "sd-x4",
    "sd21-unclip-h": "unclip-h", "sd21-unclip-l": "unclip-l", "sd_turbo": "sd-turbo", "sd_xl_base_1.0": "sdxl",
    "sd_xl_refiner_1.0": "sdxl-refiner", "sd_xl_turbo_1.0": "sdxl-turbo", "sd_xl_turbo_1.0_fp16": "sdxl-turbo",
    "ldm-text-1p4B": "ldm-text", "ldm-cin256-v2": "ldm-class", "ldm-celebahq": "ldm-uncond", "ldm-ffhq": "ldm-uncond",
    "ldm-lsun_beds": "ldm-uncond", "ldm-lsun_churches": "ldm-uncond", "ldm-bsr_sr": "ldm-sr", "ldm-inpaint-big": "ldm-inpaint",
    "ldm-semantic_synthesis256": "ldm-semantic", "ldm-layout2img-openimages256": "ldm-layout",
    "first_stage-kl-f8": "autoencoder", "first_stage-vq-f4-noattn": "autoencoder",
}  # fmt: skip


def keys_of(release: str) -> dict[str, Any]:
    """Name -> (shape, number format) of a full-size file."""
    keys: dict[str, Any] = json.loads(gzip.decompress(shared(f"reference/full_size_keys/{release}.json.gz").read_bytes()))
    return keys


def test_every_list_of_a_release_has_its_family() -> None:
    listed = {path.name.removesuffix(".json.gz") for path in shared("reference/full_size_keys").glob("*.json.gz")}
    assert {name for name in listed if not name.startswith("first_stage")} <= set(RELEASES)


@pytest.mark.parametrize("name", RELEASES)
def test_the_published_file_is_known_by_its_keys_and_its_name(name: str, tmp_path: Path, parts: Parts) -> None:
    path = sparse_file(shared(f"reference/full_size_keys/{name}.json.gz"), tmp_path / f"{name}.safetensors")
    assert identify(path, parts.families).family.name == RELEASES[name]


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_known_with_its_configuration_and_without_it(
    name: str, reference_checkpoints: Path, parts: Parts, tmp_path: Path
) -> None:
    values = json.loads((reference_checkpoints / name / "case.json").read_text())
    path = reference_checkpoints / name / values["checkpoint"]
    told = identify(path, parts.families)
    shutil.copy(path, tmp_path / path.name)
    alone = identify(tmp_path / path.name, parts.families)
    for identity in (told, alone):
        unsure = "family" in identity.assumed or "prediction" in identity.assumed
        assert identity.family.name == values["family"] or unsure
    same = ("in_channels", "latent_channels", "latent_factor", "context_width", "network_width", "autoencoder", "vector")
    assert [getattr(told.family, column) for column in same] == [getattr(alone.family, column) for column in same]
    assert told.assumed <= {"family"}


def test_a_header_of_seven_gigabytes_is_read_without_the_rest(tmp_path: Path, parts: Parts) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux says how much a process has read")
    path = sparse_file(shared("reference/full_size_keys/sd_xl_base_1.0.json.gz"), tmp_path / "sd_xl_base_1.0.safetensors")
    assert path.stat().st_size > 6.9e9
    before = _bytes_read()
    assert identify(path, parts.families).family.name == "sdxl"
    assert _bytes_read() - before < 2**20


def _bytes_read() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def test_the_users_word_tells_a_turbo_from_its_base(tmp_path: Path, parts: Parts) -> None:
    path = sparse_file(shared("reference/full_size_keys/sd_xl_base_1.0.json.gz"), tmp_path / "my-model.safetensors")
    assert identify(path, parts.families).family.name == "sdxl"
    assert identify(path, parts.families, {"family": "sdxl-turbo"}).family.name == "sdxl-turbo"
    assert identify(path, parts.families, {"family": "ldm-sr"}).family.name == "sdxl"


def test_what_was_learnt_of_a_checkpoint_is_kept_until_the_file_changes(tmp_path: Path, parts: Parts) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    path = sparse_file(shared("reference/full_size_keys/v2-1_512-ema-pruned.json.gz"), folder / "mine.safetensors")
    catalog = Catalog([], [folder], parts.families, tmp_path / "hashes.json")
    entry = catalog.find("mine")
    assert entry.identity and "prediction" in entry.identity.assumed
    assert catalog.learn("mine.safetensors", prediction="v").family.name == "sd2-v"  # type: ignore[union-attr]
    again = Catalog([], [folder], parts.families, tmp_path / "hashes.json").find("mine")
    assert again.identity and again.identity.family.native_size == 768 and "prediction" not in again.identity.assumed
    os.utime(path, (1, 1))
    changed = Catalog([], [folder], parts.families, tmp_path / "hashes.json").find("mine")
    assert changed.family and changed.family.name == "sd2"


def test_markers_of_a_fine_tune_decide_prediction_and_schedule(tmp_path: Path, parts: Parts) -> None:
    keys = keys_of("sd_xl_base_1.0")
    row = identify(
        write_sparse(keys | {"v_pred": [[0], "F16"], "ztsnr": [[0], "F16"]}, tmp_path / "x.safetensors"), parts.families
    ).family
    assert (row.prediction, row.is_zero_terminal) == ("v", True)
    sigmas = noise_levels(row)
    assert bool(sigmas.isfinite().all()) and float(sigmas[-1]) > 1000 and bool((sigmas.diff() > 0).all())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model: 3",
        "model: {params: 3}",
        "model: {params: {scale_factor: much}}",
        "{",
        "- a\n- b",
        "!!python/object:os.system {}",
    ],
)
def test_a_configuration_that_is_none_is_named_with_the_way_out(
    text: str, reference_checkpoints: Path, parts: Parts, tmp_path: Path
) -> None:
    shutil.copy(reference_checkpoints / "sd2-a" / "model.ckpt", tmp_path / "mine.ckpt")
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(CheckpointReadError, match=r"mine\.yaml beside mine\.ckpt .* Mend it or take it away"):
        identify(tmp_path / "mine.ckpt", parts.families)


def test_an_unknown_build_says_what_was_recognised(tmp_path: Path, parts: Parts) -> None:
    keys = keys_of("v1-5-pruned-emaonly")
    keys["model.diffusion_model.input_blocks.0.0.weight"][0][1] = 8
    said = r"8 input channels \(InstructPix2Pix\?\), a CLIP text encoder and an autoencoder; no family here .* reads 8 channels"
    with pytest.raises(CheckpointReadError, match=said):
        identify(write_sparse(keys, tmp_path / "pix2pix.safetensors"), parts.families)


@pytest.mark.parametrize("release", ["v1-5-pruned-emaonly", "sd_xl_base_1.0", "ldm-lsun_churches", "first_stage-vq-f4"])
def test_damaged_keys_and_shapes_end_in_a_family_or_in_one_sentence(release: str, tmp_path: Path, parts: Parts) -> None:
    whole, random = keys_of(release), np.random.default_rng(0)
    for _ in range(12):
        keys = {name: entry for name, entry in whole.items() if random.random() < 0.98}
        for name in random.choice(list(keys), 200):
            shape, kind = keys[name]
            keys[name] = (shape[: random.integers(len(shape) + 1)], kind)
        path = write_sparse(keys, tmp_path / "x.safetensors")
        try:
            assert identify(path, parts.families).family.name in parts.families
        except CheckpointReadError as error:
            assert str(error).startswith("x.safetensors") and "\n" not in str(error)


def test_a_u_net_without_its_text_encoder_says_so(tmp_path: Path, parts: Parts) -> None:
    keys = {name: entry for name, entry in keys_of("sd_xl_base_1.0").items() if not name.startswith("conditioner.")}
    with pytest.raises(CheckpointReadError, match="no text encoder and an autoencoder; a U-Net alone draws nothing"):
        identify(write_sparse(keys, tmp_path / "unet.safetensors"), parts.families)


def test_weights_in_eight_bits_are_known_like_others(tmp_path: Path, parts: Parts) -> None:
    keys = {name: (shape, "F8_E4M3") for name, (shape, _) in keys_of("sd_xl_base_1.0").items()}
    identity = identify(write_sparse(keys, tmp_path / "small.safetensors"), parts.families)
    assert identity.family.name == "sdxl" and identity.kinds == {"float8_e4m3fn"}


@pytest.mark.parametrize("latent", [4, 8])
def test_inpainting_is_known_by_its_channels_whatever_the_latents_are(latent: int, tmp_path: Path, parts: Parts) -> None:
    keys = keys_of("sd-v1-5-inpainting")
    unet, first = "model.diffusion_model.", "first_stage_model."
    keys[f"{unet}input_blocks.0.0.weight"][0][1] = 2 * latent + 1
    for name in (f"{unet}out.2.weight", f"{unet}out.2.bias"):
        keys[name][0][0] = latent
    keys[f"{first}decoder.conv_in.weight"][0][1] = latent
    row = identify(write_sparse(keys, tmp_path / "x.safetensors"), parts.families).family
    assert (row.name, row.in_channels, row.latent_channels) == ("sd1-inpaint", 2 * latent + 1, latent)


def test_a_checkpoint_without_an_autoencoder_takes_the_one_beside_it(tmp_path: Path, parts: Parts) -> None:
    keys = keys_of("v1-5-pruned-emaonly")
    alone = {name: entry for name, entry in keys.items() if not name.startswith("first_stage_model.")}
    path = write_sparse(alone, tmp_path / "mine.safetensors")
    with pytest.raises(CheckpointReadError, match=r"no autoencoder\. Put one beside it, as mine\.vae\.safetensors"):
        identify(path, parts.families)
    sparse_file(shared("reference/full_size_keys/first_stage-kl-f8.json.gz"), tmp_path / "mine.vae.safetensors")
    assert identify(path, parts.families).autoencoder == tmp_path / "mine.vae.safetensors"
    sparse_file(shared("reference/full_size_keys/first_stage-kl-f16.json.gz"), tmp_path / "mine.vae.safetensors")
    with pytest.raises(
        CheckpointReadError, match=r"mine\.vae\.safetensors has latents of 16 channels, but mine\.safetensors draws 4"
    ):
        identify(path, parts.families)


class Harm:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["HARM"],)


def rubbish(folder: Path) -> dict[str, str]:
    """Fills a folder with what people's folders hold; name -> what must be said of it."""
    whole = (POCKET / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    files: dict[str, tuple[bytes, str]] = {
        "half.safetensors": (whole[: len(whole) // 2], "is truncated"),
        "start.safetensors": (whole[:100], "is truncated"),
        "photo.safetensors": (b"\xff\xd8\xff\xe0" + b"x" * 5000, "a JPEG picture"),
        "error.ckpt": (b"<!DOCTYPE html><html>404</html>", "the download failed"),
        "nothing.safetensors": (b"", "is empty"),
        "seven.safetensors": (b"1234567", "is damaged"),
        "huge-header.safetensors": (struct.pack("<Q", 10**12) + b'{"a":1}', "claims a header of 1,000,000,000,000 bytes"),
        "deep.safetensors": (struct.pack("<Q", 50_000) + b"{" + b"[" * 49_999, "cannot be read"),
        "list.safetensors": (struct.pack("<Q", 2) + b"[]", "is damaged"),
        "text.ckpt": (b"hello", "is damaged"),
        "zip.ckpt": (b"PK\x03\x04" + b"x" * 100, "truncated or not a checkpoint"),
        "pointer.safetensors": (b"version https://git-lfs.github.com/spec/v1\n", "only a pointer"),
        "old.ckpt": (pickle.dumps({"state_dict": {}}, protocol=2), "a pickle that holds no weights"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    said = {name: words for name, (_, words) in files.items()}
    save_file({"lora_unet_x.lora_up.weight": torch.ones(2, 2)}, folder / "style.safetensors")
    said["style.safetensors"] = "but a LoRA"
    save_file({"emb_params": torch.ones(2, 768)}, folder / "token.safetensors")
    said["token.safetensors"] = "but an embedding"
    save_file({"model.0.weight": torch.ones(3), "model.1.sub.0.RDB1.conv1.0.weight": torch.ones(3)}, folder / "4x.safetensors")
    said["4x.safetensors"] = "but an upscaler"
    os.symlink(folder / "gone", folder / "link.safetensors")
    said["link.safetensors"] = "leads nowhere"
    with zipfile.ZipFile(folder / "harm.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": Harm()}))
    said["harm.ckpt"] = "refused because it is not only data: it would call"
    (folder / "loop").mkdir()
    (folder / "loop" / "again").symlink_to(folder)
    os.mkfifo(folder / "pipe.ckpt")
    said["pipe.ckpt"] = "is not a file"
    torch.save({"string_to_param": {"*": torch.ones(2, 768)}, "name": "x"}, folder / "word.ckpt")
    said["word.ckpt"] = "but an embedding"
    save_file({"control_model.input_hint_block.0.weight": torch.ones(3)}, folder / "canny.safetensors")
    said["canny.safetensors"] = "but a ControlNet. It belongs into models/ControlNet"
    save_file({"model.diffusion_model.joint_blocks.0.x.weight": torch.ones(3)}, folder / "sd3.safetensors")
    said["sd3.safetensors"] = "of another line (SD 3)"
    save_file({"a.weight": torch.ones(3).byte(), "a.weight.absmax": torch.ones(3)}, folder / "nf4.safetensors")
    said["nf4.safetensors"] = "quantised by bitsandbytes"
    (folder / "half-pipeline" / "vae").mkdir(parents=True)
    (folder / "half-pipeline" / "vae" / "config.json").write_text("{}")
    said["half-pipeline"] = "model_index.json is missing"
    (folder / "pipeline" / "unet").mkdir(parents=True)
    (folder / "pipeline" / "vae").mkdir()
    said["pipeline"] = "model_index.json is missing"
    random = np.random.default_rng(0)
    (folder / "noise.ckpt").write_bytes(random.bytes(10_000))
    said["noise.ckpt"] = "is damaged"
    return said


def test_a_folder_of_rubbish_opens_what_is_good_and_explains_the_rest(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARM", str(tmp_path / "harm-was-done"))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    said = rubbish(folder)
    shutil.copytree(POCKET, folder / "good")
    entries = {entry.title: entry for entry in Catalog([], [folder], parts.families, tmp_path / "hashes.json").entries()}
    assert entries["good"].error == "" and entries["good"].family and entries["good"].family.name == "pocket"
    assert set(entries) == {*said, "good"}
    for name, words in said.items():
        assert words in entries[name].error, f"{name}: {entries[name].error}"
        assert name in entries[name].error and "\n" not in entries[name].error
    assert not (tmp_path / "harm-was-done").exists()
