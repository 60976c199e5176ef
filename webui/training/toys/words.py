"""The captions of the toys world: many wordings of one scene, with parts left out at random."""

from __future__ import annotations

from itertools import count

import numpy as np

from webui.training.toys.scene import Toy, ToyScene, sample
from webui.training.words import held_out

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "cat": ("kitten", "kitty"),
    "dog": ("puppy",),
    "rabbit": ("bunny",),
    "hamburger": ("burger",),
    "taxi": ("cab",),
    "pig": ("piglet",),
    "christmas tree": ("xmas tree",),
    "doughnut": ("donut",),
    "airplane": ("plane", "aeroplane"),
    "flying saucer": ("ufo",),
    "steam train": ("train", "locomotive"),
    "soft ice cream": ("ice cream", "ice cream cone"),
    "french fries": ("fries",),
    "jack-o-lantern": ("pumpkin", "halloween pumpkin"),
    "tyrannosaurus": ("t-rex", "dinosaur"),
    "red heart": ("heart",),
    "red apple": ("apple",),
    "red car": ("car",),
    "birthday cake": ("cake",),
    "sailing boat": ("sailboat", "boat"),
    "running shoe": ("sneaker", "shoe"),
    "cow face": ("cow's face",),
    "horse head": ("horse's head",),
    "telephone": ("old telephone",),
    "phone": ("smartphone",),
    "television": ("tv",),
    "couch": ("sofa",),
    "present": ("gift",),
    "hippo": ("hippopotamus",),
    "rhino": ("rhinoceros",),
    "chick": ("baby chick",),
    "cup of coffee": ("coffee",),
    "cup of tea": ("tea",),
    "mug of beer": ("beer",),
    "tropical fish": ("clownfish",),
    "light bulb": ("bulb",),
    "fir tree": ("pine tree",),
}
BARE = 0.14
"""Share of the wordings of a lone toy that tell nothing of floor and back."""
PREFIXES = ("", "", "", "", "", "", "a photo of ", "a picture of ", "an image of ", "a render of ", "a 3d render of ")


def caption(scene: ToyScene, rng: np.random.Generator, empty: float = 0.1) -> str:
    """One wording of the scene for training; it is empty with chance `empty`, and never held out."""
    while True:
        text = "" if rng.uniform() < empty else wording(scene, rng)
        if not held_out(text):
            return text


def held_out_wording(number: int, first: int) -> tuple[ToyScene, str]:
    """The first scene from that seed on, and its wording, of a lone toy with floor and back told, that no training sees."""
    for seed in count(first):
        scene = sample(seed, number, alone=True)
        text = wording(scene, np.random.default_rng((7, seed, 0)), tells_all=True)
        if held_out(text):
            return scene, text
    raise AssertionError("seeds do not end")


def wording(scene: ToyScene, rng: np.random.Generator, tells_all: bool = False) -> str:
    """One wording of the scene, held out or not; parts are left out at random unless it tells all."""
    style, has_floor, has_back = rng.uniform(), rng.uniform() < 0.7, rng.uniform() < 0.6
    if tells_all:
        style, has_floor, has_back = BARE + (1 - BARE) * style, True, True
    if len(scene.toys) == 2:
        return _wording_of_two(scene, rng, style, has_floor, has_back)
    noun = _noun(scene.toys[0], rng)
    if style < BARE:
        return noun if rng.uniform() < 0.3 else _pick(rng, "", "", "", "a picture of ", "a photo of ") + with_article(noun)
    if rng.uniform() < 0.1:
        noun = "toy " + noun
    size = scene.toys[0].size
    if size and rng.uniform() < 0.5:
        words = ("small", "small", "little", "tiny") if size == "small" else ("large", "large", "big", "huge")
        noun = f"{_pick(rng, *words)} {noun}"
    if style < 0.26:
        parts = [noun]
        parts += [floor_words(scene)] if has_floor else []
        parts += [_pick(rng, *_short(scene))] if has_back else []
        return ", ".join(parts)
    subject = with_article(noun) if rng.uniform() < 0.7 else _pick(rng, "the ", "one ") + noun
    text = _pick(rng, *PREFIXES) + subject
    if has_floor:
        text += " " + _on_floor(scene, rng)
    if scene.side and rng.uniform() < 0.5:
        text += f" on the {scene.side}"
    return text + (_pick(rng, " ", " ", " ", ", ") + _before_back(scene, rng) if has_back else "")


def _wording_of_two(scene: ToyScene, rng: np.random.Generator, style: float, has_floor: bool, has_back: bool) -> str:
    left, right = (with_article(_noun(toy, rng)) for toy in scene.toys)
    if style < 0.5:
        text = f"{left} and {right}" if rng.uniform() < 0.5 else f"{right} and {left}"
    elif style < 0.65:
        text = f"{left} next to {right}" if rng.uniform() < 0.5 else f"{right} next to {left}"
    elif style < 0.8:
        text = f"{left} {_pick(rng, 'left of', 'to the left of')} {right}"
    elif style < 0.92:
        text = f"{right} {_pick(rng, 'right of', 'to the right of')} {left}"
    else:
        text = f"{left} on the left and {right} on the right"
    text = _pick(rng, *PREFIXES) + text
    if has_floor:
        text += " " + _on_floor(scene, rng)
    return text + (" " + _before_back(scene, rng) if has_back else "")


def with_article(words: str) -> str:
    """ "an owl", "a unicorn", "grapes": what stands for many has none."""
    if words.split()[-1] in MANY:
        return words
    return ("an " if words[0] in "aeiou" and not words.startswith(("uni", "euro")) else "a ") + words


MANY = frozenset(
    (
        *("grapes", "blueberries", "cherries", "pancakes", "fries", "socks", "gloves", "headphones", "scissors", "dice"),
        *(
            "spaghetti",
            "sushi",
            "bread",
            "salad",
            "fire",
            "bamboo",
            "broccoli",
            "garlic",
            "corn",
            "cheese",
            "beer",
            "tea",
            "coffee",
        ),
    )
)
"""Last words of names that take no article."""


def floor_words(scene: ToyScene) -> str:
    """ "blue checkered floor", "grass" """
    if scene.floor in ("grass", "sand", "snow"):
        return scene.floor
    return f"{scene.floor_colour} floor" if scene.floor == "plain" else f"{scene.floor_colour} {scene.floor} floor"


def back_words(scene: ToyScene) -> str:
    """ "red wall", "night sky" """
    return {"wall": f"{scene.wall_colour} wall", "sunset": "sunset sky", "night": "night sky"}.get(scene.back, scene.back)


def _noun(toy: Toy, rng: np.random.Generator) -> str:
    other = OTHER_NAMES.get(toy.name)
    name = _pick(rng, *other) if other and rng.uniform() < 0.2 else toy.name
    return f"{_grey(toy.tint, rng)} {name}" if toy.tint else name


def _on_floor(scene: ToyScene, rng: np.random.Generator) -> str:
    if scene.floor == "grass":
        return _pick(rng, "on grass", "on grass", "on the grass", "on green grass", "in the grass")
    if scene.floor == "sand":
        return _pick(rng, "on sand", "on sand", "on the sand", "on the beach")
    if scene.floor == "snow":
        return _pick(rng, "on snow", "on snow", "in the snow", "on the snow")
    words = _grey(floor_words(scene), rng)
    if scene.floor == "checkered":
        words = _pick(rng, words, words, words.replace("checkered", "checkerboard"), "checkered floor")
    if scene.floor == "striped":
        words = _pick(rng, words, words, words, "striped floor")
    return _pick(rng, "on ", "on ", "on ", "standing on ") + _pick(rng, with_article(words), with_article(words), "the " + words)


def _before_back(scene: ToyScene, rng: np.random.Generator) -> str:
    if scene.back == "wall":
        return _pick(rng, "in front of ", "against ", "before ", "with ") + with_article(_grey(back_words(scene), rng))
    choices = {
        "blue sky": ("under a blue sky", "in front of a blue sky", "in daylight", "with a clear sky", "outdoors"),
        "sunset": ("at sunset", "in front of a sunset sky", "under a sunset sky", "with a sunset", "in the evening"),
        "night": ("at night", "under a night sky", "in front of a night sky", "in the dark", "with a starry sky"),
        "pink sky": ("under a pink sky", "in front of a pink sky", "with a pink sky"),
    }
    return _pick(rng, *choices[scene.back])


def _short(scene: ToyScene) -> tuple[str, ...]:
    return {"blue sky": ("blue sky", "daylight"), "sunset": ("sunset", "sunset sky"), "night": ("night", "night sky")}.get(
        scene.back, (back_words(scene),)
    )


def _grey(words: str, rng: np.random.Generator) -> str:
    return words.replace("gray", "grey") if rng.uniform() < 0.5 else words


def _pick(rng: np.random.Generator, *options: str) -> str:
    return options[rng.integers(len(options))]
