"""What both guiders ask of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webui.contract.more_parts import Network


def is_alone(network: Network, name: str) -> bool:
    """Whether the guider of that name stands next to the network, and once: the denoiser that it is given is plain guidance
    then, which it may compute in the same call as what it needs beside."""
    names = [chosen.name for chosen in network.request.guiders]
    return names[0] == name and names.count(name) == 1
