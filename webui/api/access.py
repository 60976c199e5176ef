"""Who may come in: the login, the sessions, the names under which this machine is reached."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from webui.contract.errors import StartError

SESSION_SECONDS = 7 * 24 * 3600
"""A login lasts a week, then asks again."""
SESSIONS_AT_MOST = 1000
BAD_TRIES = 5
"""Wrong passwords that one client may send in BAD_TRY_SECONDS; after that no password is looked at."""
BAD_TRY_SECONDS = 60
CLIENTS_AT_MOST = 10_000
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?))(?::[0-9]{1,5})?")


class Users:
    """Names and passwords; the passwords are kept as digests, so that no repr or dump shows one."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._key = secrets.token_bytes(32)
        self._digests = {self._digest(name): (name, self._digest(word)) for name, word in passwords.items()}

    def check(self, name: str, password: str) -> str | None:
        """The user of that name and password, or None. Takes as long for an unknown name as for a wrong password."""
        asked, word = self._digest(name), self._digest(password)
        found = None
        for digest, (user, right) in self._digests.items():
            is_name, is_word = hmac.compare_digest(asked, digest), hmac.compare_digest(word, right)
            if is_name and is_word:
                found = user
        return found

    def _digest(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


class Sessions:
    """Who is logged in, in this process's memory only: a restart asks everybody again.

    Args:
        clock: seconds that never run backwards; passed in so that a test need not wait a week.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._users: dict[str, tuple[str, float]] = {}

    def open(self, user: str) -> str:
        """A fresh token; one that the client brought along is never taken over (session fixation)."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            self._users = {old: entry for old, entry in self._users.items() if entry[1] > now}
            while len(self._users) >= SESSIONS_AT_MOST:
                del self._users[next(iter(self._users))]
            self._users[token] = (user, now + SESSION_SECONDS)
        return token

    def user(self, token: str) -> str | None:
        with self._lock:
            user, end = self._users.get(token, ("", 0.0))
        return user if user and end > self._clock() else None

    def close(self, token: str) -> None:
        with self._lock:
            self._users.pop(token, None)


class Tries:
    """Counts wrong passwords of each client."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bad: dict[str, list[float]] = {}

    def seconds_to_wait(self, client: str) -> int:
        """0 while the client may try."""
        now = self._clock()
        with self._lock:
            recent = [then for then in self._bad.get(client, []) if now - then < BAD_TRY_SECONDS]
        return max(1, round(recent[-BAD_TRIES] + BAD_TRY_SECONDS - now)) if len(recent) >= BAD_TRIES else 0

    def add(self, client: str) -> None:
        now = self._clock()
        with self._lock:
            recent = [then for then in self._bad.pop(client, []) if now - then < BAD_TRY_SECONDS]
            if len(self._bad) >= CLIENTS_AT_MOST:
                del self._bad[next(iter(self._bad))]
            self._bad[client] = [*recent, now]


class Hosts:
    """Names under which this server may be asked for (the Host header), against DNS rebinding.

    Args:
        names: without port, IPv6 without brackets.
        any_address: every IP literal is fine. A page of another site can only rebind names, never an address.
    """

    def __init__(self, names: Iterable[str], any_address: bool = False) -> None:
        self._names = frozenset(name.casefold() for name in names)
        self._any_address = any_address
        self._lock = threading.Lock()
        self._tunnels: frozenset[str] = frozenset()

    def name(self, header: str) -> str | None:
        """The host's name out of a Host header, or None where it is not one."""
        match = _HOST.fullmatch(header.casefold())
        return (match["v6"] or match["name"]) if match else None

    def allows(self, header: str) -> bool:
        name = self.name(header)
        if name is None:
            return False
        return name in self._names or name in self._tunnels or (self._any_address and _is_address(name))

    def is_tunnel(self, header: str) -> bool:
        """Whether the request came through the share link, which speaks https outside."""
        return self.name(header) in self._tunnels

    def add_tunnel(self, name: str) -> None:
        with self._lock:
            self._tunnels |= {name.casefold()}

    def remove_tunnel(self, name: str) -> None:
        with self._lock:
            self._tunnels -= {name.casefold()}


@dataclass(frozen=True)
class Access:
    """The rules of the door, made once at start.

    `users` is None where no login is asked. `made_up` is the login that was invented because none was given; main
    prints it beside the link, and nothing else ever shows it.
    """

    hosts: Hosts
    users: Users | None = None
    made_up: tuple[str, str] | None = field(default=None, repr=False)
    is_exposed: bool = False
    """Other machines can reach the page (--listen, --share, --server-name)."""
    port: int = 7860
    allow_remote_extensions: bool = False
    """Whoever is logged in may install extensions, which run with the rights of the one who started the program."""
    sessions: Sessions = field(default_factory=Sessions)
    tries: Tries = field(default_factory=Tries)

    @property
    def needs_login(self) -> bool:
        return self.users is not None

    @property
    def is_read_only(self) -> bool:
        """Open to other machines without a login: pictures can be made, but settings and files stay as they are."""
        return self.is_exposed and not self.needs_login

    def install_problem(self, is_forwarded: bool = False) -> str:
        """Why extensions cannot be installed, updated or removed through the page; "" where they can.

        Args:
            is_forwarded: the request came through a proxy, so that it may come from anywhere although nothing is open here.
        """
        if not (self.is_exposed or is_forwarded) or (self.allow_remote_extensions and self.needs_login):
            return ""
        if self.allow_remote_extensions:
            return (
                "Others can reach this page without a login, so no extension is installed or removed here. Start it with --auth."
            )
        return (
            "Others can reach this page, so no extension is installed or removed here. Do it in a terminal with webui "
            "extensions, or start the program with --allow-remote-extensions."
        )

    @property
    def cookie(self) -> str:
        """Browsers keep one set of cookies for all ports of a host, so two servers must not share a name."""
        return f"latent_webui_{self.port}"

    @classmethod
    def for_flags(
        cls,
        *,
        listen: bool = False,
        share: bool = False,
        auth: str | None = None,
        no_login: bool = False,
        port: int = 7860,
        server_name: str | None = None,
        hosts: Iterable[str] = (),
        allow_remote_extensions: bool = False,
    ) -> Access:
        """The rules for the flags of the command line.

        Args:
            auth: "user:password", several parted by commas.
            no_login: the user said that no login is wanted, although others can reach the page.
            server_name: address or name to listen on, which is as open as --listen unless it is loopback.
            hosts: further names under which the page may be asked for, such as that of a reverse proxy.
            allow_remote_extensions: other machines may install extensions, too, where a login is asked.

        Raises:
            StartError: auth is malformed, or it is given together with no_login.
        """
        if auth and no_login:
            raise StartError("--auth and --no-login contradict each other. Leave one of them out.")
        named = (server_name or "").strip().strip("[]")
        is_listening = listen or (bool(named) and not _is_loopback(named))
        names = {*LOOPBACK, *hosts} | ({named} if named else set()) | (_own_names() if is_listening else set())
        is_exposed = is_listening or share
        passwords = _parse(auth) if auth else None
        made_up = None
        if passwords is None and is_exposed and not no_login:
            made_up = ("webui", secrets.token_urlsafe(12))
            passwords = dict([made_up])
        return cls(
            hosts=Hosts(names, any_address=is_listening),
            users=Users(passwords) if passwords is not None else None,
            made_up=made_up,
            is_exposed=is_exposed,
            port=port,
            allow_remote_extensions=allow_remote_extensions,
        )


def client_of(address: str, is_tunnel: bool) -> str:
    """How a client is told apart when wrong passwords are counted.

    An IPv6 client owns a whole /64, so that counts as one. All who come through the share link have this machine's
    own address; they are counted together, and apart from the one who sits here.
    """
    if is_tunnel:
        return "tunnel"
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def _parse(auth: str) -> dict[str, str]:
    passwords = {}
    for pair in auth.split(","):
        name, colon, password = pair.strip().partition(":")
        if not (name and colon and password):
            raise StartError("--auth wants user:password, several of them parted by commas (so no comma in a password).")
        if name in passwords:
            raise StartError(f"--auth names the user {name!r} twice. Each user has one password.")
        passwords[name] = password
    return passwords


def _own_names() -> set[str]:
    name = socket.gethostname().casefold()
    short = name.partition(".")[0]
    return {name, short, f"{short}.local"} - {"", ".local"}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return name.casefold() == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)
