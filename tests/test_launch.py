"""launch.py, with a small project in the place of the real one: it needs no package, so no network is asked."""

import ast
import errno
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared import ROOT

spec = importlib.util.spec_from_file_location("launch", ROOT / "launch.py")
assert spec and spec.loader
launch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launch)

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "small"
version = "1"
dependencies = [{needs}]
[project.optional-dependencies]
test = []
"""
BACKEND = """
import os, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "small-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("small.pth", os.getcwd())
        head = "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\nProvides-Extra: test\\n"
        wheel.writestr("small-1.dist-info/METADATA", head + "NEEDS")
        wheel.writestr("small-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("small-1.dist-info/RECORD", "")
    return name
"""
PROGRAM = "import sys\nprint('program', sys.argv[1:])\nraise SystemExit(7 if 'seven' in sys.argv else 0)\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_project(root: Path, needs: str = "") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "launch.py", root)
    (root / "pyproject.toml").write_text(PYPROJECT.format(needs=f'"{needs}"' if needs else ""))
    (root / "backend.py").write_text(BACKEND.replace("NEEDS", f"Requires-Dist: {needs}\\n" if needs else ""))
    (root / "webui").mkdir(exist_ok=True)
    (root / "webui/__init__.py").write_text("")
    (root / "webui/__main__.py").write_text(PROGRAM)
    return root


def run(root: Path, *args: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """launch.py as its own process; `before` is said to it first."""
    command = [sys.executable, str(root / "launch.py"), *args]
    if before:
        body = f"import sys; sys.path.insert(0, {str(root)!r}); sys.argv[1:] = {list(args)!r}; {before}; sys.exit(launch.main())"
        command = [sys.executable, "-c", body]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "TORCH_INDEX", "WEBUI_"))}
    clean.update({"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "COMMANDLINE_ARGS": "", **environment})
    return subprocess.run(command, capture_output=True, text=True, env=clean, cwd=root.parent, timeout=120)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small project after its first start."""
    root = make_project(tmp_path_factory.mktemp("launch") / "a folder")
    first = run(root, "--port", str(free_port()), "--flag", "two words")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Making the environment .venv" in first.stdout and "Installed in" in first.stdout
    assert "program ['--port', " in first.stdout and "'--flag', 'two words']" in first.stdout
    yield root


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


# ---------------------------------------------------------------- whole starts


def test_a_second_start_installs_nothing_and_passes_all_flags_and_the_exit_code_on(installed):
    args = ("--port", str(free_port()), "generate", "a red sphere", "seven")
    second = run(installed, *args, COMMANDLINE_ARGS="--medvram --theme 'very dark'")
    assert second.stdout == f"program {[*args, '--medvram', '--theme', 'very dark']}\n"
    assert (second.returncode, second.stderr) == (7, "")


def test_a_changed_project_is_installed_again_into_the_same_environment(installed):
    kept = installed / ".venv/kept"
    kept.touch()
    with (installed / "pyproject.toml").open("a") as file:
        file.write("\n# changed\n")
    again = run(installed, "list")
    assert "Installed in" in again.stdout and "Making" not in again.stdout and again.returncode == 0
    assert kept.exists()
    assert run(installed, "list").stdout == "program ['list']\n"


def test_without_network_one_sentence_says_so_and_the_next_start_makes_it_anew(installed):
    place = launch.Place(installed)
    make_project(installed, needs="a-package-that-is-not-here")
    closed = f"http://127.0.0.1:{free_port()}/simple"
    assert_one_sentence(run(installed, "list", PIP_NO_INDEX="0", PIP_INDEX_URL=closed, PIP_RETRIES="1"), "network", "start again")
    assert place.begun.exists() and not launch.is_installed(place, set())
    make_project(installed)
    again = run(installed, "list")
    assert "incomplete" in again.stdout and again.returncode == 0
    assert not place.begun.exists() and launch.is_installed(place, set())


def test_skip_install_uses_what_is_there(tmp_path):
    done = run(make_project(tmp_path / "p"), "--skip-install", "list")
    assert done.stdout == "program ['--skip-install', 'list']\n"


# ---------------------------------------------------------------- one sentence and exit code 1


def test_an_old_or_too_new_python_is_named(tmp_path):
    root = make_project(tmp_path / "p")
    assert_one_sentence(run(root, before="sys.version_info = (3, 10, 9, 'final', 0); import launch"), "3.10.9", "3.11 to 3.13")
    assert_one_sentence(run(root, before="sys.version_info = (3, 14, 0, 'final', 0); import launch"), "3.14.0", "3.11 to 3.13")


def test_old_pythons_can_read_the_file():
    ast.parse((ROOT / "launch.py").read_text("utf-8"), feature_version=(3, 8))


def test_a_missing_venv_module_is_named_with_its_package(tmp_path):
    done = run(make_project(tmp_path / "p"), "list", before="import launch; sys.modules['ensurepip'] = None")
    assert_one_sentence(done, "ensurepip", "sudo apt install python3", "-venv")


def test_too_little_room_is_said_before_anything_is_made(tmp_path):
    root = make_project(tmp_path / "p")
    done = run(root, "list", before="import launch; launch.ROOM = {False: 1e9, True: 1e9}")
    assert_one_sentence(done, "1000000000 GB", str(root), "Make room")
    assert not (root / ".venv").exists()


def test_a_port_in_use_is_named_with_a_free_one(tmp_path):
    root = make_project(tmp_path / "p")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert_one_sentence(run(root, "--port", str(port)), f"Port {port} is in use", "--port ")
        assert_one_sentence(run(root, COMMANDLINE_ARGS=f"--port={port}"), f"Port {port}")
    assert not (root / ".venv").exists()


def test_an_open_quotation_mark_in_the_environment_is_said(tmp_path):
    assert_one_sentence(run(make_project(tmp_path / "p"), COMMANDLINE_ARGS="--theme 'dark"), "COMMANDLINE_ARGS", "quotation mark")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is the folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_is_said():
    with pytest.raises(launch.Stop, match="/proc cannot be written to"):
        launch.check_writable(Path("/proc"))


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize(
    "output, words",
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "is full"),
        ("WARNING: Retrying ... NewConnectionError(...)\nERROR: No matching distribution found for setuptools>=77", "network"),
        ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'", "permission denied"),
        ("ERROR: No matching distribution found for torch<2.14,>=2.10", "pip finds no torch<2.14,>=2.10"),
        ("lots\nERROR: Something odd happened.\n", "The installation failed: Something odd happened. WEBUI_VERBOSE=1"),
        ("", "without a reason"),
    ],
)
def test_what_pip_says_becomes_one_sentence(output, words, tmp_path):
    sentence = launch.diagnose(output, tmp_path)
    assert words in sentence and "\n" not in sentence


def test_torch_comes_from_where_the_user_says_then_as_pip_is_configured_then_without_cuda():
    index, cpu = launch.torch_index, launch.PYTORCH_CPU_WHEELS
    assert index("", {"TORCH_INDEX_URL": "https://example.org/cu"}, "linux", True) == "https://example.org/cu"
    for line in ("global.find-links='/wheels'", ":env:.index-url='x'", "user.extra-index-url='x'", "global.constraint='c.txt'"):
        assert index(line, {}, "linux", False) == ""
    assert index("global.cert='x'\nglobal.timeout='9'", {}, "linux", False) == index("", {}, "win32", False) == cpu
    assert index("", {}, "linux", True) == index("", {}, "darwin", False) == ""


def test_the_bounds_of_torch_are_those_of_the_project():
    assert launch.torch_requirement((ROOT / "pyproject.toml").read_text("utf-8")) == "torch>=2.10,<2.14"


def test_what_is_installed_alone_is_read_from_the_project():
    assert launch.alone((ROOT / "pyproject.toml").read_text("utf-8")) == ["spandrel>=0.4.2,<0.5"]
    assert launch.alone("[project]\n") == []


def test_pips_output_becomes_calm_progress(tmp_path, capsys):
    progress = launch.Progress()
    assert progress.read("Collecting gradio<7,>=6.31 (from latent-webui==0.1.0)") == "Looking up gradio ... (1 so far)"
    wheel = "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"
    assert progress.read(f"  Downloading {wheel} (184.1 MB)") == "Downloading torch (184.1 MB) ..."
    assert progress.read("  Downloading six-1.16.0-py2.py3-none-any.whl (11 kB)") is None
    assert progress.read("Installing collected packages: brotli, Pillow, huggingface_hub") is None
    assert progress.installing(tmp_path) == "Installing brotli ... (1 of 3)"
    for name in ("brotli-1.0.dist-info", "pillow-12.0.dist-info"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "RECORD").touch()
    assert progress.installing(tmp_path) == "Installing huggingface_hub ... (3 of 3)"
    for _ in range(3):
        progress.show("the same")
    assert capsys.readouterr().out == "the same\n"


@pytest.mark.parametrize("args", [["generate", "x"], ["bench"], ["--help"], ["--version"], ["--port", "abc"], ["--port", "0"]])
def test_the_port_is_only_asked_for_where_a_page_starts(args):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        launch.check_port(["--port", str(server.getsockname()[1]), *args])


def test_a_port_below_1024_is_not_confused_with_one_in_use(monkeypatch):
    monkeypatch.setattr(launch, "port_problem", lambda host, port: errno.EACCES)
    with pytest.raises(launch.Stop, match="Port 80 may not be opened"):
        launch.check_port(["--port", "80"])


def test_extras_stay_and_a_damaged_stamp_is_none(tmp_path):
    place = launch.Place(make_project(tmp_path / "p"))
    place.venv.mkdir()
    place.stamp.write_text("{ not json")
    assert launch.read_stamp(place) == {} and not launch.is_installed(place, set())
    place.stamp.write_text('{"extras": ["test"]}')
    assert launch.installed_extras(place) == {"test"}
    assert launch.is_broken(place)
