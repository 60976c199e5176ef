"""One network of a file, told from names and shapes alone: what it is, and which tensors become its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from webui.checkpoints.files import Shapes

if TYPE_CHECKING:
    from torch import Tensor

View = Callable[["Tensor"], "Tensor"]
"""A tensor of the file, seen as the network wants it (a third of its rows, transposed, ...)."""


@dataclass(frozen=True)
class Source:
    """Where a parameter comes from."""

    key: str
    """Of the file."""
    view: View | None = None


@dataclass(frozen=True)
class Part:
    """One network of a file."""

    kind: str
    """What webui.checkpoints.networks.build makes of it."""
    configuration: Mapping[str, Any]
    sources: Mapping[str, Source]
    """By the network's own key."""
    ignored: frozenset[str] = field(default=frozenset())
    """Keys of the file that belong to this network, and that nothing needs."""

    @property
    def used(self) -> set[str]:
        """Keys of the file that it takes."""
        return {source.key for source in self.sources.values()}

    def state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The network's parameters by its own names. Views where the layout allows it: copies nothing, converts nothing."""
        return {
            name: tensors[source.key] if source.view is None else source.view(tensors[source.key])
            for name, source in self.sources.items()
        }


def inside(shapes: Shapes, prefix: str) -> dict[str, tuple[int, ...]]:
    """The names behind a prefix, without it."""
    return {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}


def third(number: int) -> View:
    """Rows of one of three matrices that lie behind each other (query, key, value)."""
    return lambda tensor: tensor.chunk(3)[number]


def average_key(name: str) -> str:
    """What the averaged copy (EMA) of a parameter is called in the releases' files: its name without the dots."""
    return "model_ema." + name.replace(".", "")
