"""Options of an extension's sampler and schedule: they reach it, they stand in the picture, and wrong ones are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.pushing import CODE, pushing_parts, write_pushing
from webui.contract import infotext
from webui.contract.errors import FieldError
from webui.contract.options import options_of
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest, request_from
from webui.contract.result import GeneratedImage
from webui.engine import plan
from webui.engine.generate import generate
from webui.engine.own_options import fitting
from webui.main import find_parts
from webui.workspace.app import App
from webui.workspace.paths import Paths

ALL = {"push": 1.0, "tries": 1, "gain": 1.0, "keep_end": False, "side": "left", "word": ""}
ASKED = GenerationRequest(prompt="a red cube", sampler="Pushed Euler", steps=3, seed=9)


@pytest.fixture(scope="module")
def pushing(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return pushing_parts(tmp_path_factory.mktemp("pushing"))


def drawn(app: App, parts: Parts, **values: Any) -> GeneratedImage:
    return next(generate(replace(ASKED, **values), app.checkpoints, parts))


def test_an_option_reaches_the_sampler_and_stands_in_the_picture(app: App, pushing: Parts) -> None:
    euler, plain = drawn(app, pushing, sampler="Euler"), drawn(app, pushing)
    moved = drawn(app, pushing, sampler_options={"push": 0.5, "side": "right"})
    assert euler.image.tobytes() == plain.image.tobytes() != moved.image.tobytes()
    assert plain.request.sampler_options == ALL, "all are kept, so that another default changes no picture"
    assert moved.request.sampler_options == ALL | {"push": 0.5, "side": "right"}
    assert r'Sampler options: "{\"push\": 0.5, \"tries\": 1, ' in moved.infotext
    assert "options" not in euler.infotext


def test_the_picture_is_made_again_from_its_text(app: App, pushing: Parts) -> None:
    first = drawn(
        app, pushing, sampler_options={"push": 0.3, "word": 'a "b", c: d\n'}, schedule="Bent", schedule_options={"bend": 2}
    )
    values, notes = infotext.to_request(infotext.read(first.infotext), pushing.samplers.names(), pushing.schedules.names())
    fitted, left_out = fitting(values, pushing)
    assert (notes, left_out) == ([], [])
    again = next(generate(request_from({**fitted, "checkpoint": first.request.checkpoint}), app.checkpoints, pushing))
    assert again.image.tobytes() == first.image.tobytes()
    assert again.infotext == first.infotext


def test_an_option_reaches_the_schedule(app: App, pushing: Parts) -> None:
    straight = drawn(app, pushing, schedule="Bent")
    bent = drawn(app, pushing, schedule="Bent", schedule_options={"bend": 2})
    assert straight.request.schedule_options == {"bend": 1.0}
    assert bent.request.schedule_options == {"bend": 2.0}
    assert straight.image.tobytes() != bent.image.tobytes()
    assert r'Schedule options: "{\"bend\": 2.0}"' in bent.infotext


def test_a_picture_is_the_same_after_the_default_has_changed(app: App, pushing: Parts, tmp_path: Path) -> None:
    newer = pushing_parts(tmp_path, CODE.replace('"How far each step goes"] = 1.0', '"How far each step goes"] = 0.4'))
    before = drawn(app, pushing)
    after = next(generate(before.request, app.checkpoints, newer))
    assert after.image.tobytes() == before.image.tobytes()
    assert drawn(app, newer).image.tobytes() != before.image.tobytes()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"push": 2.5}, "Option 'push' of Pushed Euler cannot be 2.5. It can be 0 to 2."),
        ({"push": float("nan")}, "Option 'push' of Pushed Euler cannot be nan."),
        ({"side": "up"}, "Option 'side' of Pushed Euler cannot be 'up'. It can be 'left', 'right'."),
        (
            {"nothing": 1},
            "Pushed Euler has no option 'nothing'. It has push (0 to 2), tries (a whole number, 1 to 3), ",
        ),
        ({"pull": 1}, "Pushed Euler has no option 'pull', which is one of Other Euler. It has push (0 to 2)"),
        ({"order": 3}, "Pushed Euler has no option 'order', which is one of LMS."),
        ({"s_churn": 1.0}, "Pushed Euler has no option 's_churn'."),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_drawn(app: App, pushing: Parts, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(FieldError) as raised:
        plan.plan(replace(ASKED, sampler_options=asked), app.checkpoints, pushing)
    assert words in str(raised.value)
    assert raised.value.field == "sampler_options"


def test_a_wrong_option_of_the_schedule_is_refused_with_its_name(app: App, pushing: Parts) -> None:
    for schedule, asked, words in (
        ("Bent", {"bend": 4}, "Option 'bend' of Bent cannot be 4. It can be 0.5 to 3."),
        ("Karras", {"bend": 1}, "Karras has no option 'bend', which is one of Bent. It has rho (1 to 20), sigma_min ("),
        ("Automatic", {"bend": 1}, "Karras has no option 'bend'"),
        ("Simple", {"bend": 1}, "Simple has no option 'bend', which is one of Bent. It has none."),
    ):
        with pytest.raises(FieldError) as raised:
            plan.plan(replace(ASKED, schedule=schedule, schedule_options=asked), app.checkpoints, pushing)
        assert words in str(raised.value)
        assert raised.value.field == "schedule_options"


def test_options_of_the_built_in_schedules_count_and_stay_out_of_a_picture_that_asks_for_none(app: App, parts: Parts) -> None:
    usual = drawn(app, parts, sampler="Euler", schedule="Karras")
    flat = drawn(app, parts, sampler="Euler", schedule="Karras", schedule_options={"rho": 3})
    assert usual.request.schedule_options == {}
    assert usual.image.tobytes() != flat.image.tobytes()
    assert r'Schedule options: "{\"rho\": 3.0}"' in flat.infotext


def test_the_defaults_of_built_in_options_stay_as_old_pictures_have_them(parts: Parts) -> None:
    """They are not written into pictures: another default would draw them anew."""
    found = {
        part.name: {one.name: one.default for one in options_of(part.function)} for part in (*parts.samplers, *parts.schedules)
    }
    ends = {"sigma_min": None, "sigma_max": None}
    assert {name: options for name, options in found.items() if options} == {
        "LMS": {"order": 4},
        "UniPC": {"order": 3, "variant": "bh1", "lower_order_final": True},
        "Karras": {"rho": 7.0, **ends},
        "Exponential": ends,
        "Polyexponential": {"rho": 1.0, **ends},
        "KL Optimal": ends,
        "Beta": {"alpha": 0.6, "beta": 0.6, **ends},
        **{f"Align Your Steps{more}": {"trained_for": "sd1"} for more in ("", " GITS", " 11", " 32")},
    }


def test_the_second_pass_keeps_the_options_of_its_own_sampler_and_schedule_only(app: App, pushing: Parts) -> None:
    asked = replace(ASKED, sampler_options={"push": 0.5}, schedule="Bent", schedule_options={"bend": 2}, hires_scale=2.0)
    for more, sampler, schedule in (
        ({}, ALL | {"push": 0.5}, {"bend": 2.0}),
        ({"hires_sampler": "Euler"}, {}, {"bend": 2.0}),
        ({"hires_schedule": "Karras"}, ALL | {"push": 0.5}, {}),
    ):
        again = plan.passes_of(plan.plan(replace(asked, **more), app.checkpoints, pushing).request)[1].request
        assert (again.sampler_options, again.schedule_options) == (sampler, schedule)


def test_a_schedule_that_automatic_stands_for_is_named_where_it_has_options(app: App, pushing: Parts) -> None:
    """Else nobody could tell later what its options belong to."""
    asked = replace(ASKED, sampler="Other Euler", hires_scale=2.0, hires_sampler="Euler")
    done = plan.plan(asked, app.checkpoints, pushing).request
    assert (done.schedule, done.schedule_options) == ("Bent", {"bend": 1.0})
    again = plan.passes_of(done)[1].request
    assert (again.sampler, again.schedule, again.schedule_options) == ("Euler", "Automatic", {})
    plain = plan.plan(replace(ASKED, sampler="DPM++ 2M"), app.checkpoints, pushing).request
    assert (plain.schedule, plain.schedule_options) == ("Automatic", {})


def test_options_of_an_extension_that_is_gone_do_not_stand_in_the_way(app: App, pushing: Parts, parts: Parts) -> None:
    text = drawn(app, pushing, sampler_options={"push": 0.3}, schedule="Bent", schedule_options={"bend": 2}).infotext
    values, notes = infotext.to_request(infotext.read(text), parts.samplers.names(), parts.schedules.names())
    assert values["seed"] == 9 and values["steps"] == 3
    assert not {"sampler", "sampler_options", "schedule_options"} & set(values)
    assert notes == [
        "No sampler is called 'Pushed Euler'; the one chosen stays.",
        "No schedule is called 'Bent'; Automatic is used.",
    ]
    assert plan.plan(request_from(values), app.checkpoints, parts).request.sampler_options == {}


def test_options_that_a_newer_version_has_no_more_are_left_out_with_a_word(app: App, pushing: Parts, tmp_path: Path) -> None:
    text = drawn(app, pushing, sampler_options={"push": 0.3}).infotext
    newer = pushing_parts(tmp_path, CODE.replace("push: Annotated[float, Range(0, 2)", "push: Annotated[float, Range(1, 2)"))
    values, _ = infotext.to_request(infotext.read(text), newer.samplers.names(), newer.schedules.names())
    fitted, notes = fitting(values, newer)
    assert notes == ["This option was left out: Option 'push' of Pushed Euler cannot be 0.3. It can be 1 to 2."]
    assert fitted["sampler_options"] == {name: value for name, value in ALL.items() if name != "push"}


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        ("*, push: list = 1", "The sampler 'Odd': its option 'push' is list, but an option is bool, int, float, str, or Literal"),
        ("*, push: float", "The sampler 'Odd': its option 'push' needs a default, as in push: float = 1.0."),
        ("*, push: Annotated[float, Range(0, 2)] = 9.0", "its option 'push' has the default 9.0, but can be 0 to 2."),
        ("*, push: Nowhere = 1", "its option 'push' has the type Nowhere, which cannot be read: name 'Nowhere' is not defined."),
        (
            "**more",
            "The sampler 'Odd' takes **more, which tells no names: it is to take (denoise, x, sigmas, noise), and its own",
        ),
        ("*more", "The sampler 'Odd' takes *more, which tells no names"),
    ],
)
def test_an_extension_whose_options_cannot_be_is_refused_at_start(tmp_path: Path, signature: str, words: str) -> None:
    head = CODE[: CODE.index("@hookimpl")]
    hook = "@hookimpl\ndef register_samplers(register):\n    register('Odd', odd)\n"
    write_pushing(tmp_path, f"{head}{hook}def odd(denoise, x, sigmas, noise, {signature}):\n    return x\n")
    parts, extensions = find_parts(Paths(tmp_path, project=tmp_path))
    assert words in extensions[0].error
    assert "Odd" not in parts.samplers and "Euler" in parts.samplers
