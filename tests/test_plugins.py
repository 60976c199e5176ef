"""Extensions: two files add a sampler; a broken one is named and off, and takes nothing with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from webui import plugins
from webui.contract.errors import PluginError
from webui.contract.parts import Parts
from webui.contract.request import GenerationRequest
from webui.engine.generate import generate
from webui.main import find_parts
from webui.plugins.extension import read_manifest
from webui.workspace.app import App
from webui.workspace.paths import Paths

MY_EULER = """
from webui.contract import hookimpl

@hookimpl
def register_samplers(register):
    register("My Euler", sample_my_euler)

def sample_my_euler(denoise, x, sigmas, noise):
    for sigma, sigma_next in zip(sigmas[:-1], sigmas[1:]):
        x = x + (x - denoise(x, sigma)) / sigma * (sigma_next - sigma)
    return x
"""


def extension(data: Path, name: str, code: str, contract: str = "1") -> None:
    folder = data / "extensions" / name
    folder.mkdir(parents=True)
    (folder / "extension.toml").write_text(f'name = "{name}"\nversion = "1.0"\ncontract = "{contract}"\n')
    (folder / "extension.py").write_text(code)


def found(data: Path) -> tuple[Parts, dict[str, plugins.Extension]]:
    parts, extensions = find_parts(Paths(data, project=data))
    return parts, {one.name: one for one in extensions}


def test_the_five_minute_extension_draws_the_bytes_of_the_built_in_euler(app: App, tmp_path: Path) -> None:
    extension(tmp_path, "my-sampler", MY_EULER)
    parts, extensions = found(tmp_path)
    assert extensions["my-sampler"].error == ""
    assert parts.samplers.owner("My Euler") == "my-sampler"
    request = GenerationRequest(prompt="a red cube", steps=4, seed=9)
    ours, theirs = (
        next(generate(replace(request, sampler=name), app.checkpoints, parts)).image.tobytes() for name in ("Euler", "My Euler")
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("raise ValueError('on import')", "on import"),
        (MY_EULER.replace("My Euler", "Euler"), "has it already"),
        (
            MY_EULER.replace('register("My Euler", sample_my_euler)', "register('Half', sample_my_euler); 1 / 0"),
            "ZeroDivisionError",
        ),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit('gone')", "SystemExit"),
    ],
)
def test_a_broken_extension_is_named_and_the_others_start(tmp_path: Path, code: str, words: str) -> None:
    extension(tmp_path, "a-broken", code)
    extension(tmp_path, "b-good", MY_EULER)
    parts, extensions = found(tmp_path)
    assert words in extensions["a-broken"].error
    assert extensions["b-good"].error == ""
    assert "My Euler" in parts.samplers
    assert "Half" not in parts.samplers, "what it had offered before it failed is taken back"
    assert parts.samplers.owner("Euler") == "engine"


def test_an_extension_for_another_contract_is_switched_off_with_a_word(tmp_path: Path) -> None:
    extension(tmp_path, "old", MY_EULER, contract="0")
    _, extensions = found(tmp_path)
    assert extensions["old"].error.startswith("old needs contract 0, this program has contract 1.")


def test_two_extensions_with_a_helper_of_one_name_each_see_their_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        code = MY_EULER.replace("My Euler", f"Euler {name}").replace(
            "from webui", f"from .helpers import NAME\nassert NAME == '{name}'\nfrom webui"
        )
        extension(tmp_path, name, code)
        (tmp_path / "extensions" / name / "helpers.py").write_text(f"NAME = '{name}'")
    parts, extensions = found(tmp_path)
    assert [one.error for one in extensions.values()] == ["", ""]
    assert "Euler one" in parts.samplers and "Euler two" in parts.samplers


def test_a_manifest_that_lacks_a_line_says_which(tmp_path: Path) -> None:
    (tmp_path / "extension.toml").write_text('name = "x"\nversion = "1"\n')
    with pytest.raises(PluginError, match="needs a line contract"):
        read_manifest(tmp_path / "extension.toml")


def test_built_in_parts_come_in_through_the_hooks(parts: Parts) -> None:
    assert parts.samplers.owner("DPM++ 2M") == "engine"
    assert parts.families.owner("sd1") == "checkpoints"
    assert parts.conditioners.owner("text") == "engine"


def test_a_sampler_gets_float32_levels_and_scalar_sigmas(app: App, tmp_path: Path) -> None:
    seen: list[object] = []

    def spy(denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        seen.extend([sigmas.dtype, noise(sigmas[0], sigmas[1]).shape == x.shape, noise(sigmas[0], sigmas[1]).std()])
        return denoise(x, sigmas[0])

    parts, _ = find_parts(Paths(tmp_path, project=tmp_path))
    parts.samplers.add(replace(parts.samplers["Euler"], name="Spy", function=spy, aliases=()), "test")
    next(generate(GenerationRequest(sampler="Spy", steps=2, seed=1), app.checkpoints, parts))
    assert seen[0] == torch.float32
    assert seen[1] is True
    assert 0.8 < float(seen[2]) < 1.2  # type: ignore[arg-type]


RAISES = """
from webui.contract import hookimpl

@hookimpl
def register_samplers(register):
    register("Raises", lambda denoise, x, sigmas, noise: {}["key"])
    register("Nothing", lambda denoise, x, sigmas, noise: None)
    register("Small", lambda denoise, x, sigmas, noise: x[..., :2])
    register("Asks wrongly", lambda denoise, x, sigmas, noise: denoise(x))

@hookimpl
def register_schedules(register):
    register("Says words", lambda steps, table: "words")
"""


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"sampler": "Raises"}, "The extension strange failed in its sampler 'Raises' (KeyError: 'key'). Choose another sampler"),
        ({"sampler": "Nothing"}, "The extension strange answered a NoneType in its sampler 'Nothing'"),
        ({"sampler": "Small"}, "answered a tensor of (1, 4, 16, 2)"),
        ({"sampler": "Asks wrongly"}, "failed in its sampler 'Asks wrongly' (TypeError"),
        ({"schedule": "Says words"}, "failed in its schedule 'Says words' (ValueError"),
    ],
)
def test_what_goes_wrong_in_an_extension_ends_one_job_with_its_name(
    app: App, tmp_path: Path, asked: dict[str, str], words: str
) -> None:
    extension(tmp_path, "strange", RAISES)
    parts, _ = found(tmp_path)
    request = GenerationRequest(prompt="a red cube", steps=2, seed=9)
    with pytest.raises(PluginError) as raised:
        list(generate(replace(request, **asked), app.checkpoints, parts))  # type: ignore[arg-type]
    assert words in str(raised.value)
    assert list(generate(request, app.checkpoints, parts))


@pytest.mark.parametrize("name", ["engine", "Checkpoints"])
def test_an_extension_with_the_name_of_a_built_in_part_takes_nothing_of_it_along(tmp_path: Path, name: str) -> None:
    extension(tmp_path, name, MY_EULER.replace("My Euler", "Euler"))
    parts, extensions = found(tmp_path)
    assert extensions[name].error.startswith(f"{name} is the name of a part of the program itself")
    assert parts.samplers.owner("Euler") == "engine" and "sd1" in parts.families
