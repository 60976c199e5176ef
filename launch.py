"""Start Latent WebUI: python launch.py [flags]. Makes .venv beside itself at the first start, then runs the program in it.

    python launch.py                   the page on http://localhost:7860
    python launch.py test [flags]      all tests; the flags go to pytest
    WEBUI_VERBOSE=1                    shows all that pip says
    TORCH_INDEX_URL                    where torch comes from (a ROCm or CUDA build, say)
    COMMANDLINE_ARGS                   further flags

Only the standard library is used, and nothing newer than Python 3.8 is written here, so that an old Python can say
that it is too old. Each function that can end the start does so with one sentence (Stop), printed by main.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import queue
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST, NEWEST = (3, 11), (3, 13)
PORT = 7860
ROOM = {False: 4.0, True: 12.0}
"""Gigabytes that a first install takes, without and with the libraries of an NVIDIA card."""
PYTORCH_CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own address for builds without CUDA, as its page "Start locally" gives it."""
COMMANDS = ("generate", "upscale", "train", "evaluate", "bench", "verify", "list", "extensions", "fetch")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

NETWORK = re.compile(
    r"name resolution|Name or service not known|nodename nor servname|getaddrinfo failed|NewConnectionError|ConnectTimeout"
    r"|Network is unreachable|No route to host|Connection refused|ProxyError|Max retries exceeded|Connection broken"
    r"|Read timed out|Connection timed out|Connection reset|Could not fetch URL"
)
NO_ROOM = re.compile(r"No space left on device|Errno 28|not enough space on the disk|Disk quota exceeded")
NO_RIGHT = re.compile(r"Permission denied|Read-only file system|Access is denied")
NO_MATCH = re.compile(r"No matching distribution found for (\S+)|ResolutionImpossible|conflicting dependencies")


class Stop(Exception):
    """The start ends here; the text is the one sentence that says why, and the way out."""


class Place:
    """The project's folder and what is in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.stamp = self.venv / "webui-installed.json"
        self.begun = self.venv / "webui-begun"
        self.log = self.venv / "webui-install.log"

    @property
    def python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def say(sentence: str) -> None:
    print(sentence, flush=True)


def succeeds(command: list[str], seconds: float | None = None, environment: dict[str, str] | None = None) -> bool:
    """Run a command without showing what it says; True if it ends well, and in time."""
    nothing = subprocess.DEVNULL
    try:
        done = subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, timeout=seconds, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


# ---------------------------------------------------------------- what must be there


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> None:
    """Raises Stop if this Python is too old or too new; names one on this machine that would do."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return
    names = [f"python{major}.{minor}" for major, minor in ((3, 13), (3, 12), (3, 11))]
    found = next((name for name in names if _runs(name)), None)
    way = f"Start it with: {found} launch.py" if found else "Install one of these and start with it."
    have = ".".join(map(str, version[:3]))
    raise Stop(f"This is Python {have}, but Latent WebUI needs Python 3.{OLDEST[1]} to 3.{NEWEST[1]}. {way}")


def _runs(name: str) -> bool:
    """The command is there and is no empty shim."""
    return shutil.which(name) is not None and succeeds([name, "--version"], seconds=10)


def check_venv_module() -> None:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        package = f"python3.{sys.version_info[1]}-venv"
        raise Stop(
            f"Python's module {missing[0]} is missing, and without it no environment can be made. "
            f"On Debian and Ubuntu install it with: sudo apt install {package}"
        )


def check_room(folder: Path, needed: float) -> None:
    """Raises Stop if fewer gigabytes than needed are free."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < needed:
        raise Stop(
            f"The first start needs about {needed:.0f} GB in {folder}, but only {free:.1f} GB are free. "
            "Make room and start again."
        )


def check_writable(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Stop(room_sentence(folder)) from None
        raise Stop(
            f"The folder {folder} cannot be written to ({error.strerror}). Move the project to a folder of your own."
        ) from None


def room_sentence(folder: Path) -> str:
    """Which disk is full: the folder's, or that of temporary files."""
    places = (folder, Path(tempfile.gettempdir()))
    full = min(places, key=lambda place: shutil.disk_usage(place).free)
    free = shutil.disk_usage(full).free / 1e9
    return f"The disk that holds {full} is full ({free:.1f} GB are free). Make room and start again."


def check_port(args: list[str]) -> None:
    """Raises Stop if the page's port is taken; does nothing where no page is started."""
    if not starts_page(args):
        return
    text = flag_value(args, "--port") or str(PORT)
    if not text.isdigit() or not 0 < int(text) < 65536:
        return  # the program says so in its own words
    port = int(text)
    host = flag_value(args, "--host", "--server-name") or ("0.0.0.0" if "--listen" in args else "127.0.0.1")
    problem = port_problem(host, port)
    if problem == errno.EACCES:
        raise Stop(f"Port {port} may not be opened by this user. Start with another one, --port {PORT} for example.")
    if problem in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", 10048)):
        free = next((other for other in range(port + 1, min(port + 50, 65536)) if not port_problem(host, other)), PORT)
        raise Stop(f"Port {port} is in use, perhaps by a Latent WebUI that is running. Start with another one: --port {free}")


def port_problem(host: str, port: int) -> int:
    """0, or the error number that a server would get."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "nt":
                probe.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", ~socket.SO_REUSEADDR), 1)
            else:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except socket.gaierror:
        return 0  # the program says that the address is wrong
    except OSError as error:
        return error.errno or 0
    return 0


def starts_page(args: list[str]) -> bool:
    return not any(arg in COMMANDS or arg in ("--help", "-h", "--version") for arg in args)


def flag_value(args: list[str], *names: str) -> str:
    """The last value given for one of the names, "" if there is none."""
    found = ""
    for place, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name in names:
            found = value if equals else (args[place + 1] if place + 1 < len(args) else "")
    return found


def all_args(argv: list[str], environment: str) -> list[str]:
    """The flags that were typed and those of COMMANDLINE_ARGS behind them."""
    try:
        return argv + shlex.split(environment, posix=os.name != "nt")
    except ValueError:
        raise Stop(f"COMMANDLINE_ARGS has a quotation mark that is not closed: {environment}") from None


# ---------------------------------------------------------------- what is installed


def fingerprint(place: Place) -> str:
    """Changes when what should be installed changes, or the folder was moved."""
    digest = hashlib.sha256(str(place.root).encode("utf-8", "surrogateescape"))
    for name in ("pyproject.toml", "constraints.txt"):
        file = place.root / name
        digest.update(b"\0" + (file.read_bytes() if file.is_file() else b""))
    return digest.hexdigest()


def interpreter(place: Place) -> str:
    """The Python that the environment was made from; "" if it is gone."""
    try:
        home = re.search(r"^home\s*=\s*(.+)$", (place.venv / "pyvenv.cfg").read_text("utf-8"), re.MULTILINE)
    except OSError:
        return ""
    if not place.python.exists() or home is None or not Path(home[1].strip()).exists():
        return ""
    return os.path.realpath(place.python)


def read_stamp(place: Place) -> dict[str, object]:
    """What the last install that came to its end left; {} if there was none."""
    try:
        stamp = json.loads(place.stamp.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def installed_extras(place: Place) -> set[str]:
    extras = read_stamp(place).get("extras")
    return {str(extra) for extra in extras} if isinstance(extras, list) else set()


def is_installed(place: Place, extras: set[str]) -> bool:
    stamp = read_stamp(place)
    return (
        stamp.get("fingerprint") == fingerprint(place)
        and stamp.get("python") == interpreter(place) != ""
        and extras <= installed_extras(place)
    )


def write_stamp(place: Place, extras: set[str]) -> None:
    stamp = {"fingerprint": fingerprint(place), "python": interpreter(place), "extras": sorted(extras)}
    beside = place.stamp.with_suffix(".part")
    beside.write_text(json.dumps(stamp), "utf-8")
    os.replace(beside, place.stamp)
    place.begun.unlink()


def is_broken(place: Place) -> bool:
    """The environment cannot be built upon: half made, half installed, or its Python is gone."""
    if place.begun.exists() or not interpreter(place):
        return True
    stamp = read_stamp(place)
    if stamp and stamp.get("python") != interpreter(place):
        return True
    probe = "import sys, pip; raise SystemExit(not %r <= sys.version_info[:2] <= %r)" % (OLDEST, NEWEST)
    return not succeeds([str(place.python), "-c", probe], seconds=60)


# ---------------------------------------------------------------- installing


class Progress:
    """Turns what pip says into a few calm lines: on a terminal one that changes, elsewhere one now and then."""

    EVERY = 4.0
    """Seconds between two lines where there is no terminal."""

    def __init__(self) -> None:
        self.found = 0
        self.names: list[str] = []
        self.is_terminal = sys.stdout.isatty()
        self.said = ""
        self.last = 0.0
        self.width = 0

    def read(self, line: str) -> str | None:
        """The sentence that a line of pip's is worth, if any."""
        line = line.strip()
        collecting = re.match(r"Collecting ([\w.-]+)", line)
        if collecting:
            self.found += 1
            return f"Looking up {collecting[1]} ... ({self.found} so far)"
        loading = re.match(r"Downloading .*?([\w.]+)-[\w.+]+-[\w.-]+\.whl \((\d+[.\d]* [MG]B)\)", line)
        if loading and (loading[2].endswith("GB") or float(loading[2].split()[0]) >= 5):
            return f"Downloading {loading[1]} ({loading[2]}) ..."
        if line.startswith("Installing collected packages:"):
            self.names = [name.strip() for name in line.partition(":")[2].split(",")]
        return None

    def installing(self, site_packages: Path) -> str | None:
        """How far the installation is, told by the folders that pip has made (it says nothing meanwhile)."""
        if not self.names:
            return None
        there = {_plain(path.parent.name.partition("-")[0]) for path in site_packages.glob("*.dist-info/RECORD")}  # written last
        left = [name for name in self.names if _plain(name) not in there]
        return f"Installing {left[0]} ... ({len(self.names) - len(left) + 1} of {len(self.names)})" if left else None

    def show(self, sentence: str | None) -> None:
        if sentence is None:
            return
        if self.is_terminal:
            print("\r" + sentence.ljust(self.width), end="", flush=True)
            self.width = len(sentence)
        elif sentence != self.said and time.monotonic() - self.last >= self.EVERY:
            say(sentence)
            self.said, self.last = sentence, time.monotonic()

    def close(self) -> None:
        if self.is_terminal and self.width:
            print("\r" + " " * self.width + "\r", end="", flush=True)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def heard(command: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and whole output of a short command."""
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    return done.returncode, done.stdout


def run_quietly(command: list[str], log: Path, progress: Progress, site_packages: Path) -> tuple[int, str]:
    """Run a long command with its output reduced to progress. Returns its exit code and the whole output."""
    is_verbose = os.environ.get("WEBUI_VERBOSE") not in (None, "", "0")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    lines: queue.Queue[str | None] = queue.Queue()
    output: list[str] = []
    with open(log, "a", encoding="utf-8") as kept, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
        encoding="utf-8", errors="replace",
    ) as process:  # fmt: skip
        threading.Thread(target=_hear, args=(process, lines), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=0.5)
            except queue.Empty:
                progress.show(None if is_verbose else progress.installing(site_packages))
                continue
            if line is None:
                break
            output.append(line)
            with contextlib.suppress(OSError):  # a full disk is found in what pip says, not in our own log
                kept.write(line)
                kept.flush()
            if is_verbose:
                print(line, end="", flush=True)
            else:
                progress.show(progress.read(line))
        process.wait()
    progress.close()
    return process.returncode, "".join(output)


def _hear(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    """Hand over line by line what the command says, and None at its end."""
    for line in process.stdout or ():
        lines.put(line)
    lines.put(None)


def diagnose(output: str, folder: Path) -> str:
    """One sentence for why pip failed."""
    if NO_ROOM.search(output):
        return room_sentence(folder)
    if NETWORK.search(output):
        return "The first start needs the network to get Python packages, and it cannot be reached. Connect and start again."
    if NO_RIGHT.search(output):
        return f"Files in {folder} cannot be written (permission denied). Move the project to a folder of your own."
    missing = NO_MATCH.search(output)
    if missing and missing[1]:
        have = "Python %d.%d" % tuple(sys.version_info[:2])
        return f"pip finds no {missing[1]} for {have} on this machine. Try another Python (3.12 fits most)."
    errors = [line.strip() for line in output.splitlines() if re.match(r"\s*(ERROR|error|OSError|\w+Error):", line)]
    reason = re.sub(r"^\s*(ERROR|error):\s*", "", errors[-1]) if errors else "pip ended without a reason"
    return f"The installation failed: {reason.rstrip('.')[:300]}. WEBUI_VERBOSE=1 shows all that pip says."


def has_nvidia_card() -> bool:
    return shutil.which("nvidia-smi") is not None or os.path.exists("/proc/driver/nvidia")


def torch_index(configuration: str, environment: dict[str, str], platform: str, has_card: bool) -> str:
    """Where torch alone is taken from; "" leaves it to pip.

    TORCH_INDEX_URL wins; then what the user told pip about sources or versions is left alone; a machine of which no
    NVIDIA card is known gets PyTorch's CPU builds, since the ordinary ones of Linux bring some gigabytes of CUDA.

    Args:
        configuration: what `pip config list` says (PIP_ variables are in it).
        platform: as sys.platform.
    """
    chosen = environment.get("TORCH_INDEX_URL", "").strip()
    if chosen:
        return chosen
    if re.search(r"(find-links|index-url|constraint|no-index)=", configuration):
        return ""
    return PYTORCH_CPU_WHEELS if platform in ("linux", "win32") and not has_card else ""


def torch_requirement(pyproject: str) -> str:
    """Torch with its bounds, from the text of pyproject.toml."""
    found = re.search(r'^\s*"(torch[<>=][^"]*)"', pyproject, re.MULTILINE)
    return found[1] if found else "torch"


def alone(pyproject: str) -> list[str]:
    """What is installed without what it asks for, from the text of pyproject.toml."""
    found = re.search(r"^alone = \[(.*?)^\]", pyproject, re.MULTILINE | re.DOTALL)
    return re.findall(r'"([^"]+)"', found[1]) if found else []


@contextlib.contextmanager
def locked(place: Place) -> Iterator[None]:
    """One install at a time, also when the program is started twice. The system takes the lock back if we die."""
    with open(place.root / ".venv.lock", "w") as file:
        was_told = False
        while not _lock(file.fileno()):
            if not was_told:
                say("Another start is installing already; waiting for it ...")
            was_told = True
            time.sleep(0.5)
        yield


def _lock(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def install(place: Place, extras: set[str]) -> None:
    """Make the environment and put the project into it. Raises Stop with the reason if that is not possible."""
    check_writable(place.root)
    with locked(place):
        if is_installed(place, extras):  # the other start has done it
            return
        is_first = not read_stamp(place) or is_broken(place)
        if is_first:
            check_venv_module()
            check_room(place.root, ROOM[has_nvidia_card()])
            make_environment(place)
        say("Installing what the program needs" + (" (some minutes, only at the first start) ..." if is_first else " ..."))
        began = time.monotonic()
        extras = extras | installed_extras(place)
        with contextlib.suppress(FileNotFoundError):
            place.stamp.unlink()
        place.begun.touch()
        place.log.write_text("")
        install_torch(place)
        install_project(place, extras)
        install_alone(place)
        write_stamp(place, extras)
        say(f"Installed in {time.monotonic() - began:.0f} seconds.")


def make_environment(place: Place) -> None:
    """A fresh .venv; one that was left half made is replaced, a sound one is kept."""
    if place.venv.exists() or place.venv.is_symlink():
        if not is_broken(place):
            return
        say("The environment in .venv is incomplete; making it anew ...")
        try:
            if place.venv.is_symlink() or place.venv.is_file():
                place.venv.unlink()
            else:
                shutil.rmtree(place.venv)
        except OSError as error:
            raise Stop(
                f"The incomplete folder {place.venv} cannot be removed ({error.strerror}). Remove it and start again."
            ) from None
    say(f"Making the environment .venv with Python {'.'.join(map(str, sys.version_info[:3]))} ...")
    code, output = heard([sys.executable, "-m", "venv", str(place.venv)], place.root)
    if code != 0:
        if NO_ROOM.search(output):
            raise Stop(room_sentence(place.root))
        lines = output.strip().splitlines() or ["no reason was given"]
        raise Stop(f"Python could not make the environment {place.venv}: {lines[-1].rstrip('.')}.")


def pip(place: Place, *arguments: str) -> tuple[int, str]:
    command = [str(place.python), "-m", "pip", "install", "--progress-bar", "off", *arguments]
    site_packages = next(iter(place.venv.glob("lib/python*/site-packages")), place.venv / "Lib/site-packages")
    return run_quietly(command, place.log, Progress(), site_packages)


def install_torch(place: Place) -> None:
    """Torch by itself where it comes from an index of its own; what it needs comes with the project."""
    configuration = heard([str(place.python), "-m", "pip", "config", "list"], place.root)[1]
    index = torch_index(configuration, dict(os.environ), sys.platform, has_nvidia_card())
    if not index:
        return
    requirement = torch_requirement((place.root / "pyproject.toml").read_text("utf-8"))
    code, output = pip(place, "--no-deps", "--index-url", index, requirement)
    if code == 0:
        return
    if NO_ROOM.search(output) or os.environ.get("TORCH_INDEX_URL"):
        reason = diagnose(output, place.root)
        raise Stop(reason if NO_ROOM.search(output) else f"torch could not be installed from TORCH_INDEX_URL. {reason}")
    say("PyTorch's own builds cannot be reached; taking the ordinary one.")


def install_project(place: Place, extras: set[str]) -> None:
    """The project, editable, with the versions that were tested; within its bounds where those cannot be had."""
    target = str(place.root) + (f"[{','.join(sorted(extras))}]" if extras else "")
    constraints = place.root / "constraints.txt"
    tested = ["--constraint", str(constraints)] if constraints.is_file() else []
    code, output = pip(place, *tested, "--editable", target)
    if code != 0 and tested and NO_MATCH.search(output) and not NETWORK.search(output):
        say("Not all tested versions can be had for this Python; taking the nearest ...")
        code, output = pip(place, "--editable", target)
    if code != 0:
        raise Stop(diagnose(output, place.root))


def install_alone(place: Place) -> None:
    """What comes without what it asks for. The program starts without it too, and says what it misses."""
    constraints = place.root / "constraints.txt"
    tested = ["--constraint", str(constraints)] if constraints.is_file() else []
    for requirement in alone((place.root / "pyproject.toml").read_text("utf-8")):
        code, output = pip(place, "--no-deps", *tested, requirement)
        if code != 0:
            say(f"{requirement} could not be installed. {diagnose(output, place.root)} The program starts without it.")


# ---------------------------------------------------------------- the tests


def ensure_browser() -> None:
    """A Chromium for the browser tests, from the system's package manager where we may ask it."""
    if any(shutil.which(name) for name in BROWSERS):
        return
    may_install = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")
    if may_install:
        say("Installing a browser for the tests (chromium) ...")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
            succeeds(command, environment=environment)
    if not any(shutil.which(name) for name in BROWSERS):
        say("There is no Chromium on this machine, so the browser tests are skipped; install one to run them.")


def run_tests(place: Place, arguments: list[str]) -> int:
    """Style, floors, types, tests: all of them, then one line each. Returns the exit code."""
    tools = place.python.parent
    checks = {
        "style (ruff)": [str(tools / "ruff"), "check", "."],
        "floors (import-linter)": [str(tools / "lint-imports")],
        "types (mypy)": [str(tools / "mypy")],
    }
    results: dict[str, bool] = {}
    for name, command in checks.items():
        say(f"Checking {name} ...")
        code, output = heard(command, place.root)
        results[name] = code == 0
        if code != 0:
            say(output)
    say("Running the tests ...")
    pytest = [str(place.python), "-m", "pytest", "-q", *arguments]
    results["tests (pytest)"] = subprocess.run(pytest, cwd=place.root).returncode == 0
    say("")
    for name, is_good in results.items():
        say(f"{'ok    ' if is_good else 'FAILED'} {name}")
    failed = [name for name, is_good in results.items() if not is_good]
    say(f"Failed: {', '.join(failed)}." if failed else "All is well.")
    return 1 if failed else 0


# ---------------------------------------------------------------- start


def start(place: Place, args: list[str]) -> int:
    """Run the program. On POSIX this process becomes it; on Windows its exit code is passed on."""
    python = str(place.python) if place.python.exists() else sys.executable
    environment = dict(os.environ)
    if python == sys.executable:  # --skip-install without .venv: the user's own environment
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(place.root), environment.get("PYTHONPATH"))))
    command = [python, "-P", "-m", "webui", *args]  # -P: a folder called webui where the user stands is not ours
    if os.name == "nt":
        return subprocess.run(command, env=environment).returncode
    sys.stdout.flush()
    os.execve(python, command, environment)


def run(place: Place, argv: list[str]) -> int:
    check_python()
    is_test = argv[:1] == ["test"]
    args = argv if is_test else all_args(argv, os.environ.get("COMMANDLINE_ARGS", ""))
    extras = {"test"} if is_test else set()
    if not is_test:
        check_port(args)
    if "--skip-install" not in args and not is_installed(place, extras):
        install(place, extras)
    if is_test:
        ensure_browser()
        return run_tests(place, [arg for arg in argv[1:] if arg != "--skip-install"])
    return start(place, args)


def main() -> int:
    place = Place(Path(__file__).resolve().parent)
    try:
        return run(place, sys.argv[1:])
    except Stop as stop:
        print(stop, file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(room_sentence(place.root), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next start takes up where this one ended.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
