"""Denoisers in closed form: what a perfect network would answer."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def gaussian(mean: float = 0.7, std: float = 0.5):
    """The ideal denoiser of data N(mean, std^2), whatever the shape."""

    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
        return (std**2 * x + sigma**2 * mean) / (std**2 + sigma**2)

    return denoise


def gaussian_path(x: Tensor, sigma: float, sigma_next: float, mean: float = 0.7, std: float = 0.5) -> Tensor:
    """Where the probability flow of that data leads."""
    return mean + (x - mean) * math.sqrt((std**2 + sigma_next**2) / (std**2 + sigma**2))


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians over whole latents; each picture of a batch is answered by itself."""

    means: Tensor
    """(K, C, h, w)"""
    stds: Tensor
    """(K,)"""
    weights: Tensor
    """(K,)"""

    def __call__(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        means, stds, weights = (part.to(x.dtype) for part in (self.means, self.stds, self.weights))
        variance = stds**2 + sigma**2
        distance = torch.stack([((picture - means) ** 2).sum((1, 2, 3)) for picture in x])
        logits = weights.log() - x[0].numel() / 2 * variance.log() - distance / (2 * variance)
        share = logits.softmax(1)[:, :, None, None, None]
        variance, stds = variance[:, None, None, None], stds[:, None, None, None]
        return (share * (stds**2 * x[:, None] + sigma**2 * means) / variance).sum(1)


def small_mixture() -> Mixture:
    generator = torch.Generator().manual_seed(5)
    return Mixture(torch.randn(3, 4, 8, 8, generator=generator), torch.tensor([0.3, 0.5, 0.4]), torch.tensor([0.2, 0.5, 0.3]))
