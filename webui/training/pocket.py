"""`webui train pocket`: the recipe of the pocket checkpoint, as stages that can be stopped and go on.

    render        scenes to pictures
    autoencoder   pictures to latents and back
    encode        latents and captions of all pictures; from here on the encoder stays
    unet          U-Net and text encoder
    export        a checkpoint in diffusers layout

Two more run only when asked for: `decoder` goes on with the autoencoder's decoder alone, and `judge` trains the
network that `webui evaluate pocket` scores with. docs/pocket.md tells the numbers and what failed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from webui.contract.errors import FieldError, StartError, UnknownNameError
from webui.training import scenes
from webui.training.autoencoder import load_autoencoder, train_autoencoder, train_decoder
from webui.training.export import export
from webui.training.judging import train_judge
from webui.training.loop import Arithmetic, Goal, StopSignal, read_state
from webui.training.networks import make_text_encoder, make_unet
from webui.training.unet import train_unet

STOPPED = 130
"""Exit code after Ctrl C, as shells have it."""
STAGES = ("render", "autoencoder", "encode", "unet", "export")
ASKED_STAGES = ("decoder", "judge")
DEFAULT_SAMPLES = {"autoencoder": 30_000, "unet": 600_000, "decoder": 10_000, "judge": 256_000}
SHARE_OF_TIME = {"autoencoder": 1 / 3, "unet": 2 / 3}
BATCHES = {"autoencoder": (2, 64), "decoder": (2, 64), "unet": (16, 512), "judge": (64, 256)}
"""On the CPU and on a GPU."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What `webui train` was asked."""

    state: Path
    """All that the training keeps; about 1.8 GB with 32000 scenes."""
    stage: str = ""
    """One stage, of which a finished one goes on; "" is all that are not finished."""
    minutes: float | None = None
    """How long to train in all, or the one stage; None: by the number of samples."""
    samples: int | None = None
    """How many samples each stage that trains sees; None: as many as a good checkpoint takes."""
    init: Path | None = None
    """A checkpoint in diffusers layout to begin from; its autoencoder is taken as it is."""
    device: str = "auto"
    threads: int = 0
    """Of the CPU; 0: as many as it has cores."""
    scenes: int = 32_000
    batch: int = 0
    """Samples of a step; 0: what suits the device."""
    output: Path | None = None
    """Where the checkpoint is written; None: beside the state."""

    def goal(self, stage: str) -> Goal:
        if self.minutes is not None:
            share = 1.0 if self.stage or self.init else SHARE_OF_TIME[stage]
            return Goal(seconds=self.minutes * 60 * share)
        return Goal(samples=DEFAULT_SAMPLES[stage] if self.samples is None else self.samples)


def run_train(name: str, options: TrainOptions, say: Callable[[str], None] = print) -> int:
    """Run the recipe of that name. Answers the exit code: 0 done, 130 stopped (the same command goes on)."""
    if name != "pocket":
        raise UnknownNameError("recipe", name, ["pocket"])
    if options.stage and options.stage not in STAGES + ASKED_STAGES:
        raise UnknownNameError("stage", options.stage, STAGES + ASKED_STAGES)
    if options.minutes is not None and options.samples is not None:
        raise FieldError("minutes", "Training ends by --minutes or by --samples, not by both: leave one out.")
    try:
        with StopSignal() as should_stop:
            done = PocketRecipe(options, say, should_stop).run()
    except OSError as error:
        raise StartError(
            f"The training state in {options.state} cannot be written or read: {error.strerror or error}."
        ) from error
    if not done:
        say("Stopped and saved. The same command goes on from here.")
        return STOPPED
    return 0


class PocketRecipe:
    """The stages on one state folder."""

    def __init__(self, options: TrainOptions, say: Callable[[str], None], should_stop: Callable[[], bool]) -> None:
        self.options, self.say, self.should_stop = options, say, should_stop
        self.arithmetic = Arithmetic.choose(options.device)
        self.threads = options.threads or os.cpu_count() or 1
        self.autoencoder = options.state / "autoencoder"
        self.output = options.output or options.state / "pocket"

    def run(self) -> bool:
        """False when it was stopped."""
        torch.set_num_threads(self.threads)
        self.options.state.mkdir(parents=True, exist_ok=True)
        if self.options.init is not None and not self.autoencoder.exists():
            if not (self.options.init / "vae").is_dir():
                raise StartError(f"{self.options.init} is not a checkpoint in diffusers layout: it has no folder vae.")
            beside = self.options.state / "autoencoder.new"
            shutil.copytree(self.options.init / "vae", beside, dirs_exist_ok=True)
            beside.rename(self.autoencoder)
        for stage in [self.options.stage] if self.options.stage else STAGES:
            if not self.options.stage and self._is_finished(stage):
                self.say(f"{stage}: finished before")
                continue
            if not getattr(self, f"_{stage}")():
                return False
        return True

    def _is_finished(self, stage: str) -> bool:
        if stage == "autoencoder":
            return self.autoencoder.exists()
        if stage == "unet":
            state = read_state(self._state("unet"))
            return bool(state and state["clock"]["legs"])
        return False  # the others see for themselves what is left to do

    def _state(self, stage: str) -> Path:
        return self.options.state / f"{stage}.pt"

    def _batch(self, stage: str) -> int:
        small, large = BATCHES[stage]
        return self.options.batch or (large if self.arithmetic.large_batches else small)

    def _pictures(self) -> scenes.Filling:
        pictures = scenes.pictures(self.options.state, self.options.scenes)
        if not pictures.is_full and self.options.stage != "render" and self.options.stage:
            raise StartError(f"Only {pictures.filled} of {len(pictures)} scenes are rendered: run --stage render first.")
        return pictures

    def _render(self) -> bool:
        pictures = self._pictures()
        packs = scenes.render_packs(pictures.filled, len(pictures), self.threads)
        return scenes.fill(pictures, packs, self.say, "render", self.should_stop)

    def _autoencoder(self) -> bool:
        if self.options.init is not None or (self.options.state / "latents.npy").exists():
            raise StartError("The encoder of this autoencoder is in use and stays: --stage decoder goes on with its decoder.")
        return train_autoencoder(
            self._state("autoencoder"),
            self.autoencoder,
            self._pictures().array,
            self.options.goal("autoencoder"),
            self.arithmetic,
            self._batch("autoencoder"),
            self._named("autoencoder"),
            self.should_stop,
        )

    def _decoder(self) -> bool:
        self._need_autoencoder()
        return train_decoder(
            self._state("decoder"),
            self.autoencoder,
            self._pictures().array,
            self.options.goal("decoder"),
            self.arithmetic,
            self._batch("decoder"),
            self._named("decoder"),
            self.should_stop,
        )

    def _encode(self) -> bool:
        self._need_autoencoder()
        pictures, count = self._pictures(), self.options.scenes
        latents, tokens = scenes.latents(self.options.state, count), scenes.tokens(self.options.state, count)
        coder = load_autoencoder(self.autoencoder)
        self.arithmetic.put(coder)
        packs = scenes.latent_packs(coder, pictures.array, latents.filled, self.arithmetic)
        if not scenes.fill(latents, packs, self.say, "encode", self.should_stop):
            return False
        return scenes.fill(tokens, scenes.token_packs(tokens.filled, count), self.say, "captions", self.should_stop)

    def _unet(self) -> bool:
        latents = scenes.latents(self.options.state, self.options.scenes)
        tokens = scenes.tokens(self.options.state, self.options.scenes)
        if not (latents.is_full and tokens.is_full):
            raise StartError("The scenes are not encoded yet: run --stage encode first.")
        return train_unet(
            self._state("unet"),
            latents.array,
            tokens.array,
            self.options.goal("unet"),
            self.arithmetic,
            self.options.init,
            self._batch("unet"),
            self._named("unet"),
            self.should_stop,
        )

    def _judge(self) -> bool:
        return train_judge(
            self._state("judge"),
            self.options.state / "judge.safetensors",
            self._pictures().array,
            self.options.goal("judge"),
            self.arithmetic,
            self._batch("judge"),
            self._named("judge"),
            self.should_stop,
        )

    def _export(self) -> bool:
        """The running averages, as a checkpoint."""
        self._need_autoencoder()
        state = read_state(self._state("unet"))
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
        if not self.autoencoder.exists():
            raise StartError("There is no trained autoencoder yet: run --stage autoencoder first.")

    def _named(self, stage: str) -> Callable[[str], None]:
        return lambda text: self.say(f"{stage}: {text}")
