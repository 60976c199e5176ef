"""A job that failed, as the error that it failed with: the queue keeps the sentence, a client waits for a status."""

from __future__ import annotations

from typing import NoReturn

from webui.contract import errors
from webui.contract.errors import WebUIError
from webui.workspace.jobs import Job


def raise_failure(job: Job) -> NoReturn:
    """Raise the error of a failed job, of the class that the job names."""
    kind = getattr(errors, getattr(job, "error_kind", ""), WebUIError)
    error = Exception.__new__(kind)
    Exception.__init__(error, job.error)
    raise error
