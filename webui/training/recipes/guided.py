"""What inpainting and depth share: the pocket's U-Net with channels beside the latents. Autoencoder, words and tokenizer are
the base's own files, so that latents mean the same in both.

    render        scenes to pictures, with depth and boxes
    encode        latents, captions, and what the U-Net gets beside the latents
    unet          the U-Net alone, from the base's weights
    export        a checkpoint in diffusers layout
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from webui.contract.errors import StartError
from webui.training import scenes
from webui.training.autoencoder import load_autoencoder
from webui.training.export import export_beside
from webui.training.filling import Filling, fill
from webui.training.loop import put_average, read_state
from webui.training.networks import Autoencoder, make_unet
from webui.training.recipe import Recipe
from webui.training.unet import train_unet
from webui.training.worlds import PACK, SIZE, Worlds

RATE = 4e-4


class GuidedRecipe(Recipe):
    """A U-Net that is told more than words."""

    stages = ("render", "encode", "unet", "export")
    samples: ClassVar = {"unet": 100_000}
    batches: ClassVar = {"unet": (16, 256)}
    channels: ClassVar[int]
    """Beside the latents."""
    index: ClassVar[dict[str, Any]]
    """What its model_index.json says otherwise than the base's."""

    @abstractmethod
    def beside(self, coder: Autoencoder, worlds: Worlds, seeds: range) -> NDArray[np.float16]:
        """(B, channels, 16, 16) of some scenes in a row."""

    def begin(self) -> None:
        if not (self.base / "unet").is_dir():
            raise StartError(f"{self.base} is not a checkpoint in diffusers layout, from which this one could begin.")

    def _worlds(self) -> Worlds:
        return Worlds(self.options.worlds or self.options.state, self.options.scenes, sprites=self.options.sprites)

    def _arrays(self) -> tuple[Filling, Filling, Filling]:
        state, count = self.options.state, self.options.scenes
        side = SIZE // 8
        beside = Filling(state / "beside.npy", (count, self.channels, side, side), np.float16)
        return scenes.latents(state, count), scenes.tokens(state, count), beside

    def _render(self) -> bool:
        return self._worlds().render(self.arithmetic, self.threads, self.say, self.should_stop)

    def _encode(self) -> bool:
        worlds = self._worlds()
        self.need(worlds.is_full, f"Only {worlds.filled} of {worlds.count} scenes are rendered", "render")
        worlds.claim(self.options.state, "latents.npy")
        latents, tokens, beside = self._arrays()
        coder = load_autoencoder(self.base / "vae")
        self.arithmetic.put(coder)
        seen = scenes.latent_packs(coder, worlds.pictures.array, latents.filled, self.arithmetic)
        words = scenes.token_packs(worlds.caption, tokens.filled, worlds.count)
        return (
            fill([latents], seen, self.say, "encode", self.should_stop)
            and fill([tokens], words, self.say, "captions", self.should_stop)
            and fill([beside], self._beside_packs(coder, worlds, beside.filled), self.say, self.name, self.should_stop)
        )

    @torch.no_grad()
    def _beside_packs(self, coder: Autoencoder, worlds: Worlds, start: int) -> Iterator[tuple[NDArray, ...]]:
        for first in range(start, worlds.count, PACK):
            yield (self.beside(coder, worlds, range(first, min(first + PACK, worlds.count))),)

    def _unet(self) -> bool:
        latents, tokens, beside = self._arrays()
        self.need(latents.is_full and tokens.is_full and beside.is_full, "The scenes are not encoded yet", "encode")
        return train_unet(
            self.state_of("unet"),
            latents.array,
            tokens.array,
            self.goal("unet"),
            self.arithmetic,
            self.options.init or self.base,
            self.batch("unet"),
            self.named("unet"),
            self.should_stop,
            beside.array,
            RATE,
        )

    def _export(self) -> bool:
        """The running average of the U-Net, beside the base's own files."""
        state = read_state(self.state_of("unet"))
        if state is None:
            raise StartError("There is no trained U-Net yet: run --stage unet first.")
        unet = make_unet(self.channels)
        put_average(state, unet)
        export_beside(self.output, self.base, unet, self.index)
        self.say(f"export: {self.output}, of {state['clock']['samples']:,} samples. webui evaluate {self.name} scores it.")
        return True
