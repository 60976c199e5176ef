"""Which family a file or folder is, from its header alone. A `name.yaml` beside a file overrides the guess.

What decides is the build: which encoders are there and of which kind, whether the U-Net looks at a context, how many
channels it gets beside the latents, how it takes a vector. So a checkpoint of any size is known; sizes only tell rows of
one build apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from webui.checkpoints import configuration
from webui.checkpoints.build import Build, Identity, choose, is_hinted, kin
from webui.checkpoints.files import Header, Shapes, read_header
from webui.checkpoints.folder_identity import identify_folder
from webui.checkpoints.foreign import quantised, what_else
from webui.checkpoints.layout.autoencoder import prefix_of
from webui.checkpoints.layout.part import average_key, inside
from webui.checkpoints.layout.unet import UNET, tower
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Encoder, Family

KINDS = {
    "clip": ("text_model.embeddings.token_embedding.weight", "embeddings.token_embedding.weight"),
    "openclip": ("transformer.resblocks.0.attn.in_proj_weight",),
    "bert": ("token_emb.weight",),
    "class": ("embedding.weight",),
    "rescale": ("channel_mapper.weight",),
    "openclip-image": ("visual.conv1.weight",),
    "clip-image": ("visual.conv1.weight",),
}
"""By kind of encoder: a key that only it has."""
BERT_WORDS = 30522


def identify(path: Path, families: Iterable[Family], learnt: Mapping[str, str] | None = None) -> Identity:
    """The family of a checkpoint.

    Args:
        learnt: what is known of it from elsewhere: "prediction" (asked of the network once), "family" (the user's choice).

    Raises:
        CheckpointReadError: it cannot be read, or is no checkpoint of a family that is known here.
    """
    rows = list(families)
    if path.is_dir():
        return identify_folder(path, rows)
    header = read_header(path)
    if packed := quantised(path, header):
        raise CheckpointReadError(packed)
    try:
        build = build_of(header.shapes, rows)
    except (KeyError, ValueError, IndexError):
        raise CheckpointReadError(
            f"{path.name} is damaged or of an unknown architecture: a tensor of its networks is missing or misshapen."
        ) from None
    if build is None:
        raise CheckpointReadError(what_else(path, header))
    told = configuration.read(path)
    learnt = learnt or {}
    prediction = told.prediction if told else learnt.get("prediction")
    row = choose(build, rows, path, prediction, learnt.get("family", ""))
    if told is not None and (what := told.contradiction(build.numbers, build.network)):
        raise CheckpointReadError(f"{told.name} beside {path.name} {what}. Mend it or take it away.")
    return _with_details(path, header, build, row, rows, told, learnt)


def build_of(shapes: Shapes, rows: Iterable[Family]) -> Build | None:
    """The build of a checkpoint in the original key layout; None where it holds neither U-Net nor autoencoder."""
    own = inside(shapes, UNET)
    autoencoder, numbers = _autoencoder(shapes)
    if "input_blocks.0.0.weight" not in own or "out.2.weight" not in own:
        return Build("none", frozenset(), autoencoder, numbers, 0, "") if autoencoder and not own else None
    try:
        levels = tower(own)
    except (KeyError, ValueError, IndexError, StopIteration):
        return None
    latent, channels = own["out.2.weight"][0], own["input_blocks.0.0.weight"][1]
    context = next((shape[1] for name, shape in own.items() if name.endswith("attn2.to_k.weight")), 0)
    numbers |= {"in_channels": channels, "latent_channels": latent, "network_width": levels.widths[0], "context_width": context}
    vector = "projection" if "label_emb.0.0.weight" in own else "index" if "label_emb.weight" in own else ""
    if not context:  # halves its latents evenly on every level
        numbers["size_step"] = max(8, numbers.get("latent_factor", 8) * 2 ** (len(levels.widths) - 1))
    known = {encoder for row in rows for encoder in row.encoders}
    encoders = frozenset((one.role, one.kind, one.prefix) for one in known if _is_there(one, shapes))
    network = "context" if context else "plain"
    return Build(network, encoders, autoencoder, numbers, channels - latent, vector, levels.scales_and_shifts)


def _autoencoder(shapes: Shapes) -> tuple[str, dict[str, Any]]:
    own = inside(shapes, prefix_of(shapes))
    if "decoder.conv_out.weight" not in own or "encoder.conv_in.weight" not in own:
        return "", {}
    levels = {int(name.split(".")[2]) for name in own if name.startswith("encoder.down.")}
    kind = "vq" if "quantize.embedding.weight" in own else "kl"
    factor, latent = 2 ** max(levels), own["decoder.conv_in.weight"][1]
    width = own["decoder.norm_out.weight"][0]
    numbers = {"autoencoder": kind, "latent_factor": factor, "latent_channels": latent, "decoder_width": width}
    return kind, numbers


def _is_there(encoder: Encoder, shapes: Shapes) -> bool:
    keys = [encoder.prefix + key for key in KINDS[encoder.kind] if encoder.prefix + key in shapes]
    if not keys:
        return False
    if encoder.kind == "bert":  # LDM reads words of BERT, and boxes, with the same network
        return (shapes[keys[0]][0] == BERT_WORDS) == (encoder.role == "text")
    if encoder.kind in ("clip-image", "openclip-image"):  # OpenAI's CLIP is there with its text half, OpenCLIP without
        has_text = encoder.prefix + "transformer.resblocks.0.ln_1.weight" in shapes
        return has_text == (encoder.kind == "clip-image")
    return True


CHURCHES = {"heads": 8, "head_width": None, "beta_end": 0.0155}
"""LDM's churches are the only release whose time steps scale and shift; they have 8 heads and a schedule of their own."""


def _with_details(
    path: Path,
    header: Header,
    build: Build,
    row: Family,
    rows: list[Family],
    told: configuration.Told | None,
    learnt: Mapping[str, str],
) -> Identity:
    """The row with the file's own numbers, and what had to be assumed."""
    if row.network != "none" and not build.autoencoder and beside(path) is None:
        raise CheckpointReadError(
            f"{path.name} is not a whole checkpoint: it holds a U-Net, but no autoencoder. "
            f"Put one beside it, as {path.stem}.vae.safetensors."
        )
    other = beside(path)
    numbers = dict(build.numbers) | (_of_other(path, other, build) if other else {})
    numbers |= CHURCHES if build.scales_and_shifts and row.network == "plain" else {}
    if (row.latent_channels, row.latent_factor, row.latent_scale) != (
        numbers.get("latent_channels", row.latent_channels),
        numbers.get("latent_factor", row.latent_factor),
        row.latent_scale,
    ):
        numbers["preview"] = None
    assumed = {"heads", "latent_scale", "betas"} if told is None else set()
    if row.network == "none":
        assumed = set()
    if (scale := header.value("scale_factor")) is not None and scale.numel() == 1:
        numbers["latent_scale"] = float(scale)
        assumed.discard("latent_scale")
    betas = header.value("betas")
    if betas is not None and betas.numel() > 1:
        numbers |= {"beta_start": float(f"{float(betas[0]):.6g}"), "beta_end": float(f"{float(betas[-1]):.6g}")}
        assumed.discard("betas")
    others, hinted = kin(row, build, rows), is_hinted(row, path)
    if any(other.prediction != row.prediction for other in others) and not told and "prediction" not in learnt and not hinted:
        assumed.add("prediction")
    if any(other.prediction == row.prediction for other in others) and "family" not in learnt and not hinted:
        assumed.add("family")
    row = replace(row, **numbers)
    if "v_pred" in header.shapes:  # an empty tensor that fine-tunes of SDXL carry
        row, assumed = replace(row, prediction="v"), assumed - {"prediction"}
    if "ztsnr" in header.shapes:
        row = replace(row, is_zero_terminal=True)
    if told is not None:
        row = _as_told(path, row, told, header.shapes)
    elif learnt.get("prediction"):
        row = replace(row, prediction=learnt["prediction"])
    average = average_key("diffusion_model.input_blocks.0.0.weight")
    return Identity(
        row,
        uses_average=average in header.shapes and (told is None or told.uses_average is not False),
        text_heads=told.text_heads(row) if told else {},
        statistics=_statistics(path, row, told),
        autoencoder=other,
        assumed=frozenset(assumed),
        kinds=header.kinds,
        precision=header.precision,
    )


def _as_told(path: Path, row: Family, told: configuration.Told, shapes: Shapes) -> Family:
    def layers(encoder: Encoder) -> int:
        numbers = re.compile(re.escape(encoder.prefix) + r"(?:.+\.)?(?:layers|resblocks)\.(\d+)\.")
        return 1 + max((int(found[1]) for name in shapes if (found := numbers.match(name))), default=0)

    try:
        return replace(row, **told.columns(row), encoders=told.encoders(row, layers))
    except (TypeError, ValueError, AttributeError):
        raise CheckpointReadError(configuration.unreadable(told.name, path)) from None


def _of_other(path: Path, other: Path, build: Build) -> dict[str, Any]:
    """The numbers of an autoencoder that takes the place of the checkpoint's own; {} where it has diffusers' names."""
    _, numbers = _autoencoder(read_header(other).shapes)
    if numbers and numbers["latent_channels"] != build.numbers["latent_channels"]:
        theirs, ours = numbers["latent_channels"], build.numbers["latent_channels"]
        raise CheckpointReadError(
            f"{other.name} has latents of {theirs} channels, but {path.name} draws {ours}. Take it away from beside it."
        )
    return numbers


def beside(path: Path) -> Path | None:
    """An autoencoder that lies beside a checkpoint, under its name."""
    candidates = [path.with_suffix(f".vae{suffix}") for suffix in (".safetensors", ".ckpt", ".pt")]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _statistics(path: Path, row: Family, told: configuration.Told | None) -> Path | None:
    if not any(encoder.kind == "clip-image" for encoder in row.encoders):
        return None
    name = "ViT-L-14_stats.th"
    places = [path.parent / told.statistics] if told and told.statistics else []
    places += [path.parent / part / name for part in ("", "karlo_models", "checkpoints/karlo_models", "karlo")]
    return next((place for place in places if place.is_file()), None)
