"""webui/ui/reading.py: which controls a checkpoint has, and which tabs it serves; over every family's tiny checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from webui.contract.parts import Parts
from webui.ui.reading import (
    class_choices,
    depth_title,
    drawing_upscaler,
    enlarged,
    facts_of,
    family_of,
    reads,
    refiners,
    size_choices,
    upscaler_choices,
    wanted,
)
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

PLAIN = {"width", "height"}
WORDS = {"prompt", "negative_prompt", "clip_skip", "emphasis", "long_prompt"}


@pytest.fixture(scope="module")
def shelf(reference_checkpoints: Path, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """All families' checkpoints, and the pocket."""
    paths = Paths(tmp_path_factory.mktemp("data"))
    opened = open_app(paths, parts, extra_checkpoints=[reference_checkpoints], cpu_only=True, takes_jobs=False)
    yield opened
    opened.close()


def title(app: App, start: str) -> str:
    return next(entry.title for entry in app.checkpoints.entries() if entry.title.startswith(start))


def fields(app: App, start: str) -> set[str]:
    family = family_of(app, title(app, start))
    assert family is not None
    return reads(app, family)


@pytest.mark.parametrize(
    "case, expected",
    [
        ("ldm-semantic-", {"map"} | PLAIN),
        ("ldm-sr-", {"image"}),
        ("sd-x4-", {"image", "noise_level"} | WORDS),
        ("unclip-h-", {"image", "second_image", "mix", "noise_level"} | WORDS | PLAIN),
        ("sd1-inpaint-", {"image", "strength", "mask"} | WORDS | PLAIN),
        ("sd2-depth-", {"image", "strength", "depth"} | WORDS | PLAIN),
    ],
)
def test_a_checkpoint_has_the_controls_of_what_it_reads(shelf: App, case: str, expected: set[str]) -> None:
    assert fields(shelf, case) == expected


def test_a_refiner_is_offered_where_one_of_the_same_line_is_there(shelf: App) -> None:
    base = title(shelf, "sdxl-base-refiner-")
    assert {"refiner", "refiner_switch"} <= fields(shelf, base)
    family = family_of(shelf, base)
    assert family is not None and len(size_choices(family)) == 40
    assert {"1024 × 1024", "896 × 1152", "1152 × 896", "832 × 1216", "1344 × 768", "640 × 1536"} <= set(size_choices(family))
    assert all(abs(width * height / 1024**2 - 1) < 0.13 for width, height in family.sizes)  # about one megapixel each
    for offered in refiners(shelf, family):
        row = family_of(shelf, offered)
        assert row is not None and row.does == "refine"
    assert "refiner" not in fields(shelf, "sd1-a")


def test_only_a_class_checkpoint_brings_the_names_of_classes(shelf: App) -> None:
    assert class_choices(family_of(shelf, title(shelf, "ldm-class-")))[1] == ("goldfish", "1")
    assert class_choices(family_of(shelf, "pocket")) == []


def test_what_is_not_read_is_not_asked_for(shelf: App) -> None:
    values = {"prompt": "a", "steps": 3, "mask": "m", "class_label": "1", "refiner": "sdxl", "width": 64}
    assert wanted(shelf, "pocket", values) == {"prompt": "a", "steps": 3, "width": 64}
    assert wanted(shelf, title(shelf, "ldm-class-"), values) == {"steps": 3, "class_label": "1", "width": 64}
    assert wanted(shelf, "nobody", values) == values


@pytest.mark.parametrize("case", ["autoencoder-", "sdxl-refiner-"])
def test_a_tab_that_cannot_use_a_checkpoint_says_why_in_a_sentence_and_names_one_that_it_can(shelf: App, case: str) -> None:
    told = facts_of(shelf, title(shelf, case))["tabs"]["txt2img"]
    assert "This tab needs a " in told["why"]
    assert facts_of(shelf, told["other"])["tabs"]["txt2img"]["why"] == ""


@pytest.mark.parametrize(
    "case, served, sent_to",
    [
        ("sd1-a", {"txt2img", "img2img", "inpaint"}, ""),
        ("ldm-class-", {"txt2img", "img2img", "inpaint"}, ""),
        ("ldm-semantic-", {"txt2img"}, "txt2img"),
        ("sd1-inpaint-", {"img2img", "inpaint"}, "inpaint"),
        ("ldm-inpaint-", {"img2img", "inpaint"}, "inpaint"),
        ("sd2-depth-", {"img2img", "inpaint"}, "depth"),
        ("unclip-h-", {"img2img"}, "img2img"),
        ("sd-x4-", set(), "upscale"),
        ("sdxl-refiner-", {"img2img", "inpaint"}, ""),
        ("autoencoder-", set(), ""),
    ],
)
def test_a_checkpoint_serves_its_tabs_and_the_others_say_where_to_go(
    shelf: App, case: str, served: set[str], sent_to: str
) -> None:
    tabs = facts_of(shelf, title(shelf, case))["tabs"]
    assert {tab for tab, told in tabs.items() if not told["why"]} == served
    assert {told["goto"] for told in tabs.values() if told["why"]} <= {sent_to}


def test_depth_is_drawn_by_the_chosen_checkpoint_or_by_one_that_reads_it(shelf: App) -> None:
    depth = title(shelf, "sd2-depth-")
    assert depth_title(shelf, depth) == depth
    assert depth_title(shelf, title(shelf, "sd1-a")) == depth  # not by a small one that came with the program


def test_only_a_checkpoint_that_enlarges_is_an_upscaler_that_draws(shelf: App) -> None:
    names = [name for _, name in upscaler_choices(shelf)]
    assert names[0] == "Lanczos"
    drawing = [name for name in names if drawing_upscaler(shelf, name)]
    assert {name.split("-a")[0] for name in drawing} == {"sd-x4", "ldm-sr", "pocket-upscaler"}
    assert "Latent" in [name for _, name in upscaler_choices(shelf, hires=True)]


def test_the_announced_size_is_the_jobs_and_what_cannot_be_is_said() -> None:
    assert enlarged((832, 1216), 1.4, (0, 0)) == ((1165, 1702), "")
    assert enlarged((100, 50), 2, (0, 30))[0] == (60, 30)
    assert "too large" in enlarged((8000, 8000), 8, (0, 0))[1]
    assert "not known" in enlarged((None, 512), 2, (0, 0))[1]
    assert "numbers" in enlarged((64, 64), 2, ("<b>", 0))[1]
