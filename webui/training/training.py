"""The recipes by name, and the one way they are run."""

from __future__ import annotations

from collections.abc import Callable

from webui.contract.errors import FieldError, StartError, UnknownNameError
from webui.training.loop import StopSignal
from webui.training.options import TrainOptions
from webui.training.recipe import Recipe
from webui.training.recipes.depth import DepthRecipe
from webui.training.recipes.inpainting import InpaintingRecipe
from webui.training.recipes.pocket import PocketRecipe
from webui.training.recipes.tiny import TinyRecipe
from webui.training.recipes.turbo import TurboRecipe
from webui.training.recipes.upscaler import UpscalerRecipe

STOPPED = 130
"""Exit code after Ctrl C, as shells have it."""
ALL: tuple[type[Recipe], ...] = (PocketRecipe, InpaintingRecipe, DepthRecipe, UpscalerRecipe, TinyRecipe, TurboRecipe)
RECIPES: dict[str, type[Recipe]] = {recipe.name: recipe for recipe in ALL}


def run_train(name: str, options: TrainOptions, say: Callable[[str], None] = print) -> int:
    """Run the recipe of that name. Answers the exit code: 0 done, 130 stopped (the same command goes on)."""
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, list(RECIPES))
    if options.minutes is not None and options.samples is not None:
        raise FieldError("minutes", "Training ends by --minutes or by --samples, not by both: leave one out.")
    try:
        with StopSignal() as should_stop:
            done = RECIPES[name](options, say, should_stop).run()
    except OSError as error:
        raise StartError(
            f"The training state in {options.state} cannot be written or read: {error.strerror or error}."
        ) from error
    if not done:
        say("Stopped and saved. The same command goes on from here.")
        return STOPPED
    return 0
