"""docs/extensions.md: every command is typed, every example runs, and the signatures are those of the hooks."""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import re
import runpy
import shlex
import tomllib
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.shared import ROOT
from tests.test_installing import committed, files_of, write, zipped
from tests.turbo import write_pocket
from webui.api.access import Access
from webui.api.server import build
from webui.contract import PROJECT, VERSION, hookspecs, more_parts
from webui.contract.errors import PluginError
from webui.contract.parts import ConditionerPart, Inputs, Parts, SamplerPart, SchedulePart
from webui.contract.request import Chosen, EnlargeRequest, GenerationRequest
from webui.engine.conditioning import condition
from webui.engine.references import preprocessing
from webui.engine.schedules import ladder
from webui.engine.table import NoiseTable
from webui.flags import parse
from webui.main import built_in, find_parts, main
from webui.plugins.extension import KEYS, read_manifest
from webui.request_flags import REQUEST as REQUEST_FLAGS
from webui.testing import program
from webui.ui import page
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

TEXT = (ROOT / "docs" / "extensions.md").read_text("utf-8")
ALL = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, f"{PROJECT}_spec")}
HOOKS = {name: hook for name, hook in ALL.items() if name.startswith("register_")}
EVENTS = {name: hook for name, hook in ALL.items() if name not in HOOKS}
HAPPENS = "What happens while the program runs"
MANIFEST = 'name = "documented"\nversion = "1"\ncontract = "1"\n'
PARTS: dict[str, tuple[type[Any], str]] = {
    "register_samplers": (SamplerPart, "sampler"),
    "register_schedules": (SchedulePart, "schedule"),
    "register_conditioners": (ConditionerPart, "conditioner"),
    "register_guidance": (more_parts.GuiderPart, "guider"),
    "register_scripts": (more_parts.ScriptPart, "script"),
    "register_preprocessors": (more_parts.PreprocessorPart, "preprocessor"),
    "register_upscalers": (more_parts.UpscalerPart, "upscaler"),
    "register_metadata_readers": (more_parts.ReaderPart, "reader"),
    "register_tabs": (more_parts.TabPart, "build"),
    "register_panels": (more_parts.PanelPart, "build"),
    "register_cli": (more_parts.CommandPart, "run"),
}
OTHERS = {
    "register_families": "register(family)",
    "register_routes": "register(router)",
    "register_settings": "register(key, kind, default)",
}


def section(title: str) -> str:
    """What stands between a heading and the next one of any level."""
    found = re.search(
        rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", re.sub(r"^# (?!Ext)", "#\u200b ", TEXT, flags=re.M), re.M | re.S
    )
    assert found, f"docs/extensions.md has no section {title}"
    return found[1]


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)


def of_hook(name: str) -> str:
    return section(f"`{name}(register)`")


def called_as(hook: str) -> str:
    """How an implementation calls register, made from the part that it makes of it."""
    if hook in OTHERS:
        return OTHERS[hook]
    part, what = PARTS[hook]
    options = [
        f"{field.name}={json.dumps(field.default) if isinstance(field.default, str) else plain(field.default)}"
        for field in dataclasses.fields(part)
        if field.name not in ("name", "function")
    ]
    return f"register(name, {what}, *, {', '.join(options)})"


def plain(value: object) -> str:
    return str(value).replace("'", '"')


def flat(text: str) -> str:
    return " ".join(text.split())


def loaded(tmp_path: Path, code: str) -> Path:
    folder = tmp_path / "documented"
    folder.mkdir()
    (folder / "extension.toml").write_text(MANIFEST)
    (folder / "extension.py").write_text(code)
    return folder


def parts_with(tmp_path: Path, code: str) -> Parts:
    (tmp_path / "extensions").mkdir()
    loaded(tmp_path / "extensions", code)
    parts, (extension,) = find_parts(Paths(tmp_path, project=tmp_path))
    assert extension.error == ""
    return parts


def test_every_hook_has_a_section_and_every_section_a_hook() -> None:
    assert set(re.findall(r"^### `(\w+)\(register\)`$", TEXT, re.M)) == set(HOOKS)
    assert {tuple(inspect.signature(hook).parameters) for hook in HOOKS.values()} == {("register", "own")}


def test_every_event_is_in_the_table_with_the_fields_that_it_has() -> None:
    rows = re.findall(r"^\| `(\w+)\(event\)` \| (.+) \| (`.+`) \|$", section(HAPPENS), re.M)
    assert {name: re.findall(r"`(\w+)`", told) for name, _, told in rows} == {
        name: [field.name for field in dataclasses.fields(typing.get_type_hints(hook)["event"])] for name, hook in EVENTS.items()
    }
    for name, when, _ in rows:
        assert flat(EVENTS[name].__doc__ or "").casefold().startswith(when.casefold())
    assert {tuple(inspect.signature(hook).parameters) for hook in EVENTS.values()} == {("event", "own")}


@pytest.mark.parametrize("name", HOOKS)
def test_how_register_is_called_is_said_in_the_section_and_in_the_docstring_as_it_is(name: str) -> None:
    assert flat(blocks(of_hook(name), "text")[0]) == called_as(name)
    assert called_as(name) in flat(HOOKS[name].__doc__ or "")


def test_the_manifest_shows_every_line_and_the_table_explains_them(tmp_path: Path) -> None:
    text = section("The two files")
    (tmp_path / "extension.toml").write_text(blocks(text, "toml")[0])
    assert tuple(tomllib.loads(blocks(text, "toml")[0])) == KEYS
    assert read_manifest(tmp_path / "extension.toml").name == "my-sampler"
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.M)) == KEYS


def test_the_five_minutes_as_they_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = section("A sampler in the menu, in five minutes")
    pictures = []
    for kind, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S):
        if kind == "python":
            (tmp_path / "extensions" / "my-sampler" / "extension.py").write_text(block)
            continue
        for line in block.splitlines():
            words = shlex.split(line)
            assert words[:2] == ["python", "launch.py"]
            assert main([*words[2:], "--data-dir", str(tmp_path), "--cpu"]) == 0, line
            printed = capsys.readouterr().out
            if "list" in words:
                assert "  My Sampler\n" in printed
            elif "check" in words:
                assert printed == "my-sampler 0.1 is all right. It offers:\n  sampler My Sampler\n"
            elif "generate" in words:
                pictures.append(Path(printed.strip()).read_bytes())
    assert len(pictures) == 2 and pictures[0] != pictures[1]


def test_installing_as_it_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with what the commands name; the address is that of a repository here."""
    committed(tmp_path / "repository", files_of("look-ahead"))
    zipped(tmp_path / "look-closer.zip", files_of("look-closer"), "look-closer-main/")
    zipped(tmp_path / "look-closer-2.zip", files_of("look-closer", "2.0"))
    write(tmp_path / "look-twice", files_of("look-twice"))
    monkeypatch.chdir(tmp_path)
    said = []
    for line in "".join(blocks(section("Installing"), "console")).splitlines():
        words = [word.replace("https://example.org/look-ahead.git", (tmp_path / "repository").as_uri()) for word in line.split()]
        assert words[:3] == ["python", "launch.py", "extensions"]
        more = ["--yes"] if words[3] in ("install", "update") else []
        more += [] if "--data-dir" in words else ["--data-dir", str(tmp_path)]
        assert main([*words[2:], *more]) == 0, line
        said.append(capsys.readouterr().out.splitlines()[-1])
    starts = "It runs from the next start on."
    installed = ["look-ahead 1.0", "look-closer 1.0", "look-twice 1.0"]
    assert said[:3] == [f"{name} is installed. {starts}" for name in installed]
    assert said[3].startswith("look-ahead 1.0 is the newest that ")
    assert said[4:6] == [f"look-closer 2.0 is installed. {starts}", f"look-closer is back in version 1.0. {starts}"]
    assert said[6].startswith("look-twice is removed; ") and said[7] == f"look-twice is back in version 1.0. {starts}"
    assert [path.name for path in sorted((tmp_path / "elsewhere" / "extensions").iterdir())] == [name[:-4] for name in installed]
    assert (tmp_path / "elsewhere" / "extensions.lock").read_bytes() == (tmp_path / "extensions.lock").read_bytes()


def test_every_other_command_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    generate_flags = {name for flag in REQUEST_FLAGS for name in flag.names}
    for words in re.findall(r"`webui ([^`]+)`", TEXT):
        if words != "--help":
            command = parse(shlex.split(words)).command
            assert command in ("extensions", "generate") or (command == "NAME" and words.endswith("NAME …"))
    for flag in re.findall(r"`(--[a-z-]+)", TEXT):
        words = [flag, "x"] if flag in ("--data-dir", "--json", "--lock", "--from") else [flag]
        parse(["generate", flag, "x"] if flag in generate_flags else ["extensions", *words])
    assert capsys.readouterr().err == ""


REQUEST = GenerationRequest(prompt="a red cube", checkpoint="pocket", steps=3, seed=5)


def drawn(app: App, **fields: object) -> bytes:
    return next(app.generate(replace(REQUEST, **fields))).image.tobytes()  # type: ignore[arg-type]


def samplers_draw(tmp_path: Path, code: str) -> None:
    with program(loaded(tmp_path, code)) as app:
        without = drawn(app, sampler="Pushed Euler", schedule="Uniform", sampler_options={"push": 0.0})
        euler, pushed = drawn(app, sampler="Euler", schedule="Uniform"), drawn(app, sampler="pushed_euler")
        assert apart(without, euler) < 0.1, "push 0 is Euler's method"
        assert pushed == drawn(app, sampler="Pushed Euler", schedule="Karras", sampler_options={"push": 1.0}) != without


def schedules_fall(tmp_path: Path, code: str) -> None:
    parts = parts_with(tmp_path, code)
    table = NoiseTable.from_family(parts.families["sd1"])
    for steps in (1, 2, 20, 1000):
        sigmas = ladder(parts.samplers["Euler"], "Halves", steps, table, parts.schedules, "Uniform")
        assert sigmas[0] == table.sigmas[-1] and len(sigmas) == steps + 1
    ratios = sigmas[1:-1] / sigmas[:-2]
    assert torch.allclose(ratios, ratios[0].expand(len(ratios)), atol=1e-4)


def conditioners_tell(tmp_path: Path, code: str) -> None:
    parts = parts_with(tmp_path, code)
    ours = built_in()[0].conditioners["text"].function
    app = open_app(Paths(tmp_path / "data"), parts, checkpoint="pocket", cpu_only=True)
    try:
        with app.checkpoints.use() as model:
            theirs = parts.conditioners["text-at-night"].function(REQUEST, model, False, Inputs())
            asked = replace(REQUEST, prompt="a red cube, at night")
            assert torch.equal(theirs.crossattn, ours(asked, model, False, Inputs()).crossattn)
            assert not torch.equal(theirs.crossattn, ours(REQUEST, model, False, Inputs()).crossattn)
            more = Chosen("More words", {"words": "at night", "loudness": 0.5})
            night = ours(replace(REQUEST, prompt="at night"), model, False, Inputs()).crossattn
            told = condition(replace(REQUEST, conditioners=(more,)), model, parts, [Inputs()])
            assert torch.equal(told[0].crossattn[:, -night.shape[1] :], night * 0.5)
        plain, louder = (drawn(app, conditioners=(replace(more, options={**more.options, "loudness": by}),)) for by in (0.5, 2.0))
        assert apart(plain, louder) > 0.1 and drawn(app) not in (plain, louder)
    finally:
        app.close()


def guiders_guide(tmp_path: Path, code: str) -> None:
    with program(loaded(tmp_path, code)) as app:
        found = [drawn(app, guiders=(Chosen("Guidance below", {"noise": noise}),)) for noise in (0.0, 5.0, 20.0)]
        assert found[0] == drawn(app, guidance=1.0), "the prompt alone all the way"
        assert found[2] == drawn(app) and len(set(found)) == 3


def preprocessors_prepare(tmp_path: Path, code: str) -> None:
    parts = parts_with(tmp_path, code)
    made = preprocessing(parts, "Silhouette")(Image.linear_gradient("L").convert("RGB"))
    assert made.getcolors() == [(128 * 256, (255, 255, 255)), (128 * 256, (0, 0, 0))]


def families_draw(tmp_path: Path, code: str) -> None:
    """A copy of the pocket of that name draws what the pocket draws of the same scene at night."""
    for name in ("pocket", "pocket-night"):
        folder = write_pocket(tmp_path / "data" / "models" / "Stable-diffusion", "pocket")
        folder.rename(folder.with_name(f"{name}-copy"))
    app = open_app(Paths(tmp_path / "data", tmp_path / "data"), parts_with(tmp_path, code), cpu_only=True)
    try:
        families = {entry.title.split()[0]: entry.family.name for entry in app.checkpoints.entries() if entry.family}
        assert families == {"pocket-copy": "pocket", "pocket-night-copy": "night"}
        night = drawn(app, checkpoint="pocket-night-copy")
        asked, day = (drawn(app, checkpoint="pocket-copy", prompt=words) for words in ("a red cube, at night", "a red cube"))
        # Not the same bytes: the arithmetic is chosen by the clock, for each family by itself, and may differ.
        assert apart(night, asked) < 3 < 20 < apart(night, day)
    finally:
        app.close()


def apart(one: bytes, other: bytes) -> float:
    """Mean distance of two pictures, of 255."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def scripts_draw(tmp_path: Path, code: str) -> None:
    with program(loaded(tmp_path, code)) as app:
        *row, whole = app.generate(replace(REQUEST, script="stairs", script_options={"flights": 2}, width=64, height=64))
        assert [one.request.steps for one in row] == [2, 4] and whole.image.size == (128, 64)
        halves = [whole.image.crop((left, 0, left + 64, 64)).tobytes() for left in (0, 64)]
        assert halves == [one.image.tobytes() for one in row] and "Script: Stairs" in whole.infotext


def upscalers_enlarge(tmp_path: Path, code: str) -> None:
    image = Image.effect_noise((7, 5), 80).convert("RGB")
    with program(loaded(tmp_path, code)) as app:
        made = app.enlarge(EnlargeRequest(image=app.inputs.put(image), upscaler="Squares", scale=3.0)).image
    assert made.tobytes() == image.resize((21, 15), Image.Resampling.NEAREST).tobytes()


def readers_read(tmp_path: Path, code: str) -> None:
    info, file = PngInfo(), io.BytesIO()
    info.add_text("Title", "a moth")
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=info)
    with program(loaded(tmp_path, code)) as app:
        assert app.infotext_of(file.getvalue()) == "a moth"


def routes_answer(tmp_path: Path, code: str) -> None:
    with program(loaded(tmp_path, code)) as app:
        client = TestClient(build(app, Access.for_flags()), base_url="http://localhost:7860")
        assert client.put("/extensions/documented/words/moth").json() == ["moth"]
        assert client.get("/extensions/documented/words").json() == ["moth"]


def settings_count(tmp_path: Path, code: str) -> None:
    with program(loaded(tmp_path, code)) as app:
        own, x = app.owns("documented"), torch.ones(1, 4, 8, 8)
        assert dict(own.settings) == {"is_on": True, "language": "English", "share": 0.5}
        own.change(share=0.25)
        drawn = app.parts.samplers["A share of one step"].function(lambda x, sigma: x * 0, x, torch.tensor([1.0, 0.0]), None)
        assert torch.allclose(drawn, x * 0.75)


def commands_run(tmp_path: Path, code: str) -> None:
    (tmp_path / "extensions").mkdir()
    loaded(tmp_path / "extensions", code)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a.webp").write_bytes(b"")
    assert main(["--data-dir", str(tmp_path), "--cpu", "count-pictures", "--kind", "webp"]) == 0


def handlers_are_told(tmp_path: Path, code: str) -> None:
    with program(loaded(tmp_path, code), takes_jobs=True) as app:
        job = app.queue.wait(app.queue.submit(replace(REQUEST, steps=1)).id, 60)
        app.close()
        assert app.owns("documented").folder.joinpath("pictures.txt").read_text() == f"{Path(job.images[0].path).name}\n"


def tabs_show(tmp_path: Path, code: str) -> None:
    with program(loaded(tmp_path, code), takes_jobs=True) as app:
        made = page.build(app)
        labels = [block.label for block in made.blocks.values() if block.get_block_name() == "tabitem"]
        assert labels[-1] == "Prompts"
        (show,) = [one.fn for one in made.fns.values() if one.outputs and one.outputs[0].elem_id == "my-prompts-list"]
        app.queue.wait(app.queue.submit(REQUEST).id, 120)
        assert show() == "a red cube"


def panels_travel(tmp_path: Path, code: str) -> None:
    with program(loaded(tmp_path, code), takes_jobs=True) as app:
        places = [block.elem_id for block in page.build(app).blocks.values() if block.elem_id.__class__ is str]
        tabs = ("txt2img", "img2img", "inpaint", "depth")
        assert [f"my-ending-{tab}" for tab in tabs] == [place for place in places if place.startswith("my-ending")]
        asked = replace(REQUEST, extras={"documented": {"words": "at night"}, "other": {"x": 1}})
        job = app.queue.wait(app.queue.submit(asked).id, 120)
        assert job.images[0].infotext.startswith("a red cube, at night\n") and "documented" not in job.images[0].infotext
        assert app.queue.wait(app.queue.submit(REQUEST).id, 120).images[0].infotext.startswith("a red cube\n")


RUNS: dict[str, Callable[[Path, str], None]] = {
    "register_tabs": tabs_show,
    "register_panels": panels_travel,
    "register_scripts": scripts_draw,
    "register_upscalers": upscalers_enlarge,
    "register_metadata_readers": readers_read,
    "register_routes": routes_answer,
    "register_settings": settings_count,
    "register_cli": commands_run,
    "register_samplers": samplers_draw,
    "register_schedules": schedules_fall,
    "register_conditioners": conditioners_tell,
    "register_guidance": guiders_guide,
    "register_preprocessors": preprocessors_prepare,
    "register_families": families_draw,
}


@pytest.mark.parametrize("name", HOOKS)
def test_the_example_of_a_hook_works(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(of_hook(name), "python")
    assert re.search(rf"^def {name}\(register(, own)?\):$", code, re.M)
    RUNS[name](tmp_path, code)
    (tmp_path / "checked").mkdir()
    assert main(["extensions", "check", str(loaded(tmp_path / "checked", code)), "--data-dir", str(tmp_path)]) == 0
    assert "documented 1 is all right" in capsys.readouterr().out


def test_the_example_of_an_event_works(tmp_path: Path) -> None:
    (code,) = blocks(section(HAPPENS), "python")
    handlers_are_told(tmp_path, code)


def test_the_sentence_that_an_extension_of_another_contract_gets_is_the_one_that_is_said(tmp_path: Path) -> None:
    (told,) = blocks(section("The contract's version"), "text")
    for version in ("0", "2"):
        (tmp_path / "extension.toml").write_text(f'name = "my-sampler"\nversion = "1"\ncontract = "{version}"\n')
        with pytest.raises(PluginError) as refused:
            read_manifest(tmp_path / "extension.toml")
        assert str(refused.value) == told.strip().replace("contract 0", f"contract {version}")
    assert all(f"| {version} |" in section("The contract's version") for version in ("0", VERSION, "2"))


def test_the_test_that_is_shown_passes_and_needs_the_extension(tmp_path: Path) -> None:
    text = section("A sampler in the menu, in five minutes")
    folder = loaded(tmp_path, blocks(text, "python")[0])
    file = folder / "test_extension.py"
    file.write_text(blocks(section("How to test one"), "python")[0])
    runpy.run_path(str(file))["test_it_draws"]()
    code = (folder / "extension.py").read_text()
    (folder / "extension.py").write_text(code.replace('"My Sampler"', '"Another"'))
    with pytest.raises(Exception, match="No sampler is called"):
        runpy.run_path(str(file))["test_it_draws"]()


def test_no_example_is_left_out() -> None:
    """Each block in Python is in a section whose blocks are run above."""
    sections = [of_hook(name) for name in HOOKS]
    sections += [section("A sampler in the menu, in five minutes"), section("How to test one"), section(HAPPENS)]
    assert sum(len(blocks(text, "python")) for text in sections) == len(blocks(TEXT, "python")) == len(sections)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
    assert "docs/extensions.md" in (ROOT / "extensions" / "README.md").read_text()
