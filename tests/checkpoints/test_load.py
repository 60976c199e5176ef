"""Every family opens strictly, and its networks compute what the original code computes."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.checkpoints.sparse import write_sparse
from tests.shared import shared_names
from webui.checkpoints.depth import SmallDepthEstimator
from webui.checkpoints.download import Shelf
from webui.checkpoints.files import read_tensors
from webui.checkpoints.identify import identify
from webui.checkpoints.load import load, sorted_out
from webui.checkpoints.model import Model
from webui.checkpoints.networks import build
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Parts
from webui.contract.result import CheckpointName

CASES = shared_names("reference/public", "*")


class Case:
    """A reference case and its checkpoint, opened; half-precision weights are widened, as the numbers were computed so."""

    def __init__(self, folder: Path, parts: Parts) -> None:
        self.values = json.loads((folder / "case.json").read_text())
        self.arrays = dict(np.load(folder / "arrays.npz"))
        self.path = folder / self.values["checkpoint"]
        self.identity = identify(self.path, parts.families)
        self.model: Model = load(self.path, self.identity, self.path.name, CheckpointName(self.path.stem))
        for network in self.model.networks:
            for parameter in network.parameters():
                parameter.data = parameter.data.float()

    def checks(self, kind: str) -> list[dict[str, Any]]:
        return [check for check in self.values["checks"] if check["kind"] == kind]

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name]).float()

    def assert_close(self, kind: str, ours: Tensor, theirs: Tensor) -> None:
        assert ours.shape == theirs.shape
        tolerance = self.values["tolerance"]
        error = float((ours - theirs).abs().max() / theirs.abs().max())
        assert error <= tolerance.get(kind, tolerance.get(kind.split(".")[0], 0)), f"{kind}: {error:.1e}"


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, reference_checkpoints: Path, parts: Parts) -> Case:
    return Case(reference_checkpoints / request.param, parts)


def opened(name: str, folder: Path, parts: Parts) -> Case:
    """One case by name; skipped where it is not there."""
    if name not in CASES:
        pytest.skip(f"the reference numbers are not here: {name}")
    return Case(folder / name, parts)


def test_the_file_is_known_to_its_last_key(case: Case) -> None:
    layout = sorted_out(case.path, read_tensors(case.path), case.identity)
    assert layout.unknown == ()
    assert not any(tensor.is_meta for network in case.model.networks for tensor in (*network.parameters(), *network.buffers()))


@torch.inference_mode()
def test_the_network_answers_as_the_original(case: Case) -> None:
    for check in case.checks("denoise"):
        x, t = case.tensor(check["x"]), check["t"]
        told = {
            name: case.tensor(check[key])
            for name, key in (("encoder_hidden_states", "crossattn"), ("class_labels", "vector"))
            if key in check
        }
        if "concat" in check:
            x = torch.cat([x, case.tensor(check["concat"])], 1)
        steps = case.tensor(t) if isinstance(t, str) else torch.as_tensor(t, dtype=torch.float32).expand(len(x))
        assert case.model.unet is not None
        case.assert_close("denoise", case.model.unet(x, steps, **told, return_dict=False)[0], case.tensor(check["output"]))


@torch.inference_mode()
def test_the_autoencoder_encodes_and_decodes_as_the_original(case: Case) -> None:
    scale, network = case.model.family.latent_scale, case.model.autoencoder
    for check in case.checks("encode"):
        answer = network.encode(case.tensor(check["image"]))
        latents = answer.latents if case.model.family.autoencoder == "vq" else answer.latent_dist.mean
        case.assert_close("encode", latents * scale, case.tensor(check["latents"]))
    for check in case.checks("decode"):
        pixels = network.decode(case.tensor(check["latents"]) / scale, return_dict=False)[0]
        case.assert_close("decode", pixels, case.tensor(check["image"]))


@torch.inference_mode()
def test_text_encoders_say_what_the_originals_say(case: Case) -> None:
    """The tokens are the case's own: the tokenizers have tests of their own."""
    rows = [row for row in case.model.family.encoders if row.role in ("text", "text_2")]
    tokens = {(check["encoder"], check["prompt"]): check["ids"] for check in case.checks("tokens") if "prompt" in check}
    for check in case.checks("conditioning") if rows else ():
        for i, prompt in enumerate(check["inputs"]["prompt"]):
            if check["inputs"].get("zero_prompt") or any((number, prompt) not in tokens for number in range(len(rows))):
                continue
            ids = [torch.from_numpy(case.arrays[tokens[number, prompt]]).long().view(1, -1) for number in range(len(rows))]
            said = [
                case.model.encoders[row.role](row_ids, row.layer, row.has_norm) for row, row_ids in zip(rows, ids, strict=True)
            ]
            theirs = case.tensor(check["crossattn"])[i : i + 1]
            case.assert_close("conditioning.crossattn", torch.cat([hidden for hidden, _ in said], -1), theirs)
            pooled = [vector for row, (_, vector) in zip(rows, said, strict=True) if row.is_pooled]
            for vector in pooled:
                theirs = case.tensor(check["vector"])[i : i + 1, : vector.shape[1]]
                case.assert_close("conditioning.crossattn", vector, theirs)


@torch.inference_mode()
def test_classes_and_maps_are_read_as_the_original_reads_them(case: Case) -> None:
    for check in case.checks("conditioning"):
        told = check["inputs"]
        if "class" in told:
            case.assert_close(
                "conditioning", case.model.encoders["class"](torch.tensor(told["class"])), case.tensor(check["crossattn"])
            )
        if "map" in told:
            network = case.model.encoders["map"]
            labels = torch.from_numpy(case.arrays[told["map"]]).long()
            one_hot = torch.nn.functional.one_hot(labels, network.labels).permute(0, 3, 1, 2).float()
            case.assert_close("conditioning", network(one_hot), case.tensor(check["concat"]))


def test_noise_levels_are_those_that_it_was_trained_on(case: Case) -> None:
    for check in case.checks("predict"):
        if isinstance(check.get("t"), float) and check["t"] == int(check["t"]):
            assert float(case.model.sigmas[int(check["t"])]) == pytest.approx(check["sigma"], rel=1e-4)


def test_which_levels_of_x4_attend_to_words_alone_is_the_yamls_word(
    reference_checkpoints: Path, parts: Parts, tmp_path: Path
) -> None:
    """In the tiny case the context is as wide as a level, so that shapes say nothing."""
    case = opened("sd-x4-a", reference_checkpoints, parts)
    assert case.model.unet is not None and case.model.unet.config["only_cross_attention"] == (True, True, False)
    other = tmp_path / "x.ckpt"
    shutil.copyfile(case.path, other)
    text = case.path.with_suffix(".yaml").read_text()
    found = re.search(r"disable_self_attentions:\s+- true(\s+)- true\s+- false", text)
    assert found
    words = f"disable_self_attentions:{found[1]}- true{found[1]}- false{found[1]}- false"
    other.with_suffix(".yaml").write_text(text.replace(found[0], words))
    unet = load(other, identify(other, parts.families), "x", CheckpointName("x")).unet
    assert unet is not None and unet.config["only_cross_attention"] == (True, False, False)


def test_opening_neither_copies_nor_converts(reference_checkpoints: Path, parts: Parts) -> None:
    case = opened("sdxl-a", reference_checkpoints, parts)
    tensors = read_tensors(case.path)
    for part in sorted_out(case.path, tensors, case.identity).parts.values():
        for name, tensor in part.state(tensors).items():
            theirs = tensors[part.sources[name].key]
            assert tensor.untyped_storage().data_ptr() == theirs.untyped_storage().data_ptr()
            assert tensor.dtype == theirs.dtype == torch.float16


def test_without_a_yaml_the_schedule_in_the_file_counts(reference_checkpoints: Path, parts: Parts, tmp_path: Path) -> None:
    case = opened("sd1-a", reference_checkpoints, parts)
    alone = tmp_path / "x.ckpt"
    shutil.copyfile(case.path, alone)
    row = replace(case.identity.family, beta_start=0.01, beta_end=0.02)
    model = load(alone, replace(case.identity, family=row), alone.name, CheckpointName("x"))
    assert torch.allclose(model.sigmas, case.model.sigmas, rtol=1e-5)


def test_an_autoencoder_beside_takes_the_place_of_the_files_own(
    reference_checkpoints: Path, parts: Parts, tmp_path: Path
) -> None:
    case = opened("sd1-a", reference_checkpoints, parts)
    other = opened("autoencoder-kl-f8-a", reference_checkpoints, parts)
    model = load(case.path, replace(case.identity, autoencoder=other.path), "x", CheckpointName("x"))
    theirs = other.model.autoencoder.state_dict()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in model.autoencoder.state_dict().items())
    torch.save({"x": torch.ones(1)}, tmp_path / "x.vae.ckpt")
    with pytest.raises(CheckpointReadError, match="is not an autoencoder"):
        load(case.path, replace(case.identity, autoencoder=tmp_path / "x.vae.ckpt"), "x", CheckpointName("x"))


def test_a_file_that_lacks_a_tensor_says_which(reference_checkpoints: Path, parts: Parts, tmp_path: Path) -> None:
    case = opened("sd1-a", reference_checkpoints, parts)
    tensors = read_tensors(case.path)
    for gone in ("model.diffusion_model.out.2.weight", "first_stage_model.decoder.mid.block_1.conv1.bias"):
        path = tmp_path / f"{gone}.ckpt"
        torch.save({key: tensor for key, tensor in tensors.items() if key != gone}, path)
        with pytest.raises(CheckpointReadError, match="missing"):
            load(path, case.identity, path.name, CheckpointName("x"))


def test_unclip_l_gets_the_statistics_of_its_embeddings(reference_checkpoints: Path, parts: Parts) -> None:
    case = opened("unclip-l-a", reference_checkpoints, parts)
    assert case.identity.statistics is not None
    mean, deviation = torch.load(case.identity.statistics, weights_only=True)
    assert torch.equal(case.model.statistics["image_mean"], mean)
    assert torch.equal(case.model.statistics["image_deviation"], deviation)


def test_a_depth_estimator_comes_from_the_shelf_where_the_file_holds_none(
    reference_checkpoints: Path, parts: Parts, tmp_path: Path
) -> None:
    case = opened("sd2-depth-a", reference_checkpoints, parts)
    model = load(case.path, case.identity, "x", CheckpointName("x"), Shelf([tmp_path]))
    assert model.depth is not None
    assert model.depth.is_small
    assert isinstance(model.depth(), SmallDepthEstimator), "the one that comes with the program"
    place = tmp_path / "depth" / "dpt-hybrid-midas"
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    wanted = {key.removeprefix("network."): tensor.shape for key, tensor in build("depth", {}).state_dict().items()}
    write_sparse({key: (list(shape), "F32") for key, shape in wanted.items()}, place / "model.safetensors")
    assert not model.depth.is_small
    assert sum(parameter.numel() for parameter in model.depth().parameters()) == sum(shape.numel() for shape in wanted.values())
