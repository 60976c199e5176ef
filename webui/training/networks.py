"""The networks of the pocket checkpoint, how they begin, and the judge that scores its pictures.

A near-linear start is worth more than any hour of training here: see docs/pocket.md.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as functional
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from webui.checkpoints.tokenizer import WORDS
from webui.training.scene import COLOURS, SHAPES

Autoencoder = Any
UNet = Any
TextEncoder = Any
"""diffusers' AutoencoderKL and UNet2DConditionModel, transformers' CLIPTextModel: they hide their types from checkers."""

SCALE = 0.18215
"""SD 1's latent scale; `fold` makes it true for our autoencoder, so that tools which hardcode it are right."""
PLACES = 77
WIDTH = 96
"""Channels of the text encoder."""
LATENT_CHANNELS, FACTOR = 4, 8
LARGE_SCALE = 0.08333
"""Latent scale of SD's x4 upscaler."""
LOW_BETA, HIGH_BETA = 0.0001, 0.02
"""Of that upscaler's schedule."""
NOISE_LEVELS = 350
"""That its small pictures may have."""
BETA_START, BETA_END = 0.00085, 0.012


def make_autoencoder() -> Autoencoder:
    """KL, f = 8; 2.73 M parameters. 4 norm groups: with two channels a group a flat picture loses its colour."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT_CHANNELS,
        sample_size=128,
        layers_per_block=1,
        block_out_channels=(16, 32, 64, 128),
        norm_num_groups=4,
        scaling_factor=SCALE,
        force_upcast=False,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )


def make_tiny() -> Autoencoder:
    """TAESD's shape (Bohan 2023), narrower and with fewer blocks where the pixels are many; 0.04 M parameters a side. Its
    latents are scaled, as a denoiser sees them."""
    return AutoencoderTiny(
        encoder_block_out_channels=(16,) * 4,
        decoder_block_out_channels=(16,) * 4,
        num_encoder_blocks=(0, 0, 0, 4),
        num_decoder_blocks=(4, 0, 0, 0),
    )


def make_large_autoencoder() -> Autoencoder:
    """KL, f = 4, for pictures of 256 x 256: of the upscaler. Without attention, so that it costs the same for each pixel and
    parts of a picture teach it what wholes do."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT_CHANNELS,
        sample_size=256,
        layers_per_block=1,
        block_out_channels=(16, 40, 80),
        norm_num_groups=4,
        scaling_factor=LARGE_SCALE,
        force_upcast=False,
        mid_block_add_attention=False,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )


def make_upscaler() -> UNet:
    """Latents of 64 x 64 beside the small picture, told how noisy that one is; attention to itself at 16 x 16 only."""
    return UNet2DConditionModel(
        sample_size=64,
        in_channels=LATENT_CHANNELS + 3,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(48, 96, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        only_cross_attention=(True, True, False),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
        num_class_embeds=NOISE_LEVELS,
    )


def make_unet(more: int = 0) -> UNet:
    """Latents of 16 x 16, and `more` channels beside them; 5.6 M parameters."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENT_CHANNELS + more,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(48, 96, 160),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def make_text_encoder(words: int = WORDS) -> TextEncoder:
    """CLIP's text encoder, narrow. While training its table holds the known words only: row 0 is any other word and
    stays zero, the last two rows are start and end."""
    last = words - 1
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=PLACES,
        hidden_act="quick_gelu",
        bos_token_id=last - 1,
        eos_token_id=last,
        pad_token_id=last,
    )
    return CLIPTextModel(config)


def alphas_cumprod() -> Tensor:
    """(1000,) share of the picture's variance that is left at each training step; scaled-linear, as SD 1."""
    return torch.cumprod(1 - torch.linspace(BETA_START**0.5, BETA_END**0.5, 1000) ** 2, 0)


@torch.no_grad()
def start_linear(network: nn.Module) -> None:
    """Begin as a near-linear pyramid: up-samplers copy, down-samplers average, shortcuts keep the variance, residual
    branches start small, and the words are heard. The autoencoder stood at 16 dB without it where it had 22 with it.
    """
    generator = torch.Generator().manual_seed(0)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            _start_convolution(name, module, generator)
        elif isinstance(module, nn.Linear) and name.endswith(("attn1.to_out.0", "ff.net.2")):
            module.weight.mul_(0.3)
        elif isinstance(module, nn.Linear) and name.endswith("attn2.to_v"):
            module.weight.mul_(1.7)
        elif isinstance(module, nn.Linear) and name.endswith("attn2.to_out.0"):
            module.weight.mul_(1.3)


def _start_convolution(name: str, conv: nn.Conv2d, generator: torch.Generator) -> None:
    assert conv.bias is not None, name
    out, into = conv.weight.shape[:2]
    same = range(min(out, into))
    if name.endswith("conv2"):
        conv.weight.mul_(0.2)
    elif name.endswith("conv_in"):
        conv.weight.mul_(1.7)
    elif name.endswith("proj_out"):
        conv.weight.mul_(0.45)
    elif name.endswith("conv_shortcut"):
        turn = torch.empty(out, into)
        nn.init.orthogonal_(turn, generator=generator)
        conv.weight.copy_(turn[:, :, None, None])
        conv.bias.zero_()
    elif "upsamplers" in name:
        conv.weight.mul_(0.3)
        conv.bias.zero_()
        conv.weight[same, same, 1, 1] += 1
    elif "downsamplers" in name:
        conv.weight.mul_(0.5)
        conv.bias.zero_()
        shift = 0 if conv.padding in (0, (0, 0)) else 1
        for row in (shift, shift + 1):
            for column in (shift, shift + 1):
                conv.weight[same, same, row, column] += 0.25
    elif name in ("quant_conv", "post_quant_conv"):
        conv.weight.mul_(0.2)
        conv.bias.zero_()
        conv.weight[same, same, 0, 0] += 1


@torch.no_grad()
def start_carrying(network: Autoencoder) -> None:
    """Begin an autoencoder as one that passes the mean colour of each cell through and draws it smoothly.

    Six channels carry red, green and blue and their negatives, since silu(x) - silu(-x) = x; residual branches are nearly
    silent; constants beside them keep the scale of the group norms steady. Needs 4 norm groups, and groups of 7 channels in
    front of the latents. Our f = 4 stands at 24 dB so before the first step, and at 10 with `start_linear`.
    """
    encoder, decoder = network.encoder, network.decoder
    for module in network.modules():
        if isinstance(module, ResnetBlock2D):
            module.conv2.weight.mul_(QUIET)
            module.conv2.bias.zero_()
    signs = torch.cat([torch.eye(3), -torch.eye(3)])
    box, tent = torch.zeros(3, 3), torch.tensor([1.0, 2.0, 1.0]) / 4
    box[:2, :2] = 0.25
    _carry(encoder.conv_in, 0)
    encoder.conv_in.weight[:6, :, 1, 1] = signs
    for block in encoder.down_blocks:
        _carry_through(block.resnets, block.downsamplers, box)
    for block in decoder.up_blocks:
        _carry_through(block.resnets, block.upsamplers, tent[:, None] * tent[None])

    constants = torch.tensor([STEADY, -STEADY]).repeat(64)
    group = encoder.conv_norm_out.num_channels // encoder.conv_norm_out.num_groups
    last = encoder.down_blocks[-1].resnets[0].conv_shortcut
    last.weight[6:group], last.bias[6:group] = 0, constants[: group - 6]
    size = ((6 * 0.3 + (group - 6) * STEADY**2) / group) ** 0.5
    out = encoder.conv_out
    out.weight.mul_(0.3)
    out.bias.zero_()
    out.weight[:LATENT_CHANNELS, :group] = 0
    out.weight[:3, :6, 1, 1] = torch.cat([OPPONENT, -OPPONENT], 1) * size
    out.weight[3] *= 6
    for conv in (network.quant_conv, network.post_quant_conv):
        conv.weight[:, :, 0, 0] = torch.eye(conv.out_channels)
        conv.bias.zero_()
    _carry(decoder.conv_in, 0)
    decoder.conv_in.weight[:6, :3, 1, 1] = signs @ torch.linalg.inv(OPPONENT)

    group = decoder.conv_norm_out.num_channels // decoder.conv_norm_out.num_groups
    short, out = decoder.up_blocks[-1].resnets[0].conv_shortcut, decoder.conv_out
    out.weight.mul_(0.1)
    out.bias.zero_()
    size = ((2 * 0.3 + (group - 2) * STEADY**2) / group) ** 0.5
    for colour in range(3):
        at = colour * group
        short.weight[at : at + group], short.bias[at : at + group] = 0, 0
        short.weight[at, colour], short.weight[at + 1, 3 + colour] = 1, 1
        short.bias[at + 2 : at + group] = constants[: group - 2]
        out.weight[:, at : at + group] = 0
        out.weight[colour, at, 1, 1], out.weight[colour, at + 1, 1, 1] = size, -size


QUIET, STEADY = 0.1, 1.5
OPPONENT = torch.tensor([[0.9, 0.9, 0.9], [1.3, 0.0, -1.3], [-0.8, 1.6, -0.8]])
"""The first three latents of red, green and blue: light, and two differences."""


def _carry(conv: nn.Conv2d, taps: Tensor | float) -> None:
    """The first six channels go through by themselves, with these taps."""
    assert conv.bias is not None
    conv.weight[:6], conv.bias[:6] = 0, 0
    for i in range(6 if isinstance(taps, Tensor) else 0):
        conv.weight[i, i] = taps


def _carry_through(blocks: Any, resamplers: Any, taps: Tensor) -> None:
    for block in blocks:
        if block.conv_shortcut is not None:
            _carry(block.conv_shortcut, torch.ones(1, 1))
    for resampler in resamplers or ():
        _carry(resampler.conv, taps)


@torch.no_grad()
def start_words(text: TextEncoder) -> None:
    """Begin as a bag of words: word rows are large and far apart, and the first layer lets every place, padding
    included, hold the mean of the words (channel 0 tells words, +3, from start and padding, -3). With rows of the
    usual small size the layers' own output drowned the words, and nothing was learnt from captions.
    """
    table, places = text.embeddings.token_embedding.weight, text.embeddings.position_embedding.weight
    table.normal_(0, 1)
    table[:, 0] = 3
    table[-2:].mul_(0.2)  # start and end, which is the padding too
    table[-2:, 0] = -3
    table[0] = 0
    places.normal_(0, 0.2)
    places[:, 0] = 0
    for index, layer in enumerate(text.encoder.layers):
        layer.mlp.fc2.weight.mul_(0.3)
        attention = layer.self_attn
        if index:
            attention.out_proj.weight.mul_(0.5)
            continue
        attention.k_proj.weight.mul_(0.3)
        attention.q_proj.weight.mul_(0.3)
        for head in range(0, WIDTH, attention.head_dim):
            attention.k_proj.weight[head] = 0
            attention.k_proj.weight[head, 0] = 2.0
            attention.q_proj.bias[head] = 2.5
        nn.init.orthogonal_(attention.v_proj.weight)
        attention.out_proj.weight.copy_(1.5 * attention.v_proj.weight.T)


def mean_latents(autoencoder: Autoencoder, pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] to unscaled latents (B, 4, H / 8, W / 8), without noise."""
    return autoencoder.quant_conv(autoencoder.encoder(pictures))[:, :LATENT_CHANNELS]


def decode(autoencoder: Autoencoder, latents: Tensor) -> Tensor:
    """Unscaled latents (B, 4, h, w) to pictures (B, 3, 8h, 8w), about in [-1, 1]."""
    return autoencoder.decoder(autoencoder.post_quant_conv(latents))


class Judge(nn.Module):
    """Names the colour and the shape of a lone thing; its features give the Frechet distance. 0.27 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 80, 112)
        layers: list[nn.Module] = []
        for into, out in pairwise(widths):
            layers += [nn.Conv2d(into, out, 3, 2, 1), nn.GroupNorm(8, out), nn.SiLU()]
        layers += [nn.Conv2d(widths[-1], widths[-1], 3, 1, 1), nn.GroupNorm(8, widths[-1]), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.pool = nn.Linear(2 * widths[-1], 64)
        self.colour, self.shape = nn.Linear(64, len(COLOURS)), nn.Linear(64, len(SHAPES))

    def features(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] to (B, 64)."""
        hidden = self.body(functional.avg_pool2d(pictures, 2))
        return self.pool(torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], 1))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the colours (B, 12) and of the shapes (B, 5)."""
        features = functional.silu(self.features(pictures))
        return self.colour(features), self.shape(features)
