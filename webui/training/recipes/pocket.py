"""`webui train pocket`: the base checkpoint.

    render        scenes to pictures; with --sprites toys and shapes, else shapes only
    autoencoder   pictures to latents and back
    encode        latents and captions of all pictures; from here on the encoder stays
    unet          U-Net and text encoder
    export        a checkpoint in diffusers layout

Four more run only when asked for: `decoder` goes on with the autoencoder's decoder alone, `judge` and `toy-judge` train
the networks that `webui evaluate` scores with, `held-out` paints the scenes of toys that it measures on. docs/pocket.md tells
the numbers and what failed.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import torch

from webui.contract.errors import StartError
from webui.training import scenes
from webui.training.autoencoder import load_autoencoder, train_autoencoder, train_decoder
from webui.training.export import export
from webui.training.judging import train_judge
from webui.training.loop import read_state
from webui.training.networks import make_text_encoder, make_unet
from webui.training.options import Goal
from webui.training.recipe import Recipe
from webui.training.toys.held_out import write_held_out
from webui.training.toys.judge import train_toy_judge
from webui.training.toys.renders import write_renders
from webui.training.unet import train_unet
from webui.training.worlds import Worlds

WITH_TOYS = 2_500_000
"""Samples that the U-Net sees where there are toys too: there is four times as much to learn."""


class PocketRecipe(Recipe):
    """The base: words to pictures of 128 x 128."""

    name = "pocket"
    stages = ("render", "autoencoder", "encode", "unet", "export")
    asked_stages = ("decoder", "judge", "toy-judge", "held-out")
    samples: ClassVar = {
        "autoencoder": 30_000, "unet": 600_000, "decoder": 10_000, "judge": 256_000, "toy-judge": 560_000,
    }  # fmt: skip
    batches: ClassVar = {
        "autoencoder": (2, 64), "decoder": (2, 64), "unet": (16, 256), "judge": (64, 256), "toy-judge": (32, 384),
    }  # fmt: skip

    def begin(self) -> None:
        self.autoencoder = self.options.state / "autoencoder"
        if self.options.init is not None and not self.autoencoder.exists():
            if not (self.options.init / "vae").is_dir():
                raise StartError(f"{self.options.init} is not a checkpoint in diffusers layout: it has no folder vae.")
            beside = self.options.state / "autoencoder.new"
            shutil.copytree(self.options.init / "vae", beside, dirs_exist_ok=True)
            beside.rename(self.autoencoder)

    def goal(self, stage: str) -> Goal:
        if stage == "unet" and self.options.sprites and self.options.minutes is None and self.options.samples is None:
            return Goal(samples=WITH_TOYS)
        return super().goal(stage)

    def share_of_time(self, stage: str) -> float:
        """A third for the autoencoder: a sample of it costs more than one of the U-Net."""
        if self.options.stage or self.options.init:
            return 1.0
        return {"autoencoder": 1 / 3, "unet": 2 / 3}[stage]

    def is_finished(self, stage: str) -> bool:
        return self.autoencoder.exists() if stage == "autoencoder" else super().is_finished(stage)

    def _worlds(self) -> Worlds:
        worlds = Worlds(self.options.worlds or self.options.state, self.options.scenes, sprites=self.options.sprites)
        if self.options.stage not in ("", "render"):
            self.need(worlds.is_full, f"Only {worlds.filled} of {worlds.count} scenes are rendered", "render")
        return worlds

    def _render(self) -> bool:
        return self._worlds().render(self.arithmetic, self.threads, self.say, self.should_stop)

    def _autoencoder(self) -> bool:
        if self.options.init is not None or (self.options.state / "latents.npy").exists():
            raise StartError("The encoder of this autoencoder is in use and stays: --stage decoder goes on with its decoder.")
        return train_autoencoder(
            self.state_of("autoencoder"),
            self.autoencoder,
            self._worlds().pictures.array,
            self.goal("autoencoder"),
            self.arithmetic,
            self.batch("autoencoder"),
            self.named("autoencoder"),
            self.should_stop,
        )

    def _decoder(self) -> bool:
        self._need_autoencoder()
        return train_decoder(
            self.state_of("decoder"),
            self.autoencoder,
            self._worlds().pictures.array,
            self.goal("decoder"),
            self.arithmetic,
            self.batch("decoder"),
            self.named("decoder"),
            self.should_stop,
        )

    def _encode(self) -> bool:
        self._need_autoencoder()
        worlds, state = self._worlds(), self.options.state
        worlds.claim(state, "latents.npy")
        coder = load_autoencoder(self.autoencoder)
        return scenes.encode(coder, worlds, state, self.arithmetic, self.say, self.should_stop)

    def _unet(self) -> bool:
        latents = scenes.latents(self.options.state, self.options.scenes)
        tokens = scenes.tokens(self.options.state, self.options.scenes)
        self.need(latents.is_full and tokens.is_full, "The scenes are not encoded yet", "encode")
        return train_unet(
            self.state_of("unet"),
            latents.array,
            tokens.array,
            self.goal("unet"),
            self.arithmetic,
            self.options.init,
            self.batch("unet"),
            self.named("unet"),
            self.should_stop,
        )

    def _judge(self) -> bool:
        return train_judge(
            self.state_of("judge"),
            self.options.state / "judge.safetensors",
            self._worlds(),
            self.goal("judge"),
            self.arithmetic,
            self.batch("judge"),
            self.named("judge"),
            self.should_stop,
        )

    def _toy_judge(self) -> bool:
        return train_toy_judge(
            self.state_of("toy-judge"),
            self.options.state / "toy-judge.safetensors",
            self._sprites(),
            self.goal("toy-judge"),
            self.arithmetic,
            self.batch("toy-judge"),
            self.named("toy-judge"),
            self.should_stop,
        )

    def _held_out(self) -> bool:
        write_held_out(self.options.state / "held_out", self._sprites(), self.named("held-out"))
        write_renders(self.options.state / "renders.safetensors", self._sprites(), self.named("held-out"))
        return True

    def _sprites(self) -> Path:
        if self.options.sprites is None:
            raise StartError(f"The stage {self.options.stage} paints toys: say with --sprites where their sprites lie.")
        return self.options.sprites

    def _export(self) -> bool:
        """The running averages, as a checkpoint."""
        self._need_autoencoder()
        state = read_state(self.state_of("unet"))
        if state is None:
            raise StartError("There is no trained U-Net yet: run --stage unet first.")
        known = state["known"]
        unet, text = make_unet(), make_text_encoder(len(known) + 1)
        averages = iter(state["average"])
        with torch.no_grad():
            for parameter in (*unet.parameters(), *text.parameters()):
                parameter.copy_(next(averages))
        export(self.output, load_autoencoder(self.autoencoder), unet, text, known)
        self.say(
            f"export: {self.output}, of {state['clock']['samples']:,} samples. webui evaluate pocket --checkpoint scores it."
        )
        return True

    def _need_autoencoder(self) -> None:
        self.need(self.autoencoder.exists(), "There is no trained autoencoder yet", "autoencoder")
