"""The share link: its own thread, its failures, its end."""

from __future__ import annotations

import threading

import pytest

from webui.api.access import Access
from webui.api.share import GradioTunnel, Share


class OpenTunnel:
    """A tunnel that is up until it is told to end."""

    def __init__(self, port: int) -> None:
        self.url = f"https://port{port}.gradio.live"
        self.is_down = threading.Event()
        self.is_killed = False

    def wait(self) -> None:
        self.is_down.wait(10)

    def kill(self) -> None:
        self.is_killed = True
        self.is_down.set()


def started(**options: object) -> tuple[Access, Share, list[tuple[str, str]], threading.Thread, threading.Event]:
    access, told, event = Access.for_flags(share=True), [], threading.Event()  # type: ignore[var-annotated]

    def on_change(share: Share) -> None:
        told.append((share.url, share.problem))
        event.set()

    share = Share(access, 7860, on_change=on_change, **options)  # type: ignore[arg-type]
    return access, share, told, share.start(), event


def test_an_open_tunnel_is_told_and_its_host_let_in_until_it_goes_down() -> None:
    tunnels: list[OpenTunnel] = []

    def open_tunnel(port: int) -> OpenTunnel:
        tunnels.append(OpenTunnel(port))
        return tunnels[-1]

    access, share, told, thread, event = started(open_tunnel=open_tunnel)
    assert event.wait(10) and share.url == "https://port7860.gradio.live"
    assert access.hosts.allows("port7860.gradio.live") and access.needs_login
    tunnels[0].is_down.set()
    thread.join(10)
    assert share.url == "" and "gone down" in share.problem and not access.hosts.allows("port7860.gradio.live")
    assert len(told) == 2


def test_closing_kills_the_tunnel_and_says_nothing() -> None:
    tunnel = OpenTunnel(1)
    access, share, told, thread, event = started(open_tunnel=lambda port: tunnel)
    assert event.wait(10)
    share.close()
    thread.join(10)
    assert tunnel.is_killed and not access.hosts.allows("port1.gradio.live") and len(told) == 1 and share.url == ""


def test_gradios_own_tunnel_without_a_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there, so no request leaves the machine
    _, share, told, thread, _ = started(open_tunnel=GradioTunnel)
    thread.join(60)
    assert not thread.is_alive() and share.url == ""
    assert share.problem == "No share link: Gradio's share server cannot be reached. The page goes on without it."
    assert told == [("", share.problem)]


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError("no frpc for this platform"), "frpc"),
        (ValueError("log of the helper"), "frpc"),
        (KeyError("x"), "Gradio's tunnel failed (KeyError)"),
    ],
)
def test_each_failure_is_one_sentence_without_its_inner_words(error: Exception, words: str) -> None:
    def fail(port: int) -> OpenTunnel:
        raise error

    _, share, _, thread, _ = started(open_tunnel=fail)
    thread.join(10)
    assert words in share.problem and "log of" not in share.problem


def test_a_tunnel_that_hangs_is_given_up_and_killed_when_it_comes_late() -> None:
    go, tunnel = threading.Event(), OpenTunnel(5)

    def slow(port: int) -> OpenTunnel:
        go.wait(10)
        return tunnel

    access, share, told, thread, event = started(open_tunnel=slow, seconds_to_open=0.05)
    assert event.wait(10) and "nothing answered" in share.problem
    go.set()
    thread.join(10)
    assert tunnel.is_killed and share.url == "" and not access.hosts.allows("port5.gradio.live") and len(told) == 1
