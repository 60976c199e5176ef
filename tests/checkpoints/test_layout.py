"""Layouts are told from names and shapes: what a file says of its build, and what becomes of odd keys."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.conftest import POCKET
from webui.checkpoints import layout
from webui.checkpoints.files import read_tensors
from webui.checkpoints.layout.text import clip, openclip
from webui.checkpoints.layout.unet import tower, unet
from webui.checkpoints.networks import Codebook, build, load_part
from webui.contract.parts import Encoder, Family, Parts

WIDTHS = {"ln_1.weight": (64,), "attn.in_proj_weight": (192, 64), "attn.in_proj_bias": (192,), "mlp.c_fc.weight": (256, 64)}


def resnet(place: str, width: int, before: int, scales: bool = False) -> dict[str, tuple[int, ...]]:
    """A residual block's keys that tell something."""
    return {
        f"{place}.in_layers.2.weight": (width, before, 3, 3),
        f"{place}.emb_layers.1.weight": (2 * width if scales else width, 128),
        f"{place}.out_layers.3.weight": (width, width, 3, 3),
    }


def plain_tower(by_resnet: bool) -> dict[str, tuple[int, ...]]:
    """Two levels of two residual blocks, attention on the second and in the middle."""
    own = {"input_blocks.0.0.weight": (32, 3, 3, 3)}
    for i, (width, before) in enumerate(((32, 32), (32, 32), (32, 32), (64, 32), (64, 64)), 1):
        if i == 3 and not by_resnet:
            own[f"input_blocks.{i}.0.op.weight"] = (32, 32, 3, 3)
        else:
            own |= resnet(f"input_blocks.{i}.0", width, before, by_resnet)
        if i > 3:
            own |= {f"input_blocks.{i}.1.norm.weight": (64,), f"input_blocks.{i}.1.qkv.weight": (192, 64, 1)}
    for i in range(6):
        own |= resnet(f"output_blocks.{i}.0", 64 if i < 3 else 32, 64)
    if by_resnet:
        return own | resnet("output_blocks.2.2", 64, 64)
    return own | {"output_blocks.2.2.conv.weight": (64, 64, 3, 3)}


@pytest.mark.parametrize("by_resnet", [False, True])
def test_levels_are_counted_whatever_resamples_between_them(by_resnet: bool) -> None:
    build_ = tower(plain_tower(by_resnet))
    assert build_.blocks == 2
    assert build_.widths == (32, 64)
    assert [level.has_attention for level in build_.levels] == [False, True]
    assert build_.resamples_by_resnet is build_.scales_and_shifts is by_resnet
    assert not build_.has_transformers


def test_query_key_and_value_of_each_head_are_put_together(parts: Parts) -> None:
    """A plain attention's rows in the file: query, key, value of the first head, then of the second."""
    own = {f"model.diffusion_model.{name}": shape for name, shape in plain_tower(False).items()}
    own["model.diffusion_model.out.2.weight"] = (3, 32, 3, 3)
    part = unet(own, replace(parts.families["ldm-uncond"], heads=2, head_width=None))
    rows = torch.arange(192.0)[:, None, None].expand(192, 64, 1)
    key = part.sources["down_blocks.1.attentions.0.to_k.weight"]
    assert key.view is not None
    assert key.view(rows)[:, 0].tolist() == [*range(32, 64), *range(96 + 32, 96 + 64)]


def test_what_is_unknown_is_left_over_and_named(parts: Parts) -> None:
    tensors = read_tensors(POCKET / "vae" / "diffusion_pytorch_model.safetensors")
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()} | {"other.weight": (1,)}
    identity = type("Identity", (), {"family": parts.families["autoencoder"], "uses_average": False, "text_heads": {}})
    assert layout.parts_of(shapes, identity).unknown == ("other.weight",)  # type: ignore[arg-type]


def test_an_autoencoder_in_diffusers_names_opens_too() -> None:
    """Old ones too, which call their attention's parts otherwise."""
    told = {
        "latent_channels": 4, "embed_dim": 4, "block_out_channels": (32, 64), "layers_per_block": 1,
        "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
    }  # fmt: skip
    state = {key: torch.randn(tensor.shape) for key, tensor in build("kl", told).state_dict().items()}
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, name in old.items():
        state |= {key.replace(new, name): tensor for key, tensor in state.items() if f".{new}." in key}
    file = {key: tensor for key, tensor in state.items() if not any(f".{new}." in key for new in old)}
    part = layout.autoencoder({key: tuple(tensor.shape) for key, tensor in file.items()}, 0.18215)
    opened = load_part(part, file, "vae").state_dict()
    assert len(opened) == len(file)
    assert torch.equal(
        opened["decoder.mid_block.attentions.0.to_out.0.bias"], file["decoder.mid_block.attentions.0.proj_attn.bias"]
    )


def test_a_text_encoder_without_its_inner_prefix_is_the_same() -> None:
    names = {
        "embeddings.token_embedding.weight": (100, 64),
        "embeddings.position_embedding.weight": (77, 64),
        "encoder.layers.0.mlp.fc1.weight": (256, 64),
    }
    row = Encoder("text", "clip", "c.")
    bare, whole = (clip({f"c.{inner}{name}": shape for name, shape in names.items()}, row) for inner in ("", "text_model."))
    assert bare.configuration == whole.configuration
    assert set(bare.sources) == set(whole.sources)


def test_sd_2_files_that_end_one_layer_early_are_noticed() -> None:
    names = {"positional_embedding": (77, 1024), "token_embedding.weight": (49408, 1024)}
    blocks = {f"transformer.resblocks.{i}.mlp.c_fc.weight": (4096, 1024) for i in range(24)}
    row = Encoder("text", "openclip", "m.", layer=-2)
    whole, cut = (
        {f"m.{name}": shape for name, shape in (names | dict(list(blocks.items())[:count])).items()} for count in (24, 23)
    )
    assert openclip(whole, row).configuration["layers_cut"] == 0
    assert openclip(cut, row).configuration["layers_cut"] == 1


def test_a_code_book_rounds_to_the_nearest_vector_in_any_number_format() -> None:
    book = Codebook(50, 3)
    z = torch.randn(2, 3, 5, 7)
    nearest = torch.cdist(z.permute(0, 2, 3, 1).reshape(-1, 3), book.embedding.weight).argmin(1)
    expected = book.embedding.weight[nearest].view(2, 5, 7, 3).permute(0, 3, 1, 2)
    assert torch.equal(book(z)[0], expected)
    assert book.bfloat16()(z.bfloat16())[0].shape == z.shape


@pytest.mark.parametrize("kind", ["projection", "index"])
@torch.inference_mode()
def test_a_vector_is_always_told_as_numbers(kind: str) -> None:
    """(B, D) for a projection; (B, 1) for a row of a table, never through half precision."""
    told = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 1} if kind == "projection" else {}
    network = build(
        "unet",
        {
            "block_out_channels": (32,), "down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",),
            "layers_per_block": 1, "cross_attention_dim": 8, "attention_head_dim": 2,
            **(told or {"num_class_embeds": 1000}),
        },
    )  # fmt: skip
    network = network.to_empty(device="cpu").bfloat16()
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.02)
    heard: list[torch.Tensor] = []
    first = network.class_embedding.linear_1 if told else network.class_embedding
    first.register_forward_pre_hook(lambda _module, arguments: heard.append(arguments[0]))
    x, context = torch.zeros(2, 4, 8, 8, dtype=torch.bfloat16), torch.zeros(2, 3, 8, dtype=torch.bfloat16)
    network(x, torch.tensor(1.0), encoder_hidden_states=context, class_labels=torch.tensor([[351.0], [7.0]]))
    assert heard[0].dtype == (torch.bfloat16 if told else torch.int64)
    assert told or heard[0].tolist() == [351, 7]


def test_x4_attends_to_words_alone_where_shapes_or_row_say_so(parts: Parts) -> None:
    row: Family = parts.families["sd-x4"]
    own = {f"model.diffusion_model.{name}": shape for name, shape in context_tower().items()}
    assert unet(own, row).configuration["only_cross_attention"] == (True, False)
    assert unet(own, replace(row, configuration={})).configuration["only_cross_attention"] == (True, False)


def context_tower() -> dict[str, tuple[int, ...]]:
    """Two levels with transformers; the first one's keys are as wide as the context (64), and not as the level (32)."""
    own = {"input_blocks.0.0.weight": (32, 7, 3, 3), "out.2.weight": (4, 32, 3, 3)}
    for i, width in ((1, 32), (3, 64)):
        place = f"input_blocks.{i}"
        own |= resnet(f"{place}.0", width, width) | {
            f"{place}.1.norm.weight": (width,),
            f"{place}.1.proj_in.weight": (width, width),
        }
        own |= {f"{place}.1.transformer_blocks.0.attn{n}.to_k.weight": (width, 64) for n in (1, 2)}
    own["input_blocks.2.0.op.weight"] = (32, 32, 3, 3)
    for i in range(4):
        own |= resnet(f"output_blocks.{i}.0", 64 if i < 2 else 32, 64)
    return own | {"output_blocks.1.1.conv.weight": (64, 64, 3, 3)}
