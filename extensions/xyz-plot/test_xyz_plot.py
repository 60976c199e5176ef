"""X/Y/Z plot: values are read as its users write them, checked before anything is drawn, and the grid shows what was drawn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from webui.contract import infotext
from webui.contract.errors import FieldError, UnknownNameError
from webui.contract.options import options_of
from webui.contract.request import GenerationRequest
from webui.engine import own_options
from webui.main import main
from webui.testing import program

HERE = Path(__file__).parent
ASKED = GenerationRequest(
    prompt="a red cube", checkpoint="pocket", sampler="Euler", steps=1, width=64, height=64, seed=7, script="X/Y/Z plot"
)


@pytest.fixture(scope="module")
def app():
    with program(HERE, takes_jobs=True) as opened:
        yield opened


def cells(app, request=ASKED, **options):
    """The requests that a plot draws, as they come, and its grids."""
    made = list(app.generate(replace(request, script_options=options)))
    return [one for one in made if not one.request.script], [one for one in made if one.request.script]


def values(app, field, text, of="steps"):
    single, _ = cells(app, x_field=field, x_values=text, grid="none")
    return [getattr(one.request, of) for one in single]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("1, 3,2", [1, 3, 2]),
        ("1-4", [1, 2, 3, 4]),
        ("1-5 (+2)", [1, 3, 5]),
        ("5-1(-2)", [5, 3, 1]),
        ("3-1", [3, 2, 1]),
        ("1-4[3], 2", [1, 2, 4, 2]),
        ("1\n2", [1, 2]),
    ],
)
def test_whole_numbers_and_their_ranges(app, text, steps):
    assert values(app, "Steps", text) == steps


def test_numbers_and_their_ranges(app):
    assert values(app, "CFG Scale", "1-2 [3], 2.5-3.5(+0.5)", "guidance") == [1, 1.5, 2, 2.5, 3, 3.5]
    assert values(app, "denoising", "0.5", "strength") == [1.0], "nothing is repainted"


def test_an_any_seed_is_one_seed_for_all_of_its_cells_and_the_next_time(app):
    single, _ = cells(app, x_field="Seed", x_values="-1, -1, 3", y_field="CFG Scale", y_values="1, 2", grid="none")
    seeds = [one.request.seed for one in single]
    assert seeds[:3] == seeds[3:] and seeds[2] == 3 and len(set(seeds)) == 3
    assert seeds == [one.request.seed for one in cells(
        app, x_field="Seed", x_values="-1, -1, 3", y_field="CFG Scale", y_values="1, 2", grid="none")[0]]  # fmt: skip


def test_names_are_those_of_the_request_or_those_that_users_know(app):
    for name in ("Sampler", "sampler"):
        assert values(app, name, "euler, Heun", "sampler") == ["Euler", "Heun"]
    assert values(app, "schedule type", "Karras", "schedule") == ["Karras"]
    assert values(app, "Size", "64x64, 72x64", "width") == [64, 72]
    assert values(app, "Clip skip", "1, 2", "clip_skip") == [1, 2]
    assert values(app, "RNG source", "cpu, gpu", "noise_source") == ["CPU", "NV"]
    assert values(app, "negative prompt", 'dark, "blue, green"', "negative_prompt") == ["dark", "blue, green"]
    assert [one["s_churn"] for one in values(app, "Sigma churn", "0.5-1[2]", "sampler_options")] == [0.5, 1]
    assert [one["s_noise"] for one in values(app, "sampler_options.s_noise", "1, 1.01", "sampler_options")] == [1, 1.01]


def test_prompt_search_and_replace_and_order(app):
    assert values(app, "Prompt S/R", "red, blue, green", "prompt") == ["a red cube", "a blue cube", "a green cube"]
    single, _ = cells(app, x_field="prompt s/r", x_values="red, blue", y_field="Prompt S/R", y_values="cube, cone", grid="none")
    assert [one.request.prompt for one in single] == ["a red cube", "a blue cube", "a red cone", "a blue cone"]
    assert values(app, "Prompt order", "red, cube", "prompt") == ["a red cube", "a cube red"]


def test_options_of_a_sampler_go_when_another_one_is_drawn_with(app):
    request = replace(ASKED, sampler_options={"s_noise": 1.01})
    single, _ = cells(app, request, x_field="Sampler", x_values="Euler, DPM++ 2M", grid="none")
    assert [dict(one.request.sampler_options) for one in single] == [{"s_noise": 1.01}, {}]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "X/Y/Z plot has nothing to vary."),
        ({"x_field": "Stepz", "x_values": "1"}, "X axis: no field is called 'Stepz'. Did you mean Steps?"),
        ({"x_field": "Steps"}, "X axis: Steps has no values."),
        ({"y_values": "1"}, "Y axis: there are values (1), but no field to vary."),
        ({"x_field": "Steps", "x_values": "5, 5000"}, "X axis: Steps 5000 is out of range. It can be 1 to 1000."),
        ({"x_field": "Steps", "x_values": "5, many"}, "Steps cannot be 'many'. It must be a whole number, or a range"),
        ({"x_field": "Steps", "x_values": "1.5"}, "Steps cannot be 1.5. It must be a whole number."),
        ({"x_field": "Steps", "x_values": "1-10(-1)"}, "1-10(-1) does not lead from 1 to 10."),
        ({"x_field": "CFG", "x_values": "1-10(+0.0001)"}, "has more than 1,000 values"),
        ({"x_field": "Steps", "x_values": "9" * 5000}, "It must be a whole number, or a range"),
        ({"x_field": "Steps", "x_values": f"1-5[{'9' * 5000}]"}, "It must be a whole number, or a range"),
        ({"x_field": "Seed", "x_values": "1-9999999999999999999999999"}, "has more than 1,000 values"),
        ({"x_field": "Prompt S/R", "x_values": "cat, dog"}, "Prompt S/R looks for 'cat', which is in no prompt."),
        ({"x_field": "Size", "x_values": "64"}, "a size is written like 512x768, not '64'."),
        ({"x_field": "soft", "x_values": "perhaps"}, "It can be true or false."),
        ({"x_field": "RNG source", "x_values": "TPU"}, "It can be CPU, NV."),
        ({"x_field": "Steps", "x_values": "1", "y_field": "steps", "y_values": "2"}, "Two axes vary steps."),
        ({"x_field": "guiders.PAG.scale", "x_values": "1"}, "the request has no 'PAG' among its guiders. It has none."),
        ({"x_field": "Seed", "x_values": "1-200", "y_field": "CFG", "y_values": "1-99[99]"}, "A job can have 10,000."),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_queued(app, options, words):
    before = len(app.queue.jobs())
    with pytest.raises(FieldError) as told:
        app.queue.submit(replace(ASKED, script_options=options))
    assert words in str(told.value) and len(app.queue.jobs()) == before


def test_names_that_the_program_does_not_know_are_too(app):
    with pytest.raises(UnknownNameError, match="No sampler is called 'Eular'"):
        app.queue.submit(replace(ASKED, script_options={"x_field": "Sampler", "x_values": "Euler, Eular"}))
    with pytest.raises(FieldError, match="push"):
        app.queue.submit(replace(ASKED, script_options={"x_field": "sampler_options.push", "x_values": "1"}))


def test_the_grid_has_every_picture_in_its_place_and_z_further_grids(app):
    axes = {
        "x_field": "Seed",
        "x_values": "1-3",
        "y_field": "CFG Scale",
        "y_values": "1, 4",
        "z_field": "Sampler",
        "z_values": "Euler, Heun",
    }
    single, grids = cells(app, **axes, grid="without labels", margin=2)
    assert len(single) == 12 and [one.image.size for one in grids] == [(196, 130), (196, 130)]
    for one in single:
        x, y = (one.request.seed - 1) * 66, [1, 4].index(one.request.guidance) * 66
        grid = grids[["Euler", "Heun"].index(one.request.sampler)]
        assert grid.image.crop((x, y, x + 64, y + 64)).tobytes() == one.image.tobytes()
    labelled = cells(app, **axes)[1][0].image
    assert labelled.width > 192 and labelled.height > 128 and labelled.getpixel((0, labelled.height - 1)) == (255, 255, 255)
    corner = labelled.crop((labelled.width - 192, labelled.height - 128, labelled.width, labelled.height))
    assert corner.crop((0, 0, 64, 64)).tobytes() == single[0].image.tobytes()
    above = labelled.crop((0, 0, labelled.width, labelled.height - 128)).convert("L")
    assert above.getextrema()[0] < 50, "something is written there"


def test_long_labels_are_wrapped_and_no_wider_than_their_pictures(app):
    long = "a red cube that is very, very large, and stands beside Donaudampfschiffahrtsgesellschaftskapitaenswitwenrente"
    _, (grid,) = cells(app, x_field="prompt", x_values=f'"{long}", b', y_field="negative prompt", y_values=f'"{long}", c')
    assert grid.image.width < 64 * 2 + 64 * 2 and grid.image.height > 128 + 60


def test_a_batch_of_a_cell_stands_together_and_counts(app):
    request = replace(ASKED, batch_size=2, script_options={"x_field": "CFG", "x_values": "1, 2", "grid": "without labels"})
    job = app.queue.wait(app.queue.submit(request).id, 60)
    assert job.pictures == len(job.images) == 5 and (job.images[4].width, job.images[4].height) == (256, 64)


def test_the_checkpoint_is_changed_as_seldom_as_can_be(app):
    names = [one.title for one in app.checkpoints.entries() if one.family and one.family.name == "pocket" and not one.error][:2]
    if len(names) < 2:
        names = ["pocket", "pocket-inpainting"]
    module = sys.modules["webui_extension_xyz_plot"]
    axes = module.axes_of(ASKED, "Checkpoint name", ", ".join(names), "Steps", "1, 2", "Seed", "1, 2")
    drawn = [module.cell(ASKED, axes, place).checkpoint for place in module.in_order(axes)]
    assert drawn == [names[0]] * 4 + [names[1]] * 4


def test_the_infotext_of_the_grid_makes_the_plot_again_and_that_of_a_cell_the_cell(app):
    single, (grid,) = cells(app, x_field="Steps", x_values="1, 2")
    again = list(app.generate(grid.request))
    assert [one.image.tobytes() for one in again] == [one.image.tobytes() for one in [*single, grid]]
    assert "Script: X/Y/Z plot" in grid.infotext and "Script" not in single[0].infotext
    (alone,) = app.generate(single[1].request)
    assert alone.image.tobytes() == single[1].image.tobytes()


def test_its_options_come_back_from_the_infotext_as_they_were(app):
    options = {"x_field": "negative prompt", "x_values": 'dark, "blue, \\"green\\""\nlow: "x"', "margin": 3}
    request = replace(ASKED, script_options=options, batch_size=2)
    *_, grid = app.generate(request)
    values, notes = infotext.to_request(infotext.read(grid.infotext), app.parts.samplers.names(), app.parts.schedules.names())
    fitted, left_out = own_options.fitting(values, app.parts)
    assert not notes and not left_out and fitted["batch_size"] == 2
    assert fitted["script"] == "X/Y/Z plot" and fitted["script_options"] == dict(grid.request.script_options)
    assert fitted["script_options"]["x_values"] == options["x_values"]


RUN = """
import sys
from pathlib import Path
from webui.contract.request import request_from
from webui.testing import program
import json
with program(Path(sys.argv[1]), takes_jobs=True, data=Path(sys.argv[2])) as app:
    job = app.queue.submit(request_from(json.loads(sys.argv[3])))
    print(job.id, flush=True)
    app.queue.wait(job.id)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_plot_whose_program_is_killed_in_the_middle_goes_on_where_it_was(app, tmp_path):
    options = {"x_field": "Seed", "x_values": "1-4", "y_field": "Steps", "y_values": "20, 21", "grid": "without labels"}
    asked = {"prompt": "a red cube", "checkpoint": "pocket", "sampler": "Euler", "width": 64, "height": 64, "seed": 7,
             "script": "X/Y/Z plot", "script_options": options}  # fmt: skip
    arguments = [sys.executable, "-c", RUN, str(HERE), str(tmp_path), json.dumps(asked)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        id = running.stdout.readline().strip()
        file = tmp_path / "state" / "jobs" / f"{id}.json"
        saved = []
        while len(saved) < 3:
            assert running.poll() is None
            time.sleep(0.01)
            saved = [image for image in json.loads(file.read_text())["images"] if image["path"]]
        running.send_signal(signal.SIGKILL)
    left = json.loads(file.read_text())
    assert left["state"] == "running"
    before = {
        image["path"]: (tmp_path / "outputs" / image["path"]).stat().st_mtime_ns for image in left["images"] if image["path"]
    }
    assert 3 <= len(before) < 8

    with program(HERE, takes_jobs=True, data=tmp_path) as second:
        job = second.queue.wait(id, 300)
    assert job.state == "finished" and len(job.images) == 9
    assert {path: (tmp_path / "outputs" / path).stat().st_mtime_ns for path in before} == before, "these were not drawn again"
    *single, grid = [Image.open(tmp_path / "outputs" / image.path).convert("RGB") for image in job.images]
    for i, one in enumerate(single):
        x, y = i % 4 * 64, i // 4 * 64
        assert grid.crop((x, y, x + 64, y + 64)).tobytes() == one.tobytes(), "the grid has those that were there, too"
    for one, drawn in zip(single, app.generate(GenerationRequest(**asked)), strict=False):
        # Not the same bytes: another program chooses its arithmetic by the clock.
        apart = ImageStat.Stat(ImageChops.difference(one, drawn.image)).mean
        assert max(apart) < 3


def test_every_suggested_field_is_known(app) -> None:
    (script,) = app.parts.scripts
    x_field = options_of(script.function)[0]
    assert x_field.suggestions
    axes = sys.modules["webui_extension_xyz_plot.axes"]
    assert set(x_field.suggestions) <= set(axes.names())


def test_on_the_command_line_all_pictures_are_written(tmp_path, capsys):
    words = ["a red cube", "--checkpoint", "pocket", "--seed", "7", "--width", "64", "--height", "64", "--cpu"]
    options = json.dumps({"x_field": "Steps", "x_values": "1, 2", "grid": "without labels"})
    asked = [
        "generate",
        *words,
        "--script",
        f"x/y/z plot: {options}",
        "-o",
        str(tmp_path / "a.png"),
        "--data-dir",
        str(tmp_path / "data"),
    ]
    assert main(asked) == 0
    names = [Path(line).name for line in capsys.readouterr().out.split()]
    assert names == ["a-1.png", "a-2.png", "a-3.png"]
    assert [Image.open(tmp_path / name).size for name in names] == [(64, 64), (64, 64), (128, 64)]
    assert main([*asked[: asked.index("--script")], "--script", "x/y/z plod", "--data-dir", str(tmp_path / "data")]) == 2
    assert "No script is called 'x/y/z plod'. Did you mean 'X/Y/Z plot'?" in capsys.readouterr().err
