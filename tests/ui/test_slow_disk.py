"""A page opens with what is known while a disk does not answer: what its handlers do, without the browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints.test_catalog import pocket_copy
from webui.api.checkpoints import memory_of, rows
from webui.checkpoints.scan import Found, Place
from webui.contract.errors import UnknownCheckpointError
from webui.contract.parts import Parts
from webui.ui.header import choices, defaults_of, trouble
from webui.ui.reading import facts_of
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths


@pytest.fixture
def hanging(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """A workspace with a further folder whose disk never answers; what lay there was seen at an earlier start."""
    far = tmp_path / "far"
    pocket_copy(far / "pear")
    data, answers = Paths(tmp_path / "data"), threading.Event()
    earlier = open_app(data, parts, extra_checkpoints=[far], cpu_only=True, takes_jobs=False)
    assert earlier.checkpoints.find("pear")
    earlier.close()
    look = Place.look

    def looking(place: Place) -> list[Found]:
        if place.folder == far:
            answers.wait(120)
        return look(place)

    monkeypatch.setattr(Place, "look", looking)
    app = open_app(data, parts, extra_checkpoints=[far], cpu_only=True, takes_jobs=False, patience=0.2)
    yield app
    answers.set()
    app.close()


def test_everything_that_a_page_asks_for_is_answered(hanging: App) -> None:
    hanging.checkpoints.refresh()
    titles = [title for _, title in choices(hanging)]
    assert {"pocket", "pear"} <= set(titles)
    assert hanging.checkpoints.chosen == "pocket" and trouble(hanging) == ""
    assert defaults_of(hanging)["steps"] and facts_of(hanging)["native"] == 128
    assert {row["title"] for row in rows(hanging)} == set(titles)
    assert memory_of(hanging)["chosen"] == "pocket"
    assert hanging.choose_checkpoint("pocket-depth") == "pocket-depth"
    with pytest.raises(UnknownCheckpointError):
        hanging.checkpoints.find("nobody")
    assert hanging.checkpoints.catalog.is_looking, "the disk has not answered, and nobody waited for it"
