"""Calls of parts that may be an extension's: what goes wrong in one is told with its name, and ends one job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from webui.contract.errors import Interrupted, PluginError, WebUIError
from webui.contract.registry import Registry

OURS = ("engine", "checkpoints")
"""Owners of the built-in parts: an error of theirs is the program's own, and told as such."""


@contextmanager
def called(registry: Registry[Any], name: str) -> Iterator[None]:
    """Whatever the part raises inside the block names the extension that it belongs to.

    Raises:
        PluginError: instead of anything that is no sentence for the user already. A shortage of memory stays one.
    """
    try:
        yield
    except (WebUIError, Interrupted, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        owner = registry.owner(name)
        if owner in OURS or (isinstance(error, RuntimeError) and "allocate memory" in str(error)):
            raise
        raise PluginError(
            f"The extension {owner} failed in its {registry.kind} {registry[name].name!r} ({type(error).__name__}: {error}). "
            f"Choose another {registry.kind}, or switch the extension off."
        ) from error


def picture_of(answer: Any, size: tuple[int, int], scale: float, registry: Registry[Any], name: str) -> Image.Image:
    """What an upscaler answered, as RGB.

    Args:
        size: (width, height) of the picture that it was given. scale: how many times as large it was asked for.

    Raises:
        PluginError: it is no picture, or one that is smaller, or less than half or more than twice as large as asked.
    """
    wanted = tuple(side * scale for side in size)
    if isinstance(answer, Image.Image):
        if all(max(side, want / 2) <= got <= want * 2 + 1 for side, want, got in zip(size, wanted, answer.size, strict=True)):
            with called(registry, name):
                return answer.convert("RGB")
        seen = "a picture of {} x {}".format(*answer.size)
    else:
        seen = f"a {type(answer).__name__}"
    raise PluginError(
        f"The extension {registry.owner(name)} answered {seen} in its {registry.kind} {registry[name].name!r}, where a picture "
        f"of about {round(wanted[0])} x {round(wanted[1])} is due. Choose another {registry.kind}."
    )


def latents_of(answer: Any, x: Tensor, registry: Registry[Any], name: str) -> Tensor:
    """What a sampler answered.

    Raises:
        PluginError: it is not shaped like the latents x that it began with.
    """
    if not isinstance(answer, Tensor) or answer.shape != x.shape:
        seen = f"a tensor of {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
        raise PluginError(
            f"The extension {registry.owner(name)} answered {seen} in its {registry.kind} {registry[name].name!r}, "
            f"where latents of {tuple(x.shape)} are due. Choose another {registry.kind}."
        )
    return answer


def denoised_of(answer: Any, x: Tensor, registry: Registry[Any], name: str) -> Tensor:
    """What the denoiser of a guider answered to latents x.

    Raises:
        PluginError: it is not float32, or not shaped like x.
    """
    clean = latents_of(answer, x, registry, name)
    if clean.dtype != torch.float32:
        raise PluginError(
            f"The extension {registry.owner(name)} answered {str(clean.dtype).removeprefix('torch.')} in its {registry.kind} "
            f"{registry[name].name!r}, where float32 is due. Choose another {registry.kind}."
        )
    return clean


def prepared_of(answer: Any, image: Image.Image, registry: Registry[Any], name: str) -> Image.Image:
    """What a preprocessor answered to a picture, as RGB.

    Raises:
        PluginError: it is no picture, or one of another size.
    """
    if isinstance(answer, Image.Image) and answer.size == image.size:
        with called(registry, name):
            return answer.convert("RGB")
    seen = "a picture of {} x {}".format(*answer.size) if isinstance(answer, Image.Image) else f"a {type(answer).__name__}"
    raise PluginError(
        f"The extension {registry.owner(name)} answered {seen} in its {registry.kind} {registry[name].name!r}, where a picture "
        f"of {image.width} x {image.height} is due. Choose another {registry.kind}."
    )
