"""The networks that read a denoiser's inputs: words, classes, boxes, maps, pictures. Each is called in one way.

All are built without weights (webui.checkpoints.networks), never trained, and answer in their weights' number format.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAST_WORD = 49407
"""The token that ends a text, for CLIP and OpenCLIP; what stands there in the last layer is the text's pooled vector."""


class TextEncoder(nn.Module):
    """CLIP's or OpenCLIP's text transformer, with its projection where the file has one.

    Args:
        kind: "clip" or "openclip": which tokenizer it was trained with.
        network: transformers' CLIPTextModel.
        projection: of the pooled vector, None where there is none.
        layers_cut: how many of the original's layers a file leaves out at the end.
    """

    def __init__(self, kind: str, network: Any, projection: nn.Linear | None, layers_cut: int = 0) -> None:
        super().__init__()
        self.kind = kind
        self.network = network
        self.projection = projection
        self._cut = layers_cut

    @property
    def words(self) -> int:
        """Size of its vocabulary."""
        return int(self.network.config.vocab_size)

    @property
    def places(self) -> int:
        """Tokens of a text, start and end included."""
        return int(self.network.config.max_position_embeddings)

    def forward(self, ids: Tensor, layer: int = -1, has_norm: bool = True) -> tuple[Tensor, Tensor | None]:
        """What it says of some texts.

        Args:
            ids: (N, T) int64, each row with start and end.
            layer: whose output: -1 the last layer's, -2 that of the one before; not before the first.
            has_norm: whether the final norm follows.

        Returns:
            hidden (N, T, C), and pooled (N, D): the last layer's, through the norm, at the first end token, projected
            (Radford et al. 2021, arXiv:2103.00020); None without a projection.
        """
        states = self.network(input_ids=ids, output_hidden_states=True)
        index = max(min(-1, layer + self._cut), -len(states.hidden_states))
        if index == -1 and has_norm:
            hidden = states.last_hidden_state
        else:
            hidden = states.hidden_states[index]
            hidden = self.network.final_layer_norm(hidden) if has_norm else hidden
        if self.projection is None:
            return hidden, None
        ends = (ids == LAST_WORD).int().argmax(1)
        return hidden, self.projection(states.last_hidden_state[torch.arange(len(ids), device=ids.device), ends])


class BertEncoder(nn.Module):
    """The transformer that LDM trained on BERT's tokens or on boxes (Rombach et al. 2022, arXiv:2112.10752, appendix E).

    Before each attention and each widening a norm, no mask: padding is attended to like any word. Heads are 64 wide,
    whatever the width of the network.
    """

    kind = "bert"

    def __init__(self, words: int, width: int, places: int, layers: int, inner: int) -> None:
        super().__init__()
        self.word_table = nn.Embedding(words, width)
        self.place_table = nn.Embedding(places, width)
        self.layers = nn.ModuleList(_BertLayer(width, inner) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    @property
    def words(self) -> int:
        """Size of its vocabulary."""
        return self.word_table.num_embeddings

    @property
    def places(self) -> int:
        """Tokens of a text."""
        return self.place_table.num_embeddings

    def forward(self, ids: Tensor, layer: int = -1, has_norm: bool = True) -> tuple[Tensor, None]:  # noqa: ARG002
        """ids (N, T) int64 -> hidden (N, T, C) of the last layer through the last norm; there is no other output."""
        x = self.word_table(ids) + self.place_table.weight[: ids.shape[1]]
        for part in self.layers:
            x = part(x)
        return self.norm(x), None


class _BertLayer(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.out = nn.Linear(inner, width)
        self.widen_norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.attention_norm(x)
        heads = (part(seen).unflatten(-1, (-1, 64)).transpose(1, 2) for part in (self.query, self.key, self.value))
        x = x + self.out(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.widen(self.widen_norm(x))))


class ClassTable(nn.Module):
    """A row for each class (LDM on ImageNet). Of an odd number of rows, as 1001, the last one stands for no class."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, width)

    @property
    def classes(self) -> int:
        """Rows, the one for no class included."""
        return self.table.num_embeddings

    def forward(self, numbers: Tensor) -> Tensor:
        """(N,) int64 -> (N, 1, C)"""
        return self.table(numbers)[:, None]


class MapRescaler(nn.Module):
    """A map of labels, halved to the latents' size and mixed to as many channels as they have (LDM's SpatialRescaler).

    Args:
        stages: how often it is halved.
    """

    def __init__(self, labels: int, channels: int, stages: int) -> None:
        super().__init__()
        self.stages = stages
        self.mapper = nn.Conv2d(labels, channels, 1, bias=False)

    @property
    def labels(self) -> int:
        return self.mapper.in_channels

    def forward(self, one_hot: Tensor) -> Tensor:
        """(N, labels, H, W), 1 for the pixel's label and else 0 -> (N, channels, H / 2^stages, W / 2^stages)"""
        for _ in range(self.stages):
            one_hot = F.interpolate(one_hot, scale_factor=0.5, mode="bilinear")
        return self.mapper(one_hot)


class ImageEncoder(nn.Module):
    """The image half of CLIP or OpenCLIP (unCLIP): a picture to the vector that stands for what is on it.

    Args:
        network: transformers' CLIPVisionModelWithProjection.
    """

    MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    """Of the pixels that CLIP was trained on, in [0, 1]."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, D), not normalised. Squeezed to a square first, as the release does."""
        side = self.network.config.image_size
        pixels = resized(pixels.float(), side, side)
        mean, deviation = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (self.MEAN, self.DEVIATION))
        seen = ((pixels + 1) / 2 - mean) / deviation
        return self.network(pixel_values=seen.to(self.network.dtype)).image_embeds


def resized(pixels: Tensor, height: int, width: int) -> Tensor:
    """(N, 3, H, W) to another size: bicubic between the corner pixels, after a Gaussian blur where it gets smaller.

    The blur's deviation is (factor - 1) / 2, its kernel about four deviations long, at least 3 (kornia's resize with
    antialias, which the unCLIP release uses; written anew from that description).
    """
    factors = (pixels.shape[2] / height, pixels.shape[3] / width)
    if max(factors) > 1:
        for axis, factor in enumerate(factors):
            pixels = _blurred(pixels, max((factor - 1) / 2, 0.001), axis)
    return F.interpolate(pixels, size=(height, width), mode="bicubic", align_corners=True)


def _blurred(pixels: Tensor, deviation: float, axis: int) -> Tensor:
    """Along the height (axis 0) or the width (1); edges are mirrored."""
    length = int(max(4 * deviation, 3)) // 2 * 2 + 1
    places = torch.arange(length, device=pixels.device, dtype=pixels.dtype) - length // 2
    kernel = torch.softmax(-(places**2) / (2 * deviation**2), 0)
    shape, edge = (
        ((length, 1), (0, 0, length // 2, length // 2)) if axis == 0 else ((1, length), (length // 2, length // 2, 0, 0))
    )
    weight = kernel.view(1, 1, *shape).expand(pixels.shape[1], 1, *shape)
    return F.conv2d(F.pad(pixels, edge, mode="reflect"), weight, groups=pixels.shape[1])


class DepthEstimator(nn.Module):
    """MiDaS' DPT hybrid: how near everything on a picture is, in no unit.

    Args:
        network: transformers' DPTForDepthEstimation, is_hybrid.
    """

    SIDE, PATCH = 384, 16

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 1, h, w), larger is nearer; h, w about H, W with one side near 384.

        The picture is scaled, its shape kept, by whichever side needs it less, to multiples of 32 (MiDaS' "minimal").
        """
        height, width = pixels.shape[2:]
        by = min(self.SIDE / height, self.SIDE / width, key=lambda scale: abs(1 - scale))
        size = tuple(max(32, round(side * by / 32) * 32) for side in (height, width))
        seen = F.interpolate(pixels.float(), size=size, mode="bicubic").to(self.network.device, self.network.dtype)
        self.network.dpt.embeddings.image_size = size  # it would refuse another size than this, which is all it checks
        states = self.network.dpt(seen, output_hidden_states=True)
        kept = self.network.config.backbone_out_indices[2:]
        layers = [*states.intermediate_activations, *(state for i, state in enumerate(states.hidden_states[1:]) if i in kept)]
        features = self.network.neck(layers, size[0] // self.PATCH, size[1] // self.PATCH)
        return self.network.head(features)[:, None]
