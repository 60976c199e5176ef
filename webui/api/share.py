"""The share link: Gradio's tunnel, opened for the mounted app (gradio.launch, which would do it, is not used)."""

from __future__ import annotations

import atexit
import logging
import secrets
import threading
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from webui.api.access import Access

log = logging.getLogger(__name__)

SECONDS_TO_OPEN = 45
"""Gradio asks its server (30 s at most) and then waits for its helper; longer than this nobody waits for a link."""


class Tunnel(Protocol):
    """An open way from elsewhere to a port of this machine."""

    url: str

    def wait(self) -> None:
        """Return when the tunnel is down."""

    def kill(self) -> None: ...


class GradioTunnel:
    """Opens Gradio's tunnel: asks api.gradio.app where to, fetches the helper frpc once, and runs it."""

    def __init__(self, port: int) -> None:
        from gradio import networking, tunneling  # only --share needs it

        self._tunnels = tunneling.CURRENT_TUNNELS
        self.url = networking.setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)

    def wait(self) -> None:
        for tunnel in list(self._tunnels):
            if tunnel.proc is not None:
                tunnel.proc.wait()

    def kill(self) -> None:
        for tunnel in list(self._tunnels):
            tunnel.kill()


class Share:
    """One share link of a running server. It opens in its own thread: the page never waits for it.

    Attributes:
        url: the link, "" while there is none.
        problem: one sentence why there is none, "" while it is being opened and while it is up.

    Args:
        on_change: called with this object whenever url or problem has changed, from the thread.
        open_tunnel: port to an open Tunnel; may raise anything.
    """

    def __init__(
        self,
        access: Access,
        port: int,
        *,
        on_change: Callable[[Share], None] = lambda _: None,
        open_tunnel: Callable[[int], Tunnel] = GradioTunnel,
        seconds_to_open: float = SECONDS_TO_OPEN,
    ) -> None:
        self.url = ""
        self.problem = ""
        self._access, self._port = access, port
        self._on_change, self._open_tunnel, self._seconds_to_open = on_change, open_tunnel, seconds_to_open
        self._lock = threading.Lock()
        self._tunnel: Tunnel | None = None
        self._is_closed = False

    def start(self) -> threading.Thread:
        """Open the link in a thread, and answer the thread. It ends when the link is down."""
        thread = threading.Thread(target=self._run, name="share", daemon=True)
        atexit.register(self.close)
        timer = threading.Timer(self._seconds_to_open, self._give_up)
        timer.daemon = True
        timer.start()
        thread.start()
        return thread

    def close(self) -> None:
        """End the link, if there is one."""
        with self._lock:
            self._is_closed, tunnel = True, self._tunnel
        if tunnel is not None:
            tunnel.kill()
            self._access.hosts.remove_tunnel(_host(tunnel.url))
            self.url = ""

    def _run(self) -> None:
        try:
            tunnel = self._open_tunnel(self._port)
        except Exception as error:  # the network, the helper's download, its checksum, its run: each has its own kind of error
            log.info("The share link could not be opened: %s", error, exc_info=error)
            self._tell("", f"No share link: {_reason(error)} The page goes on without it.")
            return
        with self._lock:
            is_late, self._tunnel = self._is_closed or bool(self.problem), tunnel
        if is_late:
            tunnel.kill()
            return
        self._access.hosts.add_tunnel(_host(tunnel.url))
        self._tell(tunnel.url, "")
        tunnel.wait()
        self._access.hosts.remove_tunnel(_host(tunnel.url))
        if not self._is_closed:
            self._tell("", "The share link has gone down. The page goes on without it; start again with --share for a new one.")

    def _give_up(self) -> None:
        with self._lock:
            is_waiting = not (self.url or self.problem or self._is_closed or self._tunnel)
        if is_waiting:
            self._tell("", f"No share link: nothing answered in {self._seconds_to_open:.0f} s. The page goes on without it.")

    def _tell(self, url: str, problem: str) -> None:
        if self._is_closed or (problem and self.problem):
            return
        self.url, self.problem = url, problem
        self._on_change(self)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _reason(error: Exception) -> str:
    """Why, in words of ours: Gradio's messages name paths and quote logs."""
    if "Gradio API Server" in str(error):
        return "Gradio's share server cannot be reached."
    if "frpc" in str(error) or isinstance(error, (ValueError, OSError)) or type(error).__module__.startswith("httpx"):
        return "Gradio's helper for it (frpc) cannot be had or does not start here."
    return f"Gradio's tunnel failed ({type(error).__name__})."
