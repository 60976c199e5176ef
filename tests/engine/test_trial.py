"""What `webui extensions check` finds by calling an extension's guiders and preprocessors once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guiding import CONDITIONERS, GUIDERS, guiding_parts
from webui.checkpoints.families import SD1
from webui.engine.trial import faults


def found(tmp_path: Path, code: str) -> list[str]:
    return [str(one) for one in faults(guiding_parts(tmp_path, code), "guiding", SD1)]


def test_each_bad_guider_is_found_and_no_good_one(tmp_path: Path) -> None:
    sentences = found(tmp_path, GUIDERS)
    names = ("Raises", "Raises at start", "Answers a number", "Answers another shape", "Answers doubles", "Breaks attention")
    assert len(sentences) == len(names) + 1
    for name, sentence in zip(names, sentences, strict=False):
        assert f"guider {name!r}" in sentence
    assert "no attention processor 'nowhere'" in sentences[-1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("lambda x, sigma: denoise(x, sigma) / 0", "made latents that are no numbers in its guider 'G'."),
        ("lambda x, sigma: denoise(x, sigma) + torch.rand(1)", "answers the same latents another way each time in its guider"),
        ("lambda x, sigma: denoise(x.mul_(1.1), sigma)", "changes x in its guider 'G': it is to make new latents"),
        ("None", "answered a NoneType in its guider 'G', where a function"),
    ],
)
def test_what_a_guider_must_not_do_is_found(tmp_path: Path, body: str, words: str) -> None:
    head = "import torch\nfrom webui.contract import hookimpl\n@hookimpl\ndef register_guidance(register):\n"
    (sentence,) = found(tmp_path, f"{head}    register('G', lambda denoise, network: {body})\n")
    assert words in sentence


def test_a_guider_that_asks_the_user_for_something_is_all_right(tmp_path: Path) -> None:
    code = """
from webui.contract import hookimpl
from webui.contract.errors import FieldError

@hookimpl
def register_guidance(register):
    register("Regions", regions)

def regions(denoise, network, *, words: str = ""):
    if not words:
        raise FieldError("guiders", "Regions need words.")
    return denoise
"""
    assert found(tmp_path, code) == []


def test_preprocessors_are_tried_too(tmp_path: Path) -> None:
    assert found(tmp_path / "good", CONDITIONERS) == []
    for body, words in (
        ("return image.crop((0, 0, 9, 9))", "answered a picture of 9 x 9 in its preprocessor 'Inverted'"),
        ("return image.point(lambda value: value ^ __import__('os').urandom(1)[0])", "makes another picture each time"),
        ("image.paste((1, 2, 3), (0, 0, 9, 9)); return image", "changes the picture that its preprocessor 'Inverted' is given."),
    ):
        code = CONDITIONERS.replace("return image.point(lambda value: 255 - value)", body)
        sentences = found(tmp_path / str(len(words)), code)
        assert len(sentences) == 1 and words in sentences[0], sentences
