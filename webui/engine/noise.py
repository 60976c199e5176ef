"""Noise from seeds: the same for a picture on every device, alone or in any batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Shape = tuple[int, ...]


class Stream(Protocol):
    """Unit normals, one draw after the other."""

    def __call__(self, shape: Shape) -> Tensor:
        """float32 on the CPU."""


class TorchStream:
    """What torch.randn gives on the CPU after manual_seed.

    Args:
        seed: 0 to 2^64 - 1.
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def __call__(self, shape: Shape) -> Tensor:
        return torch.randn(shape, generator=self._generator)


class PhiloxStream:
    """What torch.randn gives on an NVIDIA GPU after manual_seed, without one.

    Draw j has offset j, whatever its size; the card does so for tensors of ordinary size. In float64, so up to 1e-6
    from the card's own float32.

    Args:
        seed: 0 to 2^64 - 1.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", Philox 4x32-10; Box and Muller 1958.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._offset = 0

    def __call__(self, shape: Shape) -> Tensor:
        words = philox(self._seed, self._offset, int(np.prod(shape)))
        self._offset += 1
        turn = float(np.float32(2.3283064e-10 * 6.2831855))  # CUDA's 2 pi / 2^32, in its own rounding
        u = words[0] / 2.0**32 + 2.0**-33
        v = words[1] * turn + turn / 2
        values = np.sqrt(-2 * np.log(u)) * np.sin(v)
        return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def philox(seed: int, offset: int, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    """Philox 4x32-10: (4, count) words for the counters (offset, 0, i, 0) and the 64 bits of the seed."""
    low32 = np.uint64(0xFFFFFFFF)
    counter = np.zeros((4, count), dtype=np.uint64)
    counter[0] = offset
    counter[2] = np.arange(count)
    key = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]
    for _ in range(10):
        first = counter[0] * np.uint64(0xD2511F53)
        second = counter[2] * np.uint64(0xCD9E8D57)
        counter = np.stack(
            [
                (second >> np.uint64(32)) ^ counter[1] ^ np.uint64(key[0]),
                second & low32,
                (first >> np.uint64(32)) ^ counter[3] ^ np.uint64(key[1]),
                first & low32,
            ]
        )
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter.astype(np.uint32)


SOURCES: dict[str, type[TorchStream] | type[PhiloxStream]] = {"CPU": TorchStream, "NV": PhiloxStream}


def slerp(share: float, low: Tensor, high: Tensor) -> Tensor:
    """Turn from low (share 0) to high (share 1) on the sphere, row by row; (C, h, w) float32, rows along axis 1.

    Source: Shoemake 1985, "Animating rotation with quaternion curves", as A1111 has it for variation seeds: the angle is
    taken over axis 1 only, and nearly parallel inputs are mixed with the two shares swapped.
    """
    cosine = (low / low.norm(dim=1, keepdim=True) * (high / high.norm(dim=1, keepdim=True))).sum(1, keepdim=True)
    if cosine.mean() > 0.9995:
        return low * share + high * (1 - share)
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    is_line = sine < 1e-6  # a row that is parallel by itself has no angle to turn by
    sine = sine.masked_fill(is_line, 1)
    from_low = (((1 - share) * angle).sin() / sine).masked_fill(is_line, 1 - share)
    from_high = ((share * angle).sin() / sine).masked_fill(is_line, share)
    return from_low * low + from_high * high


def paste(inner: Tensor, outer: Tensor) -> Tensor:
    """Put noise of one size into the middle of noise of another; what sticks out is cut off. (C, h, w) each.

    An odd difference leaves one row or column of the outer noise at the end, as in A1111.
    """
    pasted = outer.clone()
    there, here = [], []
    for have, want in zip(inner.shape[1:], outer.shape[1:], strict=True):
        border = (want - have) // 2
        length = have if border >= 0 else have + 2 * border
        there.append(slice(max(border, 0), max(border, 0) + length))
        here.append(slice(max(-border, 0), max(-border, 0) + length))
    pasted[:, there[0], there[1]] = inner[:, here[0], here[1]]
    return pasted


class SeededNoise:
    """The noise of a batch: where its walk starts, then a fresh one for each step that asks.

    Picture i has its own stream from seeds[i], so it gets the same bytes alone and in any batch.

    Args:
        seeds: one a picture, 0 to 2^63 - 1.
        shape: (C, h, w) of one picture's latents.
        source: "CPU" (torch's generator) or "NV" (Philox, as NVIDIA's GPUs have it); both run on the CPU.
        variation_seeds: a second seed a picture, towards which the start noise is turned; a missing one is 0.
        variation_strength: how far, 0 to 1. At 0 the variation seeds mean nothing.
        from_shape: (C, h, w) at which the seed was found: noise of that shape is put in the middle.
        step_seed_shift: where not 0, the noise of steps comes from streams made anew from seed + shift (ENSD).

    The order of draws is that of A1111's ImageRNG, so its seeds mean the same here.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: Shape,
        *,
        source: str = "CPU",
        variation_seeds: Sequence[int] | None = None,
        variation_strength: float = 0.0,
        from_shape: Shape | None = None,
        step_seed_shift: int = 0,
    ) -> None:
        self._shape = tuple(shape)
        self._make = SOURCES[source]
        self._found_at = self._shape if from_shape is None else tuple(from_shape)
        varied = list(variation_seeds or ()) if variation_strength else []
        if varied:
            varied += [0] * (len(seeds) - len(varied))
        self._streams: list[Stream] = [self._make(seed) for seed in seeds]
        starts = [
            self._start(seed, stream, varied[i] if varied else None, variation_strength)
            for i, (seed, stream) in enumerate(zip(seeds, self._streams, strict=True))
        ]
        self._first = torch.stack(starts)
        if step_seed_shift:
            self._streams = [self._make(seed + step_seed_shift) for seed in seeds]

    def start(self) -> Tensor:
        """Unit noise from which the walk starts: (B, C, h, w) float32 on the CPU. The same at every call."""
        return self._first.clone()

    def __call__(self, sigma: Tensor | float, sigma_next: Tensor | float) -> Tensor:  # noqa: ARG002
        """Unit noise of the next step: shaped as start(). The noise levels do not matter, only the order of calls."""
        return torch.stack([stream(self._shape) for stream in self._streams])

    def of(self, i: int) -> Stream:
        """Further draws of any shape for picture i, for what is told with noise on it; best before the walk."""
        return self._streams[i]

    def _start(self, seed: int, stream: Stream, variation: int | None, strength: float) -> Tensor:
        is_resized = self._found_at != self._shape
        noise = self._make(seed)(self._found_at) if is_resized else stream(self._shape)
        if variation is not None:
            noise = slerp(strength, noise, self._make(variation)(self._found_at))
        return paste(noise, stream(self._shape)) if is_resized else noise
