"""Every error that a user may read. One tree with one root.

WebUIError
├── RequestError            what was asked cannot be drawn as asked
│   ├── FieldError          one field is out of its range or of the wrong kind
│   ├── UnknownNameError    no sampler, schedule, ... of that name
│   ├── MemoryLimitError    the picture is larger than this machine can hold
│   └── QueueFullError      too many jobs are waiting
├── CheckpointError         a file of weights
│   ├── UnknownCheckpointError
│   ├── CheckpointReadError
│   └── MissingFileError    a file that a family needs beside its weights is not there yet
├── DownloadError           a file could not be fetched
├── UnknownJobError         no job of that number
├── SaveError               the picture is there but could not be written
├── PluginError             an extension broke the contract
├── InstallError            an extension could not be installed, updated, rolled back or removed
└── StartError              the program cannot start as asked

Interrupted stands apart: it is a wish, not an error.

The text of an error is one sentence (at most two): what happened to which thing, and the way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WebUIError(Exception):
    """Root of all errors that are told to the user."""


class RequestError(WebUIError):
    """The request cannot be drawn as asked."""


class FieldError(RequestError):
    """One field is out of its range or of the wrong kind.

    Args:
        field: name of the field of GenerationRequest (or of a settings or API field).
        message: the whole sentence.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class UnknownNameError(RequestError):
    """No sampler, schedule, ... of that name is registered."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = list(known)
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            hint = f"Did you mean {near[0]!r}?"
        elif names:
            hint = f"Known: {', '.join(names)}."
        else:
            hint = f"There is no {kind} yet."
        super().__init__(f"No {kind} is called {name!r}. {hint}")
        self.kind = kind
        self.name = name


class MemoryLimitError(RequestError):
    """The picture is larger than this machine can hold."""


class QueueFullError(RequestError):
    """Too many jobs are waiting."""


class CheckpointError(WebUIError):
    """Something is wrong with a file of weights."""


class UnknownCheckpointError(CheckpointError):
    """No checkpoint of that name lies in the folders, or several do."""


class CheckpointReadError(CheckpointError):
    """The file is there but is truncated, damaged, or not a checkpoint."""


class MissingFileError(CheckpointError):
    """A file that a checkpoint needs beside its weights (a vocabulary, an estimator) is in none of the folders."""


class DownloadError(WebUIError):
    """A file could not be fetched, or what came was not that file."""


class UnknownJobError(WebUIError):
    """No job of that number is known."""


class SaveError(WebUIError):
    """The picture was made but could not be written to the disk."""


class PluginError(WebUIError):
    """An extension (or a built-in part) broke the contract."""


class InstallError(WebUIError):
    """An extension could not be installed, updated, rolled back or removed; all is as before."""


class StartError(WebUIError):
    """The program cannot start as asked."""


class Interrupted(Exception):
    """The user ended the job. Raised inside denoise, caught by the one who runs the job."""
