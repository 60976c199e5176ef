"""Folders in diffusers layout open as the same networks as the release's own file: every family that has such folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.checkpoints.folders import write_folder
from webui.checkpoints.identify import identify
from webui.checkpoints.load import load
from webui.checkpoints.model import Model
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Parts
from webui.contract.result import CheckpointName

PIPELINES = {
    "sd1-a": "StableDiffusionPipeline",
    "sd1-inpaint-a": "StableDiffusionInpaintPipeline",
    "sd2-a": "StableDiffusionPipeline",
    "sd2-v-a": "StableDiffusionPipeline",
    "sd2-inpaint-a": "StableDiffusionInpaintPipeline",
    "sd2-depth-a": "StableDiffusionDepth2ImgPipeline",
    "sd-x4-a": "StableDiffusionUpscalePipeline",
    "unclip-h-a": "StableUnCLIPImg2ImgPipeline",
    "unclip-l-a": "StableUnCLIPImg2ImgPipeline",
    "sdxl-a": "StableDiffusionXLPipeline",
    "sdxl-inpaint-a": "StableDiffusionXLInpaintPipeline",
    "sdxl-refiner-a": "StableDiffusionXLImg2ImgPipeline",
    "ldm-text-a": "LDMTextToImagePipeline",
    "ldm-uncond-a": "LDMPipeline",
    "ldm-sr-a": "LDMSuperResolutionPipeline",
}


def opened(path: Path, parts: Parts) -> Model:
    return load(path, identify(path, parts.families), path.name, CheckpointName(path.stem))


@pytest.mark.parametrize("name", PIPELINES)
def test_a_folder_is_the_same_networks_as_the_file(name: str, reference_checkpoints: Path, parts: Parts, tmp_path: Path) -> None:
    values = json.loads((reference_checkpoints / name / "case.json").read_text())
    file = opened(reference_checkpoints / name / values["checkpoint"], parts)
    folder = opened(write_folder(file, tmp_path / name, PIPELINES[name]), parts)
    row = folder.family
    assert (row.name, row.prediction, row.in_channels, row.latent_factor) == (
        file.family.name,
        file.family.prediction,
        file.family.in_channels,
        file.family.latent_factor,
    )
    assert row.latent_scale == pytest.approx(file.family.latent_scale)
    assert torch.allclose(folder.sigmas, file.sigmas)
    assert same(folder.unet, file.unet) and same(folder.autoencoder, file.autoencoder)
    for encoder in row.encoders:
        if encoder.kind.endswith("-image"):
            assert same(folder.encoders[encoder.role], file.encoders[encoder.role])
            assert folder.statistics["image_mean"].ndim == 1
            continue
        ids = torch.randint(1, 400, (2, 77), generator=torch.Generator().manual_seed(3))
        ids[:, 9:] = 49407 if encoder.kind != "bert" else 0
        with torch.inference_mode():
            ours, theirs = (model.encoders[encoder.role](ids, encoder.layer, encoder.has_norm) for model in (folder, file))
        assert torch.equal(ours[0], theirs[0])
        if encoder.is_pooled:
            assert ours[1] is not None and torch.allclose(ours[1], theirs[1], atol=1e-5)  # the file's matrix lies transposed


def same(ours: torch.nn.Module | None, theirs: torch.nn.Module | None) -> bool:
    assert ours is not None and theirs is not None
    mine, others = ours.state_dict(), theirs.state_dict()
    return set(mine) == set(others) and all(torch.equal(mine[key], others[key]) for key in mine)


def test_a_folder_without_its_index_is_named_with_the_way_out(tmp_path: Path, parts: Parts) -> None:
    (tmp_path / "half" / "unet").mkdir(parents=True)
    with pytest.raises(CheckpointReadError, match=r"half is not a whole checkpoint: model_index.json is missing"):
        identify(tmp_path / "half", parts.families)


def test_a_folder_of_another_line_is_named(tmp_path: Path, parts: Parts) -> None:
    for part in ("transformer", "unet", "vae"):
        (tmp_path / "flux" / part).mkdir(parents=True)
    (tmp_path / "flux" / "model_index.json").write_text('{"_class_name": "FluxPipeline", "transformer": ["diffusers", "X"]}')
    (tmp_path / "flux" / "unet" / "config.json").write_text("{}")
    (tmp_path / "flux" / "vae" / "config.json").write_text("{}")
    with pytest.raises(CheckpointReadError, match="FluxPipeline"):
        identify(tmp_path / "flux", parts.families)
