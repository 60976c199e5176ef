"""What lies in the folders of checkpoints, read from the folders alone: no file is opened, so thousands take a moment.

A folder is laid out like models/ of this program and its kin, or like ComfyUI's; where each keeps a kind of file, LAYOUT says.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from webui.checkpoints.files import SUFFIXES
from webui.checkpoints.folder_identity import AUTOENCODERS
from webui.checkpoints.knows import FILE

LAYOUT: Mapping[str, tuple[str, ...]] = {
    "Stable-diffusion": ("Stable-diffusion", "checkpoints"),
    "VAE": ("VAE", "vae"),
    "Lora": ("Lora", "LyCORIS", "loras"),
    "embeddings": ("embeddings",),
    "hypernetworks": ("hypernetworks",),
    "ControlNet": ("ControlNet", "controlnet"),
}
"""By kind: the folders below models/ that hold it, ours and A1111's first, then ComfyUI's."""
WORDS: Mapping[str, str] = {
    "VAE": "autoencoders",
    "Lora": "loras",
    "embeddings": "embeddings",
    "hypernetworks": "hypernetworks",
    "ControlNet": "controlnets",
}
"""The other kinds, as lists are called."""
WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
"""Ends of files of those kinds."""
FOLDERS = ("", "diffusers", "Diffusers")
"""Below models/: where checkpoints that are folders lie directly."""
PREVIEWS = tuple(f"{mark}{suffix}" for mark in (".preview", "") for suffix in (".png", ".jpg", ".jpeg", ".webp"))
"""Ends of a picture's name that belongs to the checkpoint whose stem it begins with, the best first."""
OF_FOLDERS = ("model_index.json", "scheduler/scheduler_config.json", "unet/config.json", FILE)
"""Files of a folder in diffusers layout that say what it is."""


@dataclass(frozen=True)
class Found:
    """A file or folder that is, or looks like, a checkpoint."""

    path: Path
    title: str
    """Its path below the folder of its kind."""
    size: int = 0
    """Bytes on the disk."""
    mark: tuple[int, int, int] = (0, 0, 0)
    """What changes when it must be looked at again: bytes and time (ns) of its weights, time of what lies beside."""
    id: tuple[int, int] = (0, 0)
    """Device and number of the file: the same under two paths where one is a link."""
    config: Path | None = None
    preview: Path | None = None
    preview_time: int = 0
    is_folder: bool = False
    problem: str = ""
    """Why it cannot even be looked at."""


@dataclass(frozen=True)
class Place:
    """One folder that holds checkpoints."""

    folder: Path
    """Like models/ where is_models, else one of checkpoints alone."""
    is_models: bool = False

    @property
    def name(self) -> str:
        """What tells it from another place, for two files of one title: the program's own folder, not its "models"."""
        generic = {"models", "checkpoints", "Stable-diffusion", ""}
        return next((part for part in reversed(self.folder.parts) if part not in generic), self.folder.name)

    def look(self) -> list[Found]:
        """All that lies there now, in the order of menus; nothing where the folder is missing or cannot be read."""
        if not self.is_models:
            return checkpoints_in(self.folder)
        found: list[Found] = []
        for home in (self.folder, self.folder / "models"):  # whoever names a program's own folder means its models
            for name in FOLDERS:
                found += _folders_in(home / name)
            for name in LAYOUT["Stable-diffusion"]:
                found += checkpoints_in(home / name)
        return found


def folders_of(kind: str, models: Sequence[Path], extra: Sequence[Path] = ()) -> list[Path]:
    """Where a kind of file (a key of LAYOUT) may lie, the user's own models/ first; whether they are there is not asked."""
    homes = [home for folder in models for home in (folder, folder / "models")]
    if kind == "embeddings":  # A1111 keeps them beside models/
        homes += [home.parent for home in homes if home.name == "models"]
    return [*(home / name for home in homes for name in LAYOUT[kind]), *extra]


@dataclass(frozen=True)
class Weights:
    """A file of another kind than checkpoints: told by its folder, not looked into."""

    title: str
    """Its path below the folder; of two of one title the first has it."""
    path: Path
    size: int
    """Bytes; 0 where the disk does not say."""


def weights_in(folders: Sequence[Path]) -> list[Weights]:
    """Files of weights below some folders, by folder and name."""
    found: dict[str, Weights] = {}
    for folder in folders:
        for place in _walk(folder):
            for name, entry in sorted(place.files.items()):
                title = f"{place.path}/{name}"[len(str(folder)) + 1 :].replace("\\", "/")
                if name.lower().endswith(WEIGHTS) and title not in found:
                    found[title] = Weights(title, Path(entry.path), _size(entry))
    return list(found.values())


def checkpoints_in(folder: Path) -> list[Found]:
    """Files and folders below a folder that are, or look like, checkpoints."""
    found: list[Found] = []
    for place in _walk(folder):
        if place.is_one:
            found.append(_folder(Path(place.path), folder))
            continue
        for name in sorted(place.files):
            if name.lower().endswith(SUFFIXES) and ".vae." not in name.lower():
                found.append(_file(place, name, folder))
    return found


def _folders_in(folder: Path) -> list[Found]:
    """Folders in diffusers layout that lie in a folder itself."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
    paths = [folder / name for name in names]
    return [_folder(path, folder) for path in paths if (path / "model_index.json").is_file()]


# ---------------------------------------------------------------- walking


@dataclass(frozen=True)
class _Walked:
    path: str
    files: Mapping[str, os.DirEntry[str]]
    is_one: bool
    """Whether it is a checkpoint in diffusers layout, or has its parts; one without its index is listed, with the reason why it
    does not open. Nothing below it is listed."""


def _walk(folder: Path) -> list[_Walked]:
    """A folder and all below it, in order of names. What cannot be read is left out; a folder that is linked into itself is
    not entered again."""
    return _walked(str(folder), frozenset(), is_root=True)


def _walked(path: str, above: frozenset[tuple[int, int]], is_root: bool = False) -> list[_Walked]:
    try:
        status = os.stat(path)
        with os.scandir(path) as entries:
            here = list(entries)
    except OSError:
        return []
    own = (status.st_dev, status.st_ino)
    if own in above:
        return []
    folders = sorted(entry.name for entry in here if _is_folder(entry))
    files = {entry.name: entry for entry in here if entry.name not in folders} if folders else {one.name: one for one in here}
    if "model_index.json" in files or (not is_root and _has_parts(path, folders)):
        return [_Walked(path, files, True)]
    below = [one for name in folders for one in _walked(os.path.join(path, name), above | {own})]
    return [_Walked(path, files, False), *below]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _has_parts(path: str, folders: Sequence[str]) -> bool:
    """Whether a folder has the parts of one in diffusers layout."""
    names = {"unet", "transformer", *AUTOENCODERS} & set(folders)
    return len(names) > 1 or any(os.path.isfile(os.path.join(path, name, "config.json")) for name in names)


# ---------------------------------------------------------------- one of them


def _file(place: _Walked, name: str, root: Path) -> Found:
    path = Path(place.path, name)
    title = f"{place.path}/{name}"[len(str(root)) + 1 :].replace("\\", "/")
    try:
        status = place.files[name].stat()
    except OSError as problem:
        is_link = place.files[name].is_symlink() and not path.exists()
        why = "is a link that leads nowhere" if is_link else f"cannot be opened: {problem.strerror}"
        return Found(path, title, problem=f"{name} {why}.")
    stem = name[: name.rindex(".")]
    config = _first(place.files, (f"{stem}.yaml", *(("config.yaml",) if stem in ("model", "last") else ())))
    other = _first(place.files, tuple(f"{stem}.vae{suffix}" for suffix in (".safetensors", ".ckpt", ".pt")))
    preview = _first(place.files, tuple(stem + end for end in PREVIEWS))
    times = [time for beside in (config, other) if (time := _time(beside))]
    return Found(
        path,
        title,
        status.st_size,
        (status.st_size, status.st_mtime_ns, max(times, default=0) + len(times)),
        (status.st_dev, status.st_ino),
        Path(config.path) if config else None,
        Path(preview.path) if preview else None,
        _time(preview),
    )


def _folder(path: Path, root: Path) -> Found:
    weights = weights_of(path)
    title = path.relative_to(root).as_posix() if path != root else path.name
    try:
        own = path.stat()
        status = weights.stat() if weights.exists() else own
    except OSError as problem:
        return Found(path, title, problem=f"{path.name} cannot be opened: {problem.strerror}.", is_folder=True)
    files = [path / name for name in OF_FOLDERS]
    times = [time for file in [*files, *(path / name / "config.json" for name in AUTOENCODERS)] if (time := _time_of(file))]
    preview = next((file for end in PREVIEWS if (file := path.with_name(path.name + end)).is_file()), None)
    mark = (status.st_size, status.st_mtime_ns, max(times, default=0) + len(times))
    picture = _time_of(preview) if preview else 0
    return Found(path, title, _folder_size(path), mark, (own.st_dev, own.st_ino), None, preview, picture, is_folder=True)


def weights_of(path: Path) -> Path:
    """The file that stands for a checkpoint: itself, or a folder's U-Net."""
    return path / "unet" / "diffusion_pytorch_model.safetensors" if path.is_dir() else path


def _first(files: Mapping[str, os.DirEntry[str]], names: Sequence[str]) -> os.DirEntry[str] | None:
    return next((files[name] for name in names if name in files), None)


def _size(entry: os.DirEntry[str]) -> int:
    with contextlib.suppress(OSError):
        return entry.stat().st_size
    return 0


def _time(entry: os.DirEntry[str] | None) -> int:
    with contextlib.suppress(OSError):  # taken away meanwhile
        return entry.stat().st_mtime_ns if entry else 0
    return 0


def _time_of(file: Path) -> int:
    with contextlib.suppress(OSError):
        return file.stat().st_mtime_ns
    return 0


def _folder_size(path: Path) -> int:
    size = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            size += file.stat().st_size if file.is_file() else 0
    return size
