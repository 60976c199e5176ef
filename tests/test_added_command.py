"""webui NAME ...: commands of extensions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import ROOT
from tests.test_plugins import extension
from webui.contract.errors import PluginError
from webui.flags import COMMANDS, help_text, parse
from webui.main import main
from webui.testing import program

COMMAND = """
from webui.contract import hookimpl

@hookimpl
def register_cli(register, own):
    def count(arguments, app):
        print(arguments.folder, arguments.times, app.queue.jobs(), own.name, "Euler" in app.parts.samplers)
        return arguments.times

    def arguments(parser):
        parser.add_argument("folder")
        parser.add_argument("--times", type=int, default=0)

    register("count", count, aliases=("counted",), arguments=arguments, about="count 100% of a folder")
    register("raises", lambda arguments, app: {}["x"])
    register("text", lambda arguments, app: "done")
    register("true", lambda arguments, app: True)
    register("badly", lambda arguments, app: 0, arguments=lambda parser: parser.add_argument("--help"))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    extension(tmp_path, "counts", COMMAND)
    return tmp_path


def webui(data: Path, *words: str) -> int:
    return main(["--data-dir", str(data), "--cpu", *words])


def test_a_command_runs_with_its_own_words_and_the_program_open(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert webui(data, "count", "--times", "3", "--", "--data-dir") == 3
    assert capsys.readouterr().out == "--data-dir 3 [] counts True\n"
    assert webui(data, "COUNTED", "here") == 0
    assert capsys.readouterr().out == "here 0 [] counts True\n"


def test_a_wrong_argument_ends_with_2_and_its_help_with_0(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        webui(data, "count", "--times", "many", "x")
    assert ended.value.code == 2 and "webui count: error: argument --times: invalid int value" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        webui(data, "count", "--help")
    told = capsys.readouterr().out
    assert ended.value.code == 0 and "usage: webui count" in told and "count 100% of a folder" in told


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "The extension counts failed in its command raises (KeyError: 'x')."),
        ("badly", "The extension counts failed in its command badly (ArgumentError: "),
        ("text", "The extension counts answered a str in its command text, where an exit code is due."),
        ("true", "The extension counts answered a bool in its command true"),
        ("cuont", "No command is called 'cuont'. Did you mean count?"),
        ("generat", "No command is called 'generat'. Did you mean generate?"),
        ("zzz", "No command is called 'zzz'. Known: generate, upscale,"),
    ],
)
def test_what_goes_wrong_is_one_sentence(data: Path, capsys: pytest.CaptureFixture[str], name: str, says: str) -> None:
    assert webui(data, name) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(says)


def test_without_extensions_there_is_no_such_command(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data-dir", str(data), "--disable-all-extensions", "count", "x"]) == 2
    assert "No command is called 'count'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["list", "Generate"])
def test_the_programs_own_commands_are_taken(tmp_path: Path, name: str) -> None:
    extension(tmp_path, "takes", COMMAND.replace('"count"', f'"{name}"'))
    words = f"takes offers a command called '{name}', but that is one of the program's own. Give it another name."
    with pytest.raises(PluginError, match=words), program(tmp_path / "extensions" / "takes"):
        pass
    assert name.casefold() in COMMANDS


@pytest.mark.parametrize("name", ["two words", "-x", "a\tb"])
def test_a_command_can_be_typed(tmp_path: Path, name: str) -> None:
    extension(tmp_path, "takes", COMMAND.replace('"counted"', f'"{name}"'))
    with pytest.raises(PluginError, match=r"a command is one word|printable"), program(tmp_path / "extensions" / "takes"):
        pass


def test_help_lists_what_was_there_last_time_without_loading_anything(data: Path) -> None:
    """Neither torch nor an extension is imported for it."""
    code = "import sys, webui.main as m\ntry: m.main(sys.argv[1:])\nfinally: print('loaded', 'torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def told() -> str:
        words = [sys.executable, "-c", code, "--data-dir", str(data), "--help"]
        return subprocess.run(words, capture_output=True, text=True, env=environment, check=True).stdout

    before = told()
    assert "webui count" not in before
    assert webui(data, "count", "x") == 0
    after = told()
    assert (
        "webui count: count 100% of a folder (of an extension)" in after and "webui raises: a command (of an extension)" in after
    )
    assert after.endswith("loaded False\n")
    (data / "state" / "extension-commands.json").write_text("{")
    assert told() == before


def test_words_of_a_command_are_not_the_programs() -> None:
    flags = parse(["--port", "7999", "count", "--port", "1", "-x", "generate"])
    assert (flags.command, flags.port, flags.options["words"]) == ("count", 7999, ("--port", "1", "-x", "generate"))
    assert "(of an extension)" not in help_text()
