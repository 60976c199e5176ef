"""Upscalers of the ESRGAN kind: found in the user's folders, opened through spandrel, told apart from what is none.

spandrel knows some forty architectures by the keys of their weights. It is given weights as data only; its own reading of
files is not used. Two of its architectures need torchvision, and neither enlarges: LaMa fills holes, RestoreFormer
repairs faces. They are answered here, so that torchvision is not needed.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from webui.checkpoints.files import read_tensors
from webui.contract.errors import CheckpointReadError, UnknownCheckpointError

FOLDERS = ("ESRGAN", "RealESRGAN", "BSRGAN", "SwinIR", "ScuNET", "DAT", "HAT", "upscalers", "upscale_models")
"""Below models/, where peers keep them; the last is ComfyUI's."""
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
_NOT_HERE = {"LaMa": "fills holes in pictures; it does not enlarge", "RestoreFormer": "repairs faces; it does not enlarge"}
_MISFIT = (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError, AssertionError, ZeroDivisionError)
"""What spandrel raises on weights that are like an architecture's but not right."""
_importing = threading.Lock()
FIRST_PATIENCE = 5.0
"""Seconds for the first look, when nothing is known yet: an upscaler that is asked for at once would be unknown."""


@dataclass(frozen=True)
class UpscalerEntry:
    """One file of the folders."""

    title: str
    """Its path below models/, as menus show it where two have one name; unique."""
    name: str
    """The stem, as infotext has it."""
    path: Path
    size: int
    """Bytes on the disk."""
    scale: int = 0
    """1 for repairing; 0 for an unfit file."""
    architecture: str = ""
    error: str = ""
    """Why it cannot be used; "" when it can."""


@dataclass(frozen=True)
class UpscalerNetwork:
    """A network that enlarges, ready to be called."""

    name: str
    scale: int
    run: Callable[[Tensor], Tensor]
    """(1, 3, H, W) in [0, 1], float32, on any device -> (1, 3, H * scale, W * scale) float32 on its own device; any H, W"""
    align: int
    """Tiles should begin at multiples of it."""
    can_tile: bool
    """False: it needs to see the whole picture."""
    bytes_per_pixel: float
    """About the most memory that a pixel of its input takes while it runs."""


class Upscalers:
    """All upscalers below some models/ folders, and in further folders of upscalers alone. A file is looked at once; an unfit
    one is listed with its reason.

    Args:
        patience: seconds that whoever lists them waits for the disk; None: as long as it takes.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        device: torch.device | None = None,
        extra: Sequence[Path] = (),
        patience: float | None = None,
    ) -> None:
        homes = [home for models in folders for home in (models, models / "models")]  # a program's own folder has one
        self._places = [(home, home / name) for home in homes for name in FOLDERS]
        self._places += [(folder, folder) for folder in extra]
        self._device = device or torch.device("cpu")
        self._seen: dict[Path, tuple[tuple[int, int], UpscalerEntry]] = {}
        self._loaded: tuple[Path, tuple[int, int], UpscalerNetwork] | None = None
        self._lock = threading.RLock()
        self._patience = patience
        self._asking = threading.Lock()
        self._known: list[UpscalerEntry] | None = None
        self._looking: threading.Thread | None = None
        self._began = 0.0

    def entries(self) -> list[UpscalerEntry]:
        """By folder and name. Reads new files (their keys decide what they are), which takes a moment for each; whoever has
        waited `patience` seconds since that began is told what was known before."""
        if self._patience is None:
            return self._look()
        with self._asking:
            if self._looking is None or not self._looking.is_alive():
                self._began = time.monotonic()
                self._looking = threading.Thread(target=self._look, name="upscalers", daemon=True)
                self._looking.start()
            looking, until = self._looking, self._began + (self._patience if self._known is not None else FIRST_PATIENCE)
        looking.join(max(until - time.monotonic(), 0))
        return list(self._known or ())

    def _look(self) -> list[UpscalerEntry]:
        with self._lock:
            found: dict[str, UpscalerEntry] = {}
            for root, place in self._places:
                for path in _files(place):
                    title = path.relative_to(root).as_posix()
                    if title not in found:
                        found[title] = replace(self._entry(path), title=title)
            self._known = list(found.values())
            return list(self._known)

    def find(self, name: str) -> UpscalerEntry:
        """Exact title, file name or stem, in this order.

        Raises:
            UnknownCheckpointError: none fits, or several do.
        """
        entries = self.entries()
        for key in (_title, _file, _stem):
            hits = [entry for entry in entries if key(entry) == name]
            if len(hits) == 1:
                return hits[0]
            if hits:
                raise UnknownCheckpointError(
                    f"{name!r} fits several upscalers: {', '.join(hit.title for hit in hits)}. Use one of these names."
                )
        known = ", ".join(entry.name for entry in entries if not entry.error) or "there is none yet; put one into models/ESRGAN"
        raise UnknownCheckpointError(f"No upscaler is called {name!r}. Known: {known}.")

    def load(self, entry: UpscalerEntry) -> UpscalerNetwork:
        """The network; the last one stays loaded.

        Raises:
            CheckpointReadError: it is unfit or damaged.
        """
        if entry.error:
            raise CheckpointReadError(entry.error)
        with self._lock:
            mark = _mark(entry.path)
            if self._loaded is None or self._loaded[:2] != (entry.path, mark):
                self._loaded = None  # its memory goes first
                self._loaded = entry.path, mark, load(entry.path, self._device)
            return self._loaded[2]

    def release(self) -> None:
        """Forget the loaded network."""
        with self._lock:
            self._loaded = None

    def _entry(self, path: Path) -> UpscalerEntry:
        try:
            mark = _mark(path)
        except OSError:
            return UpscalerEntry("", path.stem, path, 0, error=f"{path.name} is a link that leads nowhere.")
        known = self._seen.get(path)
        if known and known[0] == mark:
            return known[1]
        entry = UpscalerEntry("", path.stem, path, mark[0])
        try:
            descriptor = describe(path)
            entry = replace(entry, scale=int(descriptor.scale), architecture=str(descriptor.architecture.name))
        except CheckpointReadError as problem:
            entry = replace(entry, error=str(problem))
        self._seen[path] = (mark, entry)
        return entry


def _mark(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _title(entry: UpscalerEntry) -> str:
    return entry.title


def _file(entry: UpscalerEntry) -> str:
    return entry.path.name


def _stem(entry: UpscalerEntry) -> str:
    return entry.name


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        found += [Path(place) / name for name in sorted(files) if name.lower().endswith(SUFFIXES)]
    return found


# ---------------------------------------------------------------- one file


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a file of weights, told by its content: safetensors, or torch's new or old format, as data.

    Raises:
        CheckpointReadError
    """
    try:
        return read_tensors(path)
    except OSError as error:
        raise CheckpointReadError(f"{path.name} cannot be opened: {error.strerror or error}.") from None


def describe(path: Path) -> Any:
    """spandrel's descriptor of a file: the network with its weights, its scale and what it needs.

    Raises:
        CheckpointReadError: it is no upscaler (the reason says what it is), or it is damaged.
    """
    state = read(path)
    if reason := _other_kind(state):
        raise CheckpointReadError(f"{path.name} is no upscaler: it {reason}.")
    registry = _registry()
    spandrel = sys.modules["spandrel"]
    try:
        descriptor = spandrel.ModelLoader(device="cpu", registry=registry).load_from_state_dict(dict(state))
    except spandrel.UnsupportedModelError as error:
        reason = _NOT_HERE.get(str(error), "has the keys of no architecture that spandrel knows")
        raise CheckpointReadError(f"{path.name} is no upscaler: it {reason}.") from None
    except (
        KeyError,
        ValueError,
        TypeError,
        IndexError,
        AttributeError,
        RuntimeError,
        AssertionError,
        ZeroDivisionError,
    ) as error:
        raise CheckpointReadError(
            f"{path.name} looks like an upscaler, but its weights do not fit together ({type(error).__name__}). "
            "Download it again."
        ) from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise CheckpointReadError(f"{path.name} is no upscaler: it {_NOT_HERE['LaMa']}.")
    if descriptor.purpose == "FaceSR":
        raise CheckpointReadError(f"{path.name} is no upscaler: it {_NOT_HERE['RestoreFormer']}.")
    if descriptor.input_channels not in (1, 3, 4) or descriptor.output_channels not in (1, 3, 4):
        raise CheckpointReadError(
            f"{path.name} cannot be used: it makes {descriptor.output_channels} channels of {descriptor.input_channels}."
        )
    return descriptor


def load(path: Path, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> UpscalerNetwork:
    """The network of a file, in the wanted number format (float32 where the architecture cannot do it), on a device.

    Raises:
        CheckpointReadError: as describe.
    """
    descriptor = describe(path)
    able = {torch.float16: descriptor.supports_half, torch.bfloat16: descriptor.supports_bfloat16}.get(dtype, True)
    descriptor.to(device or torch.device("cpu"), dtype if able else torch.float32).eval()
    for parameter in descriptor.model.parameters():
        parameter.requires_grad_(False)
    run = adapted(descriptor, descriptor.input_channels, descriptor.output_channels, descriptor.device, descriptor.dtype)
    tiling = descriptor.tiling.name
    return UpscalerNetwork(
        path.stem,
        int(descriptor.scale),
        run,
        max(int(descriptor.size_requirements.multiple_of), 1),
        tiling != "INTERNAL" and not descriptor.size_requirements.square,
        _bytes_per_pixel(descriptor.model, run),
    )


def adapted(
    network: Callable[[Tensor], Tensor], inputs: int, outputs: int, device: torch.device, dtype: torch.dtype
) -> Callable[[Tensor], Tensor]:
    """A network of 1, 3 or 4 channels as one of RGB pictures.

    One in and out: red, green and blue run one after the other, so colours stay. One out of three: grey. Four in: an
    opaque alpha is added; four out: alpha is left away.
    """

    def run(pixels: Tensor) -> Tensor:
        x = pixels.to(device, dtype)
        with torch.inference_mode():
            if inputs == 1:
                answers = [network(x[:, c : c + 1]).float() for c in range(3)]
                result = torch.cat(answers, 1) if outputs == 1 else torch.stack([a[:, c] for c, a in enumerate(answers)], 1)
            else:
                full = torch.cat([x, torch.ones_like(x[:, :1])], 1) if inputs == 4 else x
                result = network(full).float()
                result = result.expand(-1, 3, -1, -1) if outputs == 1 else result[:, :3]
            return result.clamp(0, 1)

    return run


def _bytes_per_pixel(model: torch.nn.Module, run: Callable[[Tensor], Tensor], side: int = 32) -> float:
    """Measured on a small picture: the three largest things that were alive together, by the layers' inputs and
    outputs, per pixel of the input."""
    largest = 0

    def look(_module: torch.nn.Module, args: tuple[object, ...], result: object) -> None:
        nonlocal largest
        parts = [*args, result]
        largest = max(largest, sum(part.numel() * part.element_size() for part in parts if isinstance(part, Tensor)))

    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    handles = [leaf.register_forward_hook(look) for leaf in leaves]
    try:
        run(torch.full((1, 3, side, side), 0.5))
    finally:
        for handle in handles:
            handle.remove()
    return 3.0 * largest / side**2


def _other_kind(state: Mapping[str, Tensor]) -> str:
    """What a file is that lies in the wrong folder; "" where nothing is known."""
    if any(".lora_" in key or key.startswith("lora_") for key in state):
        return "is a LoRA; put it into models/Lora"
    if any(key.startswith("model.diffusion_model.") for key in state):
        return "is a checkpoint; put it into models/Stable-diffusion"
    if any(key.startswith(("first_stage_model.", "decoder.up_blocks.", "decoder.mid.")) for key in state):
        return "is an autoencoder; put it into models/VAE"
    if "emb_params" in state or "string_to_param" in state:
        return "is an embedding; put it into embeddings"
    return ""


# ---------------------------------------------------------------- spandrel without torchvision


class _Elsewhere:
    """In place of an architecture that needs torchvision: knows its own files, and says what they are."""

    def __init__(self, name: str, keys: Sequence[Sequence[str]]) -> None:
        self.id = self.name = name
        self._keys = keys

    def detect(self, state: Mapping[str, object]) -> bool:
        return any(all(key in state for key in group) for group in self._keys)

    def load(self, _state: Mapping[str, object]) -> object:
        raise sys.modules["spandrel"].UnsupportedModelError(self.name)


def _registry() -> Any:
    """spandrel's architectures. The two that import torchvision are replaced while spandrel is imported, in spandrel's
    own name space only, so that nobody else meets them.

    Raises:
        CheckpointReadError: spandrel is not installed; the sentence says how to.
    """
    with _importing:
        if sys.modules.get("spandrel") is None:
            stands = {
                "LaMa": [["model.model.1.bn_l.running_mean"], ["generator.model.1.bn_l.running_mean"]],
                "RestoreFormer": [["quantize.embedding.weight", "encoder.conv_in.weight", "quant_conv.weight"]],
            }
            names = []
            for name, keys in stands.items():
                module = types.ModuleType(f"spandrel.architectures.{name}")
                setattr(module, f"{name}Arch", lambda name=name, keys=keys: _Elsewhere(name, keys))
                sys.modules[module.__name__] = module
                names.append(module.__name__)
            try:
                importlib.import_module("spandrel")
            except ImportError as error:
                raise CheckpointReadError(
                    f"This file needs spandrel, which is not there ({error.name or error}). Install it with: "
                    "pip install --no-deps spandrel einops."
                ) from None
            finally:
                for name in names:
                    sys.modules.pop(name, None)
        return sys.modules["spandrel"].MAIN_REGISTRY
