"""From a file or folder to a Model: networks are built empty, and the file's tensors become their parameters.

Nothing is initialised at random, nothing is loaded with gaps, and no network address is ever asked.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from webui.checkpoints import configuration, layout
from webui.checkpoints.build import Identity
from webui.checkpoints.depth import DepthSource
from webui.checkpoints.download import Shelf
from webui.checkpoints.files import Shapes, read_tensors
from webui.checkpoints.folder import load_folder
from webui.checkpoints.model import Model
from webui.checkpoints.networks import load_part
from webui.checkpoints.pickled import read_sequence
from webui.checkpoints.placing import MappedFile
from webui.checkpoints.tiny import TinySource
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Family
from webui.contract.result import CheckpointName

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is looked for while the block runs, which makes thousands of objects that stay: a look at all that there is
    takes longer than building the networks, and can come later."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load(path: Path, identity: Identity, title: str, name: CheckpointName, shelf: Shelf | None = None) -> Model:
    """The model of a checkpoint, on the CPU, in the file's own number format, its tensors still on the mapped file.

    Args:
        shelf: for what a file of its family does not hold; None: nothing is at hand.

    Raises:
        CheckpointReadError: a tensor is missing, has another shape, or the file cannot be read.
    """
    if identity.is_folder:
        held, family = load_folder(path, identity), identity.family
        return Model(
            title,
            name,
            family,
            held.unet,
            held.autoencoder,
            held.encoders,
            noise_levels(family),
            statistics=held.statistics,
            depth=_depth(path, identity, held.depth, shelf),
            tiny=_tiny(family, shelf),
            path=path,
            shelf=shelf,
        )
    tensors = read_tensors(path)
    parts = sorted_out(path, tensors, identity).parts
    networks = {role: load_part(part, tensors, path.name) for role, part in parts.items() if role != "depth"}
    family = identity.family
    if identity.autoencoder is not None:
        networks["autoencoder"] = _other_autoencoder(identity.autoencoder, family.latent_scale)
    own = _own_numbers(path, tensors)
    if identity.autoencoder is None and "scale_factor" in own:  # measured on the training pictures, registered with the weights
        family = replace(family, latent_scale=float(own["scale_factor"]))
    return Model(
        title,
        name,
        family,
        networks.pop("unet", None),
        networks.pop("autoencoder"),
        networks,
        noise_levels(family, _own_products(path, own)),
        statistics=_statistics(path, identity, shelf),
        depth=_depth(path, identity, partial(_depth_of_file, path, identity) if "depth" in parts else None, shelf),
        tiny=_tiny(family, shelf),
        path=path,
        shelf=shelf,
    )


Stamp = Mapping[Path, tuple[int, int]]
"""Files, with their sizes and times."""


def files_of(path: Path, identity: Identity) -> list[Path]:
    """All files that a checkpoint is read from."""
    own = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    beside = (configuration.beside(path), identity.autoencoder, identity.statistics)
    return [*own, *(file for file in beside if file is not None)]


def stamp(files: Iterable[Path]) -> Stamp:
    """How the files are now; those that are gone are left out."""
    found = {}
    for file in files:
        with contextlib.suppress(OSError):
            status = file.stat()
            found[file] = (status.st_size, status.st_mtime_ns)
    return found


def has_changed(then: Stamp) -> bool:
    """Whether one of the files is another one now. That it is gone is no change: what was read of it is still true."""
    return any(then[file] != now for file, now in stamp(then).items())


def sorted_out(path: Path, tensors: Mapping[str, Tensor], identity: Identity) -> layout.Layout:
    """What becomes of each tensor of a file.

    Raises:
        CheckpointReadError: a network of its family is not whole.
    """
    shapes: Shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    try:
        found = layout.parts_of(shapes, identity)
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        what = error.args[0] if isinstance(error, KeyError) else "a part of a network"
        raise CheckpointReadError(
            f"{path.name} is not a whole checkpoint of {identity.family.label}: {what} is missing."
        ) from None
    if found.unknown:
        _log.info("%s: %d tensors are not known here, the first is %s", path.name, len(found.unknown), found.unknown[0])
    return found


def noise_levels(family: Family, products: Tensor | None = None) -> Tensor:
    """(1000,) float32: sigmas = sqrt((1 - a) / a), a the cumulative product of 1 - beta, in float64 until the end.

    Args:
        products: a (T,) of the file, instead of the family's.
    """
    if products is None:
        products = torch.cumprod(1 - torch.tensor(family.betas, dtype=torch.float64), 0)
    if family.is_zero_terminal:
        products = _to_zero(products)
    return ((1 - products) / products).sqrt().float()


def _to_zero(products: Tensor) -> Tensor:
    """Cumulative products (T,) stretched so that the last is all but 0: a sigma of 4,500 instead of infinity.

    Source: Lin et al. 2023, arXiv:2305.08891, algorithm 1.
    """
    roots = products.sqrt()
    stretched = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    return stretched.square().clamp(min=4.9e-8)


def _own_numbers(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The small tensors of a file that are no network's, read past its mapping."""
    own = {name: torch.empty_like(tensors[name]) for name in ("scale_factor", "betas", "alphas_cumprod") if name in tensors}
    with MappedFile(path if own else None) as file:
        for name, target in own.items():
            file.copy(tensors[name], target)
    return own


def _own_products(path: Path, tensors: Mapping[str, Tensor]) -> Tensor | None:
    """The noise schedule that a file carries, as cumulative products (T,) in float64. A YAML beside it says another."""
    if configuration.beside(path) is not None:
        return None
    if "betas" in tensors:
        return torch.cumprod(1 - tensors["betas"].double(), 0)
    return tensors["alphas_cumprod"].double() if "alphas_cumprod" in tensors else None


def _other_autoencoder(path: Path, scale: float) -> nn.Module:
    """The autoencoder of a file of its own, in the place of the checkpoint's.

    Raises:
        CheckpointReadError: it is none.
    """
    tensors = read_tensors(path)
    try:
        part = layout.autoencoder({key: tuple(tensor.shape) for key, tensor in tensors.items()}, scale)
    except (KeyError, ValueError, IndexError):
        raise CheckpointReadError(
            f"{path.name} is not an autoencoder that can be read here. Mend it or take it away from beside its checkpoint."
        ) from None
    return load_part(part, tensors, path.name)


def _statistics(path: Path, identity: Identity, shelf: Shelf | None) -> dict[str, Tensor]:
    """Mean and deviation (D,) of the image embeddings that unCLIP L was trained on; H's are 0 and 1, and in no file."""
    file = identity.statistics
    if file is None and shelf is not None and any(encoder.kind == "clip-image" for encoder in identity.family.encoders):
        file = shelf.find("image-statistics", path)
    return {} if file is None else read_statistics(file)


def read_statistics(file: Path) -> dict[str, Tensor]:
    """Mean and deviation (D,) of image embeddings, as "image_mean" and "image_deviation".

    Raises:
        CheckpointReadError: the file holds something else.
    """
    pair = read_sequence(file)
    if len(pair) != 2 or any(tensor.ndim != 1 for tensor in pair) or pair[0].shape != pair[1].shape:
        raise CheckpointReadError(f"{file.name} does not hold the mean and the deviation of image embeddings.")
    return {"image_mean": pair[0].float().clone(), "image_deviation": pair[1].float().clone()}


def _depth(path: Path, identity: Identity, own: Callable[[], nn.Module] | None, shelf: Shelf | None) -> DepthSource | None:
    """How a depth estimator comes about.

    Args:
        own: reads the one that the checkpoint holds; None: it holds none.
    """
    return DepthSource(own, path, shelf) if "depth" in identity.family.conditioners else None


def _tiny(family: Family, shelf: Shelf | None) -> TinySource | None:
    return None if shelf is None else TinySource(family, shelf.folders)


def _depth_of_file(path: Path, identity: Identity) -> nn.Module:
    tensors = read_tensors(path)
    return load_part(sorted_out(path, tensors, identity).parts["depth"], tensors, path.name).float()
