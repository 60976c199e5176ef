"""`webui train turbo`: a student that draws in one to four steps, of the pocket or any checkpoint of SD's shape (--base).

render        scenes to pictures
encode        latents and captions
unet          the student, by adversarial diffusion distillation
export        a checkpoint in diffusers layout, with all but the U-Net from its teacher
"""

from __future__ import annotations

import filecmp
from typing import ClassVar

import torch

from webui.contract.errors import StartError, UnknownNameError
from webui.training import scenes
from webui.training.autoencoder import load_autoencoder
from webui.training.distilling import FEATURES, PARTS, Distillation, Teacher, train_turbo
from webui.training.export import export_turbo
from webui.training.loop import read_state
from webui.training.options import MODELS
from webui.training.recipe import Recipe
from webui.training.worlds import Worlds


class TurboRecipe(Recipe):
    """The teacher is the base."""

    name = "turbo"
    stages = ("render", "encode", "unet", "export")
    samples: ClassVar = {"unet": 60_000}
    batches: ClassVar = {"unet": (16, 256)}

    def begin(self) -> None:
        if not (self.base / "unet").is_dir():
            raise StartError(f"{self.base} is not a checkpoint in diffusers layout, which could be the teacher.")
        for part in self.options.without:
            if part not in PARTS:
                raise UnknownNameError("part", part, PARTS)
        if {"adversarial", "distillation"} <= set(self.options.without):
            raise StartError("Without the adversarial and without the distillation loss there is nothing to learn: keep one.")
        if self.options.features not in FEATURES:
            raise UnknownNameError("kind of features", self.options.features, FEATURES)
        if self.options.features == "judge" and not self._has_pockets_latents():
            raise StartError(f"The judge sees the pocket's latents only, and {self.base} has others: leave --features out.")

    def _has_pockets_latents(self) -> bool:
        ours, theirs = (folder / "vae" / "diffusion_pytorch_model.safetensors" for folder in (MODELS / "pocket", self.base))
        return theirs.is_file() and filecmp.cmp(ours, theirs, shallow=False)

    def _worlds(self) -> Worlds:
        return Worlds(self.options.worlds or self.options.state, self.options.scenes, sprites=self.options.sprites)

    def _render(self) -> bool:
        return self._worlds().render(self.arithmetic, self.threads, self.say, self.should_stop)

    def _encode(self) -> bool:
        worlds, state = self._worlds(), self.options.state
        self.need(worlds.is_full, f"Only {worlds.filled} of {worlds.count} scenes are rendered", "render")
        worlds.claim(state, "latents.npy")
        coder = load_autoencoder(self.base / "vae")
        return scenes.encode(coder, worlds, state, self.arithmetic, self.say, self.should_stop)

    def _unet(self) -> bool:
        latents = scenes.latents(self.options.state, self.options.scenes)
        tokens = scenes.tokens(self.options.state, self.options.scenes)
        self.need(latents.is_full and tokens.is_full, "The scenes are not encoded yet", "encode")
        return train_turbo(
            self.state_of("unet"),
            latents.array,
            tokens.array,
            self.base,
            Distillation(self.options.without, self.options.features),
            self.goal("unet"),
            self.arithmetic,
            self.batch("unet"),
            self.named("unet"),
            self.should_stop,
            MODELS / "pocket-tiny",
        )

    def _export(self) -> bool:
        """The running average of the student, beside the teacher's own files."""
        state = read_state(self.state_of("unet"))
        if state is None:
            raise StartError("There is no trained student yet: run --stage unet first.")
        student = Teacher.open(self.base, self.arithmetic).unet
        with torch.no_grad():
            for parameter, average in zip(student.parameters(), state["average"], strict=True):
                parameter.copy_(average)
        export_turbo(self.output, self.base, student.cpu())
        self.say(f"export: {self.output}, of {state['clock']['samples']:,} samples. webui evaluate turbo scores it.")
        return True
