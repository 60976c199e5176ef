"""To a device and from it without waiting for what it is at, and the time that it took.

A graphics card is told what to do and does it later. Whoever waits for one picture before telling it of the next leaves it idle
in between, so a shot can be handed on before it is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from PIL import Image
from torch import Tensor

from webui.engine import autoencoder


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The same values on a device."""
    if device.type != "cuda" or values.device.type == "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


class Shot:
    """One picture on its way from the device.

    Args:
        pixels: (1, 3, H, W), about [-1, 1].
    """

    def __init__(self, pixels: Tensor) -> None:
        self.width, self.height = pixels.shape[3], pixels.shape[2]
        if pixels.device.type != "cuda":
            self._image: Image.Image | None = autoencoder.to_image(pixels)  # whoever asks for it must not compute, see Machine
            return
        self._image = None
        bytes_ = autoencoder.to_bytes(pixels)
        self._pixels = torch.empty(bytes_.shape, dtype=bytes_.dtype, pin_memory=True)
        self._pixels.copy_(bytes_, non_blocking=True)
        self._is_there = torch.cuda.Event()
        self._is_there.record()

    def image(self) -> Image.Image:
        """The picture, when it is there. In any thread."""
        if self._image is not None:
            return self._image
        self._is_there.synchronize()
        return Image.fromarray(self._pixels.numpy())


class Stopwatch:
    """Time that the device took for what was told it inside `running`."""

    def __init__(self, device: torch.device) -> None:
        self._is_on_card = device.type == "cuda"
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._spent = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        if not self._is_on_card:
            start = time.perf_counter()
            yield
            self._spent += time.perf_counter() - start
            return
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        began.record()
        yield
        ended.record()
        self._events.append((began, ended))

    def seconds(self) -> float:
        """When all of it is over."""
        return self._spent + sum(began.elapsed_time(ended) for began, ended in self._events) / 1000
