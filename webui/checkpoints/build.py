"""How a checkpoint is built, and which row of the families that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Family


@dataclass(frozen=True)
class Identity:
    """What a checkpoint is, before a weight of it was read."""

    family: Family
    """The row, with this file's own numbers in it: channels, widths, factor, scale, heads, betas, prediction."""
    is_folder: bool = False
    uses_average: bool = False
    """Whether the averaged weights (EMA) that the file also holds are the ones to draw with."""
    text_heads: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Heads of the text encoders by role, where a YAML says so; else width / 64, as in all releases."""
    statistics: Path | None = None
    """File of (mean, deviation) of image embeddings (unCLIP L)."""
    autoencoder: Path | None = None
    """A file whose autoencoder takes the place of the checkpoint's own (name.vae.safetensors)."""
    assumed: frozenset[str] = frozenset()
    """What neither the file nor a YAML says and the row had to: of "heads", "prediction", "latent_scale", "betas", "family"."""
    kinds: frozenset[str] = frozenset()
    """Number formats of its tensors."""
    precision: str = ""
    """The number format that most of its bytes have ("float16")."""


@dataclass(frozen=True)
class Build:
    """What the shapes of a file say."""

    network: str
    """"context", "plain" or "none", as Family has it."""
    encoders: frozenset[tuple[str, str, str]]
    """Those that are there: role, kind, and prefix of their keys ("" in a folder)."""
    autoencoder: str
    """"kl", "vq" or "" where none is there."""
    numbers: Mapping[str, Any]
    """Columns of the row that the file has its own numbers for."""
    concat: int
    """Channels of the U-Net beside the latents."""
    vector: str
    scales_and_shifts: bool = False
    is_turbo: bool = False
    """Whether it says that it was made for few steps; a file never does."""

    @property
    def kinds(self) -> set[str]:
        """Of its encoders."""
        return {kind for _, kind, _ in self.encoders}


def choose(build: Build, rows: list[Family], path: Path, prediction: str | None, family: str = "") -> Family:
    """The row that a build fits. Several of one build are told apart by what else is known, and by the file's name.

    Args:
        prediction: "eps" or "v" where something says it.
        family: name of a row where the user has said it; it counts where it fits.

    Raises:
        CheckpointReadError: no row fits; says what was recognised.
    """
    fits = [row for row in rows if _fits(row, build)]
    if not fits:
        raise CheckpointReadError(f"{path.name} {recognised(build, rows)}")
    if named := [row for row in fits if row.name == family]:
        return named[0]
    fits = [row for row in fits if prediction in (None, row.prediction)] or fits

    def likeness(row: Family) -> tuple[bool, bool, bool]:
        told = is_hinted(row, path) or (build.is_turbo and "turbo" in row.hints)
        return _is_of_size(row, build), told, not row.hints

    return max(fits, key=likeness)  # the first of the best


def is_hinted(row: Family, path: Path) -> bool:
    """Whether the name of a file or folder says that it is of this row."""
    name = path.stem.lower() if path.is_file() else path.name.lower()
    return any(hint in name for hint in row.hints)


def kin(row: Family, build: Build, rows: list[Family]) -> list[Family]:
    """The other rows of the same build, and of the same sizes: nothing in a header tells them from this one."""
    sizes = (row.context_width, row.network_width)
    return [
        other
        for other in rows
        if other.name != row.name and _fits(other, build) and (other.context_width, other.network_width) == sizes
    ]


def _is_of_size(row: Family, build: Build) -> bool:
    """Whether a file has a row's very sizes: what tells the pocket checkpoint from another small one."""
    columns = ("context_width", "network_width", "decoder_width")
    return all(build.numbers.get(column) == getattr(row, column) for column in columns)


def _fits(row: Family, build: Build) -> bool:
    if "none" in (row.network, build.network):
        return row.network == build.network
    is_folder = any(not prefix for _, _, prefix in build.encoders)
    encoders = {(encoder.role, encoder.kind, "" if is_folder else encoder.prefix) for encoder in row.encoders}
    return (
        row.network == build.network and encoders == build.encoders and _is_of_channels(row, build) and row.vector == build.vector
    )


def _is_of_channels(row: Family, build: Build) -> bool:
    """Whether the U-Net gets the same beside the latents. A hole is a mask and once more the latents, however many."""
    concat = row.in_channels - row.latent_channels
    is_hole = concat == row.latent_channels + 1
    return build.concat == (build.numbers.get("latent_channels", 0) + 1 if is_hole else concat)


ENCODERS = {
    "clip": "a CLIP text encoder",
    "openclip": "an OpenCLIP text encoder",
    "bert": "a BERT text encoder",
    "class": "a table of classes",
    "rescale": "a reader of maps",
    "clip-image": "a CLIP image encoder",
    "openclip-image": "an OpenCLIP image encoder",
}
GUESSES = {8: "InstructPix2Pix", 12: "a film", 13: "a film"}
"""What U-Nets of so many input channels were made for that no row reads."""


def recognised(build: Build, rows: list[Family]) -> str:
    """What was seen of a file that no row fits, and what is not known of it."""
    encoders = [ENCODERS[kind] for kind in sorted({kind for _, kind, _ in build.encoders})]
    channels = int(build.numbers.get("in_channels", 0))
    guess = f" ({GUESSES[channels]}?)" if channels in GUESSES and build.vector == "" else ""
    network = f"a U-Net with {channels} input channels{guess}" + ("" if build.network == "context" else " and no context")
    parts = [network, *(encoders or ["no text encoder"]), "an autoencoder" if build.autoencoder else "no autoencoder"]
    reads = [row for row in rows if row.network == build.network and {one.kind for one in row.encoders} == build.kinds]
    if build.network == "context" and not encoders:
        why = "a U-Net alone draws nothing. Choose a file that holds its text encoder"
    elif not reads:
        why = "no family here has these encoders together"
    elif not any(_is_of_channels(row, build) for row in reads):
        why = f"no family here with these encoders reads {channels} channels"
    else:
        why = "no family here is built so"
    return f"holds {', '.join(parts[:-1])} and {parts[-1]}; {why}."
