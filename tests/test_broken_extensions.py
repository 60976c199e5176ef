"""Extensions that are broken in every way that we could think of, beside good ones."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.turbo import write_pocket
from webui.contract.parts import Parts
from webui.contract.request import EnlargeRequest, GenerationRequest
from webui.engine.generate import generate
from webui.flags import parse
from webui.main import Found, build_web, find_parts, find_plugins
from webui.plugins import Extension, loading
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

SAMPLER = """
from webui.contract import hookimpl

@hookimpl
def register_samplers(register):
    register("{name}", walk)

def walk(denoise, x, sigmas, noise):
    for sigma, sigma_next in zip(sigmas[:-1], sigmas[1:]):
        x = x + (x - denoise(x, sigma)) / sigma * (sigma_next - sigma)
    return x
"""


def hook(name: str, body: str, takes: str = "register") -> str:
    return f"from webui.contract import hookimpl\n\n@hookimpl\ndef {name}({takes}):\n    {body}\n"


def samplers(body: str) -> str:
    return hook("register_samplers", body)


@dataclass(frozen=True)
class Broken:
    says: str
    """Part of what is said of it."""
    code: str | bytes = SAMPLER.format(name="Never")
    manifest: str | bytes | None = 'name = "{name}"\nversion = "1"\ncontract = "1"\n'


WALK = "lambda denoise, x, sigmas, noise: x"
BROKEN = {
    "imports-nothing": Broken("ModuleNotFoundError: No module named 'not_there'", "import not_there"),
    "raises": Broken("ValueError: on import", "raise ValueError('on import')"),
    "no-python": Broken("SyntaxError", "def broken(:"),
    "no-text": Broken("SyntaxError", b"x = '\xff\xfe'"),
    "null-bytes": Broken("null bytes", b"x = 1\0"),
    "exits": Broken("SystemExit", "import sys; sys.exit('gone')"),
    "interrupts": Broken("KeyboardInterrupt", "raise KeyboardInterrupt"),
    "base-exception": Broken("Strange", "class Strange(BaseException): pass\nraise Strange('x')"),
    "recurses": Broken("RecursionError", "def f(): f()\nf()"),
    "sleeps": Broken("had not loaded after", "import time; time.sleep(1000)"),
    "loops": Broken("had not loaded after", "while True: pass"),
    "sleeps-in-a-hook": Broken("had not loaded after", samplers("import time; time.sleep(1000)")),
    "raises-in-a-hook": Broken("failed in register_samplers: ZeroDivisionError", samplers("1 / 0")),
    "exits-in-a-hook": Broken("failed in register_samplers: SystemExit", samplers("raise SystemExit(3)")),
    "half": Broken("failed in register_samplers: KeyError", samplers(f"register('Half', {WALK}); {{}}['x']")),
    "takes-a-name": Broken("engine has it already", samplers(f"register('Euler', {WALK})")),
    "takes-an-alias": Broken("engine has it already", samplers(f"register('Mine', {WALK}, aliases=('k_euler',))")),
    "takes-it-twice": Broken("takes-it-twice has it already", samplers(f"register('A', {WALK}); register('a', {WALK})")),
    "no-name": Broken("is text, not a int", samplers(f"register(3, {WALK})")),
    "empty-name": Broken("cannot be called ''", samplers(f"register('', {WALK})")),
    "two-lines": Broken("cannot be called", samplers(f"register('a\\nb', {WALK})")),
    "no-function": Broken("is to be a function of (denoise, x, sigmas, noise), not a str", samplers("register('S', 'walk')")),
    "too-few": Broken("is called with (denoise, x, sigmas, noise), but takes (x)", samplers("register('S', lambda x: x)")),
    "unknown-option": Broken("has an option 'colour'", samplers(f"register('S', {WALK}, colour=1)")),
    "wrong-option": Broken("aliases is to be tuple of text, not a str", samplers(f"register('S', {WALK}, aliases='k')")),
    "no-such-hook": Broken("Did you mean register_samplers?", hook("register_sampler", "pass")),
    "wrong-argument": Broken("hook that does not fit", hook("register_samplers", "pass", "parts")),
    "marks-nothing": Broken("implements no hook", "def register_samplers(register): pass"),
    "answers": Broken("answers nothing", samplers(f"return [{WALK}]")),
    "no-family": Broken("not a dict", hook("register_families", "register({'name': 'x'})")),
    "short-schedule": Broken("is called with (steps, table)", hook("register_schedules", "register('S', lambda steps: [])")),
    "toml": Broken("extension.toml cannot be read", manifest="name = "),
    "toml-bytes": Broken("extension.toml cannot be read", manifest=b'name = "\xff"'),
    "toml-large": Broken("is larger than", manifest="# " + "x" * 70_000),
    "no-version": Broken("needs a line version", manifest='name = "x"\ncontract = "1"'),
    "old": Broken("needs contract 0, this program has contract 1", manifest='name = "old"\nversion = "1"\ncontract = "0"'),
    "number": Broken("needs a line contract", manifest='name = "number"\nversion = "1"\ncontract = 1'),
    "path-name": Broken("has the name '../x'", manifest='name = "../x"\nversion = "1"\ncontract = "1"'),
    "lists": Broken("requirements is to be a list", manifest='name = "y"\nversion = "1"\ncontract = "1"\nrequirements = "a"'),
    "second": Broken("is there already, in extensions/good-1", manifest='name = "Good-1"\nversion = "1"\ncontract = "1"'),
    "of-another-program": Broken("has no extension.toml", manifest=None),
    "newer": Broken("needs contract 2, this program has contract 1", manifest='name = "newer"\nversion = "1"\ncontract = "2"\n'),
    "handler-argument": Broken("hook that does not fit", hook("image_saved", "pass", "picture")),
    "handler-name": Broken("image_save is no hook. Did you mean image_saved?", hook("image_save", "pass", "event")),
    "no-router": Broken("register_routes takes a fastapi.APIRouter, not a dict", hook("register_routes", "register({})")),
    "app-for-router": Broken("not a FastAPI", hook("register_routes", "from fastapi import FastAPI; register(FastAPI())")),
    "setting-type": Broken("'a' is list, but an option is bool", hook("register_settings", "register('a', list, [])")),
    "setting-default": Broken(
        "has the default 'x', but can be a whole number", hook("register_settings", "register('a', int, 'x')")
    ),
    "setting-key": Broken("letters, digits and underscores, not 'a b'", hook("register_settings", "register('a b', int, 1)")),
    "setting-reference": Broken(
        "names a picture",
        hook(
            "register_settings",
            "from webui.contract import Picture; from typing import Annotated; register('a', Annotated[str, Picture()], '')",
        ),
    ),
    "setting-twice": Broken(
        "setting-twice has it already", hook("register_settings", "register('a', int, 1); register('a', int, 2)")
    ),
    "command-taken": Broken("is one of the program's own", hook("register_cli", "register('list', lambda arguments, app: 0)")),
    "command-blank": Broken("a command is one word", hook("register_cli", "register('go on', lambda arguments, app: 0)")),
    "command-arguments": Broken(
        "arguments is to be a function, not a list",
        hook("register_cli", "register('go', lambda arguments, app: 0, arguments=['x'])"),
    ),
    "upscaler-text": Broken(
        "is to be a function of (image, scale), not a str", hook("register_upscalers", "register('U', 'up')")
    ),
    "upscaler-few": Broken("is called with (image, scale)", hook("register_upscalers", "register('U', lambda image: image)")),
    "upscaler-taken": Broken(
        "is one of the program's own", hook("register_upscalers", "register('Lanczos', lambda image, scale: image)")
    ),
    "reader-none": Broken(
        "is to be a function of (image), not a NoneType", hook("register_metadata_readers", "register('R', None)")
    ),
    "tab-few": Broken("is called with (app), but takes ()", hook("register_tabs", "register('T', lambda: None)")),
    "panel-option": Broken(
        "tabs is to be tuple of text, not a list", hook("register_panels", "register('P', lambda app, tab: {}, tabs=['txt2img'])")
    ),
    "own-settings": Broken(
        "failed in register_samplers: KeyError: 'mine'", hook("register_samplers", "own.settings['mine']", "register, own")
    ),
}
NAMED = {"path-name": "path-name", "second": "Good-1", "lists": "lists", "no-version": "no-version"}
GOOD = {
    "good-1": SAMPLER.format(name="Good 1"),
    "good-2": "from .helpers import NAME\n" + SAMPLER.format(name="Good 2"),
    "good-3": hook("register_schedules", "register('Good 3', lambda steps, table: [*range(steps, 0, -1), 0.0])"),
    "good-4": hook(
        "register_families",
        "from dataclasses import replace; from webui.checkpoints.families import SD1; "
        "register(replace(SD1, name='good-4', label='Good 4', aliases=()))",
    ),
    "good-5": hook("register_conditioners", "register('good-5', lambda request, model, negative, inputs: None)"),
    "good-6": """
import logging, os, sys, warnings
os.environ.clear(); os.chdir("/"); sys.path.insert(0, os.path.dirname(__file__)); sys.stdout = None
logging.disable(logging.CRITICAL); warnings.simplefilter("error"); sys.modules["json"] = sys
import helpers
"""
    + SAMPLER.format(name="Good 6"),
}
"""Those above break while they are loaded. These are loaded, and break when they are used: nothing else may notice."""
LATER = {
    "later-event": hook("job_started", "raise ValueError('of later-event')", "event, own")
    + "\n@hookimpl\ndef step_finished():\n    raise SystemExit(3)\n",
    "later-hang": hook("image_finished", "import time; time.sleep(1000)", "event"),
    "later-route": hook(
        "register_routes", "from fastapi import APIRouter; made = APIRouter(); made.get('/x')(lambda: 1 / 0); register(made)"
    ),
    "later-reader": hook("register_metadata_readers", "register('Later', lambda image: 1 / 0)"),
    "later-upscaler": hook("register_upscalers", "register('Later', lambda image, scale: 'text')"),
    "later-tab": hook("register_tabs", "register('Later', lambda app: 1 / 0)"),
    "later-panel": hook("register_panels", "register('Later', lambda app, tab: 1 / 0)"),
    "later-command": hook("register_cli", "register('later', lambda arguments, app: 1 / 0)"),
}
FAMILY_LIKE = "good-4"


def write(folder: Path, name: str, code: str | bytes, manifest: str | bytes | None) -> None:
    place = folder / name
    place.mkdir(parents=True)
    for file, content in (("extension.py", code), ("extension.toml", manifest), ("helpers.py", f"NAME = '{name}'\n")):
        if isinstance(content, str):
            content = (content.replace("{name}", name) if file.endswith("toml") else content).encode()
        if content is not None:
            (place / file).write_bytes(content)


@dataclass
class Loaded:
    data: Path
    found: Found
    parts: Parts
    extensions: dict[str, Extension]
    """By folder"""
    log: list[str]
    seconds: float


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """All of them at once. Who hangs may do so for two seconds here."""
    data = tmp_path_factory.mktemp("data")
    for name, broken in BROKEN.items():
        write(data / "extensions", name, broken.code, broken.manifest)
    for name, code in (GOOD | LATER).items():
        write(data / "extensions", name, code, 'name = "{name}"\nversion = "1"\ncontract = "1"\n')
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("webui").addHandler(handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "LIMIT", 2.0)
        began = time.monotonic()
        found = find_plugins(Paths(data, project=data))
        parts, extensions = found.parts, found.extensions
        seconds = time.monotonic() - began
    logging.getLogger("webui").removeHandler(handler)
    yield Loaded(data, found, parts, {one.folder.name: one for one in extensions}, records, seconds)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_off_with_its_reason_and_said_on_stderr_by_its_name(loaded: Loaded, name: str) -> None:
    extension = loaded.extensions[name]
    assert BROKEN[name].says in extension.error
    assert "\n" not in extension.error and not extension.offers
    assert any(f"extension {extension.name} is switched off" in line and extension.error in line for line in loaded.log)


@pytest.mark.parametrize("name", ["raises", "half", "no-python", "recurses", "exits-in-a-hook"])
def test_its_author_sees_where(loaded: Loaded, name: str) -> None:
    assert "Traceback" in loaded.extensions[name].details
    assert "extension.py" in loaded.extensions[name].details


@pytest.mark.parametrize("name", GOOD)
def test_a_good_one_works_beside_them(loaded: Loaded, name: str) -> None:
    extension = loaded.extensions[name]
    assert (extension.error, len(extension.offers)) == ("", 1)


def test_nothing_of_a_broken_one_stays(loaded: Loaded) -> None:
    owners = {registry.owner(name) for registry in loaded.parts.registries() for name in registry.names()}
    assert owners == {"engine", "checkpoints", *GOOD, *LATER} - {"later-event", "later-hang"}
    assert "Half" not in loaded.parts.samplers and loaded.parts.samplers["k_euler"].name == "Euler"


def test_who_hangs_does_not_hold_up_the_others(loaded: Loaded) -> None:
    """Three of them, two seconds each, would be six."""
    assert loaded.seconds < 5.5
    until = time.monotonic() + 20
    while any(thread.name == "extension loops" for thread in threading.enumerate()):
        assert time.monotonic() < until, "a loop goes on for ever"
        time.sleep(0.05)


def test_the_surroundings_are_as_they_were(loaded: Loaded) -> None:
    import json
    import warnings

    assert os.environ.get("PATH") and Path.cwd() != Path("/") and sys.stdout is not None
    assert not any(str(loaded.data) in place for place in sys.path)
    assert json.loads("[1]") == [1] and sys.modules["json"] is json and "helpers" not in sys.modules
    assert logging.getLogger("webui").isEnabledFor(logging.ERROR)
    assert not any(one[0] == "error" and one[2] is Warning for one in warnings.filters)


def test_the_page_starts_and_the_good_ones_draw(loaded: Loaded, app: App) -> None:
    request = GenerationRequest(prompt="a red cube", steps=2, seed=9, checkpoint="pocket")
    drawn = {
        name: next(generate(replace(request, sampler=name), app.checkpoints, loaded.parts)).image.tobytes()
        for name in ("Euler", "Good 1", "Good 2", "Good 6")
    }
    assert len(set(drawn.values())) == 1
    assert next(generate(replace(request, schedule="Good 3"), app.checkpoints, loaded.parts)).image.size == (128, 128)
    opened = open_app(Paths(loaded.data, project=loaded.data), loaded.parts, tuple(loaded.extensions.values()), cpu_only=True)
    try:
        web, _ = build_web(opened, parse(["--data-dir", str(loaded.data)]))
        with TestClient(web, base_url="http://localhost:7860") as client:
            assert client.get("/").status_code == 200
            assert {"Good 1", "Good 2", "Good 6"} <= {one["name"] for one in client.get("/sdapi/v1/samplers").json()}
            told = {one["name"]: one["enabled"] for one in client.get("/sdapi/v1/extensions").json()}
            assert told["good-1"] and not told["raises"]
    finally:
        opened.close()


def test_those_that_break_when_they_are_used_end_nothing(loaded: Loaded) -> None:
    """The page is built, jobs are drawn and saved, routes answer, and each of them is named where it failed."""
    assert all(loaded.extensions[name].is_running for name in LATER)
    found = loaded.found
    write_pocket(loaded.data / "models" / "Stable-diffusion", "pocket")
    opened = open_app(
        Paths(loaded.data, project=loaded.data),
        found.parts,
        found.extensions,
        plugins=found.plugins,
        owns=found.owns,
        cpu_only=True,
    )
    try:
        web, _ = build_web(opened, parse(["--data-dir", str(loaded.data)]))
        with TestClient(web, base_url="http://localhost:7860") as client:
            assert client.get("/").status_code == 200
            asked = {"prompt": "a red cube", "checkpoint": "pocket", "steps": 2, "seed": 9, "sampler": "Good 1"}
            job = opened.queue.wait(client.post("/api/v1/jobs", json=asked).json()["id"], 60)
            assert job.state == "finished" and job.images[0].path
            plain = opened.inputs.put(Image.new("RGB", (8, 8), "red"))
            failed = opened.queue.wait(opened.queue.submit(EnlargeRequest(image=plain, upscaler="Later"), tab="upscale").id, 60)
            assert (failed.state, "later-upscaler" in failed.error) == ("failed", True)
            again = opened.queue.wait(opened.queue.submit(EnlargeRequest(image=plain), tab="upscale").id, 60)
            assert again.state == "finished"
            route = client.get("/extensions/later-route/x")
            assert route.status_code == 500 and "The extension later-route failed" in route.json()["detail"]
            assert opened.telling is not None
            opened.telling.close()
            told = {row["name"]: {one["where"] for one in row["troubles"]} for row in client.get("/api/v1/extensions").json()}
            assert told["later-event"] == {"job_started", "step_finished"} and told["later-reader"] == {"reader Later"}
            assert told["later-route"] == {"its routes"} and not told["good-1"] and not told["later-hang"]
    finally:
        opened.close()


def test_an_installed_package_comes_in_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("webui_ext_good", "webui_ext_blank"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "plugin.py").write_text(SAMPLER.format(name="From a package"))
        info = tmp_path / f"{name}-2.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n")
        (info / "entry_points.txt").write_text(f"[webui.extensions]\n{name} = {name}.plugin\n")
    (tmp_path / "webui_ext_good" / "extension.toml").write_text('name = "packed"\nversion = "2.5"\ncontract = "1"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    parts, extensions = find_parts(Paths(tmp_path / "data", project=tmp_path / "data"))
    found = {one.name: one for one in extensions}
    assert found["packed"].origin == "package" and parts.samplers.owner("From a package") == "packed"
    assert "has no extension.toml beside its module" in found["webui_ext_blank"].error
    assert find_parts(Paths(tmp_path / "data", project=tmp_path / "data"), with_extensions=False)[1] == ()


def test_of_two_of_one_name_the_projects_is_loaded(tmp_path: Path) -> None:
    manifest = 'name = "twin"\nversion = "{name}"\ncontract = "1"\n'
    write(tmp_path / "data" / "extensions", "a", SAMPLER.format(name="Of the data folder"), manifest)
    write(tmp_path / "project" / "extensions", "b", SAMPLER.format(name="Of the project"), manifest)
    parts, (first, second) = find_parts(Paths(tmp_path / "data", project=tmp_path / "project"))
    assert (first.origin, first.error, second.origin) == ("project", "", "data")
    assert "extensions/b (project)" in second.error and "extensions/a (data)" in second.error
    assert parts.samplers.owner("Of the project") == "twin"
