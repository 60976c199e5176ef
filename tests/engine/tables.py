"""The noise tables that several tests walk on."""

import torch

from webui.contract.parts import Family
from webui.engine.table import NoiseTable


def family(beta_start: float = 0.00085, beta_end: float = 0.012) -> Family:
    return Family(
        name="test", label="Test", prediction="eps", conditioners=("text",), native_size=512, steps=20, guidance=7.5,
        sampler="Euler a", beta_start=beta_start, beta_end=beta_end,
    )  # fmt: skip


def sd1() -> NoiseTable:
    return NoiseTable.from_family(family())


def zero_terminal_snr() -> NoiseTable:
    """SD's table stretched until nothing of the picture is left at its end (Lin et al. 2023, arXiv:2305.08891, alg. 1)."""
    root = (1 / (sd1().sigmas ** 2 + 1)).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    alphas = root**2
    alphas[-1] = 4.8973451890853435e-08
    return NoiseTable(((1 - alphas) / alphas).sqrt())


def by_name(name: str) -> NoiseTable:
    return zero_terminal_snr() if "zero terminal" in name else sd1()


def float32(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)
