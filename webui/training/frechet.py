"""How far two sets of pictures lie apart, as a judge sees them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def frechet(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Frechet distance of two sets of features (N, D), each taken as a Gaussian."""
    return between_gaussians(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))


def between_gaussians(mean: NDArray, first: NDArray, other: NDArray, second: NDArray) -> float:
    """Frechet distance of two Gaussians, of means (D,) and covariances (D, D).

    |mean difference|^2 + trace(A + B - 2 (A B)^(1/2)), where the last trace is taken from the eigenvalues of the
    symmetric A^(1/2) B A^(1/2), which are those of A B and cannot come out complex.

    Source: Heusel et al. 2017, arXiv:1706.08500, eq. 6.
    """
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    both = root @ second @ root
    shared = np.sqrt(np.linalg.eigvalsh((both + both.T) / 2).clip(0)).sum()
    return max(0.0, float(((mean - other) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * shared))
