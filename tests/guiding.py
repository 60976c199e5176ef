"""An extension with guiders and conditioners on request, good ones and bad ones, as an author writes them."""

from __future__ import annotations

from pathlib import Path

from webui.contract.parts import Parts
from webui.main import find_parts
from webui.workspace.paths import Paths

GUIDERS = """
from dataclasses import replace
from typing import Annotated

import torch

from webui.contract import Range, hookimpl

@hookimpl
def register_guidance(register):
    register("Gain", gain, aliases=("Loud",))
    register("Shift", shift)
    register("Own guidance", own)
    register("Mean", mean)
    register("Other words", words)
    register("Blind", blind)
    register("Raises", raises)
    register("Raises at start", raises_at_start)
    register("Answers a number", number)
    register("Answers another shape", shape)
    register("Answers doubles", doubles)
    register("Breaks attention", breaks)
    register("Names no attention", unnamed)

def gain(denoise, network, *, by: Annotated[float, Range(0, 2), "How much of it"] = 1.0):
    return lambda x, sigma: denoise(x, sigma) * by

def shift(denoise, network, *, by: float = 0.0):
    return lambda x, sigma: denoise(x, sigma) + by

def own(denoise, network):
    def guided(x, sigma):
        towards, away = network.predict(x, sigma, *network.sides)
        return away + network.scale * (towards - away)
    return guided

def mean(denoise, network):
    return lambda x, sigma: denoise(x, sigma) - x.mean()

def words(denoise, network, *, prompt: str = ""):
    positive, _ = network.condition(replace(network.request, prompt=prompt))
    return lambda x, sigma: network.predict(x, sigma, positive)[0]

class Identity:
    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        return attn.to_out[0](attn.to_v(hidden_states))

def selves(network):
    return [name for name in network.model.unet.attn_processors if "attn1" in name]

def blind(denoise, network):
    own = dict.fromkeys(selves(network), Identity())
    return lambda x, sigma: network.predict(x, sigma, network.sides[0], attention=own)[0]

def raises(denoise, network):
    def guided(x, sigma):
        raise ValueError("no reason")
    return guided

def raises_at_start(denoise, network):
    raise ValueError("no reason")

def number(denoise, network):
    return 7

def shape(denoise, network):
    return lambda x, sigma: denoise(x, sigma)[..., :-1]

def doubles(denoise, network):
    return lambda x, sigma: denoise(x, sigma).double()

class Broken:
    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        raise ValueError("no attention")

def breaks(denoise, network):
    own = dict.fromkeys(selves(network), Broken())
    return lambda x, sigma: network.predict(x, sigma, network.sides[0], attention=own)[0]

def unnamed(denoise, network):
    return lambda x, sigma: network.predict(x, sigma, network.sides[0], attention={"nowhere": Identity()})[0]
"""


def write_guiding(data: Path, code: str = GUIDERS, name: str = "guiding") -> None:
    folder = data / "extensions" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "extension.toml").write_text(f'name = "{name}"\nversion = "1.0"\ncontract = "1"\n')
    (folder / "extension.py").write_text(code)


def guiding_parts(data: Path, code: str = GUIDERS) -> Parts:
    """The parts of the program with that extension, and with nothing of the machine's own folders."""
    write_guiding(data, code)
    parts, extensions = find_parts(Paths(data, project=data))
    assert [(one.name, one.error) for one in extensions if one.name == "guiding"] == [("guiding", "")]
    return parts
