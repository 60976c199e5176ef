"""An extension whose sampler and schedule have options of their own, as an author writes one."""

from __future__ import annotations

from pathlib import Path

from webui.contract.parts import Parts
from webui.main import find_parts
from webui.workspace.paths import Paths

CODE = """
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from webui.contract import Range, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

@hookimpl
def register_samplers(register):
    register("Pushed Euler", pushed)
    register("Other Euler", other, schedule="Bent")

@hookimpl
def register_schedules(register):
    register("Bent", bent)

def pushed(
    denoise, x: Tensor, sigmas: Tensor, noise, *,
    push: Annotated[float, Range(0, 2), "How far each step goes"] = 1.0,
    tries: Annotated[int, Range(1, 3)] = 1,
    gain: float = 1.0,
    keep_end: bool = False,
    side: Literal["left", "right"] = "left",
    word: str = "",
) -> Tensor:
    for sigma, sigma_next in zip(sigmas[:-1], sigmas[1:]):
        step = push if sigma_next > 0 or not keep_end else 1.0
        x = x + step * gain * (x - denoise(x, sigma)) / sigma * (sigma_next - sigma)
    return x.flip(3) if side == "right" else x

def other(denoise, x, sigmas, noise, *, pull: float = 0.0):
    return pushed(denoise, x, sigmas, noise, push=1 - pull)

def bent(steps, table, *, bend: Annotated[float, Range(0.5, 3)] = 1.0):
    return [table.sigma_max * (1 - (i / steps) ** bend) for i in range(steps)] + [0.0]
"""


def write_pushing(data: Path, code: str = CODE) -> None:
    folder = data / "extensions" / "pushing"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "extension.toml").write_text('name = "pushing"\nversion = "1.0"\ncontract = "1"\n')
    (folder / "extension.py").write_text(code)


def pushing_parts(data: Path, code: str = CODE) -> Parts:
    """The parts of the program with that extension, and with nothing of the machine's own folders."""
    write_pushing(data, code)
    parts, extensions = find_parts(Paths(data, project=data))
    assert [(one.name, one.error) for one in extensions if one.name == "pushing"] == [("pushing", "")]
    return parts
