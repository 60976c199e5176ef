"""`webui train turbo`: a student that draws in one to four steps, of the pocket or any checkpoint of SD's shape (--base).

render        scenes to pictures
encode        latents and captions
namer         a small network that names what stands in latents
unet          the student, by adversarial diffusion distillation
export        a checkpoint in diffusers layout, with all but the U-Net from its teacher
"""

from __future__ import annotations

import filecmp
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from webui.contract.errors import StartError, UnknownNameError
from webui.training import scenes
from webui.training.autoencoder import load_autoencoder
from webui.training.distilling import FEATURES, PARTS, Distillation, Teacher, train_turbo
from webui.training.export import export_turbo
from webui.training.loop import put_average, read_state
from webui.training.namer import Naming, load_namer, train_namer
from webui.training.options import MODELS
from webui.training.recipe import Recipe
from webui.training.worlds import Worlds


class TurboRecipe(Recipe):
    """The teacher is the base."""

    name = "turbo"
    stages = ("render", "encode", "namer", "unet", "export")
    samples: ClassVar = {"namer": 400_000, "unet": 60_000}
    batches: ClassVar = {"namer": (64, 256), "unet": (16, 256)}

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

    def share_of_time(self, stage: str) -> float:
        """A step of the student costs twenty times as much as one of the namer."""
        both = {"namer": 0.0 if self._is_unnamed else 0.25, "unet": 1.0 if self._is_unnamed else 0.75}
        return 1.0 if self.options.stage else both[stage]

    @property
    def _is_unnamed(self) -> bool:
        return "naming" in self.options.without

    def _encoded(self) -> tuple[NDArray, NDArray]:
        latents = scenes.latents(self.options.state, self.options.scenes)
        tokens = scenes.tokens(self.options.state, self.options.scenes)
        self.need(latents.is_full and tokens.is_full, "The scenes are not encoded yet", "encode")
        return latents.array, tokens.array

    def _things(self) -> NDArray[np.int64]:
        worlds = self._worlds()
        return np.asarray([worlds.things(seed) for seed in range(worlds.count)])

    def _namer(self) -> bool:
        if self._is_unnamed:
            return True
        return train_namer(
            self.state_of("namer"),
            self._encoded()[0],
            self._things(),
            Teacher.open(self.base, self.arithmetic).alphas,
            self.goal("namer"),
            self.arithmetic,
            self.batch("namer"),
            self.named("namer"),
            self.should_stop,
        )

    def _naming(self) -> Naming | None:
        if self._is_unnamed:
            return None
        namer = load_namer(self.state_of("namer"), self.arithmetic)
        if namer is None:
            raise StartError("Nothing is there yet that names what is drawn: run --stage namer first, or add --without naming.")
        return Naming(namer, self._things(), self._worlds().tells)

    def _unet(self) -> bool:
        latents, tokens = self._encoded()
        return train_turbo(
            self.state_of("unet"),
            latents,
            tokens,
            self.base,
            Distillation(self.options.without, self.options.features),
            self.goal("unet"),
            self.arithmetic,
            self.batch("unet"),
            self.named("unet"),
            self.should_stop,
            MODELS / "pocket-tiny",
            self.options.init,
            self._naming(),
        )

    def _export(self) -> bool:
        """The running average of the student, beside the teacher's own files."""
        state = read_state(self.state_of("unet"))
        if state is None:
            raise StartError("There is no trained student yet: run --stage unet first.")
        student = Teacher.open(self.base, self.arithmetic).unet
        put_average(state, student)
        export_turbo(self.output, self.base, student.cpu())
        self.say(f"export: {self.output}, of {state['clock']['samples']:,} samples. webui evaluate turbo scores it.")
        return True
