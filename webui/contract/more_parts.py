"""Parts around the journey of a picture: what changes the guidance, makes requests of requests, prepares and enlarges pictures,
and what an extension adds to the page, the API and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from webui.contract.request import GenerationRequest

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from webui.contract.parts import Conditioning, Denoise


@dataclass(frozen=True)
class Residuals:
    """What a control network adds to the U-Net's own maps, as diffusers' ControlNetModel answers them."""

    down: tuple[Tensor, ...]
    """One for each skip connection, (N, C, h', w')."""
    middle: Tensor
    """(N, C, h', w')"""


class Control(Protocol):
    """A control network with its picture, asked at each call of the U-Net."""

    def __call__(
        self, x: Tensor, t: Tensor, crossattn: Tensor | None, vector: Tensor | None, added: Mapping[str, Any] | None = None
    ) -> Residuals | None:
        """x (N, C, h, w) as the U-Net sees the latents (scaled, without concat), t scalar or (N,) its time steps, crossattn
        (N, T, C), vector (N, D). None: nothing at this step."""

    def seen_through(self, top: int, left: int, height: int, width: int) -> Control:
        """The same for a window of the latents, where a large picture is drawn in tiles."""


class Network(Protocol):
    """The network with what it is told, as a guider may ask it beyond its denoiser."""

    @property
    def request(self) -> GenerationRequest: ...
    @property
    def model(self) -> Any:
        """The loaded checkpoint, a webui.checkpoints.model.Model."""

    @property
    def scale(self) -> float:
        """Of classifier-free guidance; 0 and 1: the prompt alone."""

    @property
    def sides(self) -> tuple[Conditioning, Conditioning]:
        """(positive, negative) of the request."""

    @property
    def place(self) -> tuple[float, float, float, float]:
        """(x, y, width, height) of what x is a part of, in shares of the whole picture: (0, 0, 1, 1), but of a large one that is
        drawn in tiles the tile's."""

    def condition(self, request: GenerationRequest) -> tuple[Conditioning, Conditioning]:
        """Both sides of another request (dataclasses.replace of `request`), for the same canvas. Costs the text encoder: once a
        job, not once a step."""

    def predict(
        self, x: Tensor, sigma: Tensor | float, *conditionings: Conditioning, attention: Mapping[str, Any] | None = None
    ) -> tuple[Tensor, ...]:
        """The clean latents (B, C, h, w) predicted for each conditioning, without guidance, in one call of the network.

        Args:
            attention: diffusers' attention processors by the names of model.unet.attn_processors, for this call alone.
        """


Guider = Callable[..., "Denoise"]
"""(denoise, network, *, options...) -> denoise"""
Script = Callable[..., Iterator[Any]]
"""(request, *, options...): a generator that yields requests, and is sent a list of the pictures that each one made."""
Preprocessor = Callable[..., "Image.Image"]
"""(image RGB, *, options...) -> image RGB of the same size"""
Upscaler = Callable[..., "Image.Image"]
"""(image RGB, scale) -> image RGB"""
Reader = Callable[["Image.Image"], str]
"""image as it was opened -> its infotext, or "" """


@dataclass(frozen=True)
class GuiderPart:
    name: str
    function: Guider
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScriptPart:
    name: str
    function: Script
    aliases: tuple[str, ...] = ()
    count: Callable[..., int] | None = None
    """(request, **options) -> how many pictures come out, so that progress can be told; None: as many as are asked for."""
    when: Callable[[GenerationRequest], bool] | None = None
    """request -> whether it runs although nobody chose it (its mark stands in the prompt)."""


@dataclass(frozen=True)
class PreprocessorPart:
    name: str
    function: Preprocessor
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class UpscalerPart:
    name: str
    function: Upscaler
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReaderPart:
    name: str
    function: Reader
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class TabPart:
    """A tab of the page."""

    name: str
    """Its label."""
    function: Callable[..., None]
    """build(app): makes Gradio components in the open tab."""
    aliases: tuple[str, ...] = ()


PANEL_TABS = ("txt2img", "img2img", "inpaint", "depth")
"""Those that a panel may stand on."""


@dataclass(frozen=True)
class PanelPart:
    """Controls inside tabs that are there."""

    name: str
    """Its label."""
    function: Callable[..., Mapping[str, Any]]
    """build(app, tab) -> {field: Gradio component}; their values are request.extras[extension][field]."""
    aliases: tuple[str, ...] = ()
    tabs: tuple[str, ...] = ("txt2img", "img2img")
    """Of PANEL_TABS."""


@dataclass(frozen=True)
class RoutesPart:
    """Routes of the server, under /extensions/NAME."""

    name: str
    function: Any
    """A fastapi.APIRouter."""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class CommandPart:
    """webui NAME ..."""

    name: str
    function: Callable[..., int | None]
    """run(arguments, app) -> exit code; None is 0."""
    aliases: tuple[str, ...] = ()
    arguments: Callable[[Any], None] | None = None
    """Adds its arguments to an argparse.ArgumentParser."""
    about: str = ""


@dataclass(frozen=True)
class SettingPart:
    """One setting of an extension."""

    name: str
    """EXTENSION.KEY"""
    function: Any
    """The webui.contract.options.Option that it is."""
    aliases: tuple[str, ...] = ()
