"""Encoders of pictures: the towers of unCLIP, and the depth estimator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.shared import shared_names
from webui.checkpoints.encoders import DepthEstimator, ImageEncoder, resized
from webui.checkpoints.files import read_tensors
from webui.checkpoints.layout.depth import depth_estimator
from webui.checkpoints.layout.image import image_tower
from webui.checkpoints.networks import build, load_part
from webui.contract.parts import Encoder

CASES = shared_names("reference/public", "unclip-*")


class Block(nn.Module):
    """A residual block of CLIP with the original's names, on torch's own attention."""

    def __init__(self, width: int, heads: int, is_quick: bool) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.is_quick = is_quick

    def forward(self, x: Tensor) -> Tensor:
        seen = self.ln_1(x)
        x = x + self.attn(seen, seen, seen, need_weights=False)[0]
        wide = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](wide * torch.sigmoid(1.702 * wide) if self.is_quick else F.gelu(wide))


def tower(state: dict[str, Tensor], x: Tensor, is_quick: bool) -> Tensor:
    """Radford et al. 2021's image tower, from a file's own tensors: (N, 3, s, s) -> (N, D)."""
    width, patch = state["conv1.weight"].shape[0], state["conv1.weight"].shape[-1]
    places = F.conv2d(x, state["conv1.weight"], stride=patch).flatten(2).transpose(1, 2)
    tokens = torch.cat([state["class_embedding"].expand(len(x), 1, -1), places], 1) + state["positional_embedding"]
    tokens = F.layer_norm(tokens, (width,), state["ln_pre.weight"], state["ln_pre.bias"])
    for i in range(sum(key.endswith("in_proj_weight") for key in state)):
        block = Block(width, max(1, width // 64), is_quick)
        place = f"transformer.resblocks.{i}."
        block.load_state_dict({key.removeprefix(place): tensor for key, tensor in state.items() if key.startswith(place)})
        tokens = block(tokens)
    return F.layer_norm(tokens[:, 0], (width,), state["ln_post.weight"], state["ln_post.bias"]) @ state["proj"]


@pytest.mark.parametrize("name", CASES)
@torch.inference_mode()
def test_a_tower_answers_as_the_original_architecture(name: str, reference_checkpoints: Path) -> None:
    kind = "clip-image" if "-l-" in name else "openclip-image"
    tensors = read_tensors(reference_checkpoints / name / "model.ckpt")
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    part = image_tower(shapes, Encoder("image", kind, "embedder.model."))
    assert part is not None
    encoder = load_part(part, tensors, name)
    side = part.configuration["image_size"]
    pixels = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (ImageEncoder.MEAN, ImageEncoder.DEVIATION))
    own = {key.removeprefix("embedder.model.visual."): tensor for key, tensor in tensors.items() if ".visual." in key}
    theirs = tower(own, ((pixels + 1) / 2 - mean) / deviation, is_quick=kind == "clip-image")
    ours = encoder(pixels)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


def test_a_picture_without_detail_stays_itself_at_any_size() -> None:
    grey = torch.full((1, 3, 500, 301), 0.25)
    assert torch.allclose(resized(grey, 224, 224), torch.full((1, 3, 224, 224), 0.25), atol=1e-6)


def test_making_larger_blurs_nothing_and_keeps_the_corners() -> None:
    pixels = torch.rand(1, 3, 20, 30)
    large = resized(pixels, 40, 60)
    assert torch.allclose(large[:, :, [0, 0, -1, -1], [0, -1, 0, -1]], pixels[:, :, [0, 0, -1, -1], [0, -1, 0, -1]], atol=1e-6)


def test_making_smaller_averages_what_is_too_fine() -> None:
    stripes = torch.ones(1, 3, 896, 896)
    stripes[..., ::2] = -1
    assert float(resized(stripes, 224, 224)[..., 2:-2].abs().max()) < 0.05
    assert float(F.interpolate(stripes, size=(224, 224), mode="bicubic", align_corners=True).abs().max()) > 0.9


@pytest.fixture(scope="module")
def estimator() -> DepthEstimator:
    """At its full size, with random weights; there is no other size of it."""
    network = build("depth", {})
    assert isinstance(network, DepthEstimator)
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.02, generator=generator)
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def test_depth_of_a_square_is_what_transformers_says(estimator: DepthEstimator) -> None:
    pixels = torch.rand(1, 3, 384, 384, generator=torch.Generator().manual_seed(2)) * 2 - 1
    ours = estimator(pixels)
    assert ours.shape == (1, 1, 384, 384)
    estimator.network.dpt.embeddings.image_size = (384, 384)
    assert torch.equal(ours[:, 0], estimator.network(pixels).predicted_depth)


@torch.inference_mode()
def test_depth_is_told_of_pictures_of_any_shape(estimator: DepthEstimator) -> None:
    assert estimator(torch.zeros(1, 3, 96, 160)).shape == (1, 1, 224, 384)
    assert estimator(torch.zeros(1, 3, 768, 512)).shape == (1, 1, 576, 384)


def test_a_depth_estimator_that_is_not_whole_is_none() -> None:
    assert depth_estimator({"depth_model.model.pretrained.model.cls_token": (1, 1, 8)}) is None
