"""A part's own options: its keyword-only parameters, with types and ranges.

    from webui.contract import Choice, Range

    def sample_pushed(denoise, x, sigmas, noise, *, push: Annotated[float, Range(0, 2)] = 1.0, end: bool = True): ...

Read once, they become controls on the page, a place in the API's schema and in infotext, and the checks of a request.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args, get_origin

from webui.contract.errors import FieldError, PluginError

Kind = Literal["bool", "int", "float", "str", "choice", "picture", "file", "part"]
NAMED = ("eta", "s_churn", "s_tmin", "s_tmax", "s_noise")
"""Parameters that a request and infotext have names of their own for. They are filled from there, and are no part's own."""
MOST = 50
"""Options that one part may have."""
LETTERS = 10_000
"""That the value of an option may have, and"""
NAME = 1000
"""the name of a picture, file or part."""
REFERENCES = ("picture", "file", "part")
"""Kinds whose values are names, which are looked up before the part is called."""


@dataclass(frozen=True)
class Range:
    """From the least value to the greatest: Annotated[float, Range(0, 2)]. The page shows a slider."""

    low: float
    high: float
    step: float | None = None
    """Of the slider; None: 1 for whole numbers, else about a hundredth of the way."""

    def __post_init__(self) -> None:
        if not all(_is_number(bound) and math.isfinite(bound) for bound in (self.low, self.high)) or self.low >= self.high:
            raise PluginError(f"Range({self.low}, {self.high}) is no range: it goes from a number to a greater one.")
        if self.step is not None and not (_is_number(self.step) and 0 < self.step <= self.high - self.low):
            raise PluginError(f"Range({self.low}, {self.high}, {self.step}): a step is above 0 and fits into the range.")


class Choice:
    """One of several texts: Annotated[str, Choice("a", "b")]; Literal["a", "b"] says the same. The page shows a menu."""

    def __init__(self, *choices: str) -> None:
        if not choices or not all(isinstance(one, str) for one in choices) or len(set(choices)) < len(choices):
            raise PluginError(f"Choice{choices} is to name texts, each once.")
        self.choices = choices


class Suggest:
    """Texts that may be meant, beside any other: Annotated[str, Suggest("a", "b")]. The page offers them while one types."""

    def __init__(self, *texts: str) -> None:
        if not all(isinstance(one, str) for one in texts):
            raise PluginError(f"Suggest{texts} is to name texts.")
        self.texts = texts


@dataclass(frozen=True)
class Picture:
    """A picture of the user's: Annotated[Image.Image | None, Picture()] = None. The request holds its name, the part is called
    with the picture, RGB, or None. The page shows a place to drop one."""


@dataclass(frozen=True)
class File:
    """A file of models/FOLDER: Annotated[Path | None, File("ControlNet")] = None. The request holds its name, the part is called
    with its path (a file, or a folder in diffusers layout), or None. The page shows a menu."""

    folder: str


@dataclass(frozen=True)
class PartOf:
    """A part of a registry by name: Annotated[Callable | None, PartOf("preprocessors")] = None. The request holds its name, the
    part is called with that one's function, or None. The page shows a menu."""

    registry: str


@dataclass(frozen=True)
class Option:
    """One of a part's own options."""

    name: str
    kind: Kind
    default: bool | int | float | str | None
    low: float | None = None
    """With high: the range of a number; None: any."""
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    label: str = ""
    about: str = ""
    """A text beside its type, Annotated[float, "How far"]; the page shows it as a hint."""
    is_optional: bool = False
    """Whether it may be None, which is up to the part: an empty field."""
    suggestions: tuple[str, ...] = ()
    """Of a text that may be any: what is likely meant."""
    of: str = ""
    """The folder of a file, the registry of a part. As with a picture, its value is a name, "" for none."""

    @property
    def is_reference(self) -> bool:
        """Whether a request names what the part is called with."""
        return self.kind in REFERENCES

    @property
    def range(self) -> str:
        """What it can be, in words."""
        words = {
            "bool": "true or false", "int": "a whole number", "float": "a number", "str": "text",
            "picture": "the name of a kept picture", "file": f"the name of a file of models/{self.of}",
            "part": f"the name of one of the {self.of}",
        }.get(self.kind, "")  # fmt: skip
        if self.kind == "choice":
            words = ", ".join(map(repr, self.choices))
        elif self.low is not None and self.high is not None:
            words = f"{'a whole number, ' if self.kind == 'int' else ''}{self.low:g} to {self.high:g}"
        return f"{words} or nothing" if self.is_optional else words

    def value(self, given: Any) -> Any:
        """What the part is called with. Raises ValueError where it is of another kind or out of its range."""
        if given is None and self.is_optional:
            return None
        if self.kind == "float" and _is_number(given):
            given = float(given) if abs(given) < 1e300 else math.nan
        fits = {
            "bool": isinstance(given, bool),
            "int": isinstance(given, int) and not isinstance(given, bool) and abs(given) < 2**63,
            "float": isinstance(given, float) and math.isfinite(given),
            "str": isinstance(given, str) and len(given) <= LETTERS,
            "choice": isinstance(given, str) and given in self.choices,
        }.get(self.kind, isinstance(given, str) and len(given) <= NAME)
        if not fits or (self.low is not None and self.high is not None and not self.low <= given <= self.high):
            raise ValueError(self.name)
        return given

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "name": self.name, "kind": self.kind, "default": self.default, "low": self.low, "high": self.high,
            "step": self.step, "choices": list(self.choices), "label": self.label, "about": self.about,
            "is_optional": self.is_optional, "suggestions": list(self.suggestions), "of": self.of,
        }  # fmt: skip

    def schema(self) -> dict[str, Any]:
        """As JSON schema has it."""
        kind = {"bool": "boolean", "int": "integer", "float": "number"}.get(self.kind, "string")
        made: dict[str, Any] = {
            "type": [kind, "null"] if self.is_optional else kind,
            "title": self.label,
            "default": self.default,
        }
        if self.low is not None:
            made |= {"minimum": self.low, "maximum": self.high}
        if self.choices:
            made["enum"] = [*self.choices, None] if self.is_optional else list(self.choices)
        return made | ({"description": self.about} if self.about else {})


def options_of(function: Callable[..., Any]) -> tuple[Option, ...]:
    """A part's own options, in the order of its parameters; those of NAMED are not among them.

    Raises:
        PluginError: a parameter is none that an option can be made of; one sentence that names it.
    """
    own = {name: one for name, one in parameters(function).items() if name not in NAMED}
    if len(own) > MOST:
        raise PluginError(f"it has {len(own)} options, and can have {MOST}.")
    return tuple(_option(name, one, function) for name, one in own.items())


def parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The keyword-only parameters of a part, those of NAMED too; of one that is written in C none are known."""
    try:
        return _parameters(function)
    except TypeError:  # an object that can be called but not be remembered
        return _parameters.__wrapped__(function)


@functools.lru_cache(maxsize=512)  # asked for each frame of a stream, where reading them takes as long as the JPEG
def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        found = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    return {name: one for name, one in found.items() if one.kind is one.KEYWORD_ONLY}


def checked(part: str, options: tuple[Option, ...], given: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Values of a part's options, each as the part is called with it.

    Args:
        part: its name, for the sentence. field: of the request.

    Raises:
        FieldError: the part has no such option, or the value is of another kind or out of its range.
    """
    known, values = {option.name: option for option in options}, dict[str, Any]()
    for name, value in given.items():
        if name not in known:
            has = ", ".join(f"{option.name} ({option.range})" for option in options)
            raise FieldError(field, f"{part} has no option {_shown(name)}. {f'It has {has}.' if has else 'It has none.'}")
        try:
            values[name] = known[name].value(value)
        except ValueError:
            words = f"Option {name!r} of {part} cannot be {_shown(value)}. It can be {known[name].range}."
            raise FieldError(field, words) from None
    return values


def _option(name: str, parameter: inspect.Parameter, function: Callable[..., Any]) -> Option:
    if parameter.default is parameter.empty:
        raise PluginError(f"its option {name!r} needs a default, as in {name}: float = 1.0.")
    hint, more = _unwrapped(_hint(name, parameter, function))
    if (named := _reference(name, more, parameter)) is not None:
        return named
    hint, is_optional = _without_none(hint)
    inner, further = _unwrapped(hint)
    ranges = [one for one in (*more, *further) if isinstance(one, Range)]
    choices = tuple(choice for one in (*more, *further) if isinstance(one, Choice) for choice in one.choices)
    suggestions = tuple(text for one in (*more, *further) if isinstance(one, Suggest) for text in one.texts)
    about = next((one for one in (*more, *further) if isinstance(one, str)), "")
    kind = _kind(name, inner, parameter)
    if get_origin(inner) is Literal:
        choices = get_args(inner)
    if choices and kind not in ("str", "choice"):
        raise PluginError(f"its option {name!r} has choices, so its type is str, not {kind}.")
    if ranges and kind not in ("int", "float"):
        raise PluginError(f"its option {name!r} has a range, so its type is float or int, not {kind}.")
    if suggestions and kind != "str":
        raise PluginError(f"its option {name!r} has suggestions, so its type is str, not {kind}.")
    low, high, step = _limits(kind, ranges[0]) if ranges else (None, None, None)
    label = name.replace("_", " ").strip().capitalize() or name
    made = Option(name, "choice" if choices else kind, None, low, high, step, choices, label, about, is_optional)
    try:
        default = made.value(parameter.default)
    except ValueError:
        words = f"its option {name!r} has the default {_shown(parameter.default)}, but can be {made.range}."
        raise PluginError(words) from None
    return replace(made, default=default, suggestions=suggestions)


def _reference(name: str, more: tuple[Any, ...], parameter: inspect.Parameter) -> Option | None:
    """The option that names a picture, file or part. Its written type is what the part is called with, which nobody checks."""
    found = [one for one in more if isinstance(one, Picture | File | PartOf)]
    if not found:
        return None
    if parameter.default not in (None, "") and not (isinstance(parameter.default, str) and isinstance(found[0], PartOf | File)):
        raise PluginError(f"its option {name!r} has the default {_shown(parameter.default)}, but can be None or a name.")
    kind: Kind = "picture" if isinstance(found[0], Picture) else "file" if isinstance(found[0], File) else "part"
    of = "" if isinstance(found[0], Picture) else found[0].folder if isinstance(found[0], File) else found[0].registry
    about = next((one for one in more if isinstance(one, str)), "")
    label = name.replace("_", " ").strip().capitalize() or name
    return Option(name, kind, parameter.default or "", label=label, about=about, of=of)


def _hint(name: str, parameter: inspect.Parameter, function: Callable[..., Any]) -> Any:
    """The type that is written at a parameter. Resolved by itself: what stands at x or sigmas may not be there at run time."""
    if parameter.annotation is parameter.empty:
        return type(parameter.default)
    written = types.SimpleNamespace(__annotations__={name: parameter.annotation})
    inner: Any = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = inner if hasattr(inner, "__globals__") or hasattr(inner, "__func__") else type(inner).__call__
    around = getattr(getattr(inner, "__func__", inner), "__globals__", {})
    try:
        return typing.get_type_hints(written, around, include_extras=True)[name]
    except Exception as error:  # an annotation is a program of the author's
        words = f"its option {name!r} has the type {parameter.annotation!s}, which cannot be read: {error}."
        raise PluginError(words) from error


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its Annotated, and what that says."""
    return (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    rest = [one for one in get_args(hint) if one is not type(None)]
    return (rest[0], True) if len(rest) == 1 else (hint, False)


def _kind(name: str, hint: Any, parameter: inspect.Parameter) -> Kind:
    plain: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "str"}
    if isinstance(hint, type) and hint in plain:
        return plain[hint]
    if get_origin(hint) is Literal and all(isinstance(one, str) for one in get_args(hint)):
        return "choice"
    told = parameter.annotation if parameter.annotation is not parameter.empty else type(parameter.default).__name__
    shown = told if isinstance(told, str) else getattr(told, "__name__", str(told))
    raise PluginError(f"its option {name!r} is {shown}, but an option is bool, int, float, str, or Literal of texts.")


def _limits(kind: Kind, given: Range) -> tuple[float, float, float]:
    step = given.step
    if step is None:
        step = 1 if kind == "int" else 10.0 ** math.floor(math.log10((given.high - given.low) / 100))
    return (math.ceil(given.low), math.floor(given.high), step) if kind == "int" else (given.low, given.high, step)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
