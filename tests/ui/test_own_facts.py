"""What the page is told of extensions' parts, for its script to draw their controls."""

from __future__ import annotations

import json
from pathlib import Path

from tests.building import GOOD, write
from webui.testing import program
from webui.ui.own_facts import own_facts

MORE = """
from webui.contract import hookimpl

@hookimpl
def register_scripts(register):
    register("By itself", made, when=lambda request: False)
    register("By itself, with a choice", chosen, when=lambda request: False)

def made(request):
    yield request

def chosen(request, *, zero: int = 0, off: bool = False, none: float | None = None):
    yield request
"""


def test_kinds_names_and_options_are_told_and_nothing_that_is_empty(tmp_path: Path) -> None:
    with program(write(tmp_path, "good", GOOD), write(tmp_path, "more", MORE)) as app:
        folder = app.paths.models[0] / "ControlNet"
        folder.mkdir(parents=True)
        assert own_facts(app)["files"] == {"ControlNet": []}
        (folder / "edges.safetensors").write_bytes(b"never opened")
        facts = json.loads(json.dumps(own_facts(app)))
    assert list(facts["guiders"]) == ["Scaled", "Plain"] and facts["guiders"]["Plain"] == []
    assert facts["guiders"]["Scaled"][0] == {
        "name": "scale", "kind": "float", "default": 1.0, "low": 0, "high": 2, "step": 0.01, "label": "Scale",
        "about": "How much", "is_optional": False,
    }  # fmt: skip
    assert [(one["name"], one["kind"], one.get("of")) for one in facts["conditioners"]["Seen"]] == [
        ("picture", "picture", None), ("network", "file", "ControlNet"), ("preprocessor", "part", "preprocessors"),
        ("exact", "bool", None),
    ]  # fmt: skip
    assert "text" not in facts["conditioners"], "a family's conditioner is not for a request to choose"
    assert facts["files"] == {"ControlNet": ["edges.safetensors"]} and "Mirrored" in facts["parts"]["preprocessors"]
    assert list(facts["script"]) == ["Seeds", "By itself", "By itself, with a choice"]
    zero, off, none = facts["script"]["By itself, with a choice"]
    assert zero["default"] == 0 and off["default"] is False and "default" not in none and none["is_optional"]
    assert facts["unasked"] == ["By itself"]
