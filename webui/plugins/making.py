"""A new extension that works: one commented sampler, its test, and what to read."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from webui.contract import VERSION
from webui.contract.errors import StartError
from webui.contract.parts import SamplerPart
from webui.contract.registry import Registry
from webui.plugins.extension import MANIFEST, NAME

TOML = """\
name = "{name}"
version = "0.1"
contract = "{contract}"
description = "One sampler, {sampler}"
"""

CODE = '''\
"""One sampler. From here it is yours: change the step, start the program again, choose it in the menu."""

from itertools import pairwise

from webui.contract import hookimpl


@hookimpl
def register_samplers(register):
    # The name stands in the menu and is written into every picture, so keep it once others have pictures with it.
    register("{sampler}", {function})


def {function}(denoise, x, sigmas, noise):
    """Euler's method: walk down the noise levels in straight steps.

    denoise(x, sigma) asks the network: what would these latents be without their noise? Prompt, guidance, progress and
        Interrupt are in it already. x and what it answers are tensors (pictures, channels, height / 8, width / 8).
    x is noise of the standard deviation sigmas[0]. Make new tensors (x = x + ...), do not change it in place (x += ...).
    sigmas are steps + 1 falling noise levels, the last one is 0.
    noise(sigma, sigma_next) is fresh unit noise for a step, shaped like x and the same for the same seed. This sampler
        needs none; one that adds some is registered with is_random=True.
    """
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        slope = (x - denoised) / sigma  # the unit noise that is still in x
        x = x + slope * (sigma_next - sigma)  # this much of it stays
    return x
'''

TEST = '''\
"""Run with the program's Python: python -m pytest {name}"""

from pathlib import Path

import pytest
import torch

from webui.contract.request import GenerationRequest
from webui.testing import program

SAMPLER = "{sampler}"


@pytest.fixture(scope="module")
def app():
    with program(Path(__file__).parent) as opened:  # the program with this extension and no other
        yield opened


def test_it_is_in_the_menu(app):
    assert SAMPLER in app.parts.samplers.names()


def test_with_a_network_that_knows_the_picture_it_arrives_there(app):
    picture = torch.linspace(-1, 1, 4 * 8 * 8).reshape(1, 4, 8, 8)
    sigmas = torch.tensor([10.0, 5.0, 2.0, 1.0, 0.0])
    start = picture + 10 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))
    before = start.clone()
    drawn = app.parts.samplers[SAMPLER].function(
        lambda x, sigma: picture, start, sigmas, lambda sigma, sigma_next: torch.zeros_like(start)
    )
    assert torch.allclose(drawn, picture, atol=1e-4)
    assert torch.equal(start, before), "a sampler leaves what it is given as it is"


def test_it_draws_the_same_picture_for_the_same_seed(app):
    request = GenerationRequest(prompt="a red cube", checkpoint="pocket", sampler=SAMPLER, steps=4, seed=1)
    first, again = (next(app.generate(request)).image for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert first.convert("L").getextrema()[1] > 50, "it is black"
'''

README = """\
# {name}

{sampler}, a sampler for Latent WebUI. Choose it in the menu *Sampler*, or by name:

    webui generate "a red cube" --sampler "{sampler}"

`extension.py` has the sampler, `{manifest}` says what the extension is, `test_extension.py` tests it inside the program:

    python -m pytest {name}
    webui extensions check {name}
"""


def make(name: str, folder: Path, taken: Mapping[str, str], samplers: Registry[SamplerPart]) -> Path:
    """Write a new extension; its folder.

    Args:
        folder: extensions/ of the data folder.
        taken: why a name cannot be had, by name. samplers: those that there are.

    Raises:
        StartError: the name is none, or taken; or the files cannot be written. Nothing is overwritten.
    """
    if not NAME.fullmatch(name) or name.endswith("."):
        raise StartError(
            f"An extension cannot be called {name[:80]!r}: a name has up to 64 letters without accents, digits, dots, hyphens "
            "and underscores, and begins with a letter or a digit, as in: webui extensions new my-sampler."
        )
    place = folder / name
    reasons = {path.name.casefold(): f"{path} is there already." for path in folder.glob("*")}
    reasons |= {one.casefold(): reason for one, reason in taken.items()}
    if name.casefold() in reasons:
        raise StartError(f"{reasons[name.casefold()]} Choose another name.")
    files = _files(name, samplers)
    try:
        place.mkdir(parents=True)
    except OSError as error:
        raise StartError(f"{place} cannot be made ({error.strerror}). Choose another folder with --data-dir.") from None
    try:
        for file, text in files.items():
            (place / file).write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)  # made a moment ago, by us
        raise StartError(
            f"The extension {name} could not be written ({error.strerror}); nothing of it was left behind."
        ) from None
    return place


def _files(name: str, samplers: Registry[SamplerPart]) -> dict[str, str]:
    words = re.split(r"[^A-Za-z0-9]+", name.strip("._-"))
    sampler = title = " ".join(word[:1].upper() + word[1:] for word in words)
    number = 2
    while sampler in samplers:
        sampler, number = f"{title} {number}", number + 1
    values = {
        "name": name, "contract": VERSION, "sampler": sampler, "manifest": MANIFEST,
        "function": "sample_" + "_".join(words).lower(),
    }  # fmt: skip
    texts = {MANIFEST: TOML, "extension.py": CODE, "test_extension.py": TEST, "README.md": README}
    return {file: text.format(**values) for file, text in texts.items()}
