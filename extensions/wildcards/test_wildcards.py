"""Wildcards: the same seed chooses the same, each picture by itself, and a picture's infotext has the words that were chosen."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from webui.added_command import run
from webui.api.access import Access
from webui.api.server import build
from webui.contract.errors import FieldError
from webui.contract.request import GenerationRequest
from webui.testing import program

HERE = Path(__file__).parent
ASKED = GenerationRequest(checkpoint="pocket", sampler="Euler", steps=1, width=64, height=64, seed=7)


@pytest.fixture(scope="module")
def app():
    with program(HERE, takes_jobs=True) as opened:
        yield opened


@pytest.fixture
def folder(app):
    """The user's own wildcards."""
    made = app.owns("wildcards").folder
    yield made
    for path in sorted(made.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


def prompts(app, prompt, pictures=1, field="prompt", **more):
    made = app.generate(replace(ASKED, **{field: prompt}, batch_count=pictures, **more))
    return [getattr(one.request, field) for one in made]


def expanded(app, prompt, count=200):
    with TestClient(build(app, Access.for_flags()), base_url="http://127.0.0.1:7860") as client:
        return client.get("/extensions/wildcards/expand", params={"prompt": prompt, "count": 100}).json()["prompts"][:count]


def test_one_of_several_words_for_each_picture_and_the_same_again(app):
    first, again = prompts(app, "a {red|green|blue} cube", 4), prompts(app, "a {red|green|blue} cube", 4)
    assert first == again and set(first) <= {"a red cube", "a green cube", "a blue cube"} and len(set(first)) > 1
    assert prompts(app, "a {red|green|blue} cube", seed=9) == first[2:3], "picture i is that of seed + i"


def test_infotext_has_the_words_and_makes_the_picture_alone(app):
    (one,) = app.generate(replace(ASKED, prompt="a {red|green|blue} __shape__"))
    assert one.infotext.startswith(one.request.prompt) and "{" not in one.infotext.splitlines()[0]
    assert "Script" not in one.infotext
    (alone,) = app.generate(one.request)
    assert alone.image.tobytes() == one.image.tobytes()


def test_pictures_with_the_same_words_are_drawn_together(app):
    request = replace(ASKED, prompt="a {cube} {cube|cube}", batch_size=3)
    made = list(app.generate(request))
    assert [one.request.seed for one in made] == [7, 8, 9] and {one.request.prompt for one in made} == {"a {cube} cube"}
    plain = list(app.generate(replace(request, prompt="a {cube} cube")))
    assert [one.image.tobytes() for one in made] == [one.image.tobytes() for one in plain]


def test_weights_are_kept(app):
    counted = Counter(expanded(app, "{3::a|b}"))
    assert 60 <= counted["a"] <= 90 and counted["a"] + counted["b"] == 100
    assert set(expanded(app, "{0::a|b}")) == {"b"} and set(expanded(app, "{0.5::a|0::b}")) == {"a"}


def test_several_of_them_none_twice(app):
    assert {frozenset(one.split(", ")) for one in expanded(app, "{2$$a|b|c}")} == {
        frozenset("ab"),
        frozenset("ac"),
        frozenset("bc"),
    }
    assert {len(one.split(", ")) for one in expanded(app, "{1-3$$a|b|c}")} == {1, 2, 3}
    assert {len(one.split(", ")) for one in expanded(app, "{2-$$a|b|c}")} == {2, 3}
    assert set(expanded(app, "{2$$ and $$a|b}")) == {"a and b", "b and a"}
    assert {len(one.split(", ")) for one in expanded(app, "{9$$a|b}")} == {2}


def test_they_nest_and_a_prompt_s_own_brackets_stay(app):
    assert set(expanded(app, "{a {b|c}|d}")) == {"a b", "a c", "d"}
    assert set(expanded(app, "{[a|b]|c}")) == {"[a|b]", "c"}
    for plain in ("a {cube}", r"a \{red|green\} cube", "{", "a } b", "[red|green]", "snake_case __init", "____", "{prompt}, art"):
        assert set(expanded(app, plain)) == {plain}


def test_lines_of_files_comments_and_folders(app, folder):
    (folder / "animals").mkdir()
    (folder / "animals" / "birds.txt").write_text("# not this\n\nwren\n  owl  \n0::crow\n", "utf-8-sig")
    (folder / "mine.txt").write_bytes("caf\xe9\n".encode("latin-1"))
    assert set(expanded(app, "__animals/birds__")) == {"wren", "owl"} == set(expanded(app, "__Animals/Birds__"))
    assert {"wren", "terrier", "tabby cat"} <= set(expanded(app, "__animals/*__"))
    assert set(expanded(app, "__mine__")) == {"café"}
    (folder / "shape.txt").write_text("torus")
    assert set(expanded(app, "__shape__")) == {"torus"}, "the user's own stands before the example"


def test_files_in_files(app, folder):
    (folder / "outer.txt").write_text("__inner__ {1|2}")
    (folder / "inner.txt").write_text("a\nb")
    assert set(expanded(app, "__outer__")) == {"a 1", "a 2", "b 1", "b 2"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a": "__b__", "b": "x __a__"}, "The wildcard __a__ leads back to itself: __a__ > __b__ > __a__."),
        ({"a": " ".join(["__b__"] * 150), "b": " ".join(["__c__"] * 150), "c": "x"}, "need more than 10,000 choices"),
        ({"a": "__b__" * 200, "b": "x" * 1000}, "more than 100,000 letters"),
    ],
)
def test_what_has_no_end_is_a_sentence_before_anything_is_queued(app, folder, files, words):
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    before = len(app.queue.jobs())
    with pytest.raises(FieldError) as told:
        app.queue.submit(replace(ASKED, prompt="__a__"))
    assert words in str(told.value) and len(app.queue.jobs()) == before


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("{" * 30_000 + "a|b" + "}" * 30_000, "nest more than 20 deep"),
        ("{" * 99_000 + "a|b}", ""),
        ("a|b}" * 24_000, ""),
        ("{a|b}" * 11_000, "need more than 10,000 choices"),
        ("__a" * 33_000, ""),
    ],
)
def test_odd_prompts_are_quick_and_end_in_a_sentence(app, prompt, words):
    chooser = sys.modules["webui_extension_wildcards.grammar"]
    try:
        chooser.has_mark(prompt)
        chooser.Chooser(lambda _: None, "1").resolved(prompt)
        said = ""
    except FieldError as error:
        said = str(error)
    assert words in said and bool(words) == bool(said)


def test_a_name_that_nobody_knows_stays_and_is_told(app):
    job = app.queue.wait(app.queue.submit(replace(ASKED, prompt="a __colours__ {cube|cube}")).id, 60)
    assert job.images[0].infotext.startswith("a __colours__ cube\n")
    assert "No wildcard is called __colours__. Did you mean __colour__?" in job.notes


def test_the_four_prompts_and_both_passes_choose_alike(app):
    request = replace(
        ASKED, prompt="{a|b|c|d|e}", hires_prompt="{a|b|c|d|e}", negative_prompt="{x|y|z}", hires_negative_prompt="{x|y|z}"
    )
    for one in app.generate(replace(request, batch_count=3)):
        asked = one.request
        assert asked.prompt == asked.hires_prompt and asked.negative_prompt == asked.hires_negative_prompt
        assert asked.prompt in "abcde" and asked.negative_prompt in "xyz"


def test_one_choice_for_all_pictures_where_it_is_asked_for(app):
    more = {"script": "Wildcards", "script_options": {"one_for_all": True}}
    assert len(set(prompts(app, "{a|b|c|d|e|f|g}", 4, **more))) == 1 < len(set(prompts(app, "{a|b|c|d|e|f|g}", 4)))


def test_it_waits_to_be_asked_where_the_user_wishes(app):
    own = app.owns("wildcards")
    own.change(runs_unasked=False)
    try:
        assert prompts(app, "{a|b}") == ["{a|b}"]
        assert prompts(app, "{a|b}", script="Wildcards")[0] in ("a", "b")
    finally:
        own.change(runs_unasked=True)


def test_a_further_folder_is_read_and_never_written(app, folder, tmp_path):
    (tmp_path / "theirs.txt").write_text("x")
    own = app.owns("wildcards")
    own.change(more_files=str(tmp_path))
    try:
        assert set(expanded(app, "__theirs__")) == {"x"}
        with TestClient(build(app, Access.for_flags()), base_url="http://127.0.0.1:7860") as client:
            assert client.delete("/extensions/wildcards/files/theirs").status_code == 422
            assert client.put("/extensions/wildcards/files/theirs", json={"text": "y"}).status_code == 200
    finally:
        own.change(more_files="")
    assert (tmp_path / "theirs.txt").read_text() == "x" and (folder / "theirs.txt").read_text() == "y"


def test_routes_list_write_and_delete_and_stay_in_the_folder(app, folder):
    with TestClient(build(app, Access.for_flags()), base_url="http://127.0.0.1:7860") as client:
        at = "/extensions/wildcards/files"
        assert client.put(f"{at}/mine/new one", json={"text": "a\r\nb\n"}).json() == {"name": "mine/new one", "text": "a\nb\n"}
        assert (folder / "mine" / "new one.txt").read_text() == "a\nb\n"
        rows = {row["name"]: row for row in client.get(at).json()}
        assert rows["mine/new one"] == {"name": "mine/new one", "lines": 2, "own": True} and not rows["colour"]["own"]
        assert client.delete(f"{at}/mine/new one").status_code == 200 and not list(folder.rglob("*.txt"))
        for name in ("..%2Foutside", "a%2F..%2F..%2Fb", ".hidden", "a%00b", "x" * 99):
            assert client.put(f"{at}/{name}", json={"text": "x"}).status_code in (404, 405, 422), name
        assert client.get(f"{at}/nope").status_code == 422 and client.delete(f"{at}/colour").status_code == 422
    assert not list(folder.rglob("*")) or [path.name for path in folder.rglob("*")] == ["mine"]
    assert not (folder.parent / "outside.txt").exists()


def test_those_who_may_only_look_change_nothing(app, folder):
    with TestClient(build(app, Access.for_flags(listen=True, no_login=True)), base_url="http://127.0.0.1:7860") as client:
        assert client.put("/extensions/wildcards/files/mine", json={"text": "x"}).status_code == 403
        assert client.get("/extensions/wildcards/expand", params={"prompt": "a"}).status_code == 200
    assert not list(folder.iterdir())


def test_the_command(app, capsys):
    def typed(*words):
        with program(HERE) as opened:  # the command closes the program that it was given
            return run("wildcards", words, opened.parts.commands, lambda: opened)

    assert typed("expand", "a {red|green} cube", "--seed", "7", "--count", "3") == 0
    assert capsys.readouterr().out.splitlines() == prompts(app, "a {red|green} cube", 3)
    assert typed("expand", "__nope__", "--count", "1") == 1
    assert typed("list") == 0
    assert "__animals/cats__  3 lines" in capsys.readouterr().out


def test_the_tab_is_built_and_what_it_shows_is_what_is_drawn(app):
    import gradio as gr

    with gr.Blocks() as page, gr.Tabs(), gr.Tab("Wildcards"):
        app.parts.tabs["Wildcards"].function(app)
    boxes = {block.label: block for block in page.blocks.values() if getattr(block, "label", None)}
    assert "colour" in [name for name, _ in boxes["Wildcard"].choices]
    assert boxes["What five pictures would be drawn from"].value.splitlines() == expanded(app, boxes["Try a prompt"].value, 5)


def test_jobs_with_and_without_them_are_drawn_side_by_side(app):
    app.settings.change(share_steps=True)
    asked = [replace(ASKED, prompt=prompt, batch_count=2, steps=4) for prompt in ("a red cube", "a {red|green|blue} cube")]
    jobs = [app.queue.wait(id, 120) for id in [app.queue.submit(request).id for request in asked]]
    for job, request in zip(jobs, asked, strict=True):
        texts = [one.infotext.splitlines()[0] for one in app.generate(request)]
        assert job.state == "finished" and [image.infotext.splitlines()[0] for image in job.images] == texts
