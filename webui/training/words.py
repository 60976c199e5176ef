"""The captions of the pocket world: many wordings of one scene, with parts left out at random."""

from __future__ import annotations

import zlib

import numpy as np

from webui.training.scene import Scene, Thing

SYNONYMS: dict[str, tuple[str, ...]] = {
    "gray": ("gray", "grey"),
    "purple": ("purple", "purple", "violet"),
    "sphere": ("sphere", "sphere", "ball"),
    "cube": ("cube", "cube", "box", "block"),
    "cylinder": ("cylinder", "cylinder", "can"),
    "cone": ("cone",),
    "ring": ("ring", "ring", "torus", "donut"),
    "small": ("small", "small", "little", "tiny"),
    "large": ("large", "large", "big", "huge"),
    "checkered": ("checkered", "checkered", "checkerboard", "chequered"),
    "wooden": ("wooden", "wooden", "wood"),
    "tiled": ("tiled", "tiled", "tile"),
}
"""Words for a name; one that stands twice is drawn twice as often. Other names have one word, themselves."""

PREFIXES = (
    *("", "", "", "", "a photo of ", "a picture of ", "an image of ", "a rendering of "),
    *("a render of ", "a 3d render of "),
)


def caption(scene: Scene, rng: np.random.Generator, empty: float = 0.12) -> str:
    """One wording of the scene for training; it is empty with chance `empty`, and never held out."""
    while True:
        text = "" if rng.uniform() < empty else wording(scene, rng)
        if not held_out(text):
            return text


def held_out(text: str) -> bool:
    """Whether no training ever sees this string: one wording in 25, by its CRC. They are the evaluation's prompts."""
    return bool(text) and zlib.crc32(text.encode()) % 25 == 7


def wording(scene: Scene, rng: np.random.Generator) -> str:
    """One wording of the scene, held out or not."""
    has_floor = bool(rng.uniform() < 0.66)
    has_back = bool(rng.uniform() < 0.55)
    light = ""
    if scene.light_side and rng.uniform() < 0.12:
        light = f", {_pick(rng, 'lit', 'light')} from the {scene.light_side}"
    if len(scene.things) == 1:
        return _wording_of_one(scene, rng, has_floor, has_back) + light
    return _wording_of_two(scene, rng, has_floor, has_back) + light


def says(text: str, name: str) -> bool:
    """Whether the text holds a word for that name."""
    return any(word in SYNONYMS.get(name, (name,)) for word in text.replace(",", " ").split())


def _wording_of_one(scene: Scene, rng: np.random.Generator, has_floor: bool, has_back: bool) -> str:
    thing = scene.things[0]
    style = rng.uniform()
    if style < 0.12:
        return _tags(scene, rng, has_floor, has_back)
    if style < 0.18 and has_floor:
        text = f"a {_floor(scene, rng)} with {_name(rng, thing)} on it"
        return text + (" " + _back(scene, rng) if has_back else "")
    if style < 0.24:
        size = f"{_word(rng, thing.size)} " if thing.size != "medium" and rng.uniform() < 0.5 else ""
        text = _a(size + _word(rng, thing.shape)) + _pick(rng, " that is ", ", ", " in ") + _word(rng, thing.colour)
    else:
        text = _pick(rng, *PREFIXES) + _name(rng, thing)
    if has_floor:
        text += _pick(rng, " on ", " on ", " on ", " standing on ", " on top of ")
        text += _pick(rng, "a ", "a ", "the ") + _floor(scene, rng)
    return text + (" " + _back(scene, rng) if has_back else "")


def _wording_of_two(scene: Scene, rng: np.random.Generator, has_floor: bool, has_back: bool) -> str:
    left, right = (_name(rng, thing) for thing in scene.things)
    style = rng.uniform()
    if style < 0.35:
        text = f"{left} {_pick(rng, 'left of', 'to the left of', 'on the left of')} {right}"
    elif style < 0.70:
        text = f"{right} {_pick(rng, 'right of', 'to the right of', 'on the right of')} {left}"
    elif style < 0.9:
        text = f"{left} and {right}" if rng.uniform() < 0.5 else f"{right} and {left}"
    else:
        text = f"{left} on the left and {right} on the right"
    text = _pick(rng, *PREFIXES[:8]) + text
    if has_floor:
        text += " on a " + _floor(scene, rng)
    return text + (" " + _back(scene, rng) if has_back else "")


def _tags(scene: Scene, rng: np.random.Generator, has_floor: bool, has_back: bool) -> str:
    parts = [_name(rng, scene.things[0], has_article=False)]
    if has_floor:
        parts.append(_floor(scene, rng))
    if has_back:
        tags = {  # all four are drawn, whichever is used: the draws are part of the world
            "wall": _word(rng, scene.wall_colour) + " wall",
            "sky": _pick(rng, "blue sky", "daylight"),
            "sunset": _pick(rng, "sunset", "sunset sky"),
            "night": _pick(rng, "night", "night sky"),
        }
        parts.append(tags[scene.back])
    return ", ".join(parts)


def _name(rng: np.random.Generator, thing: Thing, has_article: bool = True) -> str:
    words = []
    if thing.size != "medium" and rng.uniform() < 0.55:
        words.append(_word(rng, thing.size))
    if rng.uniform() < 0.94:
        words.append(_word(rng, thing.colour))
    words.append(_word(rng, thing.shape) if rng.uniform() < 0.94 else "object")
    text = " ".join(words)
    if not has_article:
        return text
    draw = rng.uniform()
    return f"one {text}" if draw < 0.1 else f"the {text}" if draw < 0.16 else _a(text)


def _floor(scene: Scene, rng: np.random.Generator) -> str:
    if scene.floor == "plain":
        return f"{_word(rng, scene.floor_colour)} floor" if rng.uniform() < 0.85 else "plain floor"
    return f"{_word(rng, scene.floor)} floor"


def _back(scene: Scene, rng: np.random.Generator) -> str:
    if scene.back == "wall":
        wall = f"{_word(rng, scene.wall_colour)} wall" if rng.uniform() < 0.85 else "plain wall"
        return _pick(rng, "in front of a ", "against a ", "before a ", "with a ") + wall
    if scene.back == "sky":
        return _pick(rng, "under a blue sky", "in front of a blue sky", "in daylight", "with a clear sky", "outdoors")
    if scene.back == "sunset":
        words = ("at sunset", "in front of a sunset sky", "under a sunset sky", "with a sunset", "in the evening")
        return _pick(rng, *words)
    return _pick(rng, "at night", "under a night sky", "in front of a night sky", "in the dark", "with a starry sky")


def _pick(rng: np.random.Generator, *options: str) -> str:
    return options[rng.integers(len(options))]


def _word(rng: np.random.Generator, name: str) -> str:
    return _pick(rng, *SYNONYMS.get(name, (name,)))


def _a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words
