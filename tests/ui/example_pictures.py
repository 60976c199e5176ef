"""Draws the page's example pictures again, each by the checkpoint that it shows: `python -m tests.ui.example_pictures`.

What is drawn stands in the program's own data (knows.json beside the weights, the table in webui.ui.examples); this only
draws it, and takes away pictures of which nothing speaks any more. To be run when the weights or the examples change.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from webui.checkpoints.catalog import Entry
from webui.checkpoints.knows import Example
from webui.contract.request import EnlargeRequest, GenerationRequest, Request, enlarge_request_from, request_from
from webui.main import find_parts
from webui.ui import examples
from webui.ui.look import ASSETS
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

LARGEST = 192
"""Pixels of a side: no thumbnail is shown larger."""


def examples_of(app: App) -> dict[str, tuple[str, Example]]:
    """By file below assets/: the checkpoint's title, and what it is asked for. A student's examples are its teacher's."""
    found = {}
    for entry in app.checkpoints.entries():
        if entry.knows and entry.family and not entry.family.needs and not entry.family.distilled_from:
            found |= {examples.file(each): (entry.title, each) for each in entry.knows.examples}
    return found


def source(app: App, checkpoint: str, one: examples.Try) -> Image.Image:
    """The picture that goes into a tab."""
    request = GenerationRequest(prompt=one.source.prompt, seed=one.source.seed, checkpoint=checkpoint)
    image = next(iter(app.generate(request))).image
    return image.resize((one.side, one.side), Image.Resampling.LANCZOS) if one.side else image


def mask(one: examples.Try, size: tuple[int, int]) -> Image.Image:
    """White where it is painted anew, with a smooth edge."""
    whole = Image.new("L", (size[0] * 4, size[1] * 4))
    assert one.mask
    left, top, right, bottom = (share * whole.width for share in one.mask)
    ImageDraw.Draw(whole).ellipse((left, top, right, bottom), fill=255)
    return whole.resize(size, Image.Resampling.BOX)


def request_of(app: App, one: examples.Try, entry: Entry | None) -> Request:
    """What the page asks for when the try is clicked."""
    put = {"image": app.inputs.put((ASSETS / one.picture).read_bytes())}
    asked = {**examples.values(one, entry), "seed": one.seed, **put}
    if one.tab == "upscale":
        return enlarge_request_from(asked)
    if one.mask:
        asked["mask"] = app.inputs.put((ASSETS / one.mask_picture).read_bytes())
    assert entry
    return request_from({**asked, "checkpoint": entry.title, "depth_guided": one.tab == "depth"})


def draw(app: App, request: Request) -> Image.Image:
    return app.enlarge(request).image if isinstance(request, EnlargeRequest) else next(iter(app.generate(request))).image


def save(name: str, image: Image.Image, quality: int = 88) -> None:
    file = ASSETS / name
    file.parent.mkdir(exist_ok=True)
    image.save(file, optimize=True) if file.suffix == ".png" else image.save(file, quality=quality, method=6)
    print(f"{name}: {file.stat().st_size} bytes", flush=True)


def thumbnail(image: Image.Image) -> Image.Image:
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return image


def main() -> None:
    """With the names of tabs, those alone: `python -m tests.ui.example_pictures inpaint`."""
    with tempfile.TemporaryDirectory() as data:
        app = open_app(
            Paths(Path(data)), find_parts(Paths(Path(data)), with_extensions=False)[0], cpu_only=True, takes_jobs=False
        )
        entries = app.checkpoints.entries()
        base = next(entry for entry in entries if entry.knows and entry.family and entry.family.does == "txt2img")
        wanted = examples_of(app)
        for name, (checkpoint, example) in wanted.items() if len(sys.argv) < 2 else ():
            save(name, thumbnail(draw(app, GenerationRequest(prompt=example.prompt, seed=example.seed, checkpoint=checkpoint))))
        for one in examples.TRIES:
            entry = examples.drawer(one.tab, base, entries)
            if sys.argv[1:] and one.tab not in sys.argv[1:]:
                continue
            if entry is None and one.tab != "upscale":
                print(f"{one.tab}: no checkpoint is here that draws it, so its pictures stay")
                continue
            picture = source(app, base.title, one)
            save(one.picture, picture, 94)
            if one.mask:
                save(one.mask_picture, mask(one, picture.size))
            save(one.result, thumbnail(draw(app, request_of(app, one, entry))))
        kept = {*wanted, *(name for one in examples.TRIES for name in (one.picture, one.mask_picture, one.result))}
        for file in (ASSETS / "examples").iterdir():
            if f"examples/{file.name}" not in kept:
                file.unlink()
        app.close()


if __name__ == "__main__":
    main()
