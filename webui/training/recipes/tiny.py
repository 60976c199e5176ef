"""`webui train tiny`: an autoencoder shaped as TAESD, for previews: its decoder costs a tenth of the whole one.

render        scenes to pictures
encode        their latents, of the base's autoencoder
decoder       latents to pictures
encoder       pictures to latents
export        a folder that diffusers' AutoencoderTiny opens
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from webui.contract.errors import StartError
from webui.training import scenes
from webui.training.autoencoder import load_autoencoder, picture_loss, save_network
from webui.training.filling import Filling, fill
from webui.training.loop import Learner, draws, learn, put_average, read_state, write_state
from webui.training.networks import Autoencoder, make_tiny
from webui.training.recipe import Recipe
from webui.training.scenes import to_tensor
from webui.training.worlds import Worlds

SEED, RATE = 9, 3e-3
NOISE = 0.06
"""Put on the latents, whose deviation is 1: a preview decodes what a sampler has not finished."""


class TinyRecipe(Recipe):
    """Decoder and encoder learn apart: the latents are the base's."""

    name = "tiny"
    stages = ("render", "encode", "decoder", "encoder", "export")
    samples: ClassVar = {"decoder": 60_000, "encoder": 15_000}
    batches: ClassVar = {"decoder": (8, 128), "encoder": (8, 128)}

    def _worlds(self) -> Worlds:
        return Worlds(self.options.worlds or self.options.state, self.options.scenes, sprites=self.options.sprites)

    def _latents(self) -> Filling:
        return scenes.latents(self.options.state, self.options.scenes)

    def _render(self) -> bool:
        return self._worlds().render(self.arithmetic, self.threads, self.say, self.should_stop)

    def _encode(self) -> bool:
        worlds, latents = self._worlds(), self._latents()
        self.need(worlds.is_full, f"Only {worlds.filled} of {worlds.count} scenes are rendered", "render")
        worlds.claim(self.options.state, "latents.npy")
        coder = load_autoencoder(self.base / "vae")
        self.arithmetic.put(coder)
        packs = scenes.latent_packs(coder, worlds.pictures.array, latents.filled, self.arithmetic)
        return fill([latents], packs, self.say, "encode", self.should_stop)

    def _decoder(self) -> bool:
        def loss(network: Autoencoder, x: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
            return picture_loss(network.decode(z + NOISE * torch.randn(z.shape, generator=generator).to(z)).sample.float(), x)

        return self._learn("decoder", loss)

    def _encoder(self) -> bool:
        def loss(network: Autoencoder, x: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG001
            return functional.l1_loss(network.encode(x).latents.float(), z)

        return self._learn("encoder", loss)

    def _learn(self, part: str, loss_of: Callable[[Autoencoder, Tensor, Tensor, torch.Generator], Tensor]) -> bool:
        worlds, latents = self._worlds(), self._latents()
        self.need(latents.is_full, "The scenes are not encoded yet", "encode")
        torch.manual_seed(SEED)
        network = make_tiny()
        self.arithmetic.put(network)
        learner = Learner({part: getattr(network, part)}, list(getattr(network, part).parameters()), RATE, 0.998)
        file, batch = self.state_of(part), self.batch(part)
        if (state := read_state(file)) is not None:
            learner.load(state)

        def loss(step: int) -> Tensor:
            rng, generator = draws(SEED, step)
            picked = np.sort(rng.integers(0, worlds.count, batch))
            x = to_tensor(worlds.pictures.array[picked]).to(self.arithmetic.device)
            z = torch.from_numpy(latents.array[picked].astype(np.float32)).to(x)
            with self.arithmetic():
                return loss_of(network, x, z, generator)

        def save() -> None:
            write_state(file, learner.state())

        return learn(
            learner,
            self.goal(part),
            loss,
            batch,
            save=save,
            say=self.named(part),
            should_stop=self.should_stop,
            curve=file.with_suffix(".tsv"),
        )

    def _export(self) -> bool:
        """The running averages of both."""
        network = make_tiny()
        for part in ("decoder", "encoder"):
            state = read_state(self.state_of(part))
            if state is None:
                raise StartError(f"There is no trained {part} yet: run --stage {part} first.")
            put_average(state, getattr(network, part))
        save_network(network.half(), self.output)
        self.say(f"export: {self.output}. webui evaluate tiny scores it.")
        return True
