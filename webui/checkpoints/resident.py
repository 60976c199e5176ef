"""What is in memory, as the page and the API show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal["device", "host"]


@dataclass(frozen=True)
class Resident:
    """A checkpoint in memory."""

    title: str
    family_label: str
    bytes: int
    """Of its weights."""
    where: Where
    """"device": ready to draw; "host": one copy away from it. On a processor both are the same memory, and it is "device"."""
    is_pinned: bool
    """Whether the user wishes it to stay in memory."""
    is_in_use: bool
    """Whether something is drawn with it at this moment."""


@dataclass(frozen=True)
class Budget:
    """Bytes of loaded checkpoints, and how many there may be.

    On a processor device and host are the same memory: is_shared, and both sides say the same.
    """

    device_used: int
    device_free: int
    """What is left of the limit, or of the memory itself where that is less; 0 at least."""
    device_limit: int
    host_used: int
    host_free: int
    host_limit: int
    is_shared: bool
