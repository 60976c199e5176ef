"""Threads for calls that wait for a job, apart from those that answer the short requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from starlette.exceptions import HTTPException

WAITING_AT_MOST = 400
"""Clients that may wait at a time; a thread that waits costs little, but it is not free."""
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("webui_waiting")

T = TypeVar("T")


async def waiting(call: Callable[[], T]) -> T:
    """Run a call that may wait for long, so that even hundreds of them leave room for /progress and the page.

    Raises:
        HTTPException: 429, as many clients as can be served are waiting already.
    """
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(WAITING_AT_MOST)
        _limiter.set(limiter)
    if limiter.borrowed_tokens >= limiter.total_tokens:
        raise HTTPException(429, "Too many clients are waiting for pictures. Try again in a while.", {"Retry-After": "10"})
    return await anyio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)
