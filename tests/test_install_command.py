"""webui extensions install, update, rollback, remove, lock: as they are typed."""

from __future__ import annotations

import builtins
import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.test_installing import committed, files_of, write, zipped
from tests.test_plugins import MY_EULER
from webui.main import main


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Types `webui extensions WORDS` over a data folder: exit code, what it printed, what it said on stderr."""

    def run(*words: str, data: Path = tmp_path / "data") -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--data-dir", str(data), "--loglevel", "CRITICAL", "extensions", *words])
        return code, *capsys.readouterr()

    return run


def names(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "extensions").glob("*"))


def test_what_it_asks_for_is_shown_and_without_a_yes_nothing_is_installed(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    more = {"description": "Half a step", "permissions": ["reads your pictures"], "requirements": ["numpy>=1"]}
    source = write(tmp_path / "source", files_of(**more))
    code, out, _ = typed("install", str(source))
    assert code == 1 and names(tmp_path / "data") == []
    lines = out.splitlines()
    assert lines[0].startswith(f"my-sampler 1.0, from {source} (SHA-256 ")
    assert lines[1:4] == ["  Half a step", "  asks for: reads your pictures", "  needs: numpy>=1 (there)"]
    assert lines[-2].endswith("with --yes, it would be installed now.") and lines[-1] == "Nothing was installed."
    code, out, _ = typed("install", str(source), "--yes")
    assert code == 0 and out.endswith("my-sampler 1.0 is installed. It runs from the next start on.\n")
    assert names(tmp_path / "data") == ["my-sampler"] and "  my-sampler 1.0 (data)" in typed("list")[1]


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("YES ", 0), ("n", 1), ("", 1), ("yesterday", 1), (None, 1)])
def test_who_is_asked_says_yes_or_nothing_happens(  # type: ignore[no-untyped-def]
    typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str | None, code: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("" if answer is None else f"{answer}\n"))
    monkeypatch.setattr(builtins, "input", lambda words: _line(sys.stdin))
    assert typed("install", str(write(tmp_path / "source", files_of())))[0] == code
    assert names(tmp_path / "data") == (["my-sampler"] if code == 0 else [])


def _line(stream: io.StringIO) -> str:
    line = stream.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def test_the_terminal_is_not_a_strangers(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    more = {"description": "\x1b[2J\x1b[1;1Hharmless\r\n", "permissions": ["a\x1b]0;title\x07"]}
    out = typed("install", str(write(tmp_path / "source", files_of(**more))))[1]
    assert "\x1b" not in out and "\r" not in out and "harmless" in out


def test_update_roll_back_remove_and_back(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = tmp_path / "data"
    committed(tmp_path / "r", files_of(code=MY_EULER))
    address = (tmp_path / "r").as_uri()
    assert typed("install", address, "-y")[0] == 0
    write(data / "state" / "extensions" / "my-sampler", {"settings.json": "{}"})
    assert typed("update", "my-sampler", "-y")[1] == f"my-sampler 1.0 is the newest that {address} has.\n"
    committed(tmp_path / "r", files_of(version="2.0", code="import not_there"))
    code, out, _ = typed("update", "my-sampler")
    assert code == 1 and out.startswith("my-sampler 1.0 -> 2.0, from ")
    (data / "extensions" / "my-sampler" / "notes.txt").write_text("mine")
    code, out, _ = typed("update", "my-sampler", "-y")
    assert code == 0 and "was changed since it came" in out
    assert "my-sampler 2.0 (data)  is off: ModuleNotFoundError" in typed("list")[1]
    assert typed("rollback", "my-sampler")[:2] == (0, "my-sampler is back in version 1.0. It runs from the next start on.\n")
    assert "my-sampler 1.0 (data)  sampler My Euler" in typed("list")[1]
    assert (data / "extensions" / "my-sampler" / "notes.txt").exists()
    code, out, _ = typed("remove", "my-sampler")
    assert code == 0 and "webui extensions rollback my-sampler brings it back" in out and names(data) == []
    assert typed("rollback", "my-sampler")[0] == 0 and names(data) == ["my-sampler"]
    assert (data / "state" / "extensions" / "my-sampler" / "settings.json").read_text() == "{}"


def test_a_newer_zip_of_another_name(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    typed("install", str(zipped(tmp_path / "my-1.zip", files_of())), "--yes")
    newer = zipped(tmp_path / "my-2.zip", files_of(version="2.0"))
    code, out, _ = typed("update", "my-sampler", "--from", str(newer), "--yes")
    assert code == 0 and out.endswith("my-sampler 2.0 is installed. It runs from the next start on.\n")
    newer.unlink()
    assert typed("update", "my-sampler", "--yes") == (2, "", f"There is no folder or zip {newer}.\n")


def test_the_same_set_elsewhere(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    committed(tmp_path / "r", files_of("by-git"))
    typed("install", (tmp_path / "r").as_uri(), "--yes")
    typed("install", str(zipped(tmp_path / "z.zip", files_of("by-zip"))), "--yes")
    write(tmp_path / "data" / "extensions" / "mine", files_of("mine"))
    code, out, _ = typed("lock", "--json", str(tmp_path / "rows.json"))
    lines = out.splitlines()
    assert code == 0 and lines[0] == f"{tmp_path / 'data' / 'extensions.lock'} has:"
    assert [line.split(",")[0] for line in lines[1:3]] == ["  by-git 1.0", "  by-zip 1.0"]
    assert lines[3] == "Not in it, for they came with the program or were put there by hand: mine."
    assert [row["name"] for row in json.loads((tmp_path / "rows.json").read_text())["extensions"]] == ["by-git", "by-zip"]
    locked = str(shutil.copy(tmp_path / "data" / "extensions.lock", tmp_path / "my.lock"))
    committed(tmp_path / "r", files_of("by-git", "2.0"))
    other = tmp_path / "other"
    code, out, _ = typed("install", "--lock", locked, data=other)
    assert code == 1 and "install these 2" not in out and names(other) == []
    code, out, _ = typed("install", "--lock", locked, "--yes", data=other)
    assert code == 0 and names(other) == ["by-git", "by-zip"]
    assert (other / "extensions.lock").read_bytes() == Path(locked).read_bytes()
    assert typed("install", "--lock", locked, "--yes", data=other)[1] == "All that my.lock names is there already.\n"


def test_a_relative_path_begins_where_the_command_was_typed(typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path / "source", files_of())
    monkeypatch.chdir(tmp_path)
    assert typed("install", "./source", "--yes")[0] == 0 and typed("remove", "my-sampler")[0] == 0
    monkeypatch.chdir(tmp_path / "source")
    assert typed("install", ".", "--yes")[0] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["install"], "webui extensions install needs a word more, as in: webui extensions install https://"),
        (["update"], "webui extensions update needs a word more, as in: webui extensions update my-sampler."),
        (["update", "nothing"], "No extension is called 'nothing'."),
        (["remove", "../x"], "No extension is called '../x'."),
        (["rollback", "nothing"], "No extension is called 'nothing'."),
        (["install", "x", "--lock", "y"], "--lock goes with install alone"),
        (["install", "--lock", "/nowhere/y"], "There is no file /nowhere/y."),
        (["install", "x", "--from", "y"], "--from goes with update alone"),
        (["lock", "x"], "'x' is one word too many for webui extensions lock."),
        (["install", "--", "--upload-pack=id"], "--upload-pack=id looks like an option"),
        (["install", "ext::sh -c id"], "ext::sh -c id names a program for git to run"),
        (["install", "./nowhere"], "There is no folder or zip ./nowhere."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(typed, tmp_path: Path, words: list[str], sentence: str) -> None:  # type: ignore[no-untyped-def]
    code, out, said = typed(*words)
    assert (code, out, said.count("\n")) == (2, "", 1) and said.startswith(sentence)
    assert names(tmp_path / "data") == []
