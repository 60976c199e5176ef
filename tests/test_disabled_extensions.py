"""The list of disabled extensions: kept in the data folder, heeded at the next start, nothing of them imported."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from tests.test_plugins import MY_EULER, extension, found
from webui import plugins
from webui.contract.parts import Parts
from webui.flags import parse
from webui.main import main, open_workspace
from webui.workspace.extensions import ExtensionSwitches
from webui.workspace.own import Owns
from webui.workspace.paths import Paths

TELLTALE = "from pathlib import Path\n(Path(__file__).parent / 'imported').touch()\n"
"""An extension that begins so leaves a mark when it is imported."""


def marked(data: Path, name: str, sampler: str = "My Euler") -> Path:
    """An extension whose mark says whether it was imported."""
    extension(data, name, TELLTALE + MY_EULER.replace("My Euler", sampler))
    return data / "extensions" / name / "imported"


def switches(data: Path) -> ExtensionSwitches:
    return ExtensionSwitches(Paths(data).switches_file)


def test_a_disabled_one_is_told_of_and_not_imported_and_comes_back_when_enabled(tmp_path: Path) -> None:
    mark = marked(tmp_path, "my-sampler")
    with (tmp_path / "extensions" / "my-sampler" / "extension.toml").open("a") as manifest:
        manifest.write('description = "Euler, by hand"\npermissions = ["network"]\n')
    switches(tmp_path).switch("My-Sampler", is_enabled=False)
    parts, extensions = found(tmp_path)
    off = extensions["my-sampler"]
    assert (off.is_enabled, off.is_running, off.error, off.offers) == (False, False, "", ())
    assert (off.version, off.description, off.permissions) == ("1.0", "Euler, by hand", ("network",))
    assert "My Euler" not in parts.samplers and not mark.exists()
    switches(tmp_path).switch("my-sampler", is_enabled=True)
    parts, extensions = found(tmp_path)
    assert extensions["my-sampler"].is_running and "My Euler" in parts.samplers and mark.exists()


def test_only_the_disabled_one_is_off_and_its_parts_names_are_free(tmp_path: Path) -> None:
    marked(tmp_path, "a-first")
    marked(tmp_path, "b-second")
    assert "has it already" in found(tmp_path)[1]["b-second"].error
    switches(tmp_path).switch("a-first", is_enabled=False)
    parts, extensions = found(tmp_path)
    assert extensions["b-second"].is_running and parts.samplers.owner("My Euler") == "b-second"


def test_one_that_would_fail_is_quiet_once_it_is_disabled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    extension(tmp_path, "broken", "raise ValueError('on import')")
    extension(tmp_path, "old", MY_EULER, contract="0")
    for name in ("broken", "old"):
        switches(tmp_path).switch(name, is_enabled=False)
    with caplog.at_level(logging.ERROR, "webui"):
        extensions = found(tmp_path)[1]
    assert not caplog.records
    assert extensions["broken"].error == "" and extensions["old"].error.startswith("old needs contract 0")
    assert not extensions["broken"].is_running and not extensions["old"].is_running


def test_the_list_is_written_whole_and_read_anew_each_time(tmp_path: Path) -> None:
    ours, another = switches(tmp_path), switches(tmp_path)
    assert ours.disabled == () and not (tmp_path / "state").exists(), "asking writes nothing"
    ours.switch("One", is_enabled=False)
    another.switch("two", is_enabled=False)
    assert ours.disabled == ("One", "two") and not ours.is_enabled("ONE") and ours.is_enabled("three")
    ours.switch("one", is_enabled=False)
    assert another.disabled == ("one", "two")
    another.switch("ONE", is_enabled=True)
    assert json.loads((tmp_path / "state" / "extensions.json").read_text()) == {"disabled": ["two"]}
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["extensions.json"]


@pytest.mark.parametrize("text", ["{", "[]", '{"disabled": "all"}', '{"other": 1}'])
def test_a_damaged_list_is_kept_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "extensions.json").write_text(text)
    assert switches(tmp_path).disabled == ()
    assert "extensions.json is damaged" in caplog.text
    assert (tmp_path / "state" / "extensions.json.bad").read_text() == text
    switches(tmp_path).switch("one", is_enabled=False)
    assert switches(tmp_path).disabled == ("one",)


def test_disabling_touches_nothing_of_the_extension(tmp_path: Path) -> None:
    marked(tmp_path, "my-sampler")
    settings = tmp_path / "settings.json"
    settings.write_text('{"show_preview": false}')
    folder = tmp_path / "extensions" / "my-sampler"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    switches(tmp_path).switch("my-sampler", is_enabled=False)
    found(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert settings.read_text() == '{"show_preview": false}'


def test_with_all_off_they_are_told_of_and_none_is_imported(tmp_path: Path) -> None:
    mark = marked(tmp_path, "my-sampler")
    app = open_workspace(parse(["--data-dir", str(tmp_path), "--disable-all-extensions", "--cpu"]), takes_jobs=False)
    try:
        (mine,) = [one for one in app.extensions if one.name == "my-sampler"]
        assert not mine.is_running and app.switches.are_all_off and app.switches.is_enabled("my-sampler")
        assert "My Euler" not in app.parts.samplers and not mark.exists()
    finally:
        app.close()


def test_the_command_line_lists_it_as_disabled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marked(tmp_path, "my-sampler")
    marked(tmp_path, "other", "Other Euler")
    switches(tmp_path).switch("my-sampler", is_enabled=False)
    assert main(["list", "extensions", "--data-dir", str(tmp_path), "--cpu"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "my-sampler 1.0  disabled" in lines and "other 1.0" in lines


@pytest.mark.skipif(os.name != "posix", reason="only there a file name can be bytes that are no text")
def test_a_folder_whose_name_is_no_text_can_be_told_of_and_disabled(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "extensions") + b"/bad-\xff"
    os.makedirs(folder)
    with open(folder + b"/extension.toml", "w") as manifest:
        manifest.write("name =")
    (broken,) = plugins.load_extensions(*_empty(), [tmp_path / "project", tmp_path / "extensions"], owns(tmp_path))
    json.dumps([broken.name, broken.error], ensure_ascii=False).encode()
    switches(tmp_path).switch(broken.name, is_enabled=False)
    folders = [tmp_path / "project", tmp_path / "extensions"]
    (off,) = plugins.load_extensions(*_empty(), folders, owns(tmp_path), switches(tmp_path).disabled)
    assert broken.is_enabled and not off.is_enabled


def owns(data: Path) -> Owns:
    return Owns(data / "state" / "extensions", Parts())


def _empty():  # type: ignore[no-untyped-def]
    from webui.contract.parts import Parts

    return Parts(), plugins.manager()
