"""What a plugin offers through the hooks: checked when it is offered, taken in when all of it is known."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any

import pluggy

from webui.contract import PROJECT, hookspecs
from webui.contract.errors import PluginError
from webui.contract.more_parts import (
    PANEL_TABS,
    CommandPart,
    GuiderPart,
    PanelPart,
    PreprocessorPart,
    ReaderPart,
    RoutesPart,
    ScriptPart,
    SettingPart,
    TabPart,
    UpscalerPart,
)
from webui.contract.options import options_of
from webui.contract.own import Own
from webui.contract.parts import ConditionerPart, Family, Parts, SamplerPart, SchedulePart
from webui.contract.registry import Registry

LETTERS = 80
"""That a name may have: it stands in menus and in pictures."""


@dataclass(frozen=True)
class Offer:
    """One part, and which registry of Parts it belongs to."""

    registry: str
    part: Any

    def __str__(self) -> str:
        return f"{KINDS[self.registry]} {self.part.name}"


def manager() -> pluggy.PluginManager:
    made = pluggy.PluginManager(PROJECT)
    made.add_hookspecs(hookspecs)
    return made


def offers_of(plugin: Any, name: str, own: Own, faults: list[PluginError] | None = None) -> list[Offer]:
    """All that a plugin (a module, or anything with hook implementations) offers.

    Args:
        own: what the plugin's hooks get as its own.
        faults: takes all that is wrong with the parts, for who looks an extension over; without it the first is raised.

    Raises:
        PluginError: it implements no hook, or one that does not exist, offers what is none, or raised on the way.
    """
    asked, offered = manager(), list[Offer]()

    def refuse(error: PluginError) -> None:
        if faults is None:
            raise error
        faults.append(error)

    try:
        asked.register(plugin, name=name)
        asked.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{name} has a hook that does not fit: {_of_hook(str(error))}") from error
    if not asked.get_hookcallers(plugin):
        raise PluginError(f"{name} implements no hook: mark its functions with @hookimpl, from webui.contract import hookimpl.")
    for hook, register in _registers(name, offered, refuse).items():
        try:
            answers = getattr(asked.hook, hook)(register=register, own=own)
        except PluginError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 (it may raise anything, and is told)
            told = PluginError(f"{name} failed in {hook}: {type(error).__name__}: {error}")
            told.__cause__ = error  # its traceback is for the author
            refuse(told)
            continue
        if answers:
            refuse(PluginError(f"{name}: {hook} is to call register(...) for each part, and answers nothing."))
    return offered


def take_in(parts: Parts, offered: Iterable[Offer], owner: str, faults: list[PluginError] | None = None) -> None:
    """Add what a plugin offers; all of it or nothing.

    Args:
        faults: takes every name that is taken, as in offers_of.

    Raises:
        PluginError: a name is taken.
    """
    found = list[PluginError]()
    for offer in offered:
        registry: Registry[Any] = getattr(parts, offer.registry)
        try:
            registry.add(offer.part, owner)
        except PluginError as error:
            found.append(error)
    if not found:
        return
    for registry in parts.registries():
        registry.remove_owner(owner)
    if faults is None:
        raise found[0]
    faults.extend(found)


@dataclass(frozen=True)
class _Kind:
    """How parts of one hook are taken."""

    part: type[Any]
    registry: str
    takes: tuple[str, ...]
    """What the function is called with."""
    has_options: bool = False

    @property
    def what(self) -> str:
        return KINDS[self.registry]


KINDS = {name: registry.kind for name, registry in vars(Parts()).items()}
"""Registry of Parts to what one of its parts is called."""
_HOOKS = {
    "register_samplers": _Kind(SamplerPart, "samplers", ("denoise", "x", "sigmas", "noise"), True),
    "register_schedules": _Kind(SchedulePart, "schedules", ("steps", "table"), True),
    "register_conditioners": _Kind(ConditionerPart, "conditioners", ("request", "model", "negative", "inputs")),
    "register_guidance": _Kind(GuiderPart, "guiders", ("denoise", "network"), True),
    "register_scripts": _Kind(ScriptPart, "scripts", ("request",), True),
    "register_preprocessors": _Kind(PreprocessorPart, "preprocessors", ("image",), True),
    "register_upscalers": _Kind(UpscalerPart, "upscalers", ("image", "scale")),
    "register_metadata_readers": _Kind(ReaderPart, "readers", ("image",)),
    "register_tabs": _Kind(TabPart, "tabs", ("app",)),
    "register_panels": _Kind(PanelPart, "panels", ("app", "tab")),
    "register_cli": _Kind(CommandPart, "commands", ("arguments", "app")),
}


def _registers(owner: str, offered: list[Offer], refuse: Callable[[PluginError], None]) -> dict[str, Callable[..., None]]:
    """Hook to what its implementations call.

    Args:
        refuse: is told what is wrong with a part, which is left out then.
    """

    def of(kind: _Kind) -> Callable[..., None]:
        def register(name: str, function: Any, **options: Any) -> None:
            try:
                _check_name(kind.what, name)
                if kind.registry == "commands":
                    _check_words(name, options.get("aliases", ()))
                told = f"The {kind.what} {name!r}"
                if kind.has_options or options.get("on_request") is True:
                    _check_own_options(told, function, kind.takes)
                _check_function(told, function, kind.takes)
                _check_options(told, kind.part, options)
            except PluginError as error:
                return refuse(error)
            offered.append(Offer(kind.registry, kind.part(name, function, **options)))

        return register

    def checked(make: Callable[..., Offer]) -> Callable[..., None]:
        def register(*given: Any, **more: Any) -> None:
            try:
                offered.append(make(*given, **more))
            except PluginError as error:
                refuse(error)

        return register

    return {name: of(kind) for name, kind in _HOOKS.items()} | {
        "register_families": checked(_family),
        "register_routes": checked(lambda router: _routes(owner, router)),
        "register_settings": checked(lambda key, kind, default: _setting(owner, key, kind, default)),
    }


def _family(row: Any) -> Offer:
    if not isinstance(row, Family):
        raise PluginError(f"A family is a webui.contract.parts.Family, not {_kind(row)}.")
    _check_name("family", row.name)
    return Offer("families", row)


def _routes(owner: str, router: Any) -> Offer:
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(router).__mro__}
    if ("fastapi", "APIRouter") not in kinds:  # whoever has made one has imported fastapi; nobody else need wait for it
        raise PluginError(f"{owner}: register_routes takes a fastapi.APIRouter, not {_kind(router)}.")
    return Offer("routes", RoutesPart(owner, router))


def _setting(owner: str, key: Any, kind: Any, default: Any) -> Offer:
    """A setting is an option: written as the keyword-only parameter of a function that nobody calls."""
    if not isinstance(key, str) or not key.isidentifier() or len(key) > LETTERS:
        raise PluginError(f"{owner}: a setting has a name of letters, digits and underscores, not {key!r}.")
    parameter = inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)

    def holder() -> None: ...

    holder.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    try:
        (option,) = options_of(holder)
    except PluginError as error:
        raise PluginError(f"{owner}: {error}") from error
    except ValueError:
        raise PluginError(f"{owner}: {key!r} is the name of an option of samplers; a setting needs another one.") from None
    if option.is_reference:
        raise PluginError(
            f"{owner}: a setting is bool, int, float, str or one of several texts, but {key!r} names a {option.kind}."
        )
    return Offer("settings", SettingPart(f"{owner}.{key}", option))


def _check_name(what: str, name: Any) -> None:
    if not isinstance(name, str):
        raise PluginError(f"The name of a {what} is text, not {_kind(name)}.")
    if not name.strip() or name != name.strip() or len(name) > LETTERS or not name.isprintable():
        raise PluginError(
            f"A {what} cannot be called {name[: LETTERS + 1]!r}: a name has 1 to {LETTERS} printable letters, "
            "and no space at its ends."
        )


def _check_words(*names: Any) -> None:
    """A command is typed: its names are words."""
    for name in (one for some in names for one in (some if isinstance(some, tuple) else (some,))):
        if isinstance(name, str) and (name.startswith("-") or any(letter.isspace() for letter in name)):
            raise PluginError(f"The command {name!r} cannot be typed: a command is one word, without a hyphen at its beginning.")


def _check_function(what: str, function: Any, takes: tuple[str, ...]) -> None:
    if not callable(function):
        raise PluginError(f"{what} is to be a function of ({', '.join(takes)}), not {_kind(function)}.")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C: it will show when it is called
    try:
        signature.bind(*takes)
    except TypeError as error:
        raise PluginError(f"{what} is called with ({', '.join(takes)}), but takes {signature}.") from error


def _check_own_options(what: str, function: Any, takes: tuple[str, ...]) -> None:
    """Raises PluginError where a keyword-only parameter can be no option, or nobody can tell which ones there are."""
    try:
        options_of(function)
        signature = inspect.signature(function)
    except PluginError as error:
        raise PluginError(f"{what}: {error}") from error
    except (TypeError, ValueError):
        return  # written in C
    for one in signature.parameters.values():
        if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
            stars = "**" if one.kind is one.VAR_KEYWORD else "*"
            raise PluginError(
                f"{what} takes {stars}{one.name}, which tells no names: it is to take ({', '.join(takes)}), and its own options "
                "one by one behind a *."
            )
        if one.kind is one.KEYWORD_ONLY and one.default is one.empty:
            raise PluginError(f"{what}: its option {one.name!r} needs a default.")


def _check_options(what: str, kind: type[Any], options: dict[str, Any]) -> None:
    known: dict[str, Any] = {field.name: field.default for field in fields(kind) if field.name not in ("name", "function")}
    for key, value in options.items():
        if key not in known:
            raise PluginError(f"{what} has an option {key!r}. Known: {', '.join(known)}.")
        if known[key] is None:
            if value is not None and not callable(value):
                raise PluginError(f"{what}: {key} is to be a function, not {_kind(value)}.")
            continue
        wanted = type(known[key])
        if not isinstance(value, wanted) or (wanted is tuple and not all(isinstance(one, str) for one in value)):
            raise PluginError(f"{what}: {key} is to be {wanted.__name__}{' of text' * (wanted is tuple)}, not {_kind(value)}.")
        if kind is PanelPart and key == "tabs" and not (value and set(value) <= set(PANEL_TABS)):
            raise PluginError(f"{what}: tabs is {value}, but a panel stands on one or more of {', '.join(PANEL_TABS)}.")


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}" if not isinstance(value, ModuleType) else "a module"


def _of_hook(words: str) -> str:
    """pluggy's sentence, with the hook that may have been meant."""
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, f"{PROJECT}_spec")]
    for word in words.replace("'", " ").split():
        if "_" in word and word.isidentifier() and word not in hooks and (near := difflib.get_close_matches(word, hooks, 1, 0.8)):
            return f"{word} is no hook. Did you mean {near[0]}?"
    return " ".join(words.split())
