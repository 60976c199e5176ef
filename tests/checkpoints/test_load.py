"""The networks compute what the original code computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from webui.checkpoints.identify import identify
from webui.checkpoints.load import load
from webui.checkpoints.model import Model
from webui.checkpoints.tokenizer import END, START, clip_tokenizer
from webui.contract.parts import Conditioning, Parts
from webui.contract.request import GenerationRequest
from webui.contract.result import CheckpointName
from webui.engine.conditioning import condition
from webui.engine.denoiser import denoiser
from webui.engine.guidance import guide
from webui.engine.table import NoiseTable


class Case:
    def __init__(self, folder: Path, parts: Parts) -> None:
        self.values = json.loads((folder / "case.json").read_text())
        self.arrays = dict(np.load(folder / "arrays.npz"))
        path = folder / self.values["checkpoint"]
        self.model: Model = load(path, identify(path, parts.families), path.name, CheckpointName(path.stem))

    def checks(self, kind: str) -> list[dict[str, Any]]:
        return [check for check in self.values["checks"] if check["kind"] == kind]

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name]).float()

    def assert_close(self, kind: str, ours: Tensor, name: str) -> None:
        theirs = self.tensor(name)
        assert ours.shape == theirs.shape
        error = float((ours - theirs).abs().max() / theirs.abs().max())
        assert error <= self.values["tolerance"][kind], f"{kind}: {error:.1e}"


@pytest.fixture(scope="module")
def case(reference_checkpoints: Path, parts: Parts) -> Case:
    return Case(reference_checkpoints / "sd1-a", parts)


def test_tokens_are_those_of_the_original(case: Case) -> None:
    tokenize = clip_tokenizer()
    for check in case.checks("tokens"):
        ids = [START, *tokenize(check["prompt"])[:75], END]
        assert [*ids, *[END] * (77 - len(ids))] == case.arrays[check["ids"]].flatten().tolist()


@torch.inference_mode()
def test_the_text_encoder_gives_the_originals_conditioning(case: Case, parts: Parts) -> None:
    for check in case.checks("conditioning"):
        ours = encoded(case, parts, check["inputs"]["prompt"]).crossattn
        assert ours is not None
        case.assert_close("conditioning", ours, check["crossattn"])


@torch.inference_mode()
def test_the_network_answers_as_the_original(case: Case) -> None:
    for check in case.checks("denoise"):
        x = case.tensor(check["x"])
        ours = case.model.unet(
            x, torch.full((len(x),), float(check["t"])), encoder_hidden_states=case.tensor(check["crossattn"])
        ).sample
        case.assert_close("denoise", ours, check["output"])


@torch.inference_mode()
def test_predictions_agree_at_every_noise_level(case: Case) -> None:
    table = NoiseTable(case.model.sigmas)
    for check in case.checks("predict"):
        ours = denoiser(case.model, table, Conditioning(crossattn=case.tensor(check["crossattn"])))(
            case.tensor(check["x"]), check["sigma"]
        )
        case.assert_close("predict", ours, check["denoised"])


@torch.inference_mode()
def test_the_autoencoder_encodes_and_decodes_as_the_original(case: Case) -> None:
    scale = case.model.family.latent_scale
    for check in case.checks("encode"):
        case.assert_close(
            "encode", case.model.autoencoder.encode(case.tensor(check["image"])).latent_dist.mean * scale, check["latents"]
        )
    for check in case.checks("decode"):
        case.assert_close("decode", case.model.autoencoder.decode(case.tensor(check["latents"]) / scale).sample, check["image"])


@torch.inference_mode()
def test_whole_ddim_runs_end_in_the_originals_picture(case: Case, parts: Parts) -> None:
    table = NoiseTable(case.model.sigmas)
    runs = [check for check in case.checks("sample") if check["sampler"] == "ddim"]
    assert runs
    for check in runs:
        sigmas = torch.tensor(check["sigmas"])
        sides = [encoded(case, parts, check[name]["prompt"]) for name in ("inputs", "negative_inputs")]
        noise = case.tensor(check["noise"])
        denoise = guide(case.model, table, *sides, check["guidance"], len(noise))
        x = parts.samplers["Euler"].function(
            denoise, noise * (1 + sigmas[0] ** 2).sqrt(), sigmas, lambda sigma, sigma_next: torch.zeros(1)
        )
        case.assert_close("sample", x / (1 + sigmas[-1] ** 2).sqrt(), check["latents"])


def encoded(case: Case, parts: Parts, prompts: list[str]) -> Conditioning:
    """Each prompt by itself, then one behind the other: (B, 77, C)."""
    each = [condition(GenerationRequest(prompt=text), case.model, parts)[0].crossattn for text in prompts]
    return Conditioning(crossattn=torch.cat([one for one in each if one is not None]))
