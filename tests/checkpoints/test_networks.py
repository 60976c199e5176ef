"""Networks of one build are twins: alike in all they do, and with nothing in common that could change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from webui.checkpoints.networks import _Build, _is_entangled, _made, build

UNET: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "attention_head_dim": 4,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 12,
}
CLIP = {"vocab_size": 99, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
KINDS: dict[str, dict[str, Any]] = {
    "unet": UNET,
    "clip": CLIP | {"projection_dim": 8},
    "kl": {
        "block_out_channels": (32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": 4,
        "embed_dim": 4,
    },
    "bert": {"words": 20, "width": 8, "places": 5, "layers": 2, "inner": 64},
}


def first_of(kind: str) -> nn.Module:
    """One that is built, and no twin."""
    return _made.__wrapped__(_Build(kind, "", KINDS[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_twin_is_built_as_the_first_one(kind: str) -> None:
    first, twin = first_of(kind), build(kind, KINDS[kind])
    assert repr(twin) == repr(first)
    assert list(twin.state_dict()) == list(first.state_dict())
    for (name, a), (_, b) in zip(first.named_modules(), twin.named_modules(), strict=True):
        assert vars(a).keys() == vars(b).keys(), name
        assert len(a._forward_pre_hooks) == len(b._forward_pre_hooks), name
        assert not _is_entangled(b), name


@pytest.mark.parametrize("kind", KINDS)
def test_twins_share_no_module_parameter_buffer_or_hook(kind: str) -> None:
    one, other = build(kind, KINDS[kind]), build(kind, KINDS[kind])
    for mine, theirs in (
        (one.modules(), other.modules()),
        (one.parameters(), other.parameters()),
        (one.buffers(), other.buffers()),
    ):
        assert not {id(part) for part in mine} & {id(part) for part in theirs}
    for a, b in zip(one.modules(), other.modules(), strict=True):
        handle = a.register_forward_hook(lambda *_: None)
        assert not b._forward_hooks
        handle.remove()


def test_a_twin_computes_what_the_first_one_computes() -> None:
    first, twin = first_of("unet").to_empty(device="cpu"), build("unet", UNET).to_empty(device="cpu")
    with torch.no_grad():
        for i, (a, b) in enumerate(zip(first.parameters(), twin.parameters(), strict=True)):
            a.copy_(torch.randn(a.shape, generator=torch.Generator().manual_seed(i)) * 0.1)
            b.copy_(a)
        told = {"encoder_hidden_states": torch.ones(1, 3, 16), "class_labels": torch.ones(1, 12, dtype=torch.float64)}
        x = torch.ones(1, 4, 8, 8)
        assert torch.equal(first(x, 5, **told)[0], twin(x, 5, **told)[0])


def test_another_configuration_is_another_build() -> None:
    assert build("clip", CLIP).network.config.num_hidden_layers == 2  # type: ignore[union-attr]
    assert build("clip", CLIP | {"num_hidden_layers": 3}).network.config.num_hidden_layers == 3  # type: ignore[union-attr]
