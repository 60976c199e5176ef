"""The commands that make pictures without the page: generate and upscale."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from webui.contract.errors import FieldError, StartError, WebUIError
from webui.contract.request import PICTURES, enlarge_request_from, request_from
from webui.contract.result import Result
from webui.flags import Flags
from webui.workspace.app import App
from webui.workspace.files import write_bytes
from webui.workspace.gallery import encoded
from webui.workspace.inputs import Inputs
from webui.workspace.option_pictures import with_kept

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def generate(flags: Flags, open_app: Callable[[], App]) -> int:
    """Draw a request; with a folder of pictures, one for each of them. A depth map asks for a checkpoint that reads it.

    Returns:
        0, or 2 where a picture of a folder could not be used; the others are drawn all the same.

    Raises:
        WebUIError: wrong values (before anything is read), or what a single request fails with.
    """
    files: dict[str, Path] = {field: flags.request[field] for field in PICTURES if field in flags.request}
    values = {field: value for field, value in flags.request.items() if field not in files}
    if "depth" in files:
        values.setdefault("depth_guided", True)
    request = request_from(values)
    several = request.pictures > 1 or bool(request.script)
    images = pictures_in(files["image"]) if "image" in files else []
    app = open_app()
    kept = {field: app.inputs.put(file.read_bytes(), field) for field, file in files.items() if field != "image"}
    values = with_kept(values, app.parts, lambda text, field: kept_picture(text, field, app.inputs))

    def draw(image: Path | None) -> Iterable[Result]:
        own = {"image": app.inputs.put(image.read_bytes(), "image")} if image else {}
        return app.generate(request_from({**values, **kept, **own}))

    tab = "img2img" if images else "txt2img"
    if "image" in files and files["image"].is_dir():
        return each_of(images, draw, app, tab, flags, several)
    return write(draw(images[0] if images else None), app, tab, flags.options.get("output"), several)


def upscale(flags: Flags, open_app: Callable[[], App]) -> int:
    """Enlarge a picture, or every one of a folder. Returns and raises as generate."""
    values: dict[str, Any] = dict(flags.request)
    if values.pop("no_crop", False):
        values["crop"] = False
    request = enlarge_request_from(values)
    source = Path(flags.options["picture"]).expanduser().absolute()
    if not source.exists():
        raise StartError(f"There is no file or folder {flags.options['picture']!r}. Name a picture, or a folder of pictures.")
    images = pictures_in(source)
    app = open_app()

    def enlarge(image: Path) -> Iterable[Result]:
        return [app.enlarge(replace(request, image=app.inputs.put(image.read_bytes(), "image")))]

    if source.is_dir():
        return each_of(images, enlarge, app, "upscale", flags)
    return write(enlarge(source), app, "upscale", flags.options.get("output"))


def kept_picture(text: str, field: str, inputs: Inputs) -> str:
    """A picture in the options of a part, a file or the name of a kept one; its name.

    Raises:
        FieldError: it is neither.
    """
    if inputs.has(text):
        return text
    try:
        return inputs.put(Path(text).expanduser().read_bytes(), field)
    except (OSError, ValueError):
        raise FieldError(field, f"There is no picture {text[:200]!r}, which the options of {field} name.") from None


def pictures_in(place: Path) -> list[Path]:
    """The file itself, or the pictures that lie in the folder, by name.

    Raises:
        StartError: there are none.
    """
    if not place.is_dir():
        return [place]
    found = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise StartError(f"There is no picture in {place}. It can hold {', '.join(SUFFIXES)}.")
    return found


def each_of(
    images: list[Path], make: Callable[[Path], Iterable[Result]], app: App, tab: str, flags: Flags, several: bool = False
) -> int:
    """Every picture of a folder. With -o FOLDER the results have their names. One that fails is told, and the next one made."""
    folder: Path | None = flags.options.get("output")
    failed = 0
    for image in images:
        try:
            output = folder / f"{image.stem}.{app.settings.now.image_format}" if folder else None
            write(make(image), app, tab, output, several)
        except WebUIError as problem:
            print(f"{image.name}: {problem}", file=sys.stderr)
            failed = 2
    return failed


def write(made: Iterable[Result], app: App, tab: str, output: Path | None, several: bool = False) -> int:
    """Save pictures, several of one request with numbers, and print where they are; what the user should know is said on
    stderr, once."""
    told: set[str] = set()
    for number, picture in enumerate(made):
        for note in picture.notes:
            if note not in told:
                print(note, file=sys.stderr)
                told.add(note)
        if output is None:
            print(app.paths.outputs / app.gallery.save(picture, tab, app.settings.now))
            continue
        path = output if not (several or number) else output.with_stem(f"{output.stem}-{number + 1}")
        write_bytes(path, encoded(picture, path.suffix.lstrip(".").lower() or "png", app.settings.now))
        print(path)
    return 0
