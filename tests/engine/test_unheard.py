"""A prompt that names nothing that a small checkpoint knows is drawn, and that is said once, wherever it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.api.small import BASE
from tests.checkpoints.test_knows import write_knows
from tests.conftest import POCKET
from webui.api.access import Access
from webui.api.server import build
from webui.checkpoints.build import Identity
from webui.checkpoints.catalog import Entry
from webui.checkpoints.knows import Knows, read_knows
from webui.commands import generate
from webui.contract.parts import Family, Parts
from webui.engine.plan import depth_checkpoint
from webui.engine.unheard import unheard
from webui.flags import parse
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

SAID = (
    'Pocket, a small checkpoint that comes with the program, does not know "lighthouse". It draws things such as a fox, '
    "a raccoon or an owl, and coloured shapes. For anything else put a checkpoint into models/Stable-diffusion."
)


@pytest.fixture(scope="module")
def little(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A workspace with the pocket's weights twice: one folder says what it knows, and one does not."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in ("telling", "silent"):
        (folder / name).mkdir()
        for piece in POCKET.iterdir():
            if piece.name != "knows.json":
                (folder / name / piece.name).symlink_to(piece)
    write_knows(folder / "telling")
    opened = open_app(Paths(tmp_path_factory.mktemp("data")), parts, extra_checkpoints=[folder], cpu_only=True)
    yield opened
    opened.close()


@pytest.fixture
def client(little: App) -> TestClient:
    return TestClient(build(little, Access.for_flags()), base_url=BASE)


def knows(folder: Path, **changed: object) -> Knows:
    found = read_knows(write_knows(folder, **changed))
    assert found is not None
    return found


def test_the_words_are_counted_and_cut_where_there_are_many_or_long_ones(tmp_path: Path) -> None:
    told = unheard("Pocket", knows(tmp_path, shapes=[]), "lighthouse, storm, cliffs, gulls, " + "w" * 50)
    assert 'does not know "lighthouse", "storm", "cliffs" and 2 more words. It draws things' in told
    assert "coloured shapes" not in told
    assert f'"{"w" * 29}…". It draws' in unheard("Pocket", knows(tmp_path, things=["grapes"]), "w" * 50)
    assert 'know "storm" or "gulls". For anything' in unheard("Pocket", knows(tmp_path, things=[], shapes=[]), "storm gulls")


@pytest.mark.parametrize("prompt", ["", "a fox in a lighthouse", "red grass", "# lighthouse", "a (cube:1.3)", "[storm|cherry]"])
def test_nothing_is_said_where_something_is_named_or_nothing_asked(tmp_path: Path, prompt: str) -> None:
    assert unheard("Pocket", knows(tmp_path), prompt) == ""


def test_a_comment_names_nothing(tmp_path: Path) -> None:
    assert unheard("Pocket", knows(tmp_path), "a lighthouse # no fox") == SAID


def test_the_job_is_drawn_and_carries_the_word_in_both_apis(client: TestClient, little: App) -> None:
    asked = {"prompt": "a lighthouse", "steps": 1, "seed": 1, "save": False}
    job = client.post("/api/v1/jobs", json={**asked, "checkpoint": "telling"}).json()
    assert job["notes"] == [SAID]
    ended = little.queue.wait(job["id"], 60)
    assert ended.state == "finished" and ended.notes == ended.images[0].notes == (SAID,)
    assert client.post("/api/v1/jobs", json={**asked, "checkpoint": "silent"}).json()["notes"] == []
    assert client.post("/api/v1/jobs", json={**asked, "prompt": "a fox", "checkpoint": "telling"}).json()["notes"] == []
    settings = {"override_settings": {"sd_model_checkpoint": "telling"}}
    answer = client.post("/sdapi/v1/txt2img", json={"prompt": "a lighthouse", "steps": 1, **settings}).json()
    assert SAID in answer["info"].replace('\\"', '"')


def test_depth_is_drawn_by_a_checkpoint_of_the_same_kind_whichever_is_listed_first(parts: Parts, tmp_path: Path) -> None:
    small, deep = parts.families["sd1"], parts.families["sd2-depth"]

    def entry(name: str, family: Family, told: Knows | None) -> Entry:
        return Entry(name, name, tmp_path / name, 1, Identity(family), knows=told)

    told = knows(tmp_path)
    shelf = [entry("little-depth", deep, told), entry("real-depth", deep, None), entry("other-depth", deep, None)]

    class Listed:
        entries, resident = staticmethod(lambda: shelf), staticmethod(lambda: ["other-depth", "little-depth"])

    assert depth_checkpoint(entry("little", small, told), Listed()).name == "little-depth"
    assert depth_checkpoint(entry("real", small, None), Listed()).name == "other-depth"
    del shelf[1:]
    assert depth_checkpoint(entry("real", small, None), Listed()).name == "little-depth"


def test_the_command_line_says_it_on_stderr(little: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "a lighthouse", "--checkpoint", "telling", "--steps", "1", "-o", str(tmp_path / "out.png")]
    assert generate(parse(words), lambda: little) == 0
    told = capsys.readouterr()
    assert told.err.count(SAID) == 1 and SAID not in told.out
    assert (tmp_path / "out.png").is_file()
