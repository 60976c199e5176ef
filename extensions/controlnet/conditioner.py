"""The conditioner: a picture, what is made of it, and the network that reads that."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn

from webui.checkpoints.model import Memo
from webui.contract import File, PartOf, Picture, Range
from webui.contract.errors import CheckpointError, FieldError
from webui.contract.more_parts import Residuals
from webui.contract.parts import Conditioning

from . import files
from .preprocessors import depth

if TYPE_CHECKING:
    from webui.checkpoints.model import Model
    from webui.contract.parts import Inputs
    from webui.contract.request import GenerationRequest

FOLDER = "ControlNet"
KEPT = 2
"""Networks that stay in memory, and"""
PREPARED = 4
"""pictures."""


def controlnet(
    request: GenerationRequest,
    model: Model,
    negative: bool,
    inputs: Inputs,
    *,
    picture: Annotated[Image.Image | None, Picture(), "Whose shapes count; none: the picture that is repainted"] = None,
    preprocessor: Annotated[
        Callable[..., Image.Image] | None, PartOf("preprocessors"), "What is made of it first; none: it shows edges already"
    ] = None,
    network: Annotated[Path | None, File(FOLDER), "Of models/ControlNet, made for this kind of checkpoint"] = None,
    weight: Annotated[float, Range(0, 2, 0.05), "How much it counts"] = 1.0,
    start: Annotated[float, Range(0, 1, 0.01), "Share of the noise that is gone when it begins"] = 0.0,
    end: Annotated[float, Range(0, 1, 0.01), "... and when it ends"] = 1.0,
    guess: Annotated[bool, "On the prompt's side alone, fine shapes less: for a picture without a prompt"] = False,
) -> Conditioning:
    """A control network on a picture.

    Shares are of the training steps: at 0 there is nothing but noise, at 1 none. So they mean the same for every sampler,
    schedule, number of steps and strength.

    Raises:
        FieldError: there is no picture or no network, or it was made for another kind of checkpoint.

    Source: Zhang et al. 2023, "Adding Conditional Control to Text-to-Image Diffusion Models", arXiv:2302.05543; the guess mode
    as in diffusers.
    """
    if weight == 0 or start >= end or (guess and negative):
        return Conditioning()
    if request.refiner == model.title and end <= request.refiner_switch:
        return Conditioning()  # its share of the way is over when the refiner takes over, for which few networks are made
    if network is None:
        raise FieldError("conditioners", f"ControlNet needs a network. Choose one; they are files of models/{FOLDER}.")
    reads = _loaded(_alike(model.unet.config), network, network.stat().st_mtime_ns, model.device, model.dtype)
    _check_fits(reads, network.name, model, request)
    seen = _Seen(_pixels(picture, inputs), preprocessor, _drawn(request, inputs), inputs.size)
    return Conditioning(controls=(_control(reads, seen, model, (weight, start, end, guess)),))


@dataclass(frozen=True, eq=False)
class Control:
    """A control network with what it reads; a webui.contract.more_parts.Control."""

    network: Any
    picture: Tensor
    """(1, 3, 8h, 8w) in [0, 1]"""
    weight: float
    first: float
    last: float
    """Training steps, from the noisiest down."""
    guess: bool

    def __call__(
        self, x: Tensor, t: Tensor, crossattn: Tensor | None, vector: Tensor | None, added: Mapping[str, Any] | None = None
    ) -> Residuals | None:
        active = None
        if (self.first, self.last) != (float("inf"), float("-inf")):
            active = (t <= self.first) & (t >= self.last)
            if not bool(active.any()):
                return None
        down, middle = self.network(
            x,
            t,
            crossattn,
            self.picture.expand(len(x), -1, -1, -1),
            conditioning_scale=self.weight,
            class_labels=None if vector is None or self.network.class_embedding is None else vector.to(x.dtype),
            added_cond_kwargs=added,
            guess_mode=self.guess,
            return_dict=False,
        )
        if active is not None and not bool(active.all()):  # walks at different steps share the call
            rows = active.to(x.dtype).view(-1, 1, 1, 1)
            down, middle = [one * rows for one in down], middle * rows
        return Residuals(tuple(down), middle)

    def seen_through(self, top: int, left: int, height: int, width: int) -> Control:
        by = _steps(self.network)
        part = self.picture[..., top * by : (top + height) * by, left * by : (left + width) * by]
        return replace(self, picture=part.contiguous())


def _steps(network: Any) -> int:
    """Pixels of the picture for each latent, each way."""
    return 2 ** (len(network.controlnet_cond_embedding.blocks) // 2)


@dataclass(frozen=True)
class _Seen:
    """A picture on its way to a network."""

    image: Image.Image
    preprocessor: Callable[..., Image.Image] | None
    size: tuple[int, int]
    """(width, height) of what is drawn."""
    padded: tuple[int, int]
    """(H, W) of what the network draws."""

    @property
    def key(self) -> tuple[Any, ...]:
        """The same for what would become the same tensor."""
        made_by = inspect.unwrap(self.preprocessor) if self.preprocessor else None
        return hashlib.sha256(self.image.tobytes()).digest(), self.image.size, made_by, self.size, self.padded

    def tensor(self, model: Model, by: int) -> Tensor:
        """(1, 3, H, W) in [0, 1]: brought to what is drawn, cut where the proportions differ, and drawn out to what the network
        needs beyond it.

        Args:
            by: pixels for each latent that the control network wants.
        """
        image = ImageOps.fit(self.image, self.size, Image.Resampling.LANCZOS)
        if self.preprocessor is not None:
            is_depth = inspect.unwrap(self.preprocessor) is depth
            image = self.preprocessor(image, *((model.shelf, model.path) if is_depth else ()))
        pixels = torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1)[None] / 255
        (width, height), (padded_height, padded_width) = self.size, self.padded
        pixels = F.pad(pixels, (0, padded_width - width, 0, padded_height - height), mode="replicate")
        if by != (factor := model.family.latent_factor):
            size = (padded_height // factor * by, padded_width // factor * by)
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
        return pixels.to(model.device, model.dtype)


def _drawn(request: GenerationRequest, inputs: Inputs) -> tuple[int, int]:
    """(width, height) of what is drawn, without what the network needs beyond it."""
    height, width = inputs.size
    asked = (
        (request.width or 0) + request.extend_left + request.extend_right,
        (request.height or 0) + request.extend_top + request.extend_bottom,
    )
    is_whole = width - 64 < asked[0] <= width and height - 64 < asked[1] <= height
    return asked if is_whole else (width, height)


def _pixels(picture: Image.Image | None, inputs: Inputs) -> Image.Image:
    if picture is not None:
        return picture
    if inputs.image is None:
        raise FieldError("conditioners", "ControlNet needs a picture: give one whose shapes count, or take ControlNet off.")
    shown = ((inputs.image[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(shown.permute(1, 2, 0).cpu().numpy())


def _control(network: Any, seen: _Seen, model: Model, how: tuple[float, float, float, bool]) -> Control:
    """The same one for both sides of guidance, which are asked in one call then. Kept with the model, and given up with it."""
    known: Memo | None = model.fits.get("controlnet")
    if known is None:
        known = Memo(PREPARED)
        model.fits.put("controlnet", known)
    key = (id(network), *seen.key, how)
    control: Control | None = known.get(key)
    if control is None or control.network is not network:
        weight, start, end, guess = how
        last = len(model.sigmas) - 1
        first_step = float("inf") if start == 0 else (1 - start) * last
        last_step = float("-inf") if end == 1 else (1 - end) * last
        control = Control(network, seen.tensor(model, _steps(network)), weight, first_step, last_step, guess)
        known.put(key, control)
    return control


def _alike(config: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    values = ((name, config[name]) for name in files.ALIKE if name in config)
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in values)


@functools.lru_cache(maxsize=KEPT)
def _loaded(like: tuple[tuple[str, Any], ...], path: Path, _changed: int, device: torch.device, dtype: torch.dtype) -> Any:
    """A network, ready to be asked; read again when its file has changed."""
    try:
        network = files.load(path, dict(like))
        return nn.Module.to(network, device, dtype)  # diffusers' own warns of parts that this network does not have
    except CheckpointError as error:
        raise FieldError("conditioners", str(error)) from error


def _check_fits(network: Any, file: str, model: Model, request: GenerationRequest) -> None:
    """Raises FieldError where a network was made for other U-Nets."""

    def build(of: Any) -> tuple[Any, ...]:
        config, labels = of.config, of.class_embedding
        vector = labels.linear_1.in_features if hasattr(labels, "linear_1") else 0
        return tuple(config["block_out_channels"]), config["layers_per_block"], config["cross_attention_dim"], vector

    ours, theirs = build(network), build(model.unet)
    if ours == theirs and network.config["in_channels"] == model.family.latent_channels:
        return

    def told(one: tuple[Any, ...]) -> str:
        return f"{', '.join(map(str, one[0]))} channels and words of {one[2]}{f' with a vector of {one[3]}' if one[3] else ''}"

    way_out = "Choose a control network that was made for this kind of checkpoint."
    if request.refiner == model.title:
        way_out = f"End it at {request.refiner_switch:g}, where the refiner takes over."
    words = f"{file} was made for U-Nets of {told(ours)}, and {model.title} ({model.family.label}) has {told(theirs)}. {way_out}"
    raise FieldError("conditioners", words)
