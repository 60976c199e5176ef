"""Options that name a picture, a file or a part: looked up right before the part is called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from webui.checkpoints import model_files
from webui.checkpoints.download import Shelf
from webui.contract.errors import FieldError, PluginError, UnknownNameError
from webui.contract.more_parts import Preprocessor
from webui.contract.options import Option, options_of
from webui.contract.parts import Parts
from webui.contract.registry import Registry
from webui.engine.canvas import Pictures, no_pictures
from webui.engine.pictures import plain
from webui.engine.strangers import called, prepared_of


@dataclass(frozen=True)
class References:
    """Where names in options are looked up.

    Args:
        shelf: of the models folders; None: there are no files.
        pictures: opens kept pictures.
    """

    parts: Parts
    shelf: Shelf | None = None
    pictures: Pictures = no_pictures

    def called_with(self, function: Callable[..., Any], values: Mapping[str, Any], field: str) -> dict[str, Any]:
        """Keyword arguments of a part: values of its options, and in the place of a name what is called so; None for "".

        Args:
            values: checked (see own_options); the defaults stand for what is missing.
            field: of the request, for the words of an error.

        Raises:
            FieldError: there is nothing of that name (any more).
        """
        options = {option.name: option for option in options_of(function)}
        filled = {name: values.get(name, option.default) for name, option in options.items()}
        return {name: self._of(options[name], value, field) for name, value in filled.items()}

    def named(self, option: Option, value: Any, field: str) -> Any:
        """The value as a finished picture carries it: a file or part by its own name. What is no reference stays.

        Raises:
            FieldError: there is nothing of that name.
        """
        if not option.is_reference or not value:
            return value
        if option.kind == "picture":
            self._picture(value, field)
            return value
        return self._file(option, value, field)[0] if option.kind == "file" else self._part(option, value, field).name

    def _of(self, option: Option, value: Any, field: str) -> Any:
        if not option.is_reference:
            return value
        if not value:
            return None
        if option.kind == "picture":
            return self._picture(value, field)
        if option.kind == "file":
            return self._file(option, value, field)[1]
        part = self._part(option, value, field)
        return preprocessing(self.parts, part.name) if option.of == "preprocessors" else part.function

    def _picture(self, name: str, field: str) -> Image.Image:
        try:
            return rgb(self.pictures(name))
        except FieldError as error:
            raise FieldError(field, str(error)) from None

    def _file(self, option: Option, name: str, field: str) -> tuple[str, Path]:
        try:
            return model_files.find(self.shelf, option.of, name)
        except FileNotFoundError as error:
            raise FieldError(field, str(error)) from None

    def _part(self, option: Option, name: str, field: str) -> Any:
        registry = getattr(self.parts, option.of, None)
        if not isinstance(registry, Registry):
            raise PluginError(f"The option {option.name!r} is one of the {option.of}, which the program does not know.")
        try:
            return registry[name]
        except UnknownNameError as error:
            raise FieldError(field, str(error)) from None


def preprocessing(parts: Parts, name: str) -> Preprocessor:
    """A preprocessor; what it raises, or answers that is no picture of the same size, is told with its extension's name."""
    registry = parts.preprocessors
    function = registry[name].function

    @functools.wraps(function)
    def call(image: Image.Image, *more: Any, **options: Any) -> Image.Image:
        with called(registry, name):
            answer = function(image, *more, **options)
        return prepared_of(answer, image, registry, name)

    return call


def rgb(image: Image.Image) -> Image.Image:
    """Any picture in 8 bits of red, green and blue; what is transparent is shown on white."""
    shown = plain(image)
    if shown.mode == "RGBA":
        shown = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown)
    return shown.convert("RGB")
