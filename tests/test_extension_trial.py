"""webui extensions check tries families, upscalers, readers of pictures, routes and commands before a user does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_plugins import extension
from webui.engine.trial_rows import row_faults
from webui.main import built_in, main

HEAD = """
from dataclasses import replace
from fastapi import APIRouter
from webui.checkpoints.families import SD1
from webui.contract import hookimpl
from webui.contract.parts import Encoder
"""


def hook(name: str, *lines: str) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"{HEAD}\n@hookimpl\ndef {name}(register):\n{body}\n"


def family(columns: str) -> str:
    return hook("register_families", f"register(replace(SD1, name='mine', label='Mine', aliases=(), {columns}))")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (family("conditioners=('txt',)"), "The family 'mine' names a conditioner 'txt', which nobody offers. Known: text,"),
        (family("sampler='Eular'"), "The family 'mine' names a sampler 'Eular', which nobody offers. Known: Euler a,"),
        (family("schedule='Karas'"), "names a schedule 'Karas', which nobody offers."),
        (family("prediction='x0'"), "has prediction 'x0', where it can be 'eps', 'v'."),
        (family("encoders=(Encoder('text', 't5', 'x.'),)"), "names an encoder of the kind 't5'. Known: clip, openclip,"),
        (family("encoders=(Encoder('words', 'clip', 'x.'),)"), "names an encoder with the role 'words'."),
        (family("inputs=('promt',)"), "has 'promt' in inputs, which is no field of a request."),
        (family("needs=('image|deep',)"), "has 'deep' in needs"),
        (family("native_size=0"), "has native_size 0, which is to be above 0."),
        (family("distilled_from='sd9'"), "says that it is distilled from 'sd9', which is no family here."),
        (family("in_channels=3"), "gives its U-Net 3 channels, fewer than its latents have (4)."),
        (
            hook("register_upscalers", "register('Up', lambda image, scale: 1 / 0)"),
            "failed in its upscaler 'Up' (ZeroDivisionError",
        ),
        (hook("register_upscalers", "register('Up', lambda image, scale: image)"), "a picture of about 96 x 64 is due"),
        (
            hook("register_metadata_readers", "register('R', lambda image: image.info['Title'])"),
            "failed in its reader 'R'",
        ),
        (hook("register_metadata_readers", "register('R', lambda image: None)"), "answers a NoneType in its reader 'R'"),
        (hook("register_metadata_readers", "register('R', lambda image: 'x')"), "answers a text in its reader 'R'"),
        (
            hook("register_routes", "routes = APIRouter()", "routes.get('')(lambda: 1)", "register(routes)"),
            "FastAPI cannot use the routes of mine: FastAPIError: Prefix and path cannot be both empty",
        ),
        (
            hook("register_cli", "register('go', lambda arguments, app: 0, arguments=lambda parser: parser.add('x'))"),
            "mine failed in the arguments of its command go: AttributeError",
        ),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, says: str) -> None:
    extension(tmp_path, "mine", code)
    assert main(["extensions", "check", str(tmp_path / "extensions" / "mine"), "--data-dir", str(tmp_path)]) == 1
    assert says in capsys.readouterr().out


CONDITIONS = """
import torch
from dataclasses import replace
from webui.checkpoints.families import POCKET
from webui.contract import hookimpl
from webui.contract.parts import Conditioning

@hookimpl
def register_conditioners(register):
    register("mine", mine, on_request={on_request})

def mine(request, model, negative, inputs):
    return {answer}
"""
ROW = """
@hookimpl
def register_families(register):
    register(replace(POCKET, name="mine", label="Mine", hints=("mine",), conditioners=("mine",), aliases=()))
"""


@pytest.mark.parametrize(
    ("answer", "on_request", "says"),
    [
        ("1 / 0", False, "The extension mine failed in its conditioner 'mine' (ZeroDivisionError"),
        ("None", False, "The conditioner 'mine' of mine answered no Conditioning."),
        ("Conditioning()", False, "What the conditioners of the family 'mine' make has no crossattn, which the network needs."),
        ("Conditioning(torch.zeros(1, 3, 7))", False, "has crossattn of (1, 3, 7), where (1, any, 96) is due."),
        ("Conditioning(torch.full((1, 3, 96), torch.nan))", False, "has numbers in crossattn that are none."),
        ("Conditioning(torch.rand(1, 3, 96))", False, "has another crossattn each time, so no picture could be made again."),
        ("1 / 0", True, "The extension mine failed in its conditioner 'mine' (ZeroDivisionError"),
        ("Conditioning(torch.zeros(1, 2, 7))", True, "makes crossattn of (1, 2, 7), where (1, any, 96) is due."),
        ("Conditioning(torch.zeros(1, 2, 96))", True, ""),
        ("Conditioning(torch.zeros(1, 3, 96))", False, ""),
    ],
)
def test_conditioners_are_asked_beside_the_pocket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: str, on_request: bool, says: str
) -> None:
    extension(tmp_path, "mine", CONDITIONS.format(answer=answer, on_request=on_request) + ("" if on_request else ROW))
    code = main(["extensions", "check", str(tmp_path / "extensions" / "mine"), "--data-dir", str(tmp_path)])
    told = capsys.readouterr().out
    assert code == bool(says) and (says or "mine 1.0 is all right") in told, told


def test_all_of_a_row_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extension(tmp_path, "mine", family("sampler='Eular', prediction='x0', native_size=-1"))
    assert main(["extensions", "check", str(tmp_path / "extensions" / "mine"), "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().out.count("The family 'mine'") == 3


def test_a_row_may_name_what_the_same_extension_offers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "from webui.engine.conditioners.text import text\n"
        + family("conditioners=('words',), schedule='Automatic'")
        + ("\n@hookimpl\ndef register_conditioners(register):\n    register('words', text)\n")
    )
    extension(tmp_path, "mine", code)
    assert main(["extensions", "check", str(tmp_path / "extensions" / "mine"), "--data-dir", str(tmp_path)]) == 0
    assert "mine 1.0 is all right" in capsys.readouterr().out


def test_nothing_is_wrong_with_the_programs_own_rows() -> None:
    assert list(row_faults(built_in()[0], "checkpoints")) == []
