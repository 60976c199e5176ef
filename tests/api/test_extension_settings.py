"""An extension's settings in the API: checked, kept, its own, and not for everybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.small import BASE
from tests.test_plugins import extension
from webui.api.access import Access
from webui.api.server import build
from webui.main import find_plugins
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

SETS = """
from typing import Annotated, Literal
from webui.contract import Range, hookimpl

@hookimpl
def register_settings(register):
    register("strength", Annotated[float, Range(0, 2), "How much of it"], 0.5)
    register("way", Literal["up", "down"], "up")
    register("token", str, "")
    register("is_on", bool, True)
"""
OTHER = "from webui.contract import hookimpl\n\n@hookimpl\ndef register_settings(register):\n    register('strength', int, 3)\n"


def opened(data: Path, *disabled: str) -> App:
    paths = Paths(data, project=data)
    paths.state.mkdir(exist_ok=True)
    (paths.state / "extensions.json").write_text(json.dumps({"disabled": disabled}))
    found = find_plugins(paths)
    return open_app(paths, found.parts, found.extensions, plugins=found.plugins, owns=found.owns, cpu_only=True, takes_jobs=False)


def client_of(app: App, **flags: Any) -> TestClient:
    return TestClient(build(app, Access.for_flags(**flags)), base_url=BASE)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    extension(tmp_path, "sets", SETS)
    extension(tmp_path, "other", OTHER)
    return tmp_path


@pytest.fixture
def app(data: Path) -> Iterator[App]:
    app = opened(data)
    yield app
    app.close()


@pytest.fixture
def client(app: App) -> TestClient:
    return client_of(app)


PATH = "/api/v1/extensions/sets/settings"
BEGIN = {"strength": 0.5, "way": "up", "token": "", "is_on": True}


def file_of(data: Path, name: str = "sets") -> Path:
    return data / "state" / "extensions" / name / "settings.json"


def test_what_there_is_to_set_is_told_as_options_with_values(client: TestClient) -> None:
    told = client.get(PATH).json()
    assert told["values"] == BEGIN
    first, way = told["settings"][:2]
    assert (first["name"], first["kind"], first["low"], first["high"], first["about"]) == (
        "strength",
        "float",
        0,
        2,
        "How much of it",
    )
    assert way["choices"] == ["up", "down"]
    row = next(row for row in client.get("/api/v1/extensions").json() if row["name"] == "sets")
    assert (row["settings"], row["values"]) == (told["settings"], told["values"])


def test_a_change_is_kept_and_is_this_extensions_alone(client: TestClient, app: App, data: Path) -> None:
    answer = client.put(PATH, json={"strength": 1, "token": "sésame"})
    assert answer.status_code == 200 and answer.json()["values"] == {**BEGIN, "strength": 1.0, "token": "sésame"}
    assert app.owns("sets").settings["strength"] == 1.0 and app.owns("other").settings == {"strength": 3}
    assert json.loads(file_of(data).read_text()) == {"strength": 1.0, "token": "sésame"} and not file_of(data, "other").exists()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"strength": 3}, "Setting 'strength' of the extension sets cannot be 3. It can be 0 to 2."),
        ({"way": "left"}, "cannot be 'left'. It can be 'up', 'down'."),
        ({"is_on": 1}, "cannot be 1. It can be true or false."),
        ({"colour": "red"}, "The extension sets has no setting 'colour'. It has strength, way, token, is_on."),
        ({"token": "x" * 10_001}, "It can be text."),
        ({"way": "down", "strength": "much"}, "cannot be 'much'"),
        ([], "Send an object in JSON"),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence_and_changes_nothing(client: TestClient, values: Any, says: str) -> None:
    answer = client.put(PATH, json=values)
    assert answer.status_code == 422 and says in answer.json()["detail"]
    assert client.get(PATH).json()["values"] == BEGIN


def test_an_unknown_extension(client: TestClient) -> None:
    answer = client.put("/api/v1/extensions/set/settings", json={})
    assert answer.status_code == 404 and "Did you mean 'sets'?" in answer.json()["detail"]


def test_settings_survive_disabling_and_removal(client: TestClient, app: App, data: Path) -> None:
    client.put(PATH, json={"way": "down"})
    app.close()
    disabled = opened(data, "sets")
    try:
        off = client_of(disabled)
        assert off.get(PATH).json() == {"settings": [], "values": {}}
        answer = off.put(PATH, json={"way": "up"})
        assert answer.status_code == 409 and "is not running" in answer.json()["detail"]
    finally:
        disabled.close()
    (data / "extensions" / "sets").rename(data / "away")
    opened(data).close()
    (data / "away").rename(data / "extensions" / "sets")
    again = opened(data)
    try:
        assert again.owns("sets").settings["way"] == "down"
    finally:
        again.close()


@pytest.mark.parametrize("content", [b'{"way": "do', b"\xff\xfe\0", b'["down"]', b"", b"null"])
def test_a_damaged_file_falls_back_and_is_kept(client: TestClient, data: Path, content: bytes) -> None:
    client.put(PATH, json={"way": "down"})
    file_of(data).write_bytes(content)
    assert client.get(PATH).json()["values"] == BEGIN
    assert file_of(data).with_name("settings.json.bad").read_bytes() == content
    assert client.put(PATH, json={"strength": 2}).json()["values"]["strength"] == 2


def test_a_kept_value_that_is_not_allowed_any_more_falls_back_alone(client: TestClient, data: Path) -> None:
    file_of(data).parent.mkdir(parents=True)
    file_of(data).write_text('{"way": "left", "strength": 1.5, "of an older version": 1}')
    assert client.get(PATH).json()["values"] == {**BEGIN, "strength": 1.5}
    client.put(PATH, json={"is_on": False})
    assert json.loads(file_of(data).read_text())["of an older version"] == 1


def test_who_may_only_read_neither_changes_nor_sees_them(app: App) -> None:
    app.owns("sets").change(token="secret")
    with client_of(app, listen=True, no_login=True) as viewer:
        assert viewer.put(PATH, json={"way": "down"}).status_code == 403
        assert viewer.get(PATH).status_code == 403
        assert "secret" not in viewer.get("/api/v1/extensions").text
    with client_of(app) as mine:
        foreign = mine.put(PATH, json={"way": "down"}, headers={"origin": "http://evil.example"})
        assert foreign.status_code == 403
        assert mine.get(PATH).json()["values"]["way"] == "up"


def test_what_it_failed_in_is_told_without_the_users_paths(app: App, client: TestClient) -> None:
    for _ in range(3):
        try:
            raise OSError(f"no room in {app.paths.data}/outputs/x.png")
        except OSError as error:
            app.troubles.add("sets", "image_saved", error)
    row = next(row for row in client.get("/api/v1/extensions").json() if row["name"] == "sets")
    (trouble,) = row["troubles"]
    assert (trouble["where"], trouble["error"], trouble["times"]) == ("image_saved", "OSError: no room in outputs/x.png", 3)
    assert "Traceback" in trouble["details"] and str(app.paths.data) not in trouble["details"]
    with client_of(app, listen=True, no_login=True) as viewer:
        rows = {row["name"]: row for row in viewer.get("/api/v1/extensions").json()}
        assert rows["sets"]["troubles"][0]["details"] == "" and rows["other"]["troubles"] == []
