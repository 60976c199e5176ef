"""A registry: parts by name, in the order in which they came. Names are written into pictures, so they are unique."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from webui.contract.errors import PluginError, UnknownNameError


class Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Parts of one kind ("sampler", "schedule", ...) by name or alias, in any case of letters."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, T] = {}
        self._owners: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._reserved: frozenset[str] = frozenset()

    def reserve(self, names: Iterable[str]) -> None:
        """Names that mean something else in the program, so that no part can have them."""
        self._reserved |= {name.casefold() for name in names}

    def add(self, part: T, owner: str) -> None:
        """Add a part that the plugin `owner` offers.

        Raises:
            PluginError: its name, or one of its aliases, is taken; nothing is added.
        """
        names = (part.name, *part.aliases)
        for name in names:
            if name.casefold() in self._reserved:
                raise PluginError(
                    f"{owner} offers a {self.kind} called {name!r}, but that is one of the program's own. Give it another name."
                )
            taken = self._names.get(name.casefold())
            if taken is not None:
                raise PluginError(
                    f"{owner} offers a {self.kind} called {name!r}, but {self._owners[taken]} has it already. "
                    "Names are written into pictures, so each can belong to one part only."
                )
        self._parts[part.name] = part
        self._owners[part.name] = owner
        for name in names:
            self._names[name.casefold()] = part.name

    def remove_owner(self, owner: str) -> None:
        """Take away all parts of one plugin (one that failed half-way)."""
        gone = {name for name, who in self._owners.items() if who == owner}
        self._parts = {name: part for name, part in self._parts.items() if name not in gone}
        self._owners = {name: who for name, who in self._owners.items() if name not in gone}
        self._names = {alias: name for alias, name in self._names.items() if name not in gone}

    def __getitem__(self, name: str) -> T:
        """The part of that name or alias.

        Raises:
            UnknownNameError: there is none; the message names the nearest.
        """
        own = self._names.get(name.casefold())
        if own is None:
            raise UnknownNameError(self.kind, name, self.names())
        return self._parts[own]

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._names

    def __iter__(self) -> Iterator[T]:
        return iter(self._parts.values())

    def __len__(self) -> int:
        return len(self._parts)

    def names(self) -> list[str]:
        return list(self._parts)

    def owner(self, name: str) -> str:
        """The plugin that offers the part."""
        return self._owners[self[name].name]
