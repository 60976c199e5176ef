"""Samplers and schedules by the names that texts have for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def sampling(
    fields: Mapping[str, str], samplers: Collection[str], schedules: Collection[str], notes: list[str]
) -> dict[str, str]:
    """Sampler and schedule, by the names that exist."""
    values: dict[str, str] = {}
    named, schedule = fields.get("Sampler", ""), fields.get("Schedule type", "")
    if named:
        sampler, own = split_sampler(named, samplers, schedules)
        if sampler:
            values["sampler"] = sampler
        else:
            notes.append(f"No sampler is called {named[:60]!r}; the one chosen stays.")
        schedule = schedule or own
        if sampler and not schedule:
            values["schedule"] = "Automatic"
    if schedule:
        known = {name.casefold(): name for name in schedules} | {"automatic": "Automatic"}
        if schedule.casefold() in known:
            values["schedule"] = known[schedule.casefold()]
        else:
            values["schedule"] = "Automatic"
            notes.append(f"No schedule is called {schedule[:60]!r}; Automatic is used.")
    return values


def hires_names(values: dict[str, Any], samplers: Collection[str], schedules: Collection[str], notes: list[str]) -> None:
    """Sampler and schedule of the second pass by the names that exist; others are left out with a word."""
    for name, names in (("hires_sampler", samplers), ("hires_schedule", schedules)):
        registered = {known.casefold(): known for known in (*names, "Automatic")}
        if name in values and values[name].casefold() not in registered:
            notes.append(f"No {name.removeprefix('hires_')} is called {values[name][:60]!r}; hires fix uses the first one's.")
            del values[name]
        elif name in values:
            values[name] = registered[values[name].casefold()]


def split_sampler(named: str, samplers: Collection[str], schedules: Collection[str]) -> tuple[str, str]:
    """(sampler, schedule) of a sampler's name as written before A1111 1.9: "DPM++ 2M Karras" names both.

    Names in any case of letters; the longest schedule is tried first ("SGM Uniform" before "Uniform"). ("", "") if
    there is no such sampler; schedule "" if the name says none.
    """
    known = {name.casefold(): name for name in samplers}
    whole = named.strip().casefold()
    if whole in known:
        return known[whole], ""
    for schedule in sorted(schedules, key=len, reverse=True):
        head = whole.removesuffix(schedule.casefold())
        if head != whole and head[-1:] in (" ", "_") and head[:-1].strip() in known:
            return known[head[:-1].strip()], schedule
    return "", ""
