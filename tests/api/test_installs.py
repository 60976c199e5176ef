"""Installing through the API: what is asked for is told first, one change at a time, and only for who sits at this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.small import BASE, basic
from tests.test_installing import Home, files_of, write, zipped
from tests.test_plugins import MY_EULER
from webui.api.access import Access
from webui.api.server import build
from webui.main import find_parts
from webui.workspace.app import App
from webui.workspace.extensions import ExtensionSwitches
from webui.workspace.installs import Installs
from webui.workspace.paths import Paths

PATH = "/api/v1/extensions/changes"


class Place:
    """A data folder, and the program over it as it is after each start."""

    def __init__(self, app: App, data: Path) -> None:
        self.home, self._app = Home(data), app
        self.source = write(data.parent / "source", files_of(code=MY_EULER, permissions=["network"]))

    def started(self) -> App:
        paths = Paths(self.home.data, project=self.home.data)
        parts, extensions = find_parts(paths)
        switches = ExtensionSwitches(paths.switches_file)
        installs = Installs(self.home.installer, switches)
        return replace(self._app, paths=paths, parts=parts, extensions=extensions, switches=switches, installs=installs)

    def client(self, **flags: Any) -> TestClient:
        return TestClient(build(self.started(), Access.for_flags(**flags)), base_url=BASE)


@pytest.fixture
def place(app: App, tmp_path: Path) -> Place:
    return Place(app, tmp_path / "data")


@pytest.fixture
def client(place: Place) -> Iterator[TestClient]:
    with place.client() as opened:
        yield opened


def ended(client: TestClient, answer: Any = None) -> dict[str, Any]:
    """The change once it works no more."""
    assert answer is None or answer.status_code == 202, answer.text
    end = time.monotonic() + 60
    while time.monotonic() < end:
        change = client.get(PATH).json()["change"]
        if change["state"] != "working":
            return dict(change)
        time.sleep(0.02)
    raise AssertionError("the change did not come to an end")


def begun(client: TestClient, action: str, **more: str) -> Any:
    return client.post(PATH, json={"action": action, **more})


def agreed(client: TestClient, change: dict[str, Any]) -> Any:
    return client.post(f"{PATH}/{change['id']}/yes")


def test_it_is_shown_first_and_installed_after_a_yes_and_runs_after_a_restart(client: TestClient, place: Place) -> None:
    assert client.get(PATH).json() == {"allowed": True, "reason": "", "change": None, "installed": []}
    change = ended(client, begun(client, "install", source=str(place.source)))
    assert (change["state"], change["action"], change["subject"]) == ("asking", "install", str(place.source))
    asks = change["asks"]
    assert (asks["name"], asks["version"], asks["permissions"], asks["missing"]) == ("my-sampler", "1.0", ["network"], [])
    assert not (place.home.extensions / "my-sampler").exists()
    change = ended(client, agreed(client, change))
    assert (change["state"], change["outcome"]) == (
        "done", "my-sampler 1.0 is installed. It runs when the program is restarted.",
    )  # fmt: skip
    (row,) = client.get(PATH).json()["installed"]
    assert (row["name"], row["source"], row["before"]) == ("my-sampler", str(place.source), "")
    assert row["note"] == "Installed. It runs when the program is restarted."
    with place.client() as later:
        assert [one["name"] for one in later.get("/api/v1/extensions").json() if one["running"]] == ["my-sampler"]
        assert later.get(PATH).json()["installed"][0]["note"] == ""


def test_update_roll_back_and_remove(place: Place) -> None:
    place.home.install(place.source)
    with place.client() as client:
        assert ended(client, begun(client, "update", name="my-sampler"))["outcome"].startswith(
            "my-sampler 1.0 is the newest that "
        )
        write(place.source, files_of(version="2.0", code=MY_EULER, permissions=["network", "camera"]))
        change = ended(client, begun(client, "update", name="MY-SAMPLER"))
        assert (change["asks"]["replaces"], change["asks"]["new_permissions"]) == ("1.0", ["camera"])
        ended(client, agreed(client, change))
        (row,) = client.get(PATH).json()["installed"]
        assert (row["version"], row["before"]) == ("2.0", "1.0")
        assert row["note"] == "Version 2.0 is installed. It runs when the program is restarted."
        outcome = "my-sampler is back in version 1.0. It runs when the program is restarted."
        assert ended(client, begun(client, "rollback", name="my-sampler"))["outcome"] == outcome
        assert client.get(PATH).json()["installed"][0]["note"] == ""
        change = ended(client, begun(client, "remove", name="my-sampler"))
        assert change["outcome"] == "my-sampler is removed; its settings stay, and it can be brought back."
        (row,) = client.get(PATH).json()["installed"]
        assert row["is_removed"] and row["note"] == "Removed. It goes on running until the program is restarted."
        assert ended(client, begun(client, "rollback", name="my-sampler"))["state"] == "done"
        assert place.home.code() == MY_EULER


def test_a_disabled_one_stays_so_through_an_update_and_that_is_said(place: Place) -> None:
    place.home.install(place.source)
    ExtensionSwitches(place.home.data / "state" / "extensions.json").switch("my-sampler", is_enabled=False)
    write(place.source, files_of(version="2.0"))
    with place.client() as client:
        change = ended(client, begun(client, "update", name="my-sampler"))
        assert ended(client, agreed(client, change))["outcome"] == "my-sampler 2.0 is installed. It is disabled."


def test_saying_no_leaves_nothing(client: TestClient, place: Place) -> None:
    change = ended(client, begun(client, "install", source=str(place.source)))
    answer = client.delete(f"{PATH}/{change['id']}")
    assert (answer.json()["state"], answer.json()["outcome"]) == ("cancelled", "Nothing was installed.")
    assert place.home.names == [] and agreed(client, change).status_code == 409
    assert client.delete(f"{PATH}/{change['id']}").json()["state"] == "cancelled", "twice is as good as once"


def test_a_new_wish_gives_up_the_one_that_waited(client: TestClient, place: Place, tmp_path: Path) -> None:
    first = ended(client, begun(client, "install", source=str(place.source)))
    second = ended(client, begun(client, "install", source=str(write(tmp_path / "other", files_of("other")))))
    assert agreed(client, first).status_code == 409
    assert ended(client, agreed(client, second))["state"] == "done"
    assert place.home.names == ["other"]


def test_a_failure_is_told_in_one_sentence(client: TestClient, place: Place, tmp_path: Path) -> None:
    write(place.source, files_of(requirements=["numpy<2"]))
    change = ended(client, begun(client, "install", source=str(place.source)))
    assert change["state"] == "failed" and "would change numpy, which the program needs in version" in change["outcome"]
    (tmp_path / "x.zip").write_bytes(b"no zip")
    change = ended(client, begun(client, "install", source=str(tmp_path / "x.zip")))
    assert change["state"] == "failed" and change["outcome"].startswith("x.zip is no zip")
    assert place.home.names == []


@pytest.mark.parametrize(
    ("wish", "status", "words"),
    [
        ({"action": "install"}, 422, "There is no source"),
        ({"action": "install", "source": "ext::sh -c id"}, 422, "names a program for git to run"),
        ({"action": "install", "source": "--upload-pack=id"}, 422, "looks like an option"),
        ({"action": "install", "source": "relative/folder"}, 422, "begins nowhere: write the whole path"),
        ({"action": "install", "source": "https://u:secret@example.org/x"}, 422, "has a password in it"),
        ({"action": "install", "source": "x" * 3000}, 422, "source"),
        ({"action": "install", "source": 5}, 422, "source"),
        ({"action": "update", "name": "nothing"}, 404, "No extension is called 'nothing'"),
        ({"action": "remove", "name": "../../x"}, 404, "No extension is called '../../x'"),
        ({"action": "rollback", "name": "nothing"}, 404, "No extension is called 'nothing'"),
        ({"action": "run"}, 422, "action"),
        ({"action": "install", "source": "x", "yes": True}, 422, "yes"),
        ({}, 422, "action"),
    ],
)
def test_what_cannot_begin_is_refused_at_once(
    client: TestClient, place: Place, wish: dict[str, Any], status: int, words: str
) -> None:  # fmt: skip
    answer = client.post(PATH, json=wish)
    assert answer.status_code == status and words in answer.json()["detail"], answer.text
    assert "secret" not in answer.text and client.get(PATH).json()["change"] is None and place.home.names == []


def test_one_change_at_a_time_and_one_that_works_can_be_ended(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    is_in, may_go = threading.Event(), threading.Event()
    stage = place.home.installer.stage

    def slow(source: Any, tell: Any, should_stop: Any) -> Any:
        is_in.set()
        while not (should_stop() or may_go.is_set()):
            time.sleep(0.01)
        return stage(source, tell, should_stop)

    monkeypatch.setattr(place.home.installer, "stage", slow)
    with place.client() as client:
        change = begun(client, "install", source=str(place.source)).json()
        assert is_in.wait(10)
        refusal = begun(client, "install", source=str(place.source))
        assert refusal.status_code == 409 and "Another change is on its way" in refusal.json()["detail"]
        assert client.delete(f"{PATH}/{change['id']}").status_code == 200
        assert ended(client)["state"] == "cancelled" and place.home.names == []
        may_go.set()
        assert ended(client, begun(client, "install", source=str(place.source)))["state"] == "asking"


def test_an_id_that_is_not_the_newest_changes_nothing(client: TestClient, place: Place) -> None:
    change = ended(client, begun(client, "install", source=str(place.source)))
    for other in ("x", "", "é", change["id"][:-1]):
        assert client.post(f"{PATH}/{other}/yes").status_code in (404, 405, 409)
        assert client.delete(f"{PATH}/{other}").status_code in (404, 405, 409)
    assert client.get(PATH).json()["change"] == change and place.home.names != ["my-sampler"]


# ---------------------------------------------------------------- who may


OPENED = [{"listen": True}, {"share": True}, {"server_name": "0.0.0.0"}]
LOGIN = {"auth": "ann:secret"}


@pytest.mark.parametrize("flags", OPENED)
def test_where_others_can_reach_the_page_nothing_is_installed_unless_that_was_allowed(
    place: Place, flags: dict[str, Any]
) -> None:
    place.home.install(place.source)
    written = (place.home.data / "extensions.lock").read_bytes()
    wishes = [("install", {"source": str(place.source)}), ("update", {"name": "my-sampler"}), ("remove", {"name": "my-sampler"})]
    wishes.append(("rollback", {"name": "my-sampler"}))
    for more, headers, word in (
        ({"no_login": True}, {}, "--allow-remote-extensions"),
        (LOGIN, basic("ann", "secret"), "--allow-remote-extensions"),
        ({"no_login": True, "allow_remote_extensions": True}, {}, "--auth"),
    ):
        with place.client(**flags, **more) as client:
            client.headers.update(headers)
            told = client.get(PATH).json()
            assert not told["allowed"] and word in told["reason"] and told["change"] is None
            assert [(row["name"], row["source"], row["what"]) for row in told["installed"]] == [("my-sampler", "", "")]
            for action, what in wishes:
                refusal = begun(client, action, **what)
                assert refusal.status_code == 403 and refusal.json()["detail"] == told["reason"]
            assert client.post(f"{PATH}/x/yes").status_code == client.delete(f"{PATH}/x").status_code == 403
    with place.client(**flags, **LOGIN, allow_remote_extensions=True) as client:
        assert client.get(PATH).status_code == 401 and begun(client, "remove", name="my-sampler").status_code == 401
        client.headers.update(basic("ann", "secret"))
        assert client.get(PATH).json()["allowed"]
        assert (place.home.data / "extensions.lock").read_bytes() == written
        assert ended(client, begun(client, "remove", name="my-sampler"))["state"] == "done"


def test_with_a_login_that_was_made_up_it_still_needs_the_flag(place: Place) -> None:
    access = Access.for_flags(listen=True)
    assert access.made_up is not None
    with TestClient(build(place.started(), access), base_url=BASE, headers=basic(*access.made_up)) as client:
        assert begun(client, "install", source=str(place.source)).status_code == 403


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "Via"])
def test_a_tunnel_or_proxy_to_this_machine_is_another_machine(client: TestClient, place: Place, header: str) -> None:
    client.headers[header] = "203.0.113.9"
    assert not client.get(PATH).json()["allowed"]
    assert begun(client, "install", source=str(place.source)).status_code == 403
    assert place.home.names == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_another_sites_page_can_neither_begin_nor_say_yes(
    client: TestClient, place: Place, headers: dict[str, str], kind: str
) -> None:  # fmt: skip
    body = json.dumps({"action": "install", "source": str(place.source)})
    sent = client.post(PATH, content=body, headers={**headers, "Content-Type": kind})
    assert sent.status_code in (403, 421) and place.home.names == []
    change = ended(client, begun(client, "install", source=str(place.source)))
    assert client.post(f"{PATH}/{change['id']}/yes", headers=headers).status_code in (403, 421)
    assert client.delete(f"{PATH}/{change['id']}", headers=headers).status_code in (403, 421)
    assert client.get(PATH, headers=headers).status_code in (403, 421), "nor learn its id"
    assert client.get(PATH).json()["change"]["state"] == "asking"


def test_a_zip_that_leads_out_is_refused_through_the_api_too(client: TestClient, place: Place, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "evil.zip", {**files_of(), "../../outside": "x"})
    assert "leads out of its folder" in ended(client, begun(client, "install", source=str(archive)))["outcome"]
    assert not list(tmp_path.rglob("outside"))


def test_the_program_as_it_starts_can_install(tmp_path: Path) -> None:
    """The whole way from flags to the API, as main builds it."""
    from webui.flags import parse
    from webui.main import build_web, open_workspace

    source = write(tmp_path / "source", files_of("Engine"))
    app = open_workspace(parse(["--data-dir", str(tmp_path / "data"), "--cpu"]), takes_jobs=False)
    try:
        listening = build_web(app, parse(["--listen", "--auth", "a:b", "--allow-remote-extensions", "--nowebui"]))[1]
        assert listening.install_problem() == "" and listening.install_problem(is_forwarded=True) == ""
        web, access = build_web(app, parse(["--nowebui"]))
        assert access.install_problem() == "" and access.install_problem(is_forwarded=True)
        with TestClient(web, base_url=BASE) as client:
            outcome = ended(client, begun(client, "install", source=str(source)))["outcome"]
            assert outcome.startswith("Engine is the name of a part of the program itself")
            change = ended(client, begun(client, "install", source=str(write(source, files_of()))))
            assert ended(client, agreed(client, change))["state"] == "done"
            assert (tmp_path / "data" / "extensions" / "my-sampler").is_dir()
    finally:
        app.close()
