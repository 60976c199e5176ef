"""Extensions in the API: who sees what of them, and the switches that count from the next start on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.small import BASE
from tests.test_plugins import MY_EULER, extension
from webui.api.access import Access
from webui.api.server import build
from webui.main import find_parts
from webui.workspace.app import App
from webui.workspace.extensions import ExtensionSwitches
from webui.workspace.paths import Paths

OPENS = "open('/etc/of-this-machine/secret plans.txt')"


@pytest.fixture
def extended(app: App, tmp_path: Path) -> App:
    """The workspace as it is after a start with two extensions: one runs, one cannot."""
    extension(tmp_path, "good", MY_EULER)
    with (tmp_path / "extensions" / "good" / "extension.toml").open("a") as manifest:
        manifest.write('description = "Euler, by hand"\nrequirements = ["numpy>=1.2"]\npermissions = ["network"]\n')
    extension(tmp_path, "broken", OPENS)
    return restarted(app, tmp_path)


def restarted(app: App, data: Path) -> App:
    paths = Paths(data, project=data)
    parts, extensions = find_parts(paths)
    return replace(app, paths=paths, parts=parts, extensions=extensions, switches=ExtensionSwitches(paths.switches_file))


def client_of(app: App, **flags: Any) -> TestClient:
    return TestClient(build(app, Access.for_flags(**flags)), base_url=BASE)


@pytest.fixture
def client(extended: App) -> Iterator[TestClient]:
    with client_of(extended) as opened:
        yield opened


def rows(client: TestClient) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in client.get("/api/v1/extensions").json()}


def turn(client: TestClient, name: str, enabled: Any) -> Any:
    return client.post(f"/api/v1/extensions/{name}/enabled", json={"enabled": enabled})


def test_each_is_told_with_what_it_says_of_itself_and_how_it_fared(client: TestClient) -> None:
    found = rows(client)
    assert found["good"] == {
        "name": "good",
        "version": "1.0",
        "description": "Euler, by hand",
        "origin": "project",
        "folder": "good",
        "requirements": ["numpy>=1.2"],
        "permissions": ["network"],
        "offers": ["sampler My Euler"],
        "error": "",
        "details": "",
        "running": True,
        "enabled": True,
        "can_switch": True,
        "note": "",
        "troubles": [],
        "settings": [],
        "values": {},
    }
    assert not found["broken"]["running"] and found["broken"]["enabled"]
    assert found["broken"]["error"].startswith("FileNotFoundError") and "Traceback" in found["broken"]["details"]


def test_where_it_lies_on_the_disk_is_told_to_nobody(client: TestClient, extended: App) -> None:
    text = client.get("/api/v1/extensions").text
    assert str(extended.paths.data) not in text and str(Path.home()) + "/" not in text
    broken = rows(client)["broken"]
    assert "/etc" not in broken["error"] and "of-this-machine" not in broken["error"]
    assert 'File "extensions/broken/extension.py", line 1' in broken["details"], "its author still finds the line"


def test_a_visitor_who_may_change_nothing_sees_no_traceback_and_can_switch_nothing(extended: App) -> None:
    with client_of(extended, listen=True, no_login=True) as visitor:
        found = rows(visitor)
        assert [row["details"] for row in found.values()] == ["", ""]
        assert found["broken"]["error"] and not any(row["can_switch"] for row in found.values())
        refusal = turn(visitor, "good", False)
        assert refusal.status_code == 403 and "--auth" in refusal.json()["detail"]
        assert turn(visitor, "nothing", False).status_code == 403, "nor does it say which there are"
    assert extended.switches.disabled == ()


def test_a_disabled_one_runs_until_the_restart_and_stays_away_after_it(client: TestClient, extended: App) -> None:
    answer = turn(client, "GOOD", False)
    assert answer.status_code == 200
    row = answer.json()
    assert row == rows(client)["good"]
    assert row["running"] and not row["enabled"]
    assert row["note"] == "Disabled. It goes on running until the program is restarted."
    after = restarted(extended, extended.paths.data)
    with client_of(after) as later:
        row = rows(later)["good"]
        assert (row["running"], row["enabled"], row["note"], row["error"]) == (False, False, "", "")
        assert row["description"] == "Euler, by hand" and row["offers"] == []
        assert "My Euler" not in [one["name"] for one in later.get("/sdapi/v1/samplers").json()]
        assert turn(later, "good", True).json()["note"] == "Enabled. It starts when the program is restarted."
    assert restarted(extended, extended.paths.data).parts.samplers.owner("My Euler") == "good"


def test_switching_back_leaves_nothing_to_be_said(client: TestClient, extended: App) -> None:
    assert turn(client, "broken", False).json()["note"] == "Disabled. It is not tried again after a restart."
    assert json.loads(extended.paths.switches_file.read_text()) == {"disabled": ["broken"]}
    assert turn(client, "broken", True).json()["note"] == ""
    assert extended.switches.disabled == ()


def test_with_all_off_the_note_names_the_flag(extended: App) -> None:
    off = tuple(replace(one, is_enabled=False, offers=()) for one in extended.extensions)
    app = replace(extended, extensions=off, switches=ExtensionSwitches(extended.paths.switches_file, are_all_off=True))
    with client_of(app) as client:
        row = rows(client)["good"]
        assert row["enabled"] and not row["running"] and "--disable-all-extensions" in row["note"]
        assert "stays off" in turn(client, "good", False).json()["note"]


@pytest.mark.parametrize("name", ["god", "nothing-like-it", "a/b", "%00", "x" * 3000, "<b>"])
def test_an_unknown_name_is_404_in_one_sentence(client: TestClient, extended: App, name: str) -> None:
    answer = turn(client, name, False)
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("No extension is called") and len(answer.json()["detail"]) < 300
    assert not extended.paths.switches_file.exists()
    if name == "god":
        assert "Did you mean 'good'?" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"enabled": "no"}, {"enabled": 0}, {"enabled": None}, [], "off"])
def test_anything_but_true_or_false_is_refused(client: TestClient, extended: App, body: Any) -> None:
    assert client.post("/api/v1/extensions/good/enabled", json=body).status_code == 422
    assert extended.switches.disabled == ()


def test_a_list_that_cannot_be_kept_is_said(client: TestClient, extended: App) -> None:
    extended.paths.state.write_text("a file in the folder's place")
    answer = turn(client, "good", False)
    assert answer.status_code == 507 and "extensions.json" in answer.json()["detail"]
    assert rows(client)["good"]["enabled"]


def test_the_conventions_list_says_who_runs(client: TestClient, extended: App) -> None:
    told = {row["name"]: row["enabled"] for row in client.get("/sdapi/v1/extensions").json()}
    assert told == {"good": True, "broken": False}
    turn(client, "good", False)
    with client_of(restarted(extended, extended.paths.data)) as later:
        told = {row["name"]: row["enabled"] for row in later.get("/sdapi/v1/extensions").json()}
        assert told == {"good": False, "broken": False}
