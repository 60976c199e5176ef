"""What the user says of checkpoints is kept, checked, and counts where it should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from webui.contract.errors import FieldError, SaveError
from webui.contract.parts import Parts
from webui.workspace.app import open_app
from webui.workspace.notebook import Notebook, checked
from webui.workspace.paths import Paths

APPLE, PEAR = Path("/m/apple.safetensors"), Path("/m/pear.safetensors")


def test_notes_and_settings_are_there_at_the_next_start(tmp_path: Path) -> None:
    kept = tmp_path / "checkpoints.json"
    book = Notebook(kept)
    book.write_notes(APPLE, "  Good for ruins.\nÄ 猫 ")
    book.write_defaults(APPLE, {"steps": 8, "guidance": 1.5, "prompt": "ruin", "sampler": "", "width": None})
    again = Notebook(kept)
    assert again.notes(APPLE) == "Good for ruins.\nÄ 猫"
    assert again.defaults(APPLE) == {"steps": 8, "guidance": 1.5, "prompt": "ruin"}
    assert again.notes(PEAR) == "" and again.defaults(PEAR) == {}
    again.write_notes(APPLE, " ")
    again.write_defaults(APPLE, {})
    assert json.loads(kept.read_text()) == {}, "nothing is kept of one that says nothing"


@pytest.mark.parametrize(
    "values",
    [{"steps": 0}, {"steps": "many"}, {"guidance": float("nan")}, {"width": 8}, {"seed": 1}, {"prompt": "x" * 2001}, {1: 2}],
)
def test_what_no_request_could_have_is_refused_and_changes_nothing(tmp_path: Path, values: dict[str, object]) -> None:
    book = Notebook(tmp_path / "checkpoints.json")
    book.write_defaults(APPLE, {"steps": 8})
    with pytest.raises(FieldError):
        book.write_defaults(APPLE, values)
    assert Notebook(tmp_path / "checkpoints.json").defaults(APPLE) == {"steps": 8}


def test_notes_may_not_be_a_book(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="10,000"):
        Notebook(tmp_path / "checkpoints.json").write_notes(APPLE, "x" * 10_001)


@pytest.mark.parametrize("text", ["{", "[]", '{"/m/apple.safetensors": 3, "/x": {"defaults": {"steps": -1}, "notes": "kept"}}'])
def test_a_damaged_file_costs_no_more_than_what_is_damaged(tmp_path: Path, text: str) -> None:
    kept = tmp_path / "checkpoints.json"
    kept.write_text(text)
    book = Notebook(kept)
    assert book.defaults(Path("/x")) == {} and book.notes(APPLE) == ""
    assert (book.notes(Path("/x")) == "kept") == text.endswith("}}")
    assert (tmp_path / "checkpoints.json.bad").exists() == (not text.endswith("}}"))
    book.write_notes(APPLE, "new")
    assert Notebook(kept).notes(APPLE) == "new"


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in the folder's place")
    book = Notebook(tmp_path / "state" / "checkpoints.json")
    with pytest.raises(SaveError, match=r"checkpoints\.json"):
        book.write_notes(APPLE, "new")
    assert book.notes(APPLE) == ""


def test_settings_of_a_checkpoint_count_instead_of_its_familys_on_the_page_alone(parts: Parts, tmp_path: Path) -> None:
    app = open_app(Paths(tmp_path), parts, cpu_only=True, takes_jobs=False)
    try:
        pocket = app.checkpoints.find("pocket")
        family = app.checkpoints.defaults("pocket")
        app.notebook.write_defaults(pocket.path, {"steps": 7, "sampler": "Heun", "width": 192, "negative_prompt": "blurry"})
        own = app.checkpoints.defaults("pocket")
        assert (own.steps, own.sampler, own.width, own.negative_prompt) == (7, "Heun", 192, "blurry")
        assert (own.guidance, own.height, own.schedule) == (family.guidance, family.height, family.schedule)
        assert app.checkpoints.family_defaults("pocket") == family
        assert app.checkpoints.defaults("pocket-turbo") == app.checkpoints.family_defaults("pocket-turbo")
    finally:
        app.close()


def test_only_what_has_a_default_is_kept() -> None:
    assert checked({"schedule": "Karras", "height": 64, "steps": None}) == {"schedule": "Karras", "height": 64}
