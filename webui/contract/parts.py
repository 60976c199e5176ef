"""The shapes of the parts that plug in: what a sampler, a schedule, a conditioner, a family is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from webui.contract.more_parts import (
    CommandPart,
    Control,
    GuiderPart,
    PanelPart,
    PreprocessorPart,
    ReaderPart,
    RoutesPart,
    ScriptPart,
    SettingPart,
    TabPart,
    UpscalerPart,
)
from webui.contract.registry import Registry
from webui.contract.request import GenerationRequest

if TYPE_CHECKING:
    from torch import Tensor


class Denoise(Protocol):
    """The one door to the network: noisy latents and a noise level to the predicted clean latents.

    Guidance, progress, preview and interruption are already inside. A call may be shared with other jobs at other
    noise levels, so a sampler must not assume that nothing else runs between two calls.
    """

    def __call__(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """x (B, C, h, w) = clean + sigma * noise; sigma scalar or (B,); returns clean (B, C, h, w)."""


class Noise(Protocol):
    """Unit noise for the step from sigma to sigma_next, shaped like the latents; each picture has its own stream."""

    def __call__(self, sigma: Tensor | float, sigma_next: Tensor | float) -> Tensor: ...


Sampler = Callable[..., "Tensor"]
"""(denoise, x, sigmas, noise, *, options...) -> clean latents. x (B, C, h, w) is not changed; sigmas (steps + 1,)
float32, falling, last one usually 0. A sampler's keyword-only parameters are its options."""


class NoiseTable(Protocol):
    """The noise levels that a network was trained on."""

    @property
    def sigmas(self) -> Tensor:
        """(1000,) float32, one for each training step, rising."""

    @property
    def sigma_min(self) -> float: ...
    @property
    def sigma_max(self) -> float: ...
    def sigma(self, t: float) -> float:
        """Noise level at a fractional training step: log sigma interpolated between its neighbours."""

    def t(self, sigma: float) -> float:
        """The inverse of sigma(t)."""


Schedule = Callable[..., Sequence[float]]
"""(steps, table, *, options...) -> steps + 1 falling noise levels, the last one 0."""


@dataclass(frozen=True)
class SamplerPart:
    name: str
    function: Sampler
    aliases: tuple[str, ...] = ()
    schedule: str = ""
    """The schedule that Automatic stands for; "" is the checkpoint's own."""
    discard_penultimate: bool = False
    """Ask for one more noise level and drop the last but one (conventions of DPM2 and its kin)."""
    calls_per_step: int = 1
    """Network calls of a full step, to tell the time that is left."""
    is_random: bool = False
    """Draws noise on its way, so eta and the step seed shift have a meaning."""
    starts_vp: bool = False
    """Starts from noise * sqrt(1 + sigma_max^2), as the time-step samplers do, not noise * sigma_max."""
    ladder: str = ""
    """A sampler that walks its own ladder, whatever was asked (DDIM: its time steps)."""


@dataclass(frozen=True)
class SchedulePart:
    name: str
    function: Schedule
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conditioning:
    """What the network is told beside the noisy latents. None: the family has no such input."""

    crossattn: Tensor | None = None
    """(B, T, C)"""
    vector: Tensor | None = None
    """(B, D)"""
    concat: Tensor | None = None
    """(B, C, h, w)"""
    controls: tuple[Control, ...] = ()
    """Control networks, whose residuals are added to the U-Net's own maps."""


@dataclass(frozen=True)
class Inputs:
    """What one picture is made of beside words: the request's pictures as tensors, and its own noise. None: not asked.

    H, W are the pixels that the network draws, where nothing else is said: multiples of what it needs.
    """

    size: tuple[int, int] = (0, 0)
    """(H, W)"""
    image: Tensor | None = None
    """(1, 3, H, W) in [-1, 1]. For super-resolution the small picture itself, one pixel for each latent."""
    second_image: Tensor | None = None
    """(1, 3, H, W) in [-1, 1], to mix with the first"""
    mask: Tensor | None = None
    """(1, 1, H, W), 1 where the picture is painted anew, 0 where it stays"""
    depth: Tensor | None = None
    """(1, 1, any, any), larger is nearer, in any unit"""
    map: Tensor | None = None
    """(1, H, W) int64, a label for each pixel"""
    image_embedding: Tensor | None = None
    """(1, D), what an image encoder says of the picture; else it is made of `image`"""
    noise: Callable[[tuple[int, ...]], Tensor] | None = None
    """shape -> unit noise of this picture, for conditioners that add noise to what they are given"""


class Conditioner(Protocol):
    """Makes inputs of the network from the request, for one picture: every tensor has a batch dimension of 1.

    model is the loaded checkpoint (webui.checkpoints.model.Model); negative asks for the other side of guidance.
    Answers a Conditioning with only the parts it makes. A family names its conditioners in order: crossattn is made
    by one of them, the parts of vector and of concat are put behind each other.
    """

    def __call__(self, request: GenerationRequest, model: Any, negative: bool, inputs: Inputs) -> Conditioning: ...


@dataclass(frozen=True)
class Encoder:
    """One network that reads an input for the denoiser: what it is, where a file holds it, and which output counts."""

    role: str
    """What it reads: "text", "text_2" (the second of two), "class", "boxes", "map" or "image"."""
    kind: str
    """"clip", "openclip", "bert", "class", "rescale", "clip-image" or "openclip-image": its architecture and tokenizer."""
    prefix: str
    """Of its keys in the releases' files."""
    layer: int = -1
    """Which layer's output: -1 the last, -2 the one before it."""
    has_norm: bool = True
    """Whether the final norm follows that layer."""
    is_pooled: bool = False
    """Whether its pooled, projected output becomes the first part of vector."""


@dataclass(frozen=True)
class ConditionerPart:
    name: str
    function: Conditioner
    aliases: tuple[str, ...] = ()
    is_shared: bool = False
    """Both sides of guidance are told the same by it, so it is asked once."""
    on_request: bool = False
    """A request names it, with options of its own; else a family does."""


@dataclass(frozen=True)
class Family:
    """One architecture as a row of data. Inpainting, depth, ... differ in their row and conditioners only."""

    name: str
    label: str
    """As the page's badge shows it."""
    prediction: str
    """"eps" or "v"."""
    conditioners: tuple[str, ...]
    native_size: int
    """Pixels of a side at which it was trained."""
    steps: int
    guidance: float
    sampler: str
    schedule: str = "Uniform"
    """What Automatic means where the sampler has no schedule of its own."""
    encoders: tuple[Encoder, ...] = ()
    network: str = "context"
    """"context": a U-Net with cross-attention; "plain": one without; "none": an autoencoder alone, which draws nothing."""
    autoencoder: str = "kl"
    """"kl" or "vq" (its decoder rounds latents to a code book first)."""
    in_channels: int = 4
    """Of the U-Net: latents and concat."""
    latent_channels: int = 4
    latent_factor: int = 8
    """Pixels per latent, each way."""
    latent_scale: float = 0.18215
    vector: str = ""
    """How the U-Net takes a vector: "projection", "index" (a row of a table), "" not at all."""
    size_numbers: tuple[str, ...] = ()
    """The numbers behind the pooled text in SDXL's vector: "original_size", "crop", "target_size", "aesthetic_score"."""
    rounds_sigma: bool = False
    """Whether a noise level becomes the nearest one that was trained on before the network sees it (sgm's way)."""
    zeros_empty_negative: bool = False
    """Whether an empty negative prompt is told as zeros, not as the encoding of no words."""
    heads: int | None = None
    """Attention heads on every level, or"""
    head_width: int | None = None
    """channels of one head. Neither can be read off a file."""
    noise_levels: int = 0
    """How many noise levels an input picture can be given (x4: 350 of 1000); 0: it gets none."""
    noise_level: int = 0
    """The one that it is given where none is asked."""
    input_schedule: str = ""
    """Noise schedule of that input: "linear:0.0001:0.02" (in sqrt(beta)) or "cosine"."""
    context_width: int = 768
    network_width: int = 320
    """Channels of the U-Net's first level; with decoder_width, what the memory of a picture is estimated from."""
    decoder_width: int = 128
    """Channels of the decoder's last level."""
    decoder_tensors: float = 6.05
    """Tensors of whole pixels and that width that the decoder holds at its peak: thrice its last level's input, which has twice
    the width."""
    network_tensors: float = 26.1
    """Tensors of the U-Net's first level that one row holds at its peak, in that level's width: 26 with attention there, 14
    without any (tests/checkpoints/test_estimate.py counts them)."""
    beta_start: float = 0.00085
    beta_end: float = 0.012
    is_zero_terminal: bool = False
    """Whether the schedule was stretched so that the last step is noise alone (zero terminal SNR)."""
    inputs: tuple[str, ...] = ("prompt", "negative_prompt")
    """The request's fields, beside size, seed and sampling, that it draws from."""
    needs: tuple[str, ...] = ()
    """Those without which it cannot draw."""
    enlarges: int = 1
    """How many times larger than its input picture what it draws is."""
    does: str = "txt2img"
    """What it is for: "txt2img", "img2img", "inpaint", "depth", "upscale", "refine" or ""."""
    size_step: int = 8
    """Pixels that a side must be a multiple of; a U-Net without cross-attention halves its latents evenly on every level."""
    sizes: tuple[tuple[int, int], ...] = ()
    """(width, height) that it was trained on, as presets; () where only the native square counts."""
    hints: tuple[str, ...] = ()
    """Parts of a file's name that tell it from a family of the same keys and shapes ("turbo", "768")."""
    preview: tuple[tuple[float, float, float], ...] | None = None
    """Latent channels to red, green, blue in [-1, 1]; None: fitted to the autoencoder when first needed."""
    distilled_from: str = ""
    """Family of the checkpoint that this one was distilled from, so that it draws in one to four steps; "": it was not."""
    about: str = ""
    aliases: tuple[str, ...] = ()
    configuration: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def betas(self) -> list[float]:
        """1000 values, linear in sqrt(beta), in float64 (LDM, Rombach et al. 2022, arXiv:2112.10752)."""
        low, high = math.sqrt(self.beta_start), math.sqrt(self.beta_end)
        return [(low + (high - low) * i / 999) ** 2 for i in range(1000)]


@dataclass(frozen=True)
class Parts:
    """All registries, filled once at start from the built-in plugins and the extensions."""

    samplers: Registry[SamplerPart] = field(default_factory=lambda: Registry("sampler"))
    schedules: Registry[SchedulePart] = field(default_factory=lambda: Registry("schedule"))
    conditioners: Registry[ConditionerPart] = field(default_factory=lambda: Registry("conditioner"))
    families: Registry[Family] = field(default_factory=lambda: Registry("family"))
    guiders: Registry[GuiderPart] = field(default_factory=lambda: Registry("guider"))
    scripts: Registry[ScriptPart] = field(default_factory=lambda: Registry("script"))
    preprocessors: Registry[PreprocessorPart] = field(default_factory=lambda: Registry("preprocessor"))
    upscalers: Registry[UpscalerPart] = field(default_factory=lambda: Registry("upscaler"))
    readers: Registry[ReaderPart] = field(default_factory=lambda: Registry("reader"))
    tabs: Registry[TabPart] = field(default_factory=lambda: Registry("tab"))
    panels: Registry[PanelPart] = field(default_factory=lambda: Registry("panel"))
    routes: Registry[RoutesPart] = field(default_factory=lambda: Registry("router"))
    commands: Registry[CommandPart] = field(default_factory=lambda: Registry("command"))
    settings: Registry[SettingPart] = field(default_factory=lambda: Registry("setting"))

    def registries(self) -> tuple[Registry[Any], ...]:
        return tuple(getattr(self, one.name) for one in fields(self))
