"""What a request says of its sampler's and its schedule's own options: checked, and filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from webui.contract.errors import FieldError, UnknownNameError
from webui.contract.options import NAMED, Option, checked, options_of, parameters
from webui.contract.parts import Family, Parts, SamplerPart
from webui.contract.registry import Registry
from webui.contract.request import CHOSEN, Chosen, request_from
from webui.engine.references import References
from webui.engine.schedules import AUTOMATIC, resolve
from webui.engine.strangers import OURS


def of_sampler(part: SamplerPart, given: Mapping[str, Any], parts: Parts) -> dict[str, Any]:
    """Values of a sampler's options as the finished picture carries them.

    All that an extension's sampler has, so that a picture is drawn the same when a later version has another default.
    Of ours only what is asked: our defaults stay (a test holds them), and infotext stays short.

    Raises:
        FieldError: the sampler has no such option, or the value is of another kind or out of its range.
    """
    named = {name: value for name, value in given.items() if name in NAMED}
    known = parameters(part.function)
    for name, value in named.items():
        if name not in known:
            has = ", ".join(known)
            words = f"{part.name} has no option {name!r}. {f'It has {has}.' if has else 'It has none.'}"
            raise FieldError("sampler_options", words)
        if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
            raise FieldError("sampler_options", f"Option {name!r} of {part.name} must be float, not {value!r}.")
    own = {name: value for name, value in given.items() if name not in NAMED}
    return named | _filled(part, own, parts.samplers, "sampler_options")


def of_schedule(
    name: str, sampler: SamplerPart, given: Mapping[str, Any], parts: Parts, family: Family
) -> tuple[str, dict[str, Any]]:
    """As of_sampler, for the schedule that is named, or that Automatic stands for with this sampler and family.

    Returns:
        the schedule's name and its options. Automatic stays where there are none; else they need the name that they belong to.
    """
    is_automatic = name.casefold() in ("", AUTOMATIC.casefold())
    part = resolve(sampler, name, parts.schedules, family.schedule) if is_automatic else parts.schedules[name]
    options = _filled(part, given, parts.schedules, "schedule_options")
    return (AUTOMATIC if is_automatic and not options else part.name), options


def of_chosen(
    field: str, asked: Iterable[Chosen], registry: Registry[Any], references: References, family: Family
) -> tuple[Chosen, ...]:
    """The conditioners or guiders of a request as a finished picture carries them: names as registered, options as in of_sampler.

    Args:
        field: of the request, and of the Parts.

    Raises:
        FieldError: there is none of that name, an option is wrong, or names what is not here, or the family reads no such thing.
    """
    done = list[Chosen]()
    for one in asked:
        if not _is_offered(one.name, registry):
            raise FieldError(field, str(UnknownNameError(registry.kind, one.name, [part.name for part in offered(registry)])))
        part = registry[one.name]
        if field == "conditioners" and family.network != "context":
            raise FieldError(field, f"{family.label} takes no {registry.kind} beside its own. Take {part.name} off.")
        values = _filled(part, one.options, registry, field)
        options = {option.name: option for option in options_of(part.function)}
        done.append(Chosen(part.name, {name: references.named(options[name], value, field) for name, value in values.items()}))
    return tuple(done)


def offered(registry: Registry[Any]) -> list[Any]:
    """The parts that a request may name: of conditioners those on request, of others all."""
    return [part for part in registry if getattr(part, "on_request", True)]


def _is_offered(name: str, registry: Registry[Any]) -> bool:
    return name in registry and registry[name] in offered(registry)


def of_script(name: str, given: Mapping[str, Any], references: References) -> tuple[str, dict[str, Any]]:
    """The script's name as it is registered, and its options, as of_chosen.

    Raises:
        FieldError: no script is called so; as of_chosen; or there are options, and no script.
    """
    if not name:
        if given:
            raise FieldError("script_options", "There are options of a script, but no script is named. Name it in script.")
        return "", {}
    registry = references.parts.scripts
    if name not in registry:
        raise FieldError("script", str(UnknownNameError(registry.kind, name, registry.names())))
    part = registry[name]
    values = _filled(part, given, registry, "script_options")
    options = {option.name: option for option in options_of(part.function)}
    return part.name, {key: references.named(options[key], value, "script_options") for key, value in values.items()}


def fitting(values: Mapping[str, Any], parts: Parts, references: References | None = None) -> tuple[dict[str, Any], list[str]]:
    """What an infotext says, without the parts that are not here and the options that those of today do not have or take, each
    with a sentence.

    Args:
        values: fields of a request; sampler and schedule by the names that they are registered by, where they are there.
        references: looks up what options name; None: there are no pictures or files.
    """
    known_names = references or References(parts)
    fitted, notes = dict(values), list[str]()
    sampler: SamplerPart | None = None
    if str(values.get("sampler", "")) in parts.samplers:
        sampler = parts.samplers[str(values["sampler"])]
    schedule = str(values.get("schedule", ""))
    own = "" if schedule.casefold() == AUTOMATIC.casefold() else schedule
    named = own or (sampler.ladder or sampler.schedule if sampler else "")
    chosen: dict[str, Any] = {"sampler_options": sampler, "schedule_options": None}
    if named in parts.schedules:
        chosen["schedule_options"] = parts.schedules[named]
    if (script := str(values.get("script", ""))) and script not in parts.scripts:
        notes.append(f"It was made by the script {script[:60]!r}, which is not here, so it makes one picture now.")
        fitted = {name: value for name, value in fitted.items() if name not in ("script", "script_options")}
    elif script:
        fitted["script"] = parts.scripts[script].name
        chosen["script_options"] = parts.scripts[script]
    for field, part in chosen.items():
        if part is not None and isinstance(values.get(field), Mapping):
            fitted[field], more = _fitting_options(field, part, values[field], known_names)
            notes += more
    for field in CHOSEN:
        if field not in fitted:
            continue
        kept, registry = list[Chosen](), getattr(parts, field)
        for one in getattr(request_from({field: fitted[field]}), field):
            if not _is_offered(one.name, registry):
                notes.append(f"It was made with the {registry.kind} {one.name[:60]!r}, which is not here, so it is left out.")
                continue
            options, more = _fitting_options(field, registry[one.name], one.options, known_names)
            kept.append(Chosen(registry[one.name].name, options))
            notes += more
        fitted[field] = tuple(kept)
    return fitted, notes


def _fitting_options(field: str, part: Any, given: Mapping[str, Any], references: References) -> tuple[dict[str, Any], list[str]]:
    fitted, notes, known = dict[str, Any](), list[str](), parameters(part.function)
    options = {option.name: option for option in options_of(part.function)}
    for name, value in given.items():
        try:
            if name not in NAMED or name not in known:
                checked(part.name, tuple(options.values()), {name: value}, field)
            fitted[name] = references.named(options[name], value, field) if name in options else value
        except FieldError as error:
            notes.append(f"This option was left out: {error}")
    return fitted, notes


def _filled(part: Any, given: Mapping[str, Any], registry: Registry[Any], field: str) -> dict[str, Any]:
    options = options_of(part.function)
    if given:
        _refuse_others(part, options, given, registry, field)
    values = checked(part.name, options, given, field)
    if registry.owner(part.name) in OURS:
        return values
    return {option.name: values.get(option.name, option.default) for option in options}


def _refuse_others(part: Any, options: Iterable[Option], given: Mapping[str, Any], registry: Registry[Any], field: str) -> None:
    """Raises FieldError for an option that another part has: most likely the wrong one is chosen."""
    own = {option.name for option in options}
    for name in given:
        if name in own:
            continue
        for other in registry:
            if any(option.name == name for option in options_of(other.function)):
                has = ", ".join(f"{option.name} ({option.range})" for option in options)
                raise FieldError(
                    field,
                    f"{part.name} has no option {name!r}, which is one of {other.name}. "
                    f"{f'It has {has}.' if has else 'It has none.'}",
                )
