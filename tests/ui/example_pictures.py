"""Draws the page's example pictures again, each by the checkpoint that it shows: `python -m tests.ui.example_pictures`.

What is drawn stands in the program's own data (knows.json beside the weights, the table in webui.ui.examples); this only
draws it, and takes away pictures of which nothing speaks any more. To be run when the weights or the examples change.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from webui.checkpoints.knows import Example
from webui.contract.request import GenerationRequest
from webui.main import find_parts
from webui.ui import examples
from webui.ui.look import ASSETS
from webui.workspace.app import App, open_app
from webui.workspace.paths import Paths

LARGEST = 192
"""Pixels of a side: no thumbnail is shown larger."""


def prompts(app: App) -> dict[str, tuple[str, Example]]:
    """By file below assets/: the checkpoint's title, and what it is asked for."""
    found = {}
    for entry in app.checkpoints.entries():
        if entry.knows and entry.family and not entry.family.needs:
            found |= {examples.file(each): (entry.title, each) for each in entry.knows.examples}
    return found


def drawn(app: App, checkpoint: str, example: Example) -> Image.Image:
    """What a click on the example makes, as the thumbnail shows it."""
    request = GenerationRequest(prompt=example.prompt, seed=example.seed, checkpoint=checkpoint)
    image = next(iter(app.generate(request))).image
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return image


def main() -> None:
    with tempfile.TemporaryDirectory() as data:
        app = open_app(
            Paths(Path(data)), find_parts(Paths(Path(data)), with_extensions=False)[0], cpu_only=True, takes_jobs=False
        )
        wanted = prompts(app)
        for name, (checkpoint, example) in wanted.items():
            file = ASSETS / name
            file.parent.mkdir(exist_ok=True)
            drawn(app, checkpoint, example).save(file, quality=88, method=6)
            print(f"{name}: {file.stat().st_size} bytes")
        for file in (ASSETS / "examples").iterdir():
            if f"examples/{file.name}" not in wanted:
                file.unlink()
        app.close()


if __name__ == "__main__":
    main()
