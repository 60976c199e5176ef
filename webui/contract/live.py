"""What a live stream is asked at one moment, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from webui.contract.request import LAST_SEED, Name, Pixels, Share, Text, field_error


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class LiveInput:
    """The state of the controls. A newer one replaces an older one; nothing queues up."""

    input: Annotated[int, Field(ge=0, le=2**53)]
    """Counts up in the page; frames name the one that they answer."""
    prompt: Text = ""
    negative_prompt: Text = ""
    checkpoint: Name = ""
    """"" is the one in use where that draws in few steps, else one that does."""
    seed: Annotated[int, Field(ge=0, le=LAST_SEED)] = 0
    steps: Annotated[int, Field(ge=1, le=4)] = 1
    width: Pixels = 512
    height: Pixels = 512
    strength: Share = 0.6
    """How far the picture is noised before it is repainted."""
    smooth: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Seconds in which an old prompt goes over into a new one."""
    picture: bool = False
    """Whether the stream's picture is repainted."""


def live_input_from(values: Mapping[str, Any]) -> LiveInput:
    """From untrusted values.

    Raises:
        FieldError: a field is unknown, missing, of the wrong kind or out of its range.
    """
    try:
        return LiveInput(**{str(name): value for name, value in values.items()})
    except ValidationError as error:
        raise field_error(error, LiveInput) from None
