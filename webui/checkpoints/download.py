"""Files that some families need beside their weights and that are not bundled: found in folders, fetched only when asked."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webui.contract.errors import DownloadError, MissingFileError, UnknownNameError

Progress = Callable[[int, int], None]
"""(bytes that are here, bytes in all; 0: nobody knows)"""


@dataclass(frozen=True)
class Part:
    """One file of an extra."""

    name: str
    sha256: str = ""
    """"" where it is not known here; the hub's own word for large files is checked then."""


@dataclass(frozen=True)
class Extra:
    """A file, or a folder of files, that is not bundled."""

    about: str
    """What it is for, to be put behind its name."""
    size: str
    folder: str
    """Where it lies below models/."""
    repository: str
    """On the hub."""
    choices: tuple[tuple[Part, ...], ...]
    """Sets of files; the first set that is whole counts. A set of one file is that file, a larger one the folder."""


EXTRAS: Mapping[str, Extra] = {
    "bert-vocabulary": Extra(
        "BERT's vocabulary, with which LDM text-to-image reads prompts",
        "232 kB",
        "BERT",
        "google-bert/bert-base-uncased",
        ((Part("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),),),
    ),
    "depth-estimator": Extra(
        "the network that estimates a depth map from a picture",
        "490 MB",
        "depth/dpt-hybrid-midas",
        "Intel/dpt-hybrid-midas",
        ((Part("config.json"), Part("model.safetensors")), (Part("config.json"), Part("pytorch_model.bin"))),
    ),
    "image-statistics": Extra(
        "the mean and deviation of image embeddings, which unCLIP L was trained with",
        "7 kB",
        "karlo",
        "ai-forever/Kandinsky_2.1",
        ((Part("ViT-L-14_stats.th", "37113fd962c56652f7052c3182b922b958b7efc4be5072d3049cbbe1bdb0af79"),),),
    ),
}


class Shelf:
    """The extras that lie in the models folders.

    Args:
        folders: models/ folders; the first one is where fetched files go.
        more: further folders of files of a kind, by a key of webui.checkpoints.scan.LAYOUT.
    """

    def __init__(self, folders: Sequence[Path], more: Mapping[str, Sequence[Path]] | None = None) -> None:
        self.folders = tuple(folders)
        self.more = more or {}

    def find(self, name: str, beside: Path | None = None) -> Path | None:
        """The file (or the folder, for an extra of several files), None where it is not whole.

        Args:
            beside: a checkpoint; a file of the right name in its folder comes first.

        Raises:
            UnknownNameError
        """
        extra = _extra(name)
        places = [folder / extra.folder for folder in self.folders]
        if beside is not None:
            places.insert(0, beside if beside.is_dir() else beside.parent)
        for parts in extra.choices:
            for place in places:
                if all((place / part.name).is_file() for part in parts):
                    return place / parts[0].name if len(parts) == 1 else place
        return None

    def need(self, name: str, beside: Path | None = None) -> Path:
        """As find.

        Raises:
            MissingFileError: it is not there; the sentence says how to get it.
        """
        found = self.find(name, beside)
        if found is None:
            extra = _extra(name)
            files = " and ".join(part.name for part in extra.choices[0])
            raise MissingFileError(
                f"{extra.about[0].upper()}{extra.about[1:]}, is missing ({extra.size}): fetch it with `webui fetch {name}`, "
                f"or put {files} into models/{extra.folder}."
            )
        return found

    def fetch(self, name: str, progress: Progress | None = None) -> Path:
        """Get an extra from the hub (or from the mirror that HF_ENDPOINT names), as find answers it.

        A file that broke off goes on where it stopped; one whose checksum is wrong is thrown away.

        Raises:
            DownloadError: the hub cannot be reached or does not have it, the disk is full, a checksum is wrong.
        """
        extra = _extra(name)
        found = self.find(name)
        if found is not None:
            return found
        from huggingface_hub.errors import HTTPError, RemoteEntryNotFoundError

        target = self.folders[0] / extra.folder
        try:
            target.mkdir(parents=True, exist_ok=True)
            for number, parts in enumerate(extra.choices, 1):
                try:
                    for part in parts:
                        if not (target / part.name).is_file():
                            _fetch(extra.repository, part, target / part.name, progress or _silent)
                    break
                except RemoteEntryNotFoundError:  # the hub has another set of files
                    if number == len(extra.choices):
                        raise
        except (HTTPError, OSError, ValueError) as error:
            raise DownloadError(_reason(name, extra, target, error)) from error
        return self.need(name)


def _extra(name: str) -> Extra:
    if name not in EXTRAS:
        raise UnknownNameError("file to fetch", name, EXTRAS)
    return EXTRAS[name]


def _fetch(repository: str, part: Part, path: Path, progress: Progress) -> None:
    """One file, written beside and renamed when it is whole and its checksum right; a part of it from last time goes on."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(repository, part.name, endpoint=_endpoint())
    facts = get_hf_file_metadata(url, token=False, endpoint=_endpoint())  # False: the user's own token stays here
    etag = facts.etag or ""
    version = hashlib.sha256(f"{facts.commit_hash} {etag}".encode()).hexdigest()[:12]
    beside = path.with_name(f".{path.name}.{version}.part")
    with beside.open("ab") as file:
        there = file.tell()
        if facts.size is not None and there > facts.size:
            file.truncate(0)
            there = 0
        http_get(
            facts.location,
            file,
            resume_size=there,
            headers=build_hf_headers(token=False),
            expected_size=facts.size,
            tqdm_class=_bar(progress),
        )
        file.flush()
        os.fsync(file.fileno())
    expected = part.sha256 or (etag if len(etag) == 64 else "")  # the hub names large files by their SHA-256
    with beside.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and digest != expected:
        beside.unlink()
        raise DownloadError(
            f"What {_endpoint()} gave as {part.name} has another checksum than it must have, so it was thrown away. "
            "Try again, or another HF_ENDPOINT."
        )
    os.replace(beside, path)


def _silent(_done: int, _total: int) -> None:
    """Tells nobody."""


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _bar(progress: Progress) -> Any:
    """A class in the shape of tqdm that draws nothing and tells how far it is."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **{**more, "disable": True})
            self.done, self.all = int(more.get("initial") or 0), int(more.get("total") or 0)
            progress(self.done, self.all)

        def update(self, n: float | None = 1) -> None:
            self.done += int(n or 0)
            progress(self.done, self.all)

    return Bar


def _reason(name: str, extra: Extra, target: Path, error: Exception) -> str:
    """One sentence for what went wrong on the way."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    files = " and ".join(part.name for part in extra.choices[0])
    other = f"Or put {files} into models/{extra.folder}."
    if isinstance(error, OfflineModeIsEnabled):
        return f"{name} was not fetched: HF_HUB_OFFLINE forbids it. {other}"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return f"{name} was not fetched: {_endpoint()} answers {status} for {extra.repository}. {other}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full: {name} ({extra.size}) was not fetched. Free some room and try again."
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR):
        return f"{target} cannot be written to, so {name} was not fetched. Check its permissions, or choose another --data-dir."
    return f"{name} was not fetched: {_endpoint()} cannot be reached, or broke off. Try again when there is a network. {other}"
