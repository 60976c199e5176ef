"""The user's choices that outlive a request."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Kept in settings.json of the data folder. Unknown keys of a newer version are kept, not lost."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    checkpoint: str = "pocket"
    """Title of the checkpoint in use."""
    show_preview: bool = True
    preview_every: Annotated[int, Field(ge=1, le=100)] = 1
    """Steps between two previews."""
    write_infotext: bool = True
    clip_skip: Annotated[int, Field(ge=1, le=12)] = 1
    """For API requests that do not say it."""
    image_format: Literal["png", "jpg", "webp"] = "png"
    image_quality: Annotated[int, Field(ge=1, le=100)] = 90
    """Of JPEG and WebP."""
    share_steps: bool = True
    """Jobs of one checkpoint that wait may be drawn side by side, where that is quicker. Off: each picture is the same bytes
    whatever else is drawn, else within 1e-4."""
    host_memory_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the free host memory that loaded checkpoints may keep."""
