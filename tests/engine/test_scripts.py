"""Scripts: what they ask for is drawn, handed back, numbered, and found again by a job that is taken up."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any

import pytest
from PIL import Image

from webui.checkpoints.families import SD1
from webui.contract import PartOf, infotext
from webui.contract.errors import FieldError, Interrupted, PluginError, RequestError, UnknownNameError
from webui.contract.more_parts import ScriptPart
from webui.contract.request import GenerationRequest
from webui.contract.result import GeneratedImage, KeptImage, Progress
from webui.engine import own_options, scripts
from webui.engine.trial import faults
from webui.main import built_in
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

QUICK = GenerationRequest(prompt="a red cube", checkpoint="pocket", sampler="Euler", steps=1, width=64, height=64, seed=7)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    opened = open_app(Paths(tmp_path_factory.mktemp("data")), built_in()[0], checkpoint="pocket", cpu_only=True)
    yield opened
    opened.close()


@pytest.fixture
def offer(program: App) -> Iterator[Callable[..., None]]:
    """Registers scripts of an extension called "theirs"."""
    yield lambda name, function, **more: program.parts.scripts.add(ScriptPart(name, function, **more), "theirs")
    program.parts.scripts.remove_owner("theirs")


def drawn(app: App, request: GenerationRequest, **more: Any) -> list[tuple[int, GeneratedImage]]:
    return list(scripts.draw(request, app.checkpoints, app.parts, **more))


def prepared(app: App, request: GenerationRequest) -> scripts.Prepared:
    return scripts.prepare(request, app.checkpoints, app.parts)


def two_seeds(request: GenerationRequest, *, apart: int = 10) -> Iterator[Any]:
    first = yield replace(request, seed=request.seed)
    second = yield replace(request, seed=request.seed + apart)
    grid = Image.new("RGB", (128, 64))
    grid.paste(first[0].image, (0, 0))
    grid.paste(second[0].image, (64, 0))
    yield grid


TWO = replace(QUICK, script="two", script_options={"apart": 3})


def test_requests_are_drawn_and_their_pictures_sent_back_and_each_alone_makes_its_own(
    program: App, offer: Callable[..., None]
) -> None:
    offer("two", two_seeds, count=lambda request, apart: 3)
    (_, first), (_, second), (last, grid) = drawn(program, TWO)
    assert last == 2 and [first.request.seed, second.request.seed] == [7, 10]
    assert grid.image.crop((0, 0, 64, 64)).tobytes() == first.image.tobytes()
    assert grid.image.crop((64, 0, 128, 64)).tobytes() == second.image.tobytes() != first.image.tobytes()
    for picture in (first, second):
        assert picture.request.script == "" and "Script" not in picture.infotext
        assert drawn(program, picture.request)[0][1].image.tobytes() == picture.image.tobytes()


def test_the_infotext_of_a_grid_makes_the_whole_script_again(program: App, offer: Callable[..., None]) -> None:
    def batch_and_grid(request: GenerationRequest, *, size: int = 4) -> Iterator[Any]:
        pictures = yield request
        yield pictures[-1].image.resize((size, size))

    offer("Batch", batch_and_grid)
    made = drawn(program, replace(QUICK, script="batch", script_options={"size": 8}, batch_size=2, batch_count=2))
    text = made[-1][1].infotext
    values, notes = infotext.to_request(infotext.read(text), program.parts.samplers.names(), program.parts.schedules.names())
    fitted, left_out = own_options.fitting(values, program.parts)
    assert (fitted["script"], fitted["script_options"], notes, left_out) == ("Batch", {"size": 8}, [], [])
    again = drawn(program, GenerationRequest(**fitted, checkpoint="pocket"))
    assert [(number, picture.image.tobytes()) for number, picture in again] == [
        (number, picture.image.tobytes()) for number, picture in made
    ]
    assert len(again) == 5 and again[-1][1].infotext == text


def test_a_seed_that_is_left_open_follows_from_the_jobs(program: App, offer: Callable[..., None]) -> None:
    def any_seeds(request: GenerationRequest) -> Iterator[Any]:
        for _ in range(2):
            yield replace(request, seed=-1, variation_seed=-1, variation_strength=0.5)

    offer("any", any_seeds)

    def seeds(seed: int) -> list[tuple[int, int]]:
        made = drawn(program, replace(QUICK, script="any", seed=seed))
        return [(picture.request.seed, picture.request.variation_seed) for _, picture in made]

    once, again, other = seeds(7), seeds(7), seeds(8)
    assert once == again != other and len({seed for pair in once for seed in pair}) == 4


def test_scripts_run_unasked_where_their_mark_stands_for_others_requests_too_and_not_inside_themselves(
    program: App, offer: Callable[..., None]
) -> None:
    def stars(request: GenerationRequest) -> Iterator[Any]:
        for colour in ("red", "blue"):
            yield replace(request, prompt=request.prompt.replace("*", colour, 1))

    def twice(request: GenerationRequest) -> Iterator[Any]:
        yield replace(request, prompt=request.prompt.replace("!", ""))
        yield replace(request, prompt=request.prompt.replace("!", "shiny "))

    offer("stars", stars, when=lambda request: "*" in request.prompt)
    offer("marks", twice, when=lambda request: "!" in request.prompt)
    offer("two", two_seeds)
    prompts = [picture.request.prompt for _, picture in drawn(program, replace(QUICK, prompt="a !* * cube"))]
    assert prompts == [f"a {shiny}{colour} * cube" for colour in ("red", "blue") for shiny in ("", "shiny ")]
    made = drawn(program, replace(QUICK, prompt="a * cube", script="two"))
    assert [(picture.request.prompt, picture.request.seed) for _, picture in made[:-1]] == [
        (f"a {colour} cube", seed) for seed in (7, 17) for colour in ("red", "blue")
    ]
    assert [number for number, _ in made] == [0, 1, 2, 3, 4]
    assert "Script: two" in made[-1][1].infotext and made[-1][1].request.prompt == "a * cube"


def test_a_script_may_ask_for_another_one_but_not_for_itself(program: App, offer: Callable[..., None]) -> None:
    def asks(request: GenerationRequest, *, name: str = "") -> Iterator[Any]:
        made = yield replace(request, script=name, script_options={})
        assert len(made) == 3

    offer("asks", asks)
    offer("two", two_seeds)
    assert len(drawn(program, replace(QUICK, script="asks", script_options={"name": "two"}))) == 3
    with pytest.raises(FieldError, match="The script asks asks for itself"):
        prepared(program, replace(QUICK, script="asks", script_options={"name": "asks"}))


def test_a_list_of_requests_is_checked_and_filled_in_and_not_drawn(program: App, offer: Callable[..., None]) -> None:
    def checks(request: GenerationRequest, *, samplers: str = "") -> Iterator[Any]:
        filled = yield [replace(request, sampler=name) for name in samplers.split(",")]
        yield filled[-1]

    offer("checks", checks)
    (only,) = drawn(program, replace(QUICK, script="checks", script_options={"samplers": "euler,heun"}))
    assert only[1].request.sampler == "Heun"
    with pytest.raises(UnknownNameError, match="No sampler is called 'Hoin'"):
        prepared(program, replace(QUICK, script="checks", script_options={"samplers": "euler,Hoin"}))


def test_what_a_script_is_asked_is_checked_before_it_is_queued(program: App, offer: Callable[..., None]) -> None:
    offer("two", two_seeds, count=lambda request, apart: 3)
    made = prepared(program, replace(QUICK, script="TWO", seed=-1))
    assert made.pictures == 3 and made.request.script == "two" and made.request.script_options == {"apart": 10}
    assert made.request.seed >= 0
    with pytest.raises(FieldError, match=r"No script is called 'twu'\. Did you mean 'two'\?"):
        prepared(program, replace(QUICK, script="twu"))
    with pytest.raises(FieldError, match=r"Option 'apart' of two cannot be 'far'\. It can be a whole number\."):
        prepared(program, replace(QUICK, script="two", script_options={"apart": "far"}))
    with pytest.raises(FieldError, match="no script is named"):
        prepared(program, replace(QUICK, script_options={"apart": 1}))


class Told:
    """An observer that remembers what it was told."""

    def __init__(self, stop_at: int = 10**9) -> None:
        self.told: list[Progress] = []
        self.stop_at = stop_at

    def should_stop(self) -> bool:
        return len(self.told) >= self.stop_at

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)


def test_progress_is_of_the_whole_job_and_a_wrong_count_does_no_harm(program: App, offer: Callable[..., None]) -> None:
    def four(request: GenerationRequest) -> Iterator[Any]:
        for seed in range(2):
            yield replace(request, seed=seed, batch_size=2, steps=2)

    for count, fractions in ((4, [0.25, 0.5, 0.75, 1]), (2, [0.5, 1, 0.75, 1]), (8, [0.125, 0.25, 0.375, 0.5])):
        offer(f"four of {count}", four, count=lambda request, count=count: count)
        watching = Told()
        drawn(program, replace(QUICK, script=f"four of {count}"), observer=watching)
        assert [each.fraction for each in watching.told] == fractions
        assert [each.picture for each in watching.told] == [1, 1, 3, 3]
        assert {each.pictures for each in watching.told[-2:]} == {max(count, 4)}


def test_a_script_ends_within_one_call_of_the_network_and_is_closed(program: App, offer: Callable[..., None]) -> None:
    closed = []

    def endless(request: GenerationRequest) -> Iterator[Any]:
        try:
            while True:
                yield replace(request, steps=3)
        finally:
            closed.append(True)

    offer("endless", endless)
    watching, came = Told(stop_at=5), []
    with pytest.raises(Interrupted):
        came.extend(
            number for number, _ in scripts.draw(replace(QUICK, script="endless"), program.checkpoints, program.parts, watching)
        )
    assert len(watching.told) == 5 and closed == [True]


def test_a_script_that_never_ends_is_ended(program: App, offer: Callable[..., None]) -> None:
    def endless(request: GenerationRequest) -> Iterator[Any]:
        while True:
            yield Image.new("RGB", (8, 8))

    offer("endless", endless)
    offer("many", endless, count=lambda request: 20_000)
    came = 0
    with pytest.raises(RequestError, match="A job can have 10,000 pictures"):
        for _ in scripts.draw(replace(QUICK, script="endless"), program.checkpoints, program.parts):
            came += 1
    assert came == scripts.MOST == 10_000
    with pytest.raises(FieldError, match=r"many would make 20,000 pictures\. A job can have 10,000\."):
        prepared(program, replace(QUICK, script="many"))


def _raises(request: GenerationRequest) -> Iterator[Any]:
    yield request
    raise ZeroDivisionError("by nothing")


def _wrong_steps(request: GenerationRequest) -> Iterator[Any]:
    yield request
    yield replace(request, steps=5000)


def _a_number(request: GenerationRequest) -> Iterator[Any]:
    yield request
    yield 5


def _huge(request: GenerationRequest) -> Iterator[Any]:
    yield request
    yield Image.new("L", (70_000, 1))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_raises, "theirs failed in its script 'bad' (ZeroDivisionError: by nothing)"),
        (_wrong_steps, "theirs made a request that cannot be. Steps 5000 is out of range. It can be 1 to 1000., in its"),
        (_a_number, "theirs yielded a int, where a request or a picture is due, in its script 'bad'"),
        (_huge, "theirs made a picture of 70000 x 1, where a side has 1 to 65,500 pixels"),
    ],
)
def test_what_goes_wrong_names_the_extension_and_keeps_what_is_finished(
    function: Callable[..., Any], words: str, program: App, offer: Callable[..., None]
) -> None:
    offer("bad", function)
    came = []
    with pytest.raises(PluginError) as told:
        came.extend(scripts.draw(replace(QUICK, script="bad"), program.checkpoints, program.parts))
    assert words in str(told.value)
    job = program.queue.wait(program.queue.submit(replace(QUICK, script="bad")).id, 60)
    assert job.state == "failed" and words in job.error and len(job.images) == 1 and job.images[0].path


@pytest.mark.parametrize("more", [{"function": lambda request: [request]}, {"count": lambda request: "many"}])
def test_what_answers_something_else_is_refused_before_it_is_queued(
    more: dict[str, Any], program: App, offer: Callable[..., None]
) -> None:
    def one(request: GenerationRequest) -> Iterator[Any]:
        yield request

    offer("odd", **{"function": one, **more})
    before = len(program.queue.jobs())
    with pytest.raises(PluginError, match="The extension theirs"):
        program.queue.submit(replace(QUICK, script="odd"))
    assert len(program.queue.jobs()) == before


def test_one_that_cannot_say_whether_it_runs_is_left_out_and_told(program: App, offer: Callable[..., None]) -> None:
    offer("two", two_seeds, when=lambda request: request.nonsense)
    ((_, picture),) = drawn(program, QUICK)
    assert any("theirs failed in its script 'two', left out here" in note for note in picture.notes)


def test_what_the_checkpoint_does_not_hear_is_said_of_what_is_drawn_not_of_what_the_script_was_given(
    program: App, offer: Callable[..., None]
) -> None:
    def said(request: GenerationRequest) -> Iterator[Any]:
        yield replace(request, prompt="a red cube")

    offer("said", said)
    assert prepared(program, replace(QUICK, prompt="qwertz")).notes
    assert prepared(program, replace(QUICK, prompt="qwertz", script="said")).notes == ()


def kept_of(made: list[tuple[int, GeneratedImage]], opened: list[int]) -> Callable[[int], KeptImage | None]:
    there = dict(made)

    def open_of(number: int) -> Callable[[], Image.Image]:
        return lambda: [opened.append(number), there[number].image][1]  # type: ignore[func-returns-value, return-value]

    return lambda number: KeptImage(there[number].infotext, open_of(number)) if number in there else None


def test_pictures_that_are_there_are_handed_to_the_script_and_not_drawn(program: App, offer: Callable[..., None]) -> None:
    offer("two", two_seeds)
    whole = drawn(program, TWO)
    for done in range(4):
        watching, opened = Told(), list[int]()
        rest = drawn(program, TWO, kept=kept_of(whole[:done], opened), observer=watching)
        assert [number for number, _ in rest] == list(range(done, 3))
        assert [picture.image.tobytes() for _, picture in rest] == [picture.image.tobytes() for _, picture in whole[done:]]
        assert len(watching.told) == max(0, 2 - done) and opened == list(range(min(done, 2)))


def test_a_picture_of_another_request_in_its_place_is_drawn_again(program: App, offer: Callable[..., None]) -> None:
    offer("two", two_seeds)
    whole = drawn(program, TWO)
    other = replace(whole[1][1], infotext=whole[1][1].infotext.replace("Seed: 10", "Seed: 11"))
    rest = drawn(program, TWO, kept=kept_of([whole[0], (1, other)], []))
    assert [number for number, _ in rest] == [1, 2]
    hashed = replace(whole[1][1], infotext=whole[1][1].infotext.replace("Model: pocket", "Model hash: 0123456789, Model: pocket"))
    assert [number for number, _ in drawn(program, TWO, kept=kept_of([whole[0], (1, hashed)], []))] == [2]


def test_a_text_of_another_program_or_of_a_script_that_is_not_here_gives_a_note(program: App) -> None:
    for version, words in (("v1.10.1", "another program"), ("latent-webui 0.1", "which is not here")):
        text = f'moth\nSteps: 3, Sampler: Euler, Seed: 9, Script: X/Y/Z plot, Script options: "{{}}", Version: {version}'
        values, notes = infotext.to_request(infotext.read(text), program.parts.samplers.names(), program.parts.schedules.names())
        fitted, more = own_options.fitting(values, program.parts)
        assert "script" not in fitted and any("'X/Y/Z plot'" in note and words in note for note in [*notes, *more])
        assert not fitted.get("script_options") and prepared(program, GenerationRequest(**fitted)).pictures == 1


def test_options_that_the_script_of_today_has_not_are_left_out_with_a_word(program: App, offer: Callable[..., None]) -> None:
    offer("two", two_seeds)
    fitted, notes = own_options.fitting({"script": "two", "script_options": {"apart": 4, "gone": 1}}, program.parts)
    assert fitted == {"script": "two", "script_options": {"apart": 4}} and "gone" in notes[0]


def test_scripts_that_the_workspace_runs_beside_the_queue(program: App, offer: Callable[..., None]) -> None:
    offer("two", two_seeds)
    made = list(program.generate(TWO))
    assert [picture.request.seed for picture in made] == [7, 10, 7]


def test_a_text_is_a_note_for_the_user(program: App, offer: Callable[..., None]) -> None:
    def talks(request: GenerationRequest) -> Iterator[Any]:
        yield "Nothing was found."
        yield request

    offer("talks", talks)
    asked = replace(QUICK, script="talks")
    assert prepared(program, asked).notes == ("Nothing was found.",)
    assert [picture.notes for _, picture in drawn(program, asked)] == [("Nothing was found.",)]


def _by_chance(request: GenerationRequest) -> Iterator[Any]:
    yield replace(request, seed=secrets.randbelow(2**32))


def _needs_an_option(request: GenerationRequest, *, word: str = "") -> Iterator[Any]:
    if not word:
        raise FieldError("script_options", "Give it a word.")
    yield request


@pytest.mark.parametrize(
    ("function", "more", "words"),
    [
        (two_seeds, {"count": lambda request, apart: 3}, ""),
        (_needs_an_option, {}, ""),
        (_by_chance, {}, "theirs asks for something else each time in its script 'tried'"),
        (_raises, {}, "theirs failed in its script 'tried' (ZeroDivisionError: by nothing)"),
        (_a_number, {}, "theirs yielded a int"),
        (two_seeds, {"count": lambda request: 3}, "theirs failed in its script 'tried' (TypeError"),
        (two_seeds, {"when": lambda request: request.nonsense}, "theirs failed in its script 'tried' (AttributeError"),
    ],
)
def test_webui_extensions_check_runs_them_on_grey_pictures(
    function: Callable[..., Any], more: dict[str, Any], words: str, program: App, offer: Callable[..., None]
) -> None:
    offer("tried", function, **more)
    found = [str(fault) for fault in faults(program.parts, "theirs", SD1)]
    assert len(found) == bool(words) and words in " ".join(found)


def test_an_option_that_names_a_part_is_that_part_and_stands_in_the_infotext_by_its_name(
    program: App, offer: Callable[..., None]
) -> None:
    got = []

    def by_name(request: GenerationRequest, *, walks: Annotated[Any, PartOf("samplers")] = None) -> Iterator[Any]:
        got.append(walks)
        yield Image.new("RGB", (8, 8))

    offer("by name", by_name, count=lambda request, walks: 1 if callable(walks) else 0)
    asked = replace(QUICK, script="by name", script_options={"walks": "euler"})
    ((_, picture),) = drawn(program, asked)
    assert got == [program.parts.samplers["Euler"].function] and '\\"walks\\": \\"Euler\\"' in picture.infotext
    assert prepared(program, asked).pictures == 1 and prepared(program, replace(asked, script_options={})).pictures == 0
    with pytest.raises(FieldError, match="No sampler is called 'eular'"):
        prepared(program, replace(asked, script_options={"walks": "eular"}))
