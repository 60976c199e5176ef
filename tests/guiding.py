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

CONDITIONERS = """
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch

from webui.contract import File, PartOf, Picture, Range, hookimpl
from webui.contract.more_parts import Residuals
from webui.contract.parts import Conditioning
from webui.engine.controls import shapes

@hookimpl
def register_preprocessors(register):
    register("Inverted", inverted, aliases=("negative",))

@hookimpl
def register_conditioners(register):
    register("Pushed", pushed, on_request=True)
    register("Picture push", by_picture, on_request=True, is_shared=True)
    register("More words", more_words, on_request=True)
    register("Two rows", two_rows, on_request=True)
    register("Vector", vector, on_request=True)
    register("Wide words", wide, on_request=True)
    register("Raises", raises, on_request=True)
    register("Nothing", nothing, on_request=True)
    register("Short", short, on_request=True)
    register("Odd", odd, on_request=True)
    register("Late", late, on_request=True)

@dataclass(frozen=True)
class Push:
    unet: Any
    by: float
    place: tuple = ()

    def __call__(self, x, t, crossattn, vector, added=None):
        assert x.shape[1] == 4 and (crossattn is None or len(crossattn) == len(x)) and (t.ndim == 0 or len(t) == len(x))
        maps = [torch.full(shape, self.by) for shape in shapes(self.unet, x)]
        return Residuals(tuple(maps[:-1]), maps[-1]) if self.by else None

    def seen_through(self, top, left, height, width):
        return replace(self, place=(top, left, height, width))

def pushed(request, model, negative, inputs, *, by: Annotated[float, Range(-1, 1)] = 0.1, sides: str = "both"):
    is_asked = sides == "both" or (sides == "negative") == negative
    return Conditioning(controls=(Push(model.unet, by),) if is_asked else ())

def by_picture(
    request, model, negative, inputs, *,
    picture: Annotated[Any, Picture(), "What pushes"] = None,
    preprocessor: Annotated[Any, PartOf("preprocessors")] = None,
    model_file: Annotated[Path | None, File("Pushes")] = None,
):
    if picture is None:
        return Conditioning()
    assert picture.mode == "RGB"
    seen = picture if preprocessor is None else preprocessor(picture)
    by = sum(seen.resize((1, 1)).getpixel((0, 0))) / 7650 * (float(model_file.read_text()) if model_file else 1)
    return Conditioning(controls=(Push(model.unet, by),))

def inverted(image):
    return image.point(lambda value: 255 - value)

def more_words(request, model, negative, inputs, *, rows: int = 1):
    return Conditioning(crossattn=torch.full((1, rows, model.family.context_width), 0.5))

def two_rows(request, model, negative, inputs):
    return Conditioning(crossattn=torch.zeros(1, 2 if negative else 1, model.family.context_width))

def vector(request, model, negative, inputs):
    return Conditioning(vector=torch.zeros(1, 4))

def wide(request, model, negative, inputs):
    return Conditioning(crossattn=torch.zeros(1, 1, 7))

def raises(request, model, negative, inputs):
    raise ValueError("no reason")

def nothing(request, model, negative, inputs):
    return None

class Cut(Push):
    def __call__(self, *given):
        made = super().__call__(*given)
        return Residuals(made.down[:-1], made.middle)

def short(request, model, negative, inputs):
    return Conditioning(controls=(Cut(model.unet, 0.1),))

class Answers:
    def __init__(self, answer):
        self.answer = answer

    def __call__(self, x, t, crossattn, vector, added=None):
        return self.answer()

    def seen_through(self, *place):
        return self

def odd(request, model, negative, inputs):
    return Conditioning(controls=(Answers(lambda: torch.zeros(1)),))

def late(request, model, negative, inputs):
    return Conditioning(controls=(Answers(lambda: 1 / 0),))
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
