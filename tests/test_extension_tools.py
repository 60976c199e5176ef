"""webui extensions list, new, check: what an author of an extension has, as it is typed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.shared import ROOT
from tests.test_broken_extensions import BROKEN, GOOD, SAMPLER, hook, samplers, write
from tests.test_launch import launch
from webui.contract.errors import PluginError
from webui.contract.request import GenerationRequest
from webui.engine.generate import generate
from webui.flags import COMMANDS, parse
from webui.main import find_parts, main
from webui.plugins import checking, loading
from webui.plugins.requirements import pinned, requirement_problem
from webui.testing import program
from webui.workspace.app import App
from webui.workspace.files import write_json
from webui.workspace.paths import Paths

MANIFEST = 'name = "{name}"\nversion = "1"\ncontract = "1"\n'


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Types `webui extensions WORDS` over a data folder: exit code, what it printed, what it said on stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--data-dir", str(tmp_path), "--loglevel", "CRITICAL", "extensions", *words])
        return code, *capsys.readouterr()

    return run


def test_a_new_extension_is_in_the_menu_and_draws(typed, app: App, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = typed("new", "my-sampler")
    folder = tmp_path / "extensions" / "my-sampler"
    names = ["README.md", "extension.py", "extension.toml", "test_extension.py"]
    assert code == 0 and out.splitlines()[:4] == [str(folder / name) for name in names]
    parts, extensions = find_parts(Paths(tmp_path, project=tmp_path))
    assert [(one.name, one.error, one.offers) for one in extensions] == [("my-sampler", "", ("sampler My Sampler",))]
    request = GenerationRequest(prompt="a red cube", steps=3, seed=9)
    drawn, euler = (
        next(generate(replace(request, sampler=name), app.checkpoints, parts)).image.tobytes() for name in ("My Sampler", "Euler")
    )
    assert drawn == euler
    assert typed("check", "my-sampler")[:2] == (0, "my-sampler 0.1 is all right. It offers:\n  sampler My Sampler\n")


def test_the_test_of_a_new_extension_runs_and_passes_and_can_fail(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    typed("new", "My.Sampler_2")
    folder = tmp_path / "extensions"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""}

    def tested() -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "My.Sampler_2"],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        return done.returncode, done.stdout

    code, out = tested()
    assert code == 0 and "3 passed" in out, out
    file = folder / "My.Sampler_2" / "extension.py"
    file.write_text(file.read_text().replace("x = x + slope * (sigma_next - sigma)", "x = x + slope * (sigma_next - sigma) / 2"))
    assert tested()[0] == 1


def test_what_is_made_keeps_to_the_style_of_the_program(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    typed("new", "my-sampler")
    ruff = [sys.executable, "-m", "ruff"]
    for words in (["check", "--isolated", "--line-length", "130"], ["format", "--isolated", "--line-length", "130", "--check"]):
        done = subprocess.run([*ruff, *words, str(tmp_path / "extensions")], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "_x", "x" * 65, "grün", "a b", "-x", "dot."])
def test_a_bad_name_is_one_sentence_and_nothing_is_made(typed, tmp_path: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    code, out, said = typed("new", "--", name) if name else typed("new")
    assert (code, out, said.count("\n")) == (2, "", 1)
    assert "webui extensions new my-sampler" in said
    assert not (tmp_path / "extensions").exists()


def test_a_taken_name_is_refused_and_nothing_is_overwritten(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "extensions"
    write(folder, "elsewhere", SAMPLER.format(name="One"), MANIFEST.replace("{name}", "Taken"))
    (folder / "empty").mkdir()
    (folder / "file").write_text("mine")
    before = sorted((path, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*.[pt]*"))
    for name, words in {
        "taken": f"There is an extension called Taken already, in {folder / 'elsewhere'}.",
        "Elsewhere": f"{folder / 'elsewhere'} is there already.",
        "EMPTY": f"{folder / 'empty'} is there already.",
        "file": f"{folder / 'file'} is there already.",
        "Engine": "engine is the name of a part of the program itself.",
    }.items():
        assert typed("new", name) == (2, "", f"{words} Choose another name.\n")
    assert before == sorted((path, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*.[pt]*"))


def test_a_new_sampler_takes_no_name_that_is_in_the_menu(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert typed("new", "euler")[0] == 0 and typed("new", "euler_a")[0] == 0
    assert "sampler Euler 2\n" in typed("check", "euler")[1]
    assert "sampler Euler A 2\n" in typed("check", "euler_a")[1], "names are the same in any case of letters"


def test_where_the_disk_is_full_nothing_is_left_behind(typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    written = Path.write_text

    def full(path: Path, *rest: object, **more: object) -> int:
        if path.name == "test_extension.py":
            raise OSError(28, "No space left on device")
        return written(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    code, _, said = typed("new", "my-sampler")
    assert (code, said) == (
        2,
        "The extension my-sampler could not be written (No space left on device); nothing of it was left behind.\n",
    )
    assert not (tmp_path / "extensions" / "my-sampler").exists()


def test_list_tells_what_each_offers_or_why_it_is_off(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name, code in {"good": SAMPLER.format(name="Good"), "bad": "import not_there"}.items():
        write(tmp_path / "extensions", name, code, MANIFEST)
    write(tmp_path / "extensions", "idle", "import not_there", MANIFEST)
    write_json(tmp_path / "state" / "extensions.json", {"disabled": ["idle"]})
    code, out, _ = typed("list", "--json", str(tmp_path / "list.json"))
    assert code == 0 and out == typed()[1]
    lines = out.splitlines()
    assert "  idle 1 (data)  is disabled" in lines
    assert "  good 1 (data)  sampler Good" in lines
    assert "  bad 1 (data)  is off: ModuleNotFoundError: No module named 'not_there'" in lines
    told = {row["name"]: row for row in json.loads((tmp_path / "list.json").read_text())["extensions"]}
    assert told["good"]["offers"] == ["sampler Good"] and told["good"]["folder"] == str(tmp_path / "extensions" / "good")
    assert told["bad"]["error"].startswith("ModuleNotFoundError") and told["bad"]["version"] == "1"
    assert [told[name]["is_enabled"] for name in ("good", "idle")] == [True, False]


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "second"])
def test_check_says_what_the_program_would_say(typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(loading, "LIMIT", 1.0)
    write(tmp_path, name, BROKEN[name].code, BROKEN[name].manifest)
    code, out, _ = typed("check", str(tmp_path / name))
    assert code == 1 and BROKEN[name].says in out, out


@pytest.mark.parametrize("name", GOOD)
def test_check_finds_nothing_in_a_good_one(typed, tmp_path: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, name, GOOD[name], MANIFEST)
    code, out, _ = typed("check", str(tmp_path / name / "extension.toml"))
    assert code == 0 and out.startswith(f"{name} 1 is all right. It offers:\n"), out


def test_check_tells_all_that_is_wrong_at_once(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    walk = "lambda denoise, x, sigmas, noise: x"
    code = samplers(f"register('Euler', {walk}); register('heun', {walk}); register('', {walk}); register('S', 3); 1 / 0")
    code += hook("register_schedules", "register('Karras', lambda steps, table: [])")
    manifest = MANIFEST + 'desciption = "x"\ncolour = 1\nrequirements = ["not-a-package>1", "numpy==1.0", "!"]\n'
    write(tmp_path, "many", code, manifest)
    ended, out, _ = typed("check", str(tmp_path / "many"), "--json", str(tmp_path / "out.json"))
    assert ended == 1
    for words in (
        "many/extension.toml has an unknown line desciption. Did you mean description?",
        "unknown line colour. Known: name, version,",
        "'not-a-package>1' is not installed",
        "'numpy==1.0' would change numpy, which the program needs in version",
        "'!' is not written as pip names packages",
        "'Euler', but engine has it already",
        "'heun', but engine has it already",
        "cannot be called ''",
        "The sampler 'S' is to be a function",
        "failed in register_samplers: ZeroDivisionError",
        "'Karras', but engine has it already",
        f'File "{tmp_path / "many" / "extension.py"}"',
    ):
        assert words in out, (words, out)
    assert len(json.loads((tmp_path / "out.json").read_text())["problems"]) == 11


def test_check_tells_all_that_is_wrong_with_a_manifest(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "x", "", 'nmae = "x"\ncontract = "0"\ndescription = 1\npermissions = "net"\n')
    assert typed("check", str(tmp_path / "x"))[1].splitlines() == [
        'x/extension.toml needs a line name = "...".',
        'x/extension.toml needs a line version = "...".',
        (
            "x needs contract 0, this program has contract 1. It was switched off, everything else works; "
            "docs/extensions.md says how to move it."
        ),
        "x/extension.toml: description is to be text in quotes.",
        'x/extension.toml: permissions is to be a list of texts, as in permissions = ["one", "two"].',
        "x/extension.toml has an unknown line nmae. Did you mean name?",
    ]


TRIED = {
    "lambda denoise, x, sigmas, noise: None": "answered a NoneType in its sampler 'S'",
    "lambda denoise, x, sigmas, noise: x[:1]": "answered a tensor of (1, 4, 8, 8)",
    "lambda denoise, x, sigmas, noise: denoise(x)": "failed in its sampler 'S' (TypeError",
    "lambda denoise, x, sigmas, noise: x / sigmas[-1]": "made latents that are no numbers in its sampler 'S', 1 steps.",
    "lambda denoise, x, sigmas, noise: x.add_(1)": "changes x in its sampler 'S'",
    "lambda denoise, x, sigmas, noise: x[: sigmas[10]]": "failed in its sampler 'S' (IndexError",
    "lambda denoise, x, sigmas, noise: [None for one in iter(int, 1)]": "had not come to an end after 1 seconds",
}


@pytest.mark.parametrize("body", TRIED)
def test_check_calls_samplers_as_a_user_would(typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(checking, "LIMIT", 1.0)
    write(tmp_path, "s", samplers(f"register('S', {body})"), MANIFEST)
    code, out, _ = typed("check", str(tmp_path / "s"))
    assert code == 1 and TRIED[body] in out, out


@pytest.mark.parametrize("body", ["[3.0, 2.0, 0.0]", "[float(n) for n in range(steps + 1)]", "'words'"])
def test_check_calls_schedules_as_a_user_would(typed, tmp_path: Path, body: str) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "s", hook("register_schedules", f"register('S', lambda steps, table: {body})"), MANIFEST)
    code, out, _ = typed("check", str(tmp_path / "s"))
    sentence, *_ = out.splitlines()
    assert code == 1 and "'S'" in sentence and out.count("'S'") - out.partition("\n\n")[2].count("'S'") == 1, out


def test_requirements_are_held_against_what_is_installed_and_what_the_program_pins() -> None:
    pins = pinned(ROOT / "constraints.txt")
    assert len(pins) > 50 and pins["pluggy"] == "1.7.0"
    torch = importlib.metadata.version("torch")
    assert requirement_problem("torch", pins) == "" and "'torch<2' would change torch" in requirement_problem("torch<2", pins)
    assert torch in requirement_problem("torch<2", pins)
    assert requirement_problem("Pillow>=11", pins) == requirement_problem('nothing; python_version < "3"', pins) == ""
    assert "would change pillow" in requirement_problem("Pillow @ https://example.org/pillow.whl", pins)
    assert "is installed in version" in requirement_problem("pip<1", {"setuptools": "1"}) or not _has("pip")
    assert pinned(ROOT / "nothing.txt") == {}


def _has(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def test_the_program_for_tests_has_that_extension_and_says_why_where_it_cannot(tmp_path: Path) -> None:
    write(tmp_path, "good", SAMPLER.format(name="Good"), MANIFEST)
    write(tmp_path, "bad", samplers("register('Euler', 1)"), MANIFEST)
    with program(tmp_path / "good") as app:
        assert app.parts.samplers.owner("Good") == "good" and [one.name for one in app.extensions] == ["good"]
        data = app.paths.data
    assert not data.exists()
    with pytest.raises(PluginError, match="is to be a function"), program(tmp_path / "bad"):
        pass


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nwe"], "webui extensions has no 'nwe'. Did you mean new?"),
        (["instal", "x"], "webui extensions has no 'instal'. Did you mean install?"),
        (["check"], "webui extensions check needs a word more, as in: webui extensions check extensions/my-sampler."),
        (["check", "nowhere"], "There is no folder nowhere."),
        (["list", "x"], "'x' is one word too many for webui extensions list."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(typed, words: list[str], sentence: str) -> None:  # type: ignore[no-untyped-def]
    code, out, said = typed(*words)
    assert (code, out, said.count("\n")) == (2, "", 1) and said.startswith(sentence)


def test_two_words_follow_the_command() -> None:
    assert parse(["extensions"]).options == {}
    assert parse(["extensions", "new", "my-sampler"]).options == {"action": "new", "name": "my-sampler"}
    with pytest.raises(SystemExit):
        parse(["extensions", "new", "my", "sampler"])


def test_launch_knows_every_command() -> None:
    """Else it would look for a free port first, which a command needs not."""
    assert set(launch.COMMANDS) == set(COMMANDS)
