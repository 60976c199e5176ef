"""Changes to the installed extensions while the program runs: one at a time, in a thread, with what it is doing told to whoever
asks. What is new waits for the user's yes before anything of it is installed."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from webui.contract.errors import InstallError, WebUIError
from webui.plugins.installing import Installer, Places, Staged, asks
from webui.plugins.lock import Row
from webui.plugins.sources import read_source
from webui.workspace.extensions import ExtensionSwitches
from webui.workspace.paths import Paths

_log = logging.getLogger(__name__)

Action = Literal["install", "update", "rollback", "remove"]
ACTIONS: tuple[Action, ...] = get_args(Action)
State = Literal["working", "asking", "done", "failed", "cancelled"]
RESTART = "when the program is restarted"


class BusyError(InstallError):
    """Another change is on its way."""


@dataclass(frozen=True)
class Change:
    """One change that somebody asked for."""

    id: str
    action: Action
    subject: str
    """A source, or the name of an extension."""
    state: State = "working"
    doing: str = ""
    """What is being done at this moment."""
    asks: Mapping[str, Any] | None = None
    """What it asks for, see webui.plugins.installing.asks; from "asking" on."""
    outcome: str = ""
    """What came of it, in one sentence; of a failure the reason."""


@dataclass(frozen=True)
class Installed:
    """An extension that was installed, or removed in this run."""

    row: Row
    before: str
    """The version that rollback would bring back; "" where there is none."""
    note: str
    """What a restart changes; "" where it changes nothing."""
    is_removed: bool = False


@dataclass
class _Work:
    """What belongs to the newest change beside what is told of it."""

    staged: Staged | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)


class Installs:
    """The changes of one running program.

    Args:
        installer: does them.
        switches: which extensions are disabled, for what is said afterwards.
    """

    def __init__(self, installer: Installer, switches: ExtensionSwitches) -> None:
        self._installer, self._switches = installer, switches
        self._lock = threading.Lock()
        self._change: Change | None = None
        self._work = _Work()
        self._at_start = self._rows()

    @property
    def now(self) -> Change | None:
        """The newest change, however it ended."""
        return self._change

    def installed(self) -> list[Installed]:
        """What is installed, by name; what was removed in this run stands among it, for it can be brought back."""
        rows, start = self._rows(), {row.name.casefold(): row for row in self._at_start}
        there = {row.name.casefold() for row in rows}
        found = [Installed(row, self._before(row.name), self._note(row, start.get(row.name.casefold()))) for row in rows]
        for name, row in start.items():
            if name not in there and (before := self._before(row.name)):
                found.append(Installed(row, before, f"Removed. It goes on running until {RESTART.removeprefix('when ')}.", True))
        return sorted(found, key=lambda one: one.row.name.casefold())

    def begin(self, action: Action, name: str = "", source: str = "") -> Change:
        """Start a change. Installing and updating end in "asking" first; what waited for an answer until now is given up.

        Args:
            name: of the extension; not for install.
            source: to install; of an update, where the new version is ("" is where it came from).

        Raises:
            BusyError: one is on its way.
            InstallError: it cannot even begin. UnknownNameError: there is no such extension.
        """
        wanted = read_source(source) if source else None
        if action == "install" and wanted is None:
            raise InstallError("There is no source. Name what is to be installed.")
        if action in ("update", "remove") or (action == "rollback" and self._installer.before(name) is None):
            self._installer.row(name)
        subject = source if action == "install" else name
        with self._lock:
            if self._change is not None and self._change.state == "working":
                raise BusyError(f"Another change is on its way ({self._change.action} {self._change.subject}). Wait for its end.")
            self._give_up()
            change = Change(secrets.token_urlsafe(12), action, subject)
            self._change, self._work = change, _Work()
        if action == "install" or action == "update":
            self._do(change, lambda: self._stage(change, name, source))
        else:
            self._do(change, lambda: self._back_or_away(change, name))
        return change

    def agree(self, number: str) -> Change:
        """Say yes to what the change of that id asks for.

        Raises:
            InstallError: it does not ask, or not any more.
        """
        with self._lock:
            change, staged = self._asking(number), self._work.staged
            assert staged is not None  # whoever asks has it
            self._work.staged = None
            change = self._change = replace(change, state="working", doing=f"Installing {staged.row.name}")
        self._do(change, lambda: self._install(change, staged))
        return change

    def cancel(self, number: str) -> Change:
        """Say no, or end what is on its way; nothing of it stays. A change that has ended already is left as it is.

        Raises:
            InstallError: it is not the newest one.
        """
        with self._lock:
            change = self._newest(number)
            if change.state == "asking":
                self._give_up()
            elif change.state == "working":
                self._work.cancelled.set()
            return self._change or change

    def close(self) -> None:
        """Give up what waits for an answer, and end what is on its way."""
        with self._lock:
            self._work.cancelled.set()
            self._give_up()

    # ------------------------------------------------------------ in the thread

    def _do(self, change: Change, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except WebUIError as error:
                state: State = "cancelled" if self._work.cancelled.is_set() else "failed"
                self._tell(
                    change,
                    state=state,
                    doing="",
                    outcome="Cancelled; nothing was installed." if state == "cancelled" else str(error),
                )
            except Exception:  # noqa: BLE001 (the page must hear of the end, whatever it was)
                _log.exception("%s %s failed", change.action, change.subject)
                self._tell(
                    change, state="failed", doing="", outcome="Something went wrong inside the program; its log says what."
                )

        threading.Thread(target=run, name=f"{change.action} {change.subject[:40]}", daemon=True).start()

    def _stage(self, change: Change, name: str, source: str) -> None:
        work, tell = self._work, self._teller(change)
        wanted = read_source(source) if source else None
        if change.action == "update":
            staged = self._installer.stage_update(name, wanted, tell, work.cancelled.is_set)
        else:
            assert wanted is not None
            staged = self._installer.stage(wanted, tell, work.cancelled.is_set)
        if staged.is_there or work.cancelled.is_set():
            self._installer.discard(staged)
            if work.cancelled.is_set():
                raise InstallError("It was cancelled.")
            newest = f"{staged.row.name} {staged.row.version} is the newest that {staged.row.source} has."
            return self._tell(change, state="done", doing="", outcome=newest)
        told = {**asks(staged), "is_changed": bool(staged.replaces and self._installer.is_changed(staged.replaces))}
        with self._lock:
            self._work.staged = staged
            self._change = replace(change, state="asking", doing="", asks=told)
        return None

    def _install(self, change: Change, staged: Staged) -> None:
        row = self._installer.install(staged, self._teller(change), self._work.cancelled.is_set)
        self._tell(change, state="done", doing="", outcome=f"{row.name} {row.version} is installed. {self._when(row)}")

    def _back_or_away(self, change: Change, name: str) -> None:
        if change.action == "rollback":
            row = self._installer.rollback(name)
            outcome = f"{row.name} is back in version {row.version}. {self._when(row)}"
        else:
            row = self._installer.remove(name)
            outcome = f"{row.name} is removed; its settings stay, and it can be brought back."
        self._tell(change, state="done", doing="", outcome=outcome)

    def _teller(self, change: Change) -> Callable[[str], None]:
        return lambda words: self._tell(change, doing=words)

    def _tell(self, change: Change, **more: Any) -> None:
        with self._lock:
            if self._change is not None and self._change.id == change.id:
                self._change = replace(self._change, **more)

    # ------------------------------------------------------------ inside

    def _newest(self, number: str) -> Change:
        if self._change is None or not secrets.compare_digest(self._change.id.encode(), number.encode("utf-8", "replace")):
            raise InstallError("That change is not the newest one any more, so there is nothing to be said to it.")
        return self._change

    def _asking(self, number: str) -> Change:
        change = self._newest(number)
        if change.state != "asking":
            raise InstallError("That change does not wait for an answer.")
        return change

    def _give_up(self) -> None:
        """With the lock held."""
        if self._work.staged is not None:
            self._installer.discard(self._work.staged)
            self._work.staged = None
        if self._change is not None and self._change.state == "asking":
            self._change = replace(self._change, state="cancelled", asks=None, outcome="Nothing was installed.")

    def _rows(self) -> tuple[Row, ...]:
        try:
            return self._installer.rows()
        except InstallError as error:  # changes are refused with the same words
            _log.warning("%s", error)
            return ()

    def _before(self, name: str) -> str:
        row = self._installer.before(name)
        return row.version if row else ""

    def _note(self, row: Row, start: Row | None) -> str:
        if start is None:
            return f"Installed. {self._when(row)}"
        return "" if row.is_same(start) else f"Version {row.version} is installed. {self._when(row)}"

    def _when(self, row: Row) -> str:
        if not self._switches.is_enabled(row.name):
            return "It is disabled."
        return f"It runs {RESTART}."


def installer_of(paths: Paths, own_names: tuple[str, ...]) -> Installer:
    """Installs extensions into the data folder.

    Args:
        own_names: of the program's own parts.
    """
    return Installer(
        Places(tuple(paths.extensions), paths.versions, paths.data / "extensions.lock", paths.constraints), own_names
    )  # fmt: skip
